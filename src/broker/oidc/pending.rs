//! What a browser keeps while its person is at the provider: all that the answer is compared with.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::random::{Random, RandomError};
use zeroize::Zeroizing;

use super::Wish;

/// How long a sign-in may take, and how long its cookie lives.
pub const LIFE: Duration = Duration::from_secs(10 * 60);
/// A longer cookie is refused unread.
const MAX_COOKIE: usize = 2048;
/// A longer way back is not kept.
const MAX_THEN: usize = 512;

/// A sign-in under way. It belongs to one browser: whoever has it could finish that browser's sign-in, so that it is shown
/// nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    state: String,
    nonce: String,
    verifier: String,
    then: String,
    begun: Timestamp,
    replaces: Option<String>,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("then", &self.then)
            .field("begun", &self.begun)
            .finish_non_exhaustive()
    }
}

impl Pending {
    pub(super) fn begin(random: &dyn Random, wish: &Wish, now: Timestamp) -> Result<Self, RandomError> {
        Ok(Self {
            state: secret(random)?,
            nonce: secret(random)?,
            verifier: secret(random)?,
            then: if wish.then.len() > MAX_THEN { String::new() } else { wish.then.clone() },
            begun: now,
            replaces: wish.replaces.clone(),
        })
    }

    /// The value of the cookie: for the browser that began this alone, `HttpOnly`, for [`LIFE`].
    #[must_use]
    pub fn to_cookie(&self) -> Zeroizing<String> {
        // Texts, a number and a flag always serialise.
        let body = Zeroizing::new(serde_json::to_vec(self).unwrap_or_default());
        Zeroizing::new(URL_SAFE_NO_PAD.encode(&*body))
    }

    /// Reads a cookie back. The browser may have changed it: what it keeps proves nothing.
    #[must_use]
    pub fn from_cookie(value: &str) -> Option<Self> {
        if value.len() > MAX_COOKIE {
            return None;
        }
        let body = Zeroizing::new(URL_SAFE_NO_PAD.decode(value).ok()?);
        let read: Self = serde_json::from_slice(&body).ok()?;
        let sound = [&read.state, &read.nonce, &read.verifier].into_iter().all(|text| is_secret(text));
        sound.then_some(read)
    }

    pub(super) fn then(&self) -> &str {
        &self.then
    }

    pub(super) fn replaces(&self) -> Option<&str> {
        self.replaces.as_deref()
    }

    pub(super) fn state(&self) -> &str {
        &self.state
    }

    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }

    pub(super) fn verifier(&self) -> &str {
        &self.verifier
    }

    /// Whether the person has to sign in at the provider anew.
    pub(super) const fn is_fresh(&self) -> bool {
        self.replaces.is_some()
    }

    pub(super) const fn begun(&self) -> Timestamp {
        self.begun
    }

    /// PKCE, S256 (RFC 7636, section 4.2).
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier))
    }

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.begun) >= LIFE
    }
}

/// Whether two texts are equal, in a time that says nothing about where they differ: their hashes are compared.
pub(super) fn same(one: &str, other: &str) -> bool {
    Sha256::digest(one) == Sha256::digest(other)
}

// 256 bits in 43 characters: as long as a PKCE verifier has to be.
fn secret(random: &dyn Random) -> Result<String, RandomError> {
    let mut bytes = Zeroizing::new([0; 32]);
    random.fill(&mut *bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(*bytes))
}

fn is_secret(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use shortbread_protocol::random::SeededRandom;

    use super::*;

    fn pending(then: &str) -> Pending {
        let wish = Wish { then: then.to_owned(), replaces: Some("ses_1".to_owned()) };
        Pending::begin(&SeededRandom::default(), &wish, Timestamp::from_seconds(1_795_176_000)).unwrap()
    }

    #[test]
    fn a_cookie_is_read_back_and_shows_nothing() {
        let one = pending("/console/approvals?open=1");
        let cookie = one.to_cookie();
        assert!(cookie.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(Pending::from_cookie(&cookie), Some(one.clone()));
        assert!(one.state() != one.nonce() && one.nonce() != one.verifier());
        let shown = format!("{one:?}");
        for secret in [one.state(), one.nonce(), one.verifier()] {
            assert!(is_secret(secret) && !shown.contains(secret), "{shown}");
        }
        let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for bad in ["", "x", &encoded("{}"), &"A".repeat(MAX_COOKIE + 1)] {
            assert_eq!(Pending::from_cookie(bad), None, "{bad}");
        }
        let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(&*cookie).unwrap()).unwrap();
        assert_eq!(Pending::from_cookie(&encoded(&decoded.replace(one.state(), ""))), None, "an empty state");
        assert_eq!(Pending::from_cookie(&encoded(&decoded.replace("\"begun\"", "\"began\""))), None);
    }

    #[test]
    fn it_is_over_after_ten_minutes() {
        let one = pending("");
        assert!(!one.is_over(one.begun().plus(LIFE - Duration::from_secs(1))));
        assert!(one.is_over(one.begun().plus(LIFE)));
    }

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        let one =
            Pending { verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned(), ..pending("") };
        assert_eq!(one.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
