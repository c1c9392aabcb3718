//! Checkpoints of the audit log that were kept outside, and which of them a restore goes by.

use std::path::PathBuf;

use shortbread_broker::config::Config;
use shortbread_broker::proof::{Claim, Held, keys_of};
use shortbread_broker::store::{KnownLog, Store};
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::log::{is_origin_of, origin};

use crate::failure::Failure;
use crate::files;

/// Reads the files.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Held>, Failure> {
    files::checkpoints(paths).map_err(|failure| failure.also("Nothing was restored."))
}

/// What was kept outside.
pub(super) struct Seen {
    /// The newest of each origin.
    pub(super) logs: Vec<KnownLog>,
    /// Why there may be more.
    pub(super) doubt: Option<String>,
}

impl Seen {
    /// Whether nothing outside says how far the log was signed.
    pub(super) const fn is_nothing(&self) -> bool {
        self.logs.is_empty() && self.doubt.is_none()
    }
}

/// What was given, and what this host's own anchors say: of these, a fault is no reason to restore nothing.
///
/// # Errors
/// When something that was given cannot be believed.
pub(super) async fn all(held: &[Held], store: &Store, config: &Config) -> Result<Seen, Failure> {
    let given = believed(held, store, config).await;
    let logs = given.map_err(|failure| failure.also("Nothing was restored."))?;
    let mut seen = Seen { logs, doubt: None };
    let Some(file) = &config.log.anchor_file else { return Ok(seen) };
    let anchored = match file.try_exists() {
        // A broker that anchored nothing yet has none.
        Ok(false) if store.audit_size() == 0 => return Ok(seen),
        Ok(false) => Err(Failure::new("the file is not there", "")),
        Ok(true) => files::checkpoints(std::slice::from_ref(file)),
        Err(error) => Err(Failure::new(error.to_string(), "")),
    };
    let anchored = match anchored {
        Ok(held) => believed(&held, store, config).await,
        Err(failure) => Err(failure),
    };
    match anchored {
        Ok(logs) => seen.logs.extend(logs),
        Err(failure) => seen.doubt = Some(format!("of the anchors in {}: {failure}", file.display())),
    }
    Ok(seen)
}

/// The newest of each origin, once an audit key is found to have signed it that the root key vouches for.
///
/// # Errors
/// When one of them is of another log, or signed by nobody whose key is known.
async fn believed(held: &[Held], store: &Store, config: &Config) -> Result<Vec<KnownLog>, Failure> {
    let first = origin(&config.issuer);
    let mut newest: Vec<&Held> = Vec::new();
    for one in held {
        match newest.iter_mut().find(|known| known.claim.origin == one.claim.origin) {
            Some(known) if known.claim.size < one.claim.size => *known = one,
            Some(_) => {}
            None => newest.push(one),
        }
    }
    if newest.is_empty() {
        return Ok(Vec::new());
    }
    let keys = audit_keys(store, config).await?;
    newest.into_iter().map(|held| open(held, &first, &keys)).collect()
}

fn open(held: &Held, first: &str, keys: &[PublicKey]) -> Result<KnownLog, Failure> {
    let claim = &held.claim;
    let fix = "Give checkpoints of this broker's log; one by a key of which neither the backup nor [keys] document knows cannot be believed.";
    if !is_origin_of(&claim.origin, first) {
        let what = format!("a checkpoint is of {}, not of {first}", claim.origin);
        return Err(Failure::new(what, fix));
    }
    let Claim { origin, size, root } = Claim::open(&held.note, &claim.origin, keys).map_err(|error| {
        let what = format!("the checkpoint over {} entries is not believed: {error}", claim.size);
        Failure::new(what, fix)
    })?;
    Ok(KnownLog { origin, size, root })
}

// Of all key documents that are at hand: the backup's, and the one that lies there. One by another root key has none.
async fn audit_keys(store: &Store, config: &Config) -> Result<Vec<PublicKey>, Failure> {
    let root = files::public_key(&config.keys.root)?;
    let records = store.key_documents().await;
    let records = records.map_err(|error| Failure::new(error.to_string(), ""))?;
    let mut signed: Vec<Vec<u8>> = records.into_iter().map(|record| record.signed).collect();
    signed.extend(files::read(&config.keys.document).ok());
    let first = origin(&config.issuer);
    let keys = signed
        .into_iter()
        .filter_map(|signed| keys_of(&[String::from_utf8(signed).ok()?], &root, &first).ok());
    Ok(keys.flat_map(|(_, keys)| keys).collect())
}
