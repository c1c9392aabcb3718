//! A rotation as the keyring sees it: found beside, waited for, taken back up after a restart.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shortbread_protocol::clock::{FOREVER, ManualClock, Timestamp};
use shortbread_protocol::key_document::Rotation;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::SeededRandom;

use super::*;
use crate::config::Passphrase;
use crate::setup::{make_document, make_key, make_keys, private_half, write_private, write_public};

const ISSUER: &str = "https://broker.acme.example";
const NOW: Timestamp = Timestamp::from_seconds(1_795_176_000);

struct Place {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    keys: Keys,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let keys = Keys {
            token: at("token.pem"),
            revocation: at("revocation.pem"),
            audit: at("audit.pem"),
            root: at("root.pub.pem"),
            document: at("document.txt"),
            ..Keys::default()
        };
        make_keys(&keys, &SeededRandom::new(1), false).unwrap();
        make_document(&keys, ISSUER, NOW, false).unwrap();
        Self { folder, clock: Arc::new(ManualClock::at(NOW)), keys }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self, published: &[KeyRecord]) -> Result<Keyring, KeyringError> {
        Keyring::open(&self.keys, ISSUER, false, self.clock.clone(), published)
    }

    fn root(&self) -> PrivateKey {
        read_private(&private_half(&self.keys.root), false).unwrap()
    }

    fn now(&self) -> u64 {
        self.clock.now().seconds()
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// A new key file beside the others, as it would stand in a document.
    fn key(&self, purpose: KeyPurpose, name: &str) -> DocumentKey {
        let path = self.path(&format!("{name}.pem"));
        make_key(&path, &SeededRandom::new(name.len() as u64 * 31 + 7), false).unwrap();
        self.listed(purpose, &path)
    }

    fn listed(&self, purpose: KeyPurpose, path: &Path) -> DocumentKey {
        let name = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let key = read_private(path, false).unwrap().public();
        DocumentKey { purpose, name, key, not_before: self.now(), not_after: FOREVER }
    }

    fn rotation(&self, keyring: &Keyring, name: &str, overlap: u64) -> String {
        let add = Some(self.key(KeyPurpose::Token, name));
        let rotation = Rotation { add, retire: self.now() + overlap, ..Rotation::default() };
        keyring.current().document.next(&rotation, self.now()).unwrap().sign(&self.root())
    }

    fn record(&self, keyring: &Keyring) -> KeyRecord {
        let current = keyring.current();
        let (version, signed) = (current.document.version, current.signed.to_vec());
        KeyRecord { version, signed, by: "alice".to_owned(), at: self.clock.now() }
    }
}

fn signs(keyring: &Keyring) -> String {
    keyring.token(&Revocations::default()).unwrap().name().to_string()
}

#[test]
fn a_token_key_signs_no_longer_than_verifiers_believe_it() {
    let place = Place::new();
    let soon = place.now() + 100;
    let document = KeyDocument {
        version: 1,
        issuer: ISSUER.to_owned(),
        break_glass: 0,
        keys: vec![
            DocumentKey { not_after: soon, ..place.listed(KeyPurpose::Token, &place.keys.token) },
            place.listed(KeyPurpose::Revocation, &place.keys.revocation),
            place.listed(KeyPurpose::Audit, &place.keys.audit),
        ],
    };
    write_public(&place.keys.document, document.sign(&place.root()).as_bytes()).unwrap();
    let keyring = place.open(&[]).unwrap();
    assert_eq!(keyring.audit().unwrap().name().as_str(), "audit");
    place.pass(99);
    assert!(keyring.token(&Revocations::default()).is_some() && keyring.token_key("token").is_some());
    place.pass(1);
    assert!(keyring.token(&Revocations::default()).is_none() && keyring.token_key("token").is_none());
    assert!(matches!(place.open(&[]), Err(KeyringError::Unlisted { purpose: "token", .. })));
}

