//! `shortbread keys rotate`: makes a new key and writes the next key document, which the root key is still to sign.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;
use shortbread_broker::config::{Config, Keys};
use shortbread_broker::keyring::{self, DEV_MARK, LEAST_OVERLAP, read_public};
use shortbread_broker::setup;
use shortbread_protocol::clock::{FOREVER, Timestamp};
use shortbread_protocol::key_document::{DocumentKey, KeyDocument, KeyPurpose, Rotation};
use shortbread_protocol::keys::{PrivateKey, PublicKey};
use shortbread_protocol::names::KeyName;

use super::{differences, say_differences};
use crate::client::Broker;
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::published;
use crate::text::parse_span;

/// Make a new key and write the next key document, for the root key to sign. Nothing is in force before `keys activate`.
///
/// It runs where the broker's keys lie. The new key is put beside the old one, where the broker finds it: broker.toml
/// stays as it is. The old key signs until verifiers know the document, and what it signed is good until the overlap is
/// over. A key that leaked is dropped with --drop: what it signed is refused as soon as verifiers know the document.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread keys rotate --purpose token
  shortbread keys rotate --purpose revocation --overlap 48h --config /etc/shortbread/broker.toml
  shortbread keys rotate --purpose token --drop token-2026-11 --encrypt
  shortbread keys rotate --break-glass-from 1795348800")]
