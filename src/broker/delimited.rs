//! A hash over several texts, so that no two lists of texts are hashed alike.

use sha2::{Digest as _, Sha256};

/// Adds each text behind its length in eight bytes: three texts are never two.
pub(crate) fn delimited<'a>(hash: Sha256, texts: impl IntoIterator<Item = &'a str>) -> Sha256 {
    texts
        .into_iter()
        .fold(hash, |hash, text| hash.chain_update((text.len() as u64).to_be_bytes()).chain_update(text))
}
