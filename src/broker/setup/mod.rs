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

use crate::activation::{ActivationError, Actor, PolicyHolder, compile_file};
use crate::audit::Scribe;
use crate::broker::begin;
use crate::config::{Config, Keys};
use crate::keyring::{DEV_MARK, KeyringError, read_private, read_public};
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

/// Makes one key pair, `NAME.pem` and `NAME.pub.pem`, unless it is there.
///
/// # Errors
/// When a file cannot be written.
pub fn make_key(path: &Path, random: &dyn Random, dev: bool) -> Result<(), SetupError> {
    if path.exists() {
        return Ok(());
    }
    let key = PrivateKey::generate(random)?;
    let mark = if dev { format!("{DEV_MARK}\n") } else { String::new() };
    let private = Zeroizing::new(format!("{mark}{}", *key.to_pem()));
    write_private(path, private.as_bytes())?;
    write_public(&path.with_extension("pub.pem"), format!("{mark}{}", key.public().to_pem()).as_bytes())
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
    let root = read_private(&root_path, dev)?;
    read_public(&keys.root, dev)?;
    let listed = |path: &Path, purpose| {
        let key = read_private(path, dev)?.public();
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

/// Creates the store and puts the policy file in force; recorded as its first entries.
///
/// # Errors
/// When there is a store already, or the policy does not pass its checks.
pub async fn init(
    config: &Config,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
    kind: StoreKind,
) -> Result<Store, SetupError> {
    // Before there is a store: one without a policy could neither be initialised again nor be used.
    compile_file(&config.policy, &config.issuer, kind)?;
    let mut secret = Zeroizing::new([0; 32]);
    random.fill(&mut *secret)?;
    let meta = Meta { kind, issuer: config.issuer.clone(), created: clock.now(), hmac_secret: secret };
    let options = Options { dev: kind == StoreKind::Dev, ..Options::default() };
    let store = Store::create(&config.store.sqlite, &meta, &options)?;
    let holder = PolicyHolder::load(store.clone(), &config.issuer, Scribe::new(&config.issuer)).await?;
    let decision = begin(&**clock, &**random, None)?;
    let actor = Actor::Host(if kind == StoreKind::Dev { "dev" } else { "init" });
    let version = holder.take_in(&config.policy, actor.name(), &decision).await?.n;
    let decision = begin(&**clock, &**random, None)?;
    holder.activate(Some(version), &actor, &decision, clock.monotonic()).await?;
    Ok(store)
}

/// Where the private half of `NAME.pub.pem` is kept: `NAME.pem`.
#[must_use]
pub fn private_half(public: &Path) -> PathBuf {
    let name = public.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    public.with_file_name(format!("{}.pem", name.trim_end_matches(".pub.pem").trim_end_matches(".pem")))
}