#[test]
fn a_successor_beside_the_configured_key_is_found_and_waits_for_verifiers() {
    let place = Place::new();
    let keyring = place.open(&[]).unwrap();
    let behind = Arc::new(AtomicUsize::new(2));
    let counted = Arc::clone(&behind);
    keyring.ask(Box::new(move |version| if version == 2 { counted.load(Ordering::SeqCst) } else { 0 }));
    let first = place.record(&keyring);
    let signed = place.rotation(&keyring, "token-2", 86_400);
    keyring.adopt(keyring.prepare(signed.as_bytes()).unwrap());
    let second = place.record(&keyring);
    assert_eq!(signs(&keyring), "token");
    place.pass(UNREPORTED);
    assert_eq!(signs(&keyring), "token", "two verifiers do not know it");
    let states = keyring.states(&Revocations::default());
    let turn = |name: &str| states.iter().find(|state| state.listed.name.as_str() == name).unwrap().turn;
    assert_eq!(turn("token"), Some(Turn::Signs));
    assert_eq!(turn("token-2"), Some(Turn::Waits { behind: 2, latest: NOW.seconds() + LATEST }));
    // A start in the middle waits on, whatever the file says; both documents are still served.
    let again = place.open(&[first.clone(), second.clone()]).unwrap();
    again.ask(Box::new(|_| 1));
    assert_eq!((again.current().document.version, signs(&again)), (2, "token".to_owned()));
    assert_eq!(*again.published(1).unwrap(), *first.signed);
    assert_eq!(*again.published(2).unwrap(), *second.signed);
    assert!(again.published(3).is_none());
    behind.store(0, Ordering::SeqCst);
    assert_eq!(signs(&keyring), "token-2");
    assert_eq!(keyring.token_signers().len(), 2, "what the old one signed can be repeated");
    place.pass(LATEST - UNREPORTED);
    assert_eq!(signs(&again), "token-2", "whoever does not know it denies everything by now");
    // What the old key signed is good until its end in the document, and not longer.
    assert!(keyring.token_key("token").is_some());
    place.pass(86_400);
    assert!(keyring.token_key("token").is_none() && keyring.token_key("token-2").is_some());
}

#[test]
fn a_dropped_key_is_gone_at_once_and_its_file_may_go_too() {
    let place = Place::new();
    let keyring = place.open(&[]).unwrap();
    let rotation = Rotation {
        add: Some(place.key(KeyPurpose::Token, "token-2")),
        drop: vec!["token".parse().unwrap()],
        ..Rotation::default()
    };
    let next = keyring.current().document.next(&rotation, place.now()).unwrap();
    keyring.adopt(keyring.prepare(next.sign(&place.root()).as_bytes()).unwrap());
    keyring.ask(Box::new(|_| 9));
    assert_eq!(signs(&keyring), "token-2", "there is nothing to wait with");
    assert!(keyring.token_key("token").is_none());
    std::fs::remove_file(&place.keys.token).unwrap();
    let again = place.open(&[place.record(&keyring)]).unwrap();
    assert_eq!(signs(&again), "token-2");
    // Without the document that names it, the successor is nobody's.
    assert!(
        matches!(place.open(&[]), Err(KeyringError::Unreadable { path, .. }) if path == place.keys.token)
    );
}

#[test]
fn a_document_that_the_broker_could_not_sign_with_is_refused() {
    let place = Place::new();
    let keyring = place.open(&[]).unwrap();
    let first = keyring.current().document.clone();
    let refused = |document: &KeyDocument| {
        let refused = keyring.prepare(document.sign(&place.root()).as_bytes());
        refused.err().map(|error| error.to_string()).unwrap_or_default()
    };
    let next = KeyDocument { version: 2, ..first.clone() };
    assert_eq!(refused(&next), "");
    let elsewhere = DocumentKey {
        name: "token-2".parse().unwrap(),
        key: PrivateKey::from_seed(&[77; 32]).public(),
        not_before: place.now(),
        ..first.keys[0].clone()
    };
    let mut half = next.clone();
    half.keys.push(elsewhere);
    let told = refused(&half);
    assert!(told.contains("token-2.pem") && told.contains("no private half"), "{told}");
    let mut short = next.clone();
    short.keys[0].not_after = place.now() + LEAST_OVERLAP - 1;
    let told = refused(&short);
    assert!(told.contains("--overlap") && told.contains("--drop token"), "{told}");
    let skipped = KeyDocument { version: 3, ..first.clone() };
    assert!(refused(&skipped).contains("the next one is version 2"));
    let mut none = next.clone();
    none.keys.remove(1);
    assert!(refused(&none).contains("no revocation key"));
    let higher = KeyDocument { break_glass: 5, ..next.clone() };
    keyring.adopt(keyring.prepare(higher.sign(&place.root()).as_bytes()).unwrap());
    let lower = KeyDocument { version: 3, ..next.clone() };
    assert!(refused(&lower).contains("may only rise"));
    let stranger = PrivateKey::from_seed(&[1; 32]);
    assert!(matches!(keyring.prepare(next.sign(&stranger).as_bytes()), Err(AdoptError::Document(_))));
}

