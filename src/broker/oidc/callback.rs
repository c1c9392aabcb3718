//! What the provider sends the browser back with, compared with what the browser set out with.

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::error::{Fault, SignInError};
use super::pending::{Pending, same};

/// A longer query is refused unread.
const MAX_QUERY: usize = 8 * 1024;

/// The answer to the very sign-in that the browser began.
pub(super) struct Answer {
    code: Option<Zeroizing<String>>,
    issuer: Option<String>,
}

impl Answer {
    /// Reads a query.
    pub(super) fn read(query: &str, pending: &Pending) -> Result<Self, SignInError> {
        if query.len() > MAX_QUERY {
            return Err(SignInError::Foreign);
        }
        // What stands twice could be one thing here and another elsewhere.
        let one = |name: &str| -> Result<Option<Cow<'_, str>>, SignInError> {
            let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
            match (values.next(), values.next()) {
                (Some((_, value)), None) => Ok(Some(value).filter(|value| !value.is_empty())),
                (None, _) => Ok(None),
                (Some(_), Some(_)) => Err(SignInError::Foreign),
            }
        };
        let state = one("state")?.ok_or(SignInError::Foreign)?;
        if !same(&state, pending.state()) {
            return Err(SignInError::Foreign);
        }
        let declined = one("error")?.is_some();
        let code = one("code")?.filter(|_| !declined).map(|code| Zeroizing::new(code.into_owned()));
        Ok(Self { code, issuer: one("iss")?.map(Cow::into_owned) })
    }

    /// The code, of an answer of this provider (RFC 9207); `must_say` where the provider says that it names itself.
    pub(super) fn code(self, issuer: &str, must_say: bool) -> Result<Zeroizing<String>, SignInError> {
        match self.issuer {
            Some(told) if told != issuer => return Err(Fault::AnswerIssuer.into()),
            None if must_say => return Err(Fault::AnswerIssuer.into()),
            _ => {}
        }
        self.code.ok_or(SignInError::Declined)
    }
}

#[cfg(test)]
mod tests {
    use shortbread_protocol::clock::Timestamp;
    use shortbread_protocol::random::SeededRandom;

    use super::super::Wish;
    use super::*;

    const ISSUER: &str = "https://id.acme.example";

    fn code(query: &str, must_say: bool) -> Result<String, SignInError> {
        let now = Timestamp::from_seconds(1);
        let pending = Pending::begin(&SeededRandom::default(), &Wish::default(), now).unwrap();
        let query = query.replace("STATE", pending.state());
        Answer::read(&query, &pending)?.code(ISSUER, must_say).map(|code| code.to_string())
    }

    #[test]
    fn a_code_of_this_sign_in_and_this_provider_is_taken() {
        assert_eq!(code("code=abc%2Fd&state=STATE", false).unwrap(), "abc/d");
        for must_say in [false, true] {
            let query = "code=abc&state=STATE&iss=https%3A%2F%2Fid.acme.example&session_state=x";
            assert_eq!(code(query, must_say).unwrap(), "abc");
        }
    }

    #[test]
    fn everything_else_is_not() {
        let long = format!("code=abc&state=STATE&x={}", "y".repeat(MAX_QUERY));
        for query in [
            "",
            "code=abc",
            "code=abc&state=",
            "code=abc&state=other",
            "code=abc&state=STATE&state=STATE",
            &long,
        ] {
            assert!(matches!(code(query, false), Err(SignInError::Foreign)), "{query}");
        }
        for query in
            ["code=a&code=b&state=STATE", "code=a&state=STATE&iss=x&iss=https%3A%2F%2Fid.acme.example"]
        {
            assert!(matches!(code(query, false), Err(SignInError::Foreign)), "{query}");
        }
        for query in [
            "state=STATE&error=access_denied",
            "state=STATE&error=x&code=abc",
            "state=STATE",
            "code=&state=STATE",
        ] {
            assert!(matches!(code(query, false), Err(SignInError::Declined)), "{query}");
        }
        for (query, must_say) in [
            ("code=abc&state=STATE&iss=https%3A%2F%2Fevil.example", false),
            ("code=abc&state=STATE&iss=https%3A%2F%2Fid.acme.example%2F", false),
            ("code=abc&state=STATE", true),
            ("code=abc&state=STATE&iss=", true),
        ] {
            let got = code(query, must_say);
            assert!(matches!(got, Err(SignInError::Unusable(Fault::AnswerIssuer))), "{query}");
        }
    }
}