pub(super) struct RotateArgs {
    /// What the new key signs.
    #[arg(long, value_enum)]
    purpose: Option<PurposeArg>,
    /// The broker's configuration.
    #[arg(long, value_name = "FILE", default_value = "broker.toml")]
    config: PathBuf,
    /// How long what older keys of this purpose signed stays good; at least 76m.
    #[arg(long, value_name = "TIME", value_parser = parse_span, default_value = "24h")]
    overlap: u64,
    /// Leave this key out at once: it leaked. Can be repeated.
    #[arg(long, value_name = "NAME", alias = "revoke")]
    drop: Vec<KeyName>,
    /// The lowest break-glass sequence that is still valid: older ones cannot be shown to a fresh verifier any more.
    #[arg(long, value_name = "SEQ")]
    break_glass_from: Option<u64>,
    /// Encrypt the new key, with the passphrase of [keys] passphrase_file or SHORTBREAD_KEY_PASSPHRASE.
    #[arg(long, requires = "purpose")]
    encrypt: bool,
    /// Where the unsigned document goes [default: key-document-VERSION.unsigned.txt beside the one of [keys]].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Take the document in force from the file of [keys] document, and do not ask the broker for a later one.
    #[arg(long)]
    offline: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PurposeArg {
    /// Signs tokens.
    Token,
    /// Signs the revocation list.
    Revocation,
    /// Signs checkpoints of the audit log.
    Audit,
}

impl From<PurposeArg> for KeyPurpose {
    fn from(purpose: PurposeArg) -> Self {
        match purpose {
            PurposeArg::Token => Self::Token,
            PurposeArg::Revocation => Self::Revocation,
            PurposeArg::Audit => Self::Audit,
        }
    }
}

/// A key that is about to be written.
struct Fresh {
    path: PathBuf,
    key: PrivateKey,
    dev: bool,
}

/// Writes key and document.
///
/// # Errors
/// When nothing is to change, the document in force is not to be had, the change breaks a rule, or a file is there.
pub(super) async fn run(args: &RotateArgs, context: &Context) -> Result<(), Failure> {
    if args.purpose.is_none() && args.drop.is_empty() && args.break_glass_from.is_none() {
        return Err(Failure::usage("say what to change: --purpose, --drop or --break-glass-from"));
    }
    if args.overlap < LEAST_OVERLAP {
        let least = "--overlap is at least 76m: the old key signs for up to a quarter of an hour more, and what it signs lives up to an hour";
        return Err(Failure::usage(least));
    }
    let mut config = Config::read(&args.config).map_err(|error| Failure::new(error.to_string(), ""))?;
    config.keys.passphrase = context.passphrase();
    let before = in_force(args, &config, context).await?;
    let now = context.now();
    let fresh =
        args.purpose.map(|purpose| fresh(purpose.into(), &config.keys, &before, context)).transpose()?;
    let add = fresh
        .as_ref()
        .zip(args.purpose)
        .map(|(fresh, purpose)| listed(fresh, purpose.into(), now))
        .transpose()?;
    let rotation = Rotation {
        add,
        retire: now.seconds() + args.overlap,
        drop: args.drop.clone(),
        break_glass: args.break_glass_from,
    };
    let next = before.next(&rotation, now.seconds()).map_err(|error| {
        Failure::new(format!("no document was written: {error}"), "Add --purpose to make a key in its place.")
    })?;
    let name = format!("key-document-{}.unsigned.txt", next.version);
    let out = args.out.clone().unwrap_or_else(|| config.keys.document.with_file_name(name));
    if out.exists() {
        let what = format!("{} is there already", out.display());
        return Err(Failure::new(
            what,
            "Sign and activate it, or remove it together with the key that it names.",
        ));
    }
    if let Some(fresh) = &fresh {
        write(fresh, args.encrypt, &config.keys, context)?;
    }
    files::create(&out, next.text().as_bytes(), false)?;
    say(args, context, &before, &next, fresh.as_ref(), &out);
    Ok(())
}

fn say(
    args: &RotateArgs,
    context: &Context,
    before: &KeyDocument,
    next: &KeyDocument,
    fresh: Option<&Fresh>,
    out: &Path,
) {
    if context.ui.is_json() {
        return context.ui.json(&json!({
            "version": next.version, "issuer": next.issuer, "document": out, "key": fresh.map(|fresh| &fresh.path),
            "changes": differences(next, before),
        }));
    }
    context
        .ui
        .heading(&format!("key document {} is written; the root key is still to sign it", next.version));
    say_differences(context, next, before);
    let mut pairs = Vec::new();
    if let Some(fresh) = fresh {
        let encrypted = if args.encrypt { ", encrypted" } else { "" };
        pairs.push(("new key", format!("{} (only you may read it{encrypted})", fresh.path.display())));
    }
    let signed = out.display().to_string().replace(".unsigned", "");
    pairs.push(("document", out.display().to_string()));
    pairs.push((
        "next",
        format!("where the root key is: shortbread keys sign {} --root root.pem", out.display()),
    ));
    pairs.push(("then", format!("shortbread keys activate {signed}")));
    for name in &args.drop {
        pairs.push((
            "at once",
            format!("shortbread revoke --key {name} --cause compromise --reason \"key leaked\""),
        ));
    }
    context.ui.pairs(&pairs);
}

/// The document in force: the file's, or a later one that the broker serves.
async fn in_force(args: &RotateArgs, config: &Config, context: &Context) -> Result<KeyDocument, Failure> {
    let root = read_public(&config.keys.root, true).map_err(|error| Failure::new(error.to_string(), ""))?;
    let file = of_file(config, &root);
    if args.offline {
        return file;
    }
    let served = async {
        let broker = Broker::new(&config.issuer)?;
        published::key_document(&broker, &root).await
    };
    match (file, context.ui.wait("asking the broker for its key document", served).await) {
        (Ok(file), Ok(served)) if served.version <= file.version => Ok(file),
        (_, Ok(served)) => Ok(served),
        (Ok(file), Err(failure)) => {
            let version = file.version;
            context.ui.remark(&format!("{failure}; going on from key document {version} of the file"));
            Ok(file)
        }
        (Err(file), Err(_)) => Err(file),
    }
}

fn of_file(config: &Config, root: &PublicKey) -> Result<KeyDocument, Failure> {
    let path = &config.keys.document;
    KeyDocument::open(&files::read(path)?, &config.issuer, root).map_err(|error| {
        let fix = "Correct `issuer`, [keys] root or [keys] document in the configuration.";
        Failure::new(format!("{}: {error}", path.display()), fix)
    })
}

// Named by purpose and day; a second one of a day gets a number.
fn fresh(
    purpose: KeyPurpose,
    keys: &Keys,
    before: &KeyDocument,
    context: &Context,
) -> Result<Fresh, Failure> {
    let configured = match purpose {
        KeyPurpose::Token => &keys.token,
        KeyPurpose::Revocation => &keys.revocation,
        KeyPurpose::Audit | KeyPurpose::Approver => &keys.audit,
    };
    let day: String = context.now().to_string().chars().take(10).collect();
    let base = format!("{}-{day}", purpose.as_str());
    let names = std::iter::once(base.clone()).chain((2..100).map(|number| format!("{base}-{number}")));
    let free = |name: &String| {
        !configured.with_file_name(format!("{name}.pem")).exists()
            && !before.keys.iter().any(|key| key.name.as_str() == name)
    };
    let name = names.into_iter().find(free).ok_or_else(|| {
        Failure::new(
            format!("there are a hundred keys named {base} already"),
            "Remove those that are not in use.",
        )
    })?;
    // What stands beside keys of `dev` is one of them.
    let dev = std::fs::read(configured).is_ok_and(|bytes| bytes.starts_with(DEV_MARK.as_bytes()));
    let path = configured.with_file_name(format!("{name}.pem"));
    Ok(Fresh { path, key: PrivateKey::generate(&*context.random)?, dev })
}

fn listed(fresh: &Fresh, purpose: KeyPurpose, now: Timestamp) -> Result<DocumentKey, Failure> {
    let name = fresh.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let name: KeyName = name.parse().map_err(|error| {
        Failure::new(format!("{} cannot be the file of a key: {error}", fresh.path.display()), "Report this.")
    })?;
    let (not_before, not_after) = (now.seconds(), FOREVER);
    Ok(DocumentKey { purpose, name, key: fresh.key.public(), not_before, not_after })
}

fn write(fresh: &Fresh, encrypt: bool, keys: &Keys, context: &Context) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::new(error.to_string(), "");
    let passphrase = match encrypt {
        true => {
            let passphrase = keyring::passphrase(keys).map_err(|error| failed(&error))?;
            Some(passphrase.ok_or_else(|| failed(&setup::SetupError::NoPassphrase))?)
        }
        false => None,
    };
    setup::write_key(&fresh.path, &fresh.key, &*context.random, fresh.dev, passphrase.as_ref())
        .map_err(|error| failed(&error))
}
