//! Deferral codes: an approval's id and a keyed hash of it, so that none is stored and no guess costs a look at the store.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use shortbread_protocol::oauth::DeferralCode;

const PREFIX: &str = "dfr_";
/// 192 bits: nobody finds one by trying.
const MAC: usize = 24;

/// What codes are made with: the store's secret.
pub struct CodeKey<'a>(pub &'a [u8; 32]);

impl fmt::Debug for CodeKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeKey")
    }
}

/// A deferral code that was made by this broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// The approval's id.
    pub id: String,
}

impl Code {
    /// The code of an approval, `dfr_…`.
    #[must_use]
    pub fn of(id: &str, key: &CodeKey<'_>) -> DeferralCode {
        let mac = key.over(id).map(|mac| mac.finalize().into_bytes().to_vec()).unwrap_or_default();
        let bytes = [mac.get(..MAC).unwrap_or_default(), id.as_bytes()].concat();
        DeferralCode(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Reads a code; `None` for what this broker never made.
    #[must_use]
    pub fn read(text: &str, key: &CodeKey<'_>) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        let (mac, id) = bytes.split_at_checked(MAC)?;
        let id = std::str::from_utf8(id).ok()?;
        // Compared in constant time.
        key.over(id)?.verify_truncated_left(mac).ok().map(|()| Self { id: id.to_owned() })
    }
}

impl CodeKey<'_> {
    // HMAC takes keys of any length, so that this is never none.
    fn over(&self, id: &str) -> Option<Hmac<Sha256>> {
        let mac = Hmac::<Sha256>::new_from_slice(self.0).ok()?;
        Some(mac.chain_update(b"deferral code of ").chain_update(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_of_this_broker_are_read() {
        let (key, other) = (CodeKey(&[1; 32]), CodeKey(&[2; 32]));
        let code = Code::of("apr_01", &key).0;
        assert_eq!(Code::read(&code, &key).unwrap().id, "apr_01");
        assert_eq!(Code::read(&code, &other), None);
        let mut changed = code.clone();
        let last = changed.pop();
        changed.push(if last == Some('A') { 'B' } else { 'A' });
        for bad in [
            "",
            "dfr_",
            "apr_01",
            &changed,
            code.trim_start_matches("dfr_"),
            "dfr_AAAA",
            &format!("dfr_{}", "A".repeat(64)),
        ] {
            assert_eq!(Code::read(bad, &key), None, "{bad}");
        }
        assert_ne!(Code::of("apr_02", &key).0, code);
    }
}
