//! Where the credentials stand in a request: the token in one `Authorization` header, its proof in one `DPoP` header, and
//! neither anywhere else.

use http::HeaderName;
use http::header::AUTHORIZATION;
use http::request::Parts;
use shortbread_protocol::reason::Reason;

/// The header of proofs (RFC 9449, section 4.1).
pub(super) const DPOP: HeaderName = HeaderName::from_static("dpop");

/// How a token was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Scheme {
    /// As one that whoever has it may use, or not at all.
    #[default]
    Bearer,
    /// As one that is bound to a key.
    DPoP,
}

impl Scheme {
    /// The scheme's name in challenges.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::DPoP => "DPoP",
        }
    }
}

/// What came with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Credentials<'a> {
    pub(super) scheme: Scheme,
    pub(super) token: Option<&'a str>,
    pub(super) proof: Option<&'a str>,
}

/// Headers of which it cannot be said what is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unclear {
    pub(super) reason: Reason,
    /// What is wrong, in a sentence for the caller.
    pub(super) cause: &'static str,
}

/// The token and the proof; either is `None` when the request has none.
///
/// # Errors
/// When it cannot be said which token or which proof is meant.
pub(super) fn find(parts: &Parts) -> Result<Credentials<'_>, Unclear> {
    let (scheme, token) =
        token(parts).map_err(|cause| Unclear { reason: Reason::TokenMalformed, cause })?.unzip();
    let proof = proof(parts).map_err(|cause| Unclear { reason: Reason::ProofMalformed, cause })?;
    Ok(Credentials { scheme: scheme.unwrap_or_default(), token, proof })
}

fn proof(parts: &Parts) -> Result<Option<&str>, &'static str> {
    let mut headers = parts.headers.get_all(DPOP).iter();
    let Some(header) = headers.next() else { return Ok(None) };
    if headers.next().is_some() {
        return Err("There is more than one DPoP header.");
    }
    header.to_str().map(Some).map_err(|_| "The DPoP header is not plain text.")
}

fn token(parts: &Parts) -> Result<Option<(Scheme, &str)>, &'static str> {
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
    let known = [Scheme::Bearer, Scheme::DPoP];
    let Some(scheme) = known.into_iter().find(|known| scheme.eq_ignore_ascii_case(known.as_str())) else {
        return Ok(None);
    };
    let token = token.trim_matches(' ');
    if is_token68(token) {
        Ok(Some((scheme, token)))
    } else {
        Err("The Authorization header does not hold one token.")
    }
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

    fn parts(uri: &str, name: HeaderName, headers: &[&[u8]]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for header in headers {
            request = request.header(&name, *header);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn find_in(uri: &str, headers: &[&[u8]]) -> Result<Option<String>, &'static str> {
        let parts = parts(uri, AUTHORIZATION, headers);
        let found = find(&parts).map(|credentials| credentials.token.map(str::to_owned));
        found.map_err(|unclear| {
            assert_eq!(unclear.reason, Reason::TokenMalformed);
            unclear.cause
        })
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

    #[test]
    fn the_scheme_is_told() {
        for (header, scheme) in [("bEARER abc", Scheme::Bearer), ("dpop abc", Scheme::DPoP)] {
            let parts = parts("/", AUTHORIZATION, &[header.as_bytes()]);
            assert_eq!(find(&parts).unwrap().scheme, scheme);
        }
    }

    #[test]
    fn one_proof_or_none() {
        let found = |headers: &[&[u8]]| {
            let parts = parts("/", DPOP, headers);
            find(&parts).map(|credentials| credentials.proof.map(str::to_owned))
        };
        assert_eq!(found(&[]), Ok(None));
        assert_eq!(found(&[b"a.b.c"]), Ok(Some("a.b.c".to_owned())));
        for headers in [&[b"a.b.c".as_slice(), b"a.b.c"][..], &[b"a", b""], &[b"\xe9".as_slice()]] {
            assert_eq!(found(headers).unwrap_err().reason, Reason::ProofMalformed);
        }
    }
}
