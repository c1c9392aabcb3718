//! The session's cookie: for this host alone, for no script, sent with nothing that another site began.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use crate::sessions::Secret;

/// While somebody is at their identity provider: sent when that leads back.
const SECURE_AWAY: &str = "__Host-shortbread-oidc";
const PLAIN_AWAY: &str = "shortbread_oidc";

/// Over TLS the prefix has the browser see to it that no other host or path set it (RFC 6265bis).
const SECURE: &str = "__Host-shortbread";
const PLAIN: &str = "shortbread_console";

fn is_secure(issuer: &str) -> bool {
    issuer.starts_with("https://")
}

/// The cookie's value, where a request has exactly one.
pub(in crate::console) fn read<'h>(headers: &'h HeaderMap, issuer: &str) -> Option<&'h str> {
    let name = if is_secure(issuer) { SECURE } else { PLAIN };
    only(headers, name)
}

/// The value of a cookie that stands once.
pub(in crate::console) fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut named = pairs.filter(|(found, _)| *found == name).map(|(_, value)| value);
    match (named.next(), named.next()) {
        (Some(value), None) if !value.is_empty() => Some(value),
        _ => None,
    }
}

/// Sets it for so long.
pub(in crate::console) fn set(response: Response, issuer: &str, secret: &Secret, life: Duration) -> Response {
    with(response, issuer, secret.reveal(), life.as_secs())
}

/// Whether an answer sets it already, or takes it away.
pub(in crate::console) fn is_set(response: &Response, issuer: &str) -> bool {
    let name = if is_secure(issuer) { SECURE } else { PLAIN };
    let mut set = response.headers().get_all(header::SET_COOKIE).iter();
    set.any(|value| value.as_bytes().strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"=")))
}

/// Takes it away.
pub(in crate::console) fn clear(response: Response, issuer: &str) -> Response {
    with(response, issuer, "", 0)
}

fn with(mut response: Response, issuer: &str, value: &str, seconds: u64) -> Response {
    let (name, secure) = if is_secure(issuer) { (SECURE, "; Secure") } else { (PLAIN, "") };
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    if let Ok(mut value) = HeaderValue::try_from(text) {
        value.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

/// What a browser keeps while somebody is at their identity provider.
pub(in crate::console) fn read_away<'h>(headers: &'h HeaderMap, issuer: &str) -> Option<&'h str> {
    only(headers, if is_secure(issuer) { SECURE_AWAY } else { PLAIN_AWAY })
}

/// Sets that for so long, or takes it away after no time at all. Another site leads back, so that it cannot be `Strict`.
pub(in crate::console) fn set_away(
    mut response: Response,
    issuer: &str,
    value: &str,
    life: Duration,
) -> Response {
    let (name, secure) = if is_secure(issuer) { (SECURE_AWAY, "; Secure") } else { (PLAIN_AWAY, "") };
    let seconds = life.as_secs();
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(mut value) = HeaderValue::try_from(text) {
        value.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, line.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_cookie_is_read_where_it_is_one() {
        let issuer = "https://b.example";
        let read = |lines: &[&str]| read(&headers(lines), issuer).map(str::to_owned);
        assert_eq!(read(&["a=1; __Host-shortbread=x; b=2"]).as_deref(), Some("x"));
        for none in [
            &[][..],
            &["shortbread_console=x"],
            &["__Host-shortbread="],
            &["__Host-shortbread=x; __Host-shortbread=y"],
        ] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }

    #[test]
    fn what_is_kept_meanwhile_is_for_its_own_paths_and_a_way_back() {
        let kept = |issuer| {
            let response = set_away(Response::default(), issuer, "x", Duration::from_secs(600));
            assert!(!is_set(&response, issuer));
            response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned()
        };
        let attributes = "=x; Path=/; Max-Age=600; HttpOnly; SameSite=Lax";
        assert_eq!(kept("https://b.example"), format!("__Host-shortbread-oidc{attributes}; Secure"));
        assert_eq!(kept("http://127.0.0.1:1"), format!("shortbread_oidc{attributes}"));
        let cleared = clear(Response::default(), "https://b.example");
        assert!(is_set(&cleared, "https://b.example") && !is_set(&cleared, "http://127.0.0.1:1"));
    }

    #[test]
    fn over_tls_it_is_bound_to_the_host() {
        let secret = Secret::new(&shortbread_protocol::random::SeededRandom::new(1)).unwrap();
        let cookie = |issuer| {
            let response = set(Response::default(), issuer, &secret, Duration::from_secs(60));
            response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned()
        };
        let secure = cookie("https://b.example");
        assert!(
            secure.starts_with("__Host-shortbread=")
                && secure.ends_with("; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure")
        );
        assert!(cookie("http://127.0.0.1:1").ends_with("HttpOnly; SameSite=Strict"));
    }
}
