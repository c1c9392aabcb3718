//! A policy and all it refers to: read from files, kept in the store, compiled again.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::keys::PublicKey;

use super::error::ActivationError;
use crate::keyring::{DEV_MARK, is_example};
use crate::policy::{Options, Policy, operators_alone};
use crate::store::StoreKind;

/// A version as it was taken in: all that is needed to compile it again.
#[derive(Clone, Debug)]
pub struct Written {
    /// The file that it was read from.
    pub file: String,
    /// Its text.
    pub source: String,
    /// The files that it refers to, by their paths as written.
    pub files: BTreeMap<String, String>,
}

/// A policy and all it refers to, as it is stored.
#[derive(Serialize, Deserialize)]
pub(super) struct Bundle {
    v: u32,
    file: String,
    source: String,
    files: BTreeMap<String, String>,
}

impl Bundle {
    /// Of a policy that was read from this file.
    pub(super) fn of(policy: &Policy, file: String) -> Self {
        Self { v: 1, file, source: policy.source().to_owned(), files: policy.files().clone() }
    }

    /// The bytes that are stored.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Texts under text keys always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn read(version: u64, bytes: &[u8]) -> Result<Self, ActivationError> {
        serde_json::from_slice(bytes).map_err(|_| ActivationError::Damaged(version))
    }

    pub(super) fn compile(&self, options: &Options) -> Result<Policy, ActivationError> {
        let files = |name: &str| self.file(name);
        Policy::compile(&self.source, &self.file, &files, options).map_err(ActivationError::Problems)
    }

    /// Whether what the policy says of times fits this moment.
    pub(super) fn timely(&self, policy: &Policy, at: Timestamp) -> Result<(), ActivationError> {
        let untimely = policy.untimely(&self.file, at);
        if untimely.is_empty() { Ok(()) } else { Err(ActivationError::Problems(untimely)) }
    }

    /// What is left of a policy that can no longer be used: its operators.
    pub(super) fn operators(&self, options: &Options) -> Option<Policy> {
        operators_alone(&self.source, &self.file, &|name| self.file(name), options)
    }

    /// What it holds.
    pub(super) fn into_written(self) -> Written {
        Written { file: self.file, source: self.source, files: self.files }
    }

    fn file(&self, name: &str) -> Result<String, String> {
        self.files.get(name).cloned().ok_or_else(|| "it is not in the bundle".to_owned())
    }
}

/// Reads and checks a policy file for a store of this kind; key files stand relative to it.
///
/// # Errors
/// When it cannot be read or does not pass its checks.
pub fn read_policy(path: &Path, kind: StoreKind, options: &Options) -> Result<Policy, ActivationError> {
    let shown = path.display().to_string();
    let source = std::fs::read_to_string(path)
        .map_err(|cause| ActivationError::Unreadable { path: shown.clone(), cause })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let files = |name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).map_err(|error| error.to_string())?;
        known_key(&text, kind).map_or(Ok(text), Err)
    };
    Policy::compile(&source, &shown, &files, options).map_err(ActivationError::Problems)
}

// Keys that `dev` made, and the sample keys, are no keys for a broker that matters.
fn known_key(text: &str, kind: StoreKind) -> Option<String> {
    if kind == StoreKind::Dev {
        return None;
    }
    if text.starts_with(DEV_MARK) {
        return Some("it was made by `shortbread dev`".to_owned());
    }
    let sample = PublicKey::from_pem(text).is_ok_and(|key| is_example(&key));
    sample.then(|| "it is a sample key that everyone knows".to_owned())
}
