//! Which addresses and URLs a key set may be fetched from: the guard against server-side request forgery.

use std::net::IpAddr;

use reqwest::Url;
use shortbread_protocol::address::{Class, class, is_mapped};

use super::fetch::FetchError;

/// How far a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Addresses of the public internet.
    Public,
    /// Those, and private networks and this host.
    Private,
    /// This host alone: the one place where plain http is taken.
    Loopback,
}

impl Reach {
    /// Whether an address may be connected to. Link-local (cloud metadata), multicast and unspecified never.
    pub(super) fn permits(self, address: IpAddr) -> bool {
        let class = class(address);
        match self {
            Self::Public => class == Class::Public && !is_mapped(address),
            Self::Private => !matches!(class, Class::LinkLocal | Class::Never),
            Self::Loopback => class == Class::Loopback,
        }
    }
}

/// Reads a URL and says how far a request to it may go. Addresses written in the URL are checked here,
/// since no resolver sees them.
pub(crate) fn destination(url: &str, allow_private: bool) -> Result<(Url, Reach), FetchError> {
    let url = Url::parse(url).map_err(|_| FetchError::Url)?;
    let host = url.host_str().ok_or(FetchError::Url)?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(FetchError::Url);
    }
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let reach = match (url.scheme(), allow_private) {
        ("https", false) => Reach::Public,
        ("https", true) => Reach::Private,
        ("http", true) if host == "localhost" || literal.is_some_and(|ip| Reach::Loopback.permits(ip)) => {
            Reach::Loopback
        }
        _ => return Err(FetchError::NotHttps),
    };
    if literal.is_some_and(|address| !reach.permits(address)) {
        return Err(FetchError::Address);
    }
    Ok((url, reach))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_in_every_spelling_are_refused() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "[::]",
            "[::1]",
            "[fe80::1]",
            "[fd00::1]",
            "[ff02::1]",
            "[::ffff:10.0.0.1]",
            "[::ffff:8.8.8.8]",
            "[::7f00:1]",
            "[64:ff9b::a00:1]",
            "[2002:a00:1::]",
            "[2001:0:1::1]",
            "[2001:db8::1]",
            "[fec0::1]",
        ] {
            let refused = destination(&format!("https://{host}/jwks"), false);
            assert_eq!(refused.unwrap_err(), FetchError::Address, "{host}");
        }
        for host in ["8.8.8.8", "[2606:4700::1111]", "[64:ff9b::808:808]", "issuer.example", "172.32.0.1"] {
            let taken = destination(&format!("https://{host}/jwks"), false);
            assert_eq!(taken.unwrap().1, Reach::Public, "{host}");
        }
    }

    #[test]
    fn allow_private_opens_private_networks_and_no_more() {
        for host in ["10.1.2.3", "127.0.0.1", "[fd00::1]", "[::ffff:10.0.0.1]", "100.64.0.1", "8.8.8.8"] {
            assert_eq!(destination(&format!("https://{host}/"), true).unwrap().1, Reach::Private, "{host}");
        }
        for host in
            ["169.254.169.254", "[fe80::1]", "0.0.0.0", "[::]", "224.0.0.1", "[::ffff:169.254.169.254]"]
        {
            let refused = destination(&format!("https://{host}/"), true);
            assert_eq!(refused.unwrap_err(), FetchError::Address, "{host}");
        }
    }

    #[test]
    fn plain_http_only_to_this_host_and_only_with_allow_private() {
        assert_eq!(destination("http://127.0.0.1:80/x", true).unwrap().1, Reach::Loopback);
        assert_eq!(destination("http://localhost/x", true).unwrap().1, Reach::Loopback);
        assert_eq!(destination("http://[::1]/x", true).unwrap().1, Reach::Loopback);
        for (url, private) in [
            ("http://127.0.0.1/x", false),
            ("http://10.0.0.1/x", true),
            ("http://issuer.example/x", true),
            ("file:///etc/passwd", true),
            ("ftp://issuer.example/", false),
        ] {
            assert!(destination(url, private).is_err(), "{url}");
        }
    }

    #[test]
    fn urls_with_credentials_or_fragments_are_refused() {
        for url in
            ["https://a@issuer.example/", "https://a:b@issuer.example/", "https://issuer.example/#x", "x"]
        {
            assert_eq!(destination(url, false).unwrap_err(), FetchError::Url, "{url}");
        }
    }
}