#[test]
fn no_start_goes_back() {
    let place = Place::new();
    let keyring = place.open(&[]).unwrap();
    let first = place.record(&keyring);
    let signed = place.rotation(&keyring, "token-2", 86_400);
    keyring.adopt(keyring.prepare(signed.as_bytes()).unwrap());
    let second = place.record(&keyring);
    let known = [first.clone(), second.clone()];
    // The file still has the first document: what was published counts.
    assert_eq!(place.open(&known).unwrap().current().document.version, 2);
    // Another second document is none.
    let other = KeyDocument { break_glass: 9, ..keyring.current().document.clone() };
    write_public(&place.keys.document, other.sign(&place.root()).as_bytes()).unwrap();
    assert!(matches!(place.open(&known), Err(KeyringError::Equivocation { version: 2, .. })));
    // A higher one counts, unless it takes something back.
    let higher = KeyDocument { version: 7, ..keyring.current().document.clone() };
    write_public(&place.keys.document, higher.sign(&place.root()).as_bytes()).unwrap();
    assert_eq!(place.open(&known).unwrap().current().document.version, 7);
    let raised = KeyRecord { signed: other.sign(&place.root()).into_bytes(), ..second };
    assert!(matches!(place.open(&[first, raised]), Err(KeyringError::Succession { .. })));
    std::fs::remove_file(&place.keys.document).unwrap();
    assert_eq!(place.open(&known).unwrap().current().document.version, 2);
    assert!(place.open(&[]).is_err());
}

#[test]
fn other_files_in_the_folder_are_left_alone() {
    let place = Place::new();
    let random = SeededRandom::new(5);
    let theirs = PrivateKey::generate(&random).unwrap();
    write_private(&place.path("nonsense.pem"), b"not a key").unwrap();
    write_private(&place.path("theirs.pem"), theirs.to_encrypted_pem(b"theirs", &random).unwrap().as_bytes())
        .unwrap();
    std::fs::create_dir(place.path("folder.pem")).unwrap();
    let open = place.path("open.pem");
    make_key(&open, &random, false).unwrap();
    #[cfg(unix)]
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o644);
    let keyring = place.open(&[]).unwrap();
    // Once the document names it, it must be as private as the others.
    let rotation = Rotation { add: None, ..Rotation::default() };
    let mut next = keyring.current().document.next(&rotation, place.now()).unwrap();
    let public = read_public(&public_half(&open), false).unwrap();
    next.keys.push(DocumentKey {
        purpose: KeyPurpose::Token,
        name: "open".parse().unwrap(),
        key: public,
        not_before: place.now(),
        not_after: FOREVER,
    });
    let signed = next.sign(&place.root());
    for companion in [true, false] {
        if !companion {
            std::fs::remove_file(public_half(&open)).unwrap();
        }
        let refused = keyring.prepare(signed.as_bytes());
        assert!(matches!(refused, Err(AdoptError::Keyring(KeyringError::Open { .. }))), "{companion}");
    }
    mode(0o600);
    assert!(keyring.prepare(signed.as_bytes()).is_ok());
}

#[test]
fn encrypted_keys_are_opened_with_the_one_passphrase() {
    let mut place = Place::new();
    let random = SeededRandom::new(6);
    let key = read_private(&place.keys.token, false).unwrap();
    std::fs::remove_file(&place.keys.token).unwrap();
    write_private(&place.keys.token, key.to_encrypted_pem(b"open sesame", &random).unwrap().as_bytes())
        .unwrap();
    let told = place.open(&[]).err().unwrap().to_string();
    assert!(told.contains("token.pem") && told.contains("passphrase"), "{told}");
    place.keys.passphrase = Some(Passphrase::new("open barley".to_owned()));
    let told = place.open(&[]).err().unwrap().to_string();
    assert!(told.contains("does not open") && !told.contains("barley"), "{told}");
    place.keys.passphrase = None;
    write_private(&place.path("passphrase"), b"open sesame\n").unwrap();
    place.keys.passphrase_file = Some(place.path("passphrase"));
    assert_eq!(signs(&place.open(&[]).unwrap()), "token");
}

#[test]
fn a_key_that_is_revoked_by_name_gives_way_at_once() {
    let place = Place::new();
    let keyring = place.open(&[]).unwrap();
    let signed = place.rotation(&keyring, "token-2", 86_400);
    keyring.adopt(keyring.prepare(signed.as_bytes()).unwrap());
    let list = Revocations::of_key("token");
    assert_eq!(keyring.token(&list).unwrap().name().as_str(), "token-2");
    let both = Revocations::of_key("token-2");
    assert_eq!(keyring.token(&both).unwrap().name().as_str(), "token");
}
