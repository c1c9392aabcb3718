//! The break-glass head: the offline root key stops everything, whatever becomes of the broker.

use std::fmt::Write as _;

use super::head::{HeadError, Lines, MAX_HEAD};
use crate::keys::{PrivateKey, PublicKey};
use crate::note;

const FORMAT: &str = "shortbread-break-glass/v1";

/// What the offline root key says. It does not expire. What is dead is what the larger of this `global` and that of the
/// broker's head says, so that no later head of the broker undoes it; only a break-glass head with a higher `seq` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakGlass {
    /// Its own number, apart from those of the broker's heads. Whoever has nothing but the key takes the time in
    /// seconds since the epoch, which is higher than the last one.
    pub seq: u64,
    /// When it was signed, in seconds since the epoch.
    pub issued: u64,
    /// Everything issued before this second is dead; 0 for nothing, which lifts an earlier one.
    pub global: u64,
}

impl BreakGlass {
    /// Signs it with the offline root key, for an origin as [`origin`](super::origin) gives it.
    #[must_use]
    pub fn sign(&self, origin: &str, root: &PrivateKey) -> String {
        note::sign(&self.text(origin), origin, root)
    }

    /// The text that is signed, for signing elsewhere.
    #[must_use]
    pub fn text(&self, origin: &str) -> String {
        let mut text = format!("{origin}\n{FORMAT}\n");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "seq {}\nissued {}\nglobal {}", self.seq, self.issued, self.global);
        text
    }

    /// Reads a break-glass head that the root key signed for this origin. Whether its `seq` is still valid is for the
    /// key document and for what was seen before to say.
    ///
    /// # Errors
    /// When the signature, the origin or any line is not as it must be; unknown lines are refused.
    pub fn open(bytes: &[u8], origin: &str, root: &PublicKey) -> Result<Self, HeadError> {
        let text = note::open(bytes, origin, &[*root], MAX_HEAD)?;
        let mut lines = Lines::of(text);
        lines.exactly(origin, "origin")?;
        lines.exactly(FORMAT, "format")?;
        let (seq, issued, global) = (lines.number("seq")?, lines.number("issued")?, lines.number("global")?);
        lines.end()?;
        if seq == 0 { Err(HeadError::Line("seq")) } else { Ok(Self { seq, issued, global }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FOREVER;

    const ORIGIN: &str = "broker.acme.example/revocations";

    #[test]
    fn signed_is_opened_by_the_root_alone_and_never_passes_for_a_head() {
        let (root, other) = (PrivateKey::from_seed(&[1; 32]), PrivateKey::from_seed(&[2; 32]).public());
        let stop = BreakGlass { seq: 1_795_348_800, issued: 1_795_348_800, global: FOREVER };
        let signed = stop.sign(ORIGIN, &root);
        assert_eq!(BreakGlass::open(signed.as_bytes(), ORIGIN, &root.public()), Ok(stop));
        assert!(BreakGlass::open(signed.as_bytes(), ORIGIN, &other).is_err());
        assert!(BreakGlass::open(signed.as_bytes(), "other/revocations", &root.public()).is_err());
        assert!(super::super::Head::open(signed.as_bytes(), ORIGIN, &[root.public()]).is_err());
        let text = stop.text(ORIGIN);
        for (from, to) in
            [("global", "globe"), ("seq 1", "seq 01"), ("\nissued", "\nmore 1\nissued"), ("/v1", "/v2")]
        {
            let note = note::sign(&text.replacen(from, to, 1), ORIGIN, &root);
            assert!(BreakGlass::open(note.as_bytes(), ORIGIN, &root.public()).is_err(), "{from}");
        }
        let none = BreakGlass { seq: 0, ..stop }.sign(ORIGIN, &root);
        assert!(BreakGlass::open(none.as_bytes(), ORIGIN, &root.public()).is_err());
    }
}
