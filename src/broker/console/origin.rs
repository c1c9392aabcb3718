//! Where a request comes from, as the browser says it: forms are taken from our own pages alone.

use axum::http::HeaderMap;
use axum::http::header::ORIGIN;

/// Whether a form was sent by a page of ours. A browser that says nothing of it is refused.
pub(super) fn is_ours(headers: &HeaderMap, issuer: &str) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let site = text(headers, "sec-fetch-site");
    let (Some(origin), None) = (origins.next(), origins.next()) else { return false };
    origin.as_bytes() == of(issuer).as_bytes() && site.is_none_or(|site| site == "same-origin")
}

/// Whether another site led the browser here: then it left our cookie at home.
pub(super) fn is_led(headers: &HeaderMap) -> bool {
    matches!(text(headers, "sec-fetch-site"), Some("cross-site" | "same-site"))
}

/// The origin of a URL as browsers write it (RFC 6454): scheme, host and port in small letters, without a usual port.
pub(super) fn of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let scheme = scheme.to_ascii_lowercase();
    let host = rest.split('/').next().unwrap_or_default().to_ascii_lowercase();
    let usual = if scheme == "https" { ":443" } else { ":80" };
    format!("{scheme}://{}", host.strip_suffix(usual).unwrap_or(&host))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: &str = "https://broker.acme.example/base";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn forms_are_taken_from_our_own_pages_alone() {
        let ours = "https://broker.acme.example";
        assert!(is_ours(&headers(&[("origin", ours)]), US));
        assert!(is_ours(&headers(&[("origin", ours), ("sec-fetch-site", "same-origin")]), US));
        for bad in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "http://broker.acme.example")],
            &[("origin", "https://broker.acme.example:8443")],
            &[("origin", "https://broker.acme.example.evil.example")],
            &[("origin", ours), ("origin", ours)],
            &[("origin", ours), ("sec-fetch-site", "same-site")],
            &[("origin", ours), ("sec-fetch-site", "cross-site")],
        ] {
            assert!(!is_ours(&headers(bad), US), "{bad:?}");
        }
    }

    #[test]
    fn the_origin_of_a_url_is_its_front() {
        assert_eq!(of("http://127.0.0.1:8700/"), "http://127.0.0.1:8700");
        assert_eq!(of("http://127.0.0.1:8700"), "http://127.0.0.1:8700");
        assert_eq!(of(US), "https://broker.acme.example");
        assert_eq!(of("https://Broker.acme.example:443"), "https://broker.acme.example");
        assert_eq!(of("http://b.example:443/"), "http://b.example:443");
    }
}
