//! First steps: keys, the first key document, a store with a policy in force. For `init`, `dev` and tests.

mod files;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use shortbread_protocol::clock::{Clock, FOREVER, Timestamp};
use shortbread_protocol::key_document::{DocumentKey, KeyDocument, KeyPurpose};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::names::{KeyName, NameError};
use shortbread_protocol::random::{Random, RandomError};
use thiserror::Error;
use zeroize::Zeroizing;

pub use files::{write_private, write_public};

use crate::activation::{ActivationError, Actor, PolicyHolder, Scope, read_policy};
use crate::audit::Scribe;
use crate::broker::begin;
use crate::config::{Config, Keys, Passphrase, StorePlace};
use crate::keyring::{DEV_MARK, KeyringError, passphrase, public_half, read_encrypted, read_public};
use crate::policy;
use crate::store::{Meta, Options, Store, StoreError, StoreKind};

/// The policy that `dev` starts with.
pub const DEV_POLICY: &str = include_str!("dev-policy.toml");

/// Why a first step failed.
#[derive(Debug, Error)]
pub enum SetupError {
    /// A file or folder.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// A key file's name is no key name.
    #[error("the key file's name becomes the key's name: {0}")]
    Name(#[from] NameError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyringError),
    /// No passphrase to encrypt with.
    #[error(
        "there is no passphrase to encrypt the keys with; name a file that holds it in broker.toml ([keys] passphrase_file), or set SHORTBREAD_KEY_PASSPHRASE"
    )]
    NoPassphrase,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The policy.
    #[error(transparent)]
    Policy(#[from] ActivationError),
    /// The private root key is not beside its public half, so no key document can be signed here.
    #[error(
        "there is no key document {document} and no private root key {root} to sign one; \
             make it with `shortbread keys generate --purpose root --out {root}`, and take it offline when init is done"
    )]
    NoRoot {
        /// Where the document should be.
        document: PathBuf,
        /// Where the private root key was looked for.
        root: PathBuf,
    },
}

/// Makes the keys that are missing, one a purpose, and marks them when they are for `dev`.
///
/// # Errors
/// When a file cannot be written.
pub fn make_keys(keys: &Keys, random: &dyn Random, dev: bool) -> Result<(), SetupError> {
    let root = private_half(&keys.root);
    for path in [&keys.token, &keys.revocation, &keys.audit, &root] {
        make_key(path, random, dev)?;
    }
    Ok(())
}

/// The same under the passphrase that the configuration or the environment says.
///
/// # Errors
/// When there is none, or a file cannot be written.
pub fn make_encrypted_keys(keys: &Keys, random: &dyn Random) -> Result<(), SetupError> {
    let passphrase = passphrase(keys)?.ok_or(SetupError::NoPassphrase)?;
    for path in [&keys.token, &keys.revocation, &keys.audit, &private_half(&keys.root)] {
        if !path.exists() {
            write_key(path, &PrivateKey::generate(random)?, random, false, Some(&passphrase))?;
        }
    }
    Ok(())
}

/// Makes one key pair, `NAME.pem` and `NAME.pub.pem`, unless it is there.
///
/// # Errors
/// When a file cannot be written.
pub fn make_key(path: &Path, random: &dyn Random, dev: bool) -> Result<(), SetupError> {
    if path.exists() {
        return Ok(());
    }
    write_key(path, &PrivateKey::generate(random)?, random, dev, None)
}

/// Writes a key pair, `NAME.pem` (for its owner alone, under the passphrase if there is one) and `NAME.pub.pem`.
///
/// # Errors
/// When the private file is there already, or one cannot be written.
pub fn write_key(
    path: &Path,
    key: &PrivateKey,
    random: &dyn Random,
    dev: bool,
    passphrase: Option<&Passphrase>,
) -> Result<(), SetupError> {
    let mark = if dev { format!("{DEV_MARK}\n") } else { String::new() };
    let pem = match passphrase {
        Some(passphrase) => key.to_encrypted_pem(passphrase.as_bytes(), random)?,
        None => key.to_pem(),
    };
    let private = Zeroizing::new(format!("{mark}{}", *pem));
    write_private(path, private.as_bytes())?;
    write_public(&public_half(path), format!("{mark}{}", key.public().to_pem()).as_bytes())
}

