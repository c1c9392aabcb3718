//! Where the token stands in a request: in one `Authorization` header, and nowhere else.

use http::header::AUTHORIZATION;
use http::request::Parts;

/// The token, or `None` when the request has no `Bearer` or `DPoP` credentials.
///
/// # Errors
/// What is wrong, in a sentence for the caller, when it cannot be said which token is meant.
pub(super) fn find(parts: &Parts) -> Result<Option<&str>, &'static str> {
    if parts.uri.query().is_some_and(holds_token) {
        return Err("A token in the address ends up in logs; send it in the Authorization header.");
    }
    let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
    let Some(header) = headers.next() else { return Ok(None) };
    if headers.next().is_some() {
        return Err("There is more than one Authorization header.");
    }
    let text = header.to_str().map_err(|_| "The Authorization header is not plain text.")?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !["bearer", "dpop"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Ok(None);
    }
    let token = token.trim_matches(' ');
    if is_token68(token) { Ok(Some(token)) } else { Err("The Authorization header does not hold one token.") }
}

fn holds_token(query: &str) -> bool {
    query.split('&').any(|pair| pair.split('=').next() == Some("access_token"))
}

/// RFC 9110, section 11.2.
fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn find_in(uri: &str, headers: &[&[u8]]) -> Result<Option<String>, &'static str> {
        let mut request = Request::builder().uri(uri);
        for header in headers {
            request = request.header(AUTHORIZATION, *header);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        find(&parts).map(|token| token.map(str::to_owned))
    }

    #[test]
    fn one_header_with_one_token() {
        for header in ["Bearer abc-_=", "bearer abc-_=", "DPoP  abc-_= "] {
            assert_eq!(find_in("/", &[header.as_bytes()]), Ok(Some("abc-_=".to_owned())), "{header}");
        }
        for none in [&[][..], &[b"Basic abc".as_slice()], &[b"".as_slice()], &[b"Bearerabc".as_slice()]] {
            assert_eq!(find_in("/?q=access_token", none), Ok(None));
        }
    }

    #[test]
    fn anything_that_leaves_a_doubt_is_refused() {
        assert!(find_in("/", &[b"Bearer a", b"Bearer a"]).is_err());
        assert!(find_in("/", &[b"Bearer a", b"Basic a"]).is_err());
        assert!(find_in("/?x=1&access_token=a", &[]).is_err());
        for header in ["Bearer", "Bearer ", "Bearer a b", "Bearer a, Bearer b", "Bearer \u{e9}", "Bearer a=b"]
        {
            assert!(find_in("/", &[header.as_bytes()]).is_err(), "{header}");
        }
    }
}
