//! What a broker publishes for everyone: the head of the revocation list and the key document.

use shortbread_protocol::key_document::{DocumentKey, KeyDocument, KeyPurpose};
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::revocations::{Head, origin};
use shortbread_verifier::chain::TokenKeys;

use crate::client::Broker;
use crate::failure::Failure;

/// What a head says, before or after its signature is checked. Times are seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadLines {
    pub(crate) seq: u64,
    pub(crate) issued: u64,
    pub(crate) expires: u64,
    /// Everything issued before this is dead; 0 for nothing.
    pub(crate) global: u64,
    /// The version of the key document.
    pub(crate) keys: u64,
    /// Whether a revocation key of the key document signed it, and the root key signed that.
    pub(crate) checked: bool,
}

/// The head that is served now; its signature is checked if the root key is given.
///
/// # Errors
/// When it cannot be had, is not a head, or is not signed as it must be.
pub(crate) async fn head(broker: &Broker, root: Option<&PublicKey>) -> Result<HeadLines, Failure> {
    match root {
        Some(root) => believed(broker, root).await.map(|(head, _)| head),
        None => peek(&fetch(broker, "/revocations/head").await?),
    }
}

/// The key document in force, as the root key signed it.
///
/// # Errors
/// As [`head`].
pub(crate) async fn key_document(broker: &Broker, root: &PublicKey) -> Result<KeyDocument, Failure> {
    believed(broker, root).await.map(|(_, document)| document)
}

async fn believed(broker: &Broker, root: &PublicKey) -> Result<(HeadLines, KeyDocument), Failure> {
    let fix = "Check that the root key is this broker's, and that nobody stands between you and it.";
    let text = fetch(broker, "/revocations/head").await?;
    let lines = peek(&text)?;
    let signed = fetch(broker, &format!("/revocations/keys/{}", lines.keys)).await?;
    let document = KeyDocument::open(signed.as_bytes(), broker.url(), root)
        .map_err(|error| Failure::new(error.to_string(), fix))?;
    let keys: Vec<PublicKey> = document.of(KeyPurpose::Revocation).map(|key| key.key).collect();
    let head = Head::open(text.as_bytes(), &origin(broker.url()), &keys)
        .map_err(|error| Failure::new(error.to_string(), fix))?;
    if head.keys != (document.version, KeyDocument::hash(signed.as_bytes())) {
        return Err(Failure::new(
            "the revocation list names another key document than the broker serves",
            fix,
        ));
    }
    Ok((HeadLines { checked: true, ..lines }, document))
}

async fn fetch(broker: &Broker, path: &str) -> Result<String, Failure> {
    let answer = broker.get(path).await?;
    answer.success()?;
    String::from_utf8(answer.body).map_err(|_| strange())
}

/// Reads the lines that are needed before there is a key to check them with.
fn peek(head: &str) -> Result<HeadLines, Failure> {
    let number = |word: &str| -> Result<u64, Failure> {
        let value = head.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        let value = value.and_then(|value| value.split(' ').next());
        value.and_then(|digits| digits.parse().ok()).ok_or_else(strange)
    };
    Ok(HeadLines {
        seq: number("seq")?,
        issued: number("issued")?,
        expires: number("expires")?,
        global: number("global")?,
        keys: number("keys")?,
        checked: false,
    })
}

fn strange() -> Failure {
    let fix = "Check that the address is that of a Shortbread broker of this version.";
    Failure::new("what the broker serves is not a revocation list or key document", fix)
}

/// The token keys of a document that may be relied on at a moment.
pub(crate) struct KeysAt<'a> {
    pub(crate) document: &'a KeyDocument,
    /// Seconds since the epoch.
    pub(crate) now: u64,
}

impl TokenKeys for KeysAt<'_> {
    fn issuer(&self) -> &str {
        &self.document.issuer
    }

    fn token_key(&self, name: &str) -> Option<PublicKey> {
        let good = |key: &&DocumentKey| {
            key.name.as_str() == name && key.not_before <= self.now && self.now < key.not_after
        };
        self.document.of(KeyPurpose::Token).find(good).map(|key| key.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shortbread_protocol::keys::PrivateKey;
    use shortbread_protocol::revocations::FileRef;

    #[test]
    fn a_head_is_read_before_it_is_believed() {
        let head = Head {
            seq: 18_342,
            issued: 1_795_348_800,
            next: 1_795_348_805,
            expires: 1_795_349_700,
            global: 7,
            snapshot: FileRef { seq: 1, sha256: [1; 32], bytes: 3 },
            deltas: Vec::new(),
            keys: (4, [2; 32]),
        };
        let signed = head.sign("broker.acme.example/revocations", &PrivateKey::from_seed(&[1; 32]));
        let lines = peek(&signed).unwrap();
        let expected = HeadLines {
            seq: head.seq,
            issued: head.issued,
            expires: head.expires,
            global: 7,
            keys: 4,
            checked: false,
        };
        assert_eq!(lines, expected);
        assert!(peek("<html>").is_err());
        assert!(peek(&signed.replace("keys 4 ", "keys ../../x ")).is_err());
    }
}
