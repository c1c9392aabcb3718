//! `shortbread login`: from here on, commands know the broker and the key.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use shortbread_protocol::names::OperatorName;

use crate::cli::Connection;
use crate::client::{Broker, Signer, sign_in};
use crate::config::{ClientConfig, Settings, name_of};
use crate::context::Context;
use crate::failure::Failure;
use crate::files;

/// Where a broker listens if nothing else is said.
const DEFAULT_BROKER: &str = "http://127.0.0.1:8700";

/// Check a broker and an operator's key, and remember them for later commands.
///
/// No secret is stored: the client config names the key by its path.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread login --broker https://broker.acme.example --key keys/alice.pem
  shortbread login --key /secure/key.pem --operator alice --root keys/root.pub.pem")]
pub(crate) struct LoginArgs {
    #[command(flatten)]
    connection: Connection,
    /// The operator's private key [default: SHORTBREAD_KEY, then the client config].
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The operator [default: SHORTBREAD_OPERATOR, then the client config, then the name of the key file].
    #[arg(long, value_name = "NAME")]
    operator: Option<OperatorName>,
    /// The broker's public root key, with which its key document is checked.
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
}

/// Checks, then writes the client config.
///
/// # Errors
/// When the broker or the key is not as it must be; nothing is written then.
pub(crate) async fn run(args: &LoginArgs, context: &Context) -> Result<(), Failure> {
    let (path, old) = current(args, context)?;
    let broker = Broker::new(old.broker.as_deref().unwrap_or(DEFAULT_BROKER))?;
    let key = args.key.clone().or(old.key).ok_or_else(|| {
        Failure::usage("no key is known: name the operator's private key with --key FILE or SHORTBREAD_KEY")
    })?;
    let key = absolute(&key)?;
    // A name that was remembered belongs to the key that was remembered.
    let remembered = if args.key.is_some() {
        (context.env)("SHORTBREAD_OPERATOR").and(old.operator)
    } else {
        old.operator
    };
    let operator = args.operator.clone().or(remembered).or_else(|| name_of(&key)).ok_or_else(|| {
        Failure::usage("the key file is not named after an operator: say who signs in with --operator NAME")
    })?;
    let root = args.root.clone().or(old.root).map(|root| absolute(&root)).transpose()?;
    if let Some(root) = &root {
        files::public_key(root)?;
    }
    let signer = Signer::operator(&operator, files::private_key(&key, context.passphrase().as_ref())?);
    let work = async {
        broker.metadata().await?;
        sign_in(context, &broker, &signer).await
    };
    let verb = context.ui.wait("signing in", work).await?;
    let config = ClientConfig {
        broker: Some(broker.url().to_owned()),
        key: Some(key),
        operator: Some(operator),
        root,
    };
    config.write(&path)?;
    report(context, &config, &path, verb);
    Ok(())
}

// Unlike other commands, login may name a config that is not there yet.
fn current(args: &LoginArgs, context: &Context) -> Result<(PathBuf, ClientConfig), Failure> {
    let path = args.connection.config.clone().map_or_else(|| ClientConfig::path(&context.env), Ok)?;
    let settings = Settings::at(path, args.connection.broker.as_deref(), &context.env)?;
    Ok((settings.path, settings.values))
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| {
        Failure::new(
            format!("{} has no absolute path: {error}", path.display()),
            "Name the file by its full path.",
        )
    })
}

fn report(context: &Context, config: &ClientConfig, path: &Path, verb: &str) {
    let ui = context.ui;
    if ui.is_json() {
        return ui.json(&json!({"config": path, "settings": config, "signed_in_for": verb}));
    }
    let mut pairs = vec![("config", path.display().to_string())];
    pairs.extend(config.broker.clone().map(|broker| ("broker", broker)));
    pairs.extend(config.key.as_ref().map(|key| ("key", key.display().to_string())));
    pairs.extend(config.root.as_ref().map(|root| ("root key", root.display().to_string())));
    let name = config.operator.as_ref().map(ToString::to_string).unwrap_or_default();
    ui.line(&format!("signed in as operator {name}"));
    ui.pairs(&pairs);
    if config.key.as_deref().is_some_and(files::is_open_to_others) {
        ui.remark("warning: others on this machine may read the key file; `chmod 600` it");
    }
}
