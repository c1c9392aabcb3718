//! `shortbread keys generate`: makes a key pair.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;
use shortbread_broker::config::{Keys, Passphrase};
use shortbread_broker::keyring;
use shortbread_protocol::keys::PrivateKey;

use crate::context::Context;
use crate::failure::Failure;
use crate::files;

/// Make an Ed25519 key: FILE.pem is private, FILE.pub.pem is public.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread keys generate --purpose operator --out keys/alice.pem
  shortbread keys generate --purpose root --out root.pem --encrypt --passphrase-file passphrase")]
pub(super) struct GenerateArgs {
    /// What it is for. One key has one purpose.
    #[arg(long, value_enum)]
    purpose: Purpose,
    /// Where the private key goes; nothing is overwritten.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Encrypt the private key; the passphrase is that of --passphrase-file or SHORTBREAD_KEY_PASSPHRASE.
    #[arg(long)]
    encrypt: bool,
    /// A file that holds the passphrase and that only you may read.
    #[arg(long, value_name = "FILE", requires = "encrypt")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Purpose {
    /// Signs tokens.
    Token,
    /// Signs the revocation list.
    Revocation,
    /// Signs checkpoints of the audit log.
    Audit,
    /// Signs the key document; kept offline.
    Root,
    /// Proves who a workflow is.
    Workflow,
    /// Proves who an operator is.
    Operator,
    /// Proves who a tool service is.
    Verifier,
    /// Is what tokens are bound to; an agent's own.
    Holder,
}

impl Purpose {
    const fn next_step(self) -> &'static str {
        match self {
            Self::Token => "name it in broker.toml: [keys] token",
            Self::Revocation => "name it in broker.toml: [keys] revocation",
            Self::Audit => "name it in broker.toml: [keys] audit",
            Self::Root => {
                "keep it offline; name the public key in broker.toml: [keys] root, and pin it in verifiers"
            }
            Self::Workflow | Self::Operator | Self::Verifier => {
                "name the public key in policy.toml: [[identities]] key"
            }
            Self::Holder => "bind a token to it: shortbread exchange --dpop-key FILE",
        }
    }
}

/// Makes a key pair.
///
/// # Errors
/// When a file is there already or cannot be written, or there is no passphrase to encrypt with.
pub(super) fn run(args: &GenerateArgs, context: &Context) -> Result<(), Failure> {
    let GenerateArgs { purpose, out, encrypt, passphrase_file } = args;
    let public = public_path(out);
    if public.try_exists().unwrap_or(true) {
        return Err(Failure::new(
            format!("{} is there already", public.display()),
            "Choose another name, or move it away first.",
        ));
    }
    let key = PrivateKey::generate(&*context.random)?;
    let pem = match encrypt {
        true => {
            let passphrase = needed(context, passphrase_file.as_deref())?;
            key.to_encrypted_pem(passphrase.as_bytes(), &*context.random)?
        }
        false => key.to_pem(),
    };
    files::create(out, pem.as_bytes(), true)?;
    files::create(&public, key.public().to_pem().as_bytes(), false)?;
    let thumbprint = key.public().thumbprint();
    if context.ui.is_json() {
        context
            .ui
            .json(&json!({"private": out, "public": public, "thumbprint": thumbprint, "encrypted": encrypt}));
        return Ok(());
    }
    context.ui.pairs(&[
        (
            "private key",
            format!("{} (only you may read it{})", out.display(), if *encrypt { ", encrypted" } else { "" }),
        ),
        ("public key", public.display().to_string()),
        ("thumbprint", thumbprint),
        ("next", purpose.next_step().to_owned()),
    ]);
    Ok(())
}

/// The passphrase that a flag's file or the environment says.
///
/// # Errors
/// When both say one, or the file cannot be used.
pub(super) fn passphrase(context: &Context, file: Option<&Path>) -> Result<Option<Passphrase>, Failure> {
    let keys = Keys {
        passphrase_file: file.map(Path::to_owned),
        passphrase: context.passphrase(),
        ..Keys::default()
    };
    keyring::passphrase(&keys).map_err(|error| Failure::new(error.to_string(), ""))
}

/// The same, where there must be one.
///
/// # Errors
/// When none is said.
pub(super) fn needed(context: &Context, file: Option<&Path>) -> Result<Passphrase, Failure> {
    passphrase(context, file)?.ok_or_else(|| {
        let fix = "Write it into a file that only you may read and name that with --passphrase-file, or set SHORTBREAD_KEY_PASSPHRASE.";
        Failure::new("there is no passphrase to encrypt the key with", fix)
    })
}

/// `keys/alice.pem` -> `keys/alice.pub.pem`.
fn public_path(private: &Path) -> PathBuf {
    let bare = if private.extension().is_some_and(|extension| extension == "pem") {
        private.with_extension("")
    } else {
        private.to_owned()
    };
    let mut name = bare.into_os_string();
    name.push(".pub.pem");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_key_stands_beside_the_private_one() {
        for (private, public) in [
            ("keys/alice.pem", "keys/alice.pub.pem"),
            ("keys/token-2026-11.pem", "keys/token-2026-11.pub.pem"),
            ("alice", "alice.pub.pem"),
            ("a.b", "a.b.pub.pem"),
        ] {
            assert_eq!(public_path(Path::new(private)), Path::new(public));
        }
    }
}
