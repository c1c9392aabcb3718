//! URLs that tokens name or keys come from: exact, plain, and not readable by a third party on the way.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::Uri;

/// Why a URL cannot be used, in words that follow it.
///
/// # Errors
/// Unless it is `https`, or `http` at this machine where that is allowed, with a host and no user,
/// fragment or capital letters in its scheme or host.
pub(super) fn check(url: &str, allow_http_on_loopback: bool) -> Result<(), &'static str> {
    let uri: Uri = url.parse().map_err(|_| "is not a URL")?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("is not a URL with a scheme and a host");
    };
    let start = format!("{scheme}://{authority}");
    if !url.starts_with(&start) || start.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("has capital letters in its scheme or host, where clients would send small ones");
    }
    if authority.as_str().contains('@') || url.contains('#') || uri.host().is_none_or(str::is_empty) {
        return Err("has a user or a fragment, or no host");
    }
    match scheme {
        "https" => Ok(()),
        "http" if allow_http_on_loopback && uri.host().is_some_and(is_loopback) => Ok(()),
        "http" if allow_http_on_loopback => Err("is http and not at this machine"),
        _ => Err("is not an https URL"),
    }
}

/// Whether the URL has a query.
pub(super) fn has_query(url: &str) -> bool {
    url.contains('?')
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || bare.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_or_http_at_home() {
        for good in
            ["https://a.example", "https://a.example/x?y=1", "http://127.0.0.1:8700/x", "http://[::1]/x"]
        {
            assert_eq!(check(good, true), Ok(()), "{good}");
        }
        for bad in [
            "",
            "github",
            "/github",
            "//a.example/x",
            "ftp://a.example",
            "http://a.example",
            "http://localhost.a.example",
            "http://127.0.0.1.a.example",
            "https://u@a.example",
            "https://a.example/#f",
            "HTTPS://a.example",
            "https://A.example",
            "https://",
            "https://a b.example",
        ] {
            assert!(check(bad, true).is_err(), "{bad}");
        }
        assert!(check("http://127.0.0.1", false).is_err());
    }
}
