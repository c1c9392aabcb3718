//! `shortbread keys`: makes keys, and shows those that a broker signs with.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use shortbread_protocol::clock::{FOREVER, Timestamp};
use shortbread_protocol::key_document::{DocumentKey, KeyDocument};
use shortbread_protocol::keys::PrivateKey;

use crate::cli::Connection;
use crate::config::Settings;
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::published;
use crate::ui::{Piece, Style};

/// Make keys, and show those that a broker signs with.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread keys generate --purpose operator --out keys/alice.pem
  shortbread keys list --root keys/root.pub.pem")]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make an Ed25519 key: FILE.pem is private, FILE.pub.pem is public.
    #[command(after_help = "\
Examples:
  shortbread keys generate --purpose operator --out keys/alice.pem
  shortbread keys generate --purpose token --out keys/token-2026-11.pem")]
    Generate {
        /// What it is for. One key has one purpose.
        #[arg(long, value_enum)]
        purpose: Purpose,
        /// Where the private key goes; nothing is overwritten.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// The keys of the broker's key document, as its root key signed it.
    #[command(
        after_help = "Examples:\n  shortbread keys list --root keys/root.pub.pem\n  shortbread keys list --json"
    )]
    List {
        /// The broker's public root key [default: SHORTBREAD_ROOT, then the client config].
        #[arg(long, value_name = "FILE")]
        root: Option<PathBuf>,
        #[command(flatten)]
        connection: Connection,
    },
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

/// Makes or lists keys.
///
/// # Errors
/// When a file is there already or cannot be written; when the key document cannot be had or believed.
pub(crate) async fn run(args: &KeysArgs, context: &Context) -> Result<(), Failure> {
    match &args.command {
        KeysCommand::Generate { purpose, out } => generate(context, *purpose, out),
        KeysCommand::List { root, connection } => {
            let settings = Settings::of(context, connection)?;
            let broker = settings.broker()?;
            let root = settings.root(root.as_deref())?.ok_or_else(|| {
                Failure::usage(
                    "the key document is believed only with the root key: name it with --root FILE",
                )
            })?;
            let work = published::key_document(&broker, &root);
            list(context, &context.ui.wait("fetching the key document", work).await?);
            Ok(())
        }
    }
}

fn generate(context: &Context, purpose: Purpose, out: &Path) -> Result<(), Failure> {
    let public = public_path(out);
    if public.try_exists().unwrap_or(true) {
        return Err(Failure::new(
            format!("{} is there already", public.display()),
            "Choose another name, or move it away first.",
        ));
    }
    let key = PrivateKey::generate(&*context.random)?;
    files::create(out, key.to_pem().as_bytes(), true)?;
    files::create(&public, key.public().to_pem().as_bytes(), false)?;
    let thumbprint = key.public().thumbprint();
    if context.ui.is_json() {
        context.ui.json(&json!({"private": out, "public": public, "thumbprint": thumbprint}));
        return Ok(());
    }
    context.ui.pairs(&[
        ("private key", format!("{} (only you may read it)", out.display())),
        ("public key", public.display().to_string()),
        ("thumbprint", thumbprint),
        ("next", purpose.next_step().to_owned()),
    ]);
    Ok(())
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

fn list(context: &Context, document: &KeyDocument) {
    let now = context.now().seconds();
    if context.ui.is_json() {
        let keys: Vec<_> = document.keys.iter().map(|key| body(key, now)).collect();
        return context.ui.json(&json!({
            "version": document.version, "issuer": document.issuer, "break_glass": document.break_glass, "keys": keys,
        }));
    }
    context
        .ui
        .line(&format!("key document {} of {}, signed by the root key", document.version, document.issuer));
    let rows = document.keys.iter().map(|key| row(key, now)).collect();
    context.ui.table(&["purpose", "name", "state", "from", "until", "thumbprint"], rows);
}

fn state(key: &DocumentKey, now: u64) -> &'static str {
    match () {
        () if now < key.not_before => "not yet",
        () if now >= key.not_after => "over",
        () => "good",
    }
}

fn body(key: &DocumentKey, now: u64) -> serde_json::Value {
    json!({
        "purpose": key.purpose.as_str(), "name": key.name, "state": state(key, now), "not_before": key.not_before,
        "not_after": key.not_after, "thumbprint": key.key.thumbprint(),
    })
}

fn row(key: &DocumentKey, now: u64) -> Vec<Piece> {
    let state = state(key, now);
    let style = if state == "good" { Style::Good } else { Style::Dim };
    let until = match key.not_after {
        FOREVER.. => "for good".to_owned(),
        seconds => Timestamp::from_seconds(seconds).to_string(),
    };
    vec![
        (Style::Plain, key.purpose.as_str().to_owned()),
        (Style::Bold, key.name.to_string()),
        (style, state.to_owned()),
        (Style::Plain, Timestamp::from_seconds(key.not_before).to_string()),
        (Style::Plain, until),
        (Style::Plain, key.key.thumbprint()),
    ]
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