/// Signs version 1 of the key document over the keys in their files, unless there is a document.
///
/// # Errors
/// When a key is missing or the private root key is not at hand.
pub fn make_document(keys: &Keys, issuer: &str, now: Timestamp, dev: bool) -> Result<(), SetupError> {
    if keys.document.exists() {
        return Ok(());
    }
    let root_path = private_half(&keys.root);
    if !root_path.exists() {
        return Err(SetupError::NoRoot { document: keys.document.clone(), root: root_path });
    }
    let passphrase = passphrase(keys)?;
    let root = read_encrypted(&root_path, dev, passphrase.as_ref())?;
    read_public(&keys.root, dev)?;
    let listed = |path: &Path, purpose| {
        let key = read_encrypted(path, dev, passphrase.as_ref())?.public();
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let name: KeyName = name.parse()?;
        Ok::<_, SetupError>(DocumentKey {
            purpose,
            name,
            key,
            not_before: now.seconds() - 60,
            not_after: FOREVER,
        })
    };
    let document = KeyDocument {
        version: 1,
        issuer: issuer.to_owned(),
        break_glass: 0,
        keys: vec![
            listed(&keys.token, KeyPurpose::Token)?,
            listed(&keys.revocation, KeyPurpose::Revocation)?,
            listed(&keys.audit, KeyPurpose::Audit)?,
        ],
    };
    write_public(&keys.document, document.sign(&root).as_bytes())
}

/// Creates the store and puts the policy file in force; recorded as its first entries. Nothing is created for a policy
/// that does not pass its checks, and an earlier attempt that broke off is finished.
///
/// # Errors
/// When there is a store already, or the policy does not pass its checks.
pub async fn init(
    config: &Config,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
    kind: StoreKind,
) -> Result<Store, SetupError> {
    let mut secret = Zeroizing::new([0; 32]);
    random.fill(&mut *secret)?;
    let meta = Meta { kind, issuer: config.issuer.clone(), created: clock.now(), hmac_secret: secret };
    // Before there is a store: whoever corrects the policy can run this again.
    read_policy(&config.policy, kind, &policy::Options { issuer: config.issuer.clone() })?;
    let store = create(&config.store, &meta).await?;
    let holder = PolicyHolder::load(store.clone(), &config.issuer, Scribe::new(&config.issuer)).await?;
    let decision = begin(&**clock, &**random, None)?;
    let actor = Actor::Host(if kind == StoreKind::Dev { "dev" } else { "init" });
    let version = holder.take_in(&config.policy, actor.name(), &decision).await?.n;
    let decision = begin(&**clock, &**random, None)?;
    holder.activate(Some(version), Scope::default(), &actor, &decision, clock.monotonic()).await?;
    Ok(store)
}

async fn create(place: &StorePlace, meta: &Meta) -> Result<Store, StoreError> {
    let (path, reserve) = (&place.sqlite, Some(place.reserve.0));
    let options = Options { dev: meta.kind == StoreKind::Dev, reserve, ..Options::default() };
    let taken = match Store::create(path, meta, &options) {
        Err(error @ StoreError::AlreadyInitialised { .. }) => error,
        other => return other,
    };
    let store = Store::open(path, &options)?;
    let begun = store.meta().kind == meta.kind && store.meta().issuer == meta.issuer;
    if begun && store.policy_history().await?.is_empty() { Ok(store) } else { Err(taken) }
}

/// Where the private half of `NAME.pub.pem` is kept: `NAME.pem`.
#[must_use]
pub fn private_half(public: &Path) -> PathBuf {
    let name = public.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    public.with_file_name(format!("{}.pem", name.trim_end_matches(".pub.pem").trim_end_matches(".pem")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shortbread_protocol::clock::SystemClock;
    use shortbread_protocol::event::EventType;
    use shortbread_protocol::random::SystemRandom;

    use crate::store::{Activate, NewPolicy, PolicyAction};

    const ISSUER: &str = "http://127.0.0.1:8700";

    fn surroundings() -> (Arc<dyn Clock>, Arc<dyn Random>) {
        (Arc::new(SystemClock::start()), Arc::new(SystemRandom))
    }

    fn prepared(folder: &Path) -> Config {
        std::fs::write(folder.join("broker.toml"), format!("issuer = \"{ISSUER}\"")).unwrap();
        std::fs::write(folder.join("policy.toml"), DEV_POLICY).unwrap();
        for name in ["demo", "operator"] {
            make_key(&folder.join("keys").join(format!("{name}.pem")), &SystemRandom, false).unwrap();
        }
        Config::read(&folder.join("broker.toml")).unwrap()
    }

    #[tokio::test]
    async fn an_init_that_broke_off_is_finished_and_a_finished_one_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let config = prepared(folder.path());
        let (clock, random) = surroundings();
        std::fs::write(&config.policy, "[tools]\nx = 1\n").unwrap();
        assert!(init(&config, &clock, &random, StoreKind::Broker).await.is_err());
        assert!(!config.store.sqlite.exists(), "nothing is created for a broken policy");
        std::fs::write(&config.policy, DEV_POLICY).unwrap();
        let meta = |kind| Meta {
            kind,
            issuer: ISSUER.to_owned(),
            created: clock.now(),
            hmac_secret: Zeroizing::new([7; 32]),
        };
        let begun =
            Store::create(&config.store.sqlite, &meta(StoreKind::Broker), &Options::default()).unwrap();
        drop(begun);
        let store = init(&config, &clock, &random, StoreKind::Broker).await.unwrap();
        assert_eq!(store.policy_history().await.unwrap().len(), 1);
        drop(store);
        let again = init(&config, &clock, &random, StoreKind::Broker).await;
        assert!(matches!(again, Err(SetupError::Store(StoreError::AlreadyInitialised { .. }))), "{again:?}");
    }

    #[test]
    fn keys_are_made_under_a_passphrase_and_a_document_over_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut keys = prepared(folder.path()).keys;
        assert!(matches!(make_encrypted_keys(&keys, &SystemRandom), Err(SetupError::NoPassphrase)));
        keys.passphrase = Some(Passphrase::new("correct horse".to_owned()));
        make_encrypted_keys(&keys, &SystemRandom).unwrap();
        for path in [&keys.token, &keys.revocation, &keys.audit, &private_half(&keys.root)] {
            let pem = std::fs::read_to_string(path).unwrap();
            assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{}", path.display());
        }
        let now = SystemClock::start().now();
        let unopened = Keys { passphrase: None, ..keys.clone() };
        assert!(matches!(make_document(&unopened, ISSUER, now, false), Err(SetupError::Key(_))));
        make_document(&keys, ISSUER, now, false).unwrap();
        assert!(keys.document.exists());
    }

    #[tokio::test]
    async fn the_host_rolls_back_from_a_version_that_can_no_longer_be_used() {
        let folder = tempfile::tempdir().unwrap();
        let config = prepared(folder.path());
        let (clock, random) = surroundings();
        let store = init(&config, &clock, &random, StoreKind::Broker).await.unwrap();
        let scribe = Scribe::new(ISSUER);
        let entry = || {
            let decision = begin(&*clock, &*random, None).unwrap();
            scribe.entry(EventType::PolicyAdded, &decision, "policy".to_owned(), serde_json::json!({}))
        };
        let at = clock.now();
        let damaged = NewPolicy { bundle: b"{".to_vec(), digest: [1; 32], author: "file".to_owned(), at };
        let version = store.add_policy(damaged, entry()).await.unwrap().n;
        let activate = Activate {
            version,
            workflows: None,
            until: None,
            back_to: None,
            operator: "alice".to_owned(),
            action: PolicyAction::Activate,
            at,
            ended: None,
        };
        store.activate_policy(activate, entry()).await.unwrap();
        let holder = PolicyHolder::load(store, ISSUER, scribe.clone()).await.unwrap();
        assert!(holder.in_force().is_none(), "what cannot be read grants nothing");
        let decision = begin(&*clock, &*random, None).unwrap();
        let back = holder.roll_back(None, &Actor::Host("offline"), &decision, clock.monotonic()).await;
        assert_eq!(back.unwrap(), 1);
        assert!(holder.in_force().is_some());
    }
}
