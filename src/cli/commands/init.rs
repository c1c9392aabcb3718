//! `shortbread init`: the store, the first key document, the first policy.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use shortbread_broker::activation::ActivationError;
use shortbread_broker::config::Config;
use shortbread_broker::policy::Problem;
use shortbread_broker::setup::{self, SetupError};
use shortbread_broker::store::StoreKind;

use crate::context::Context;
use crate::failure::Failure;
use crate::server::{start_failure, surroundings};
use crate::text::count;

/// Create the store, sign the first key document and put the first policy in force.
///
/// Keys that are missing are made with --make-keys. When it is done, take the private root key off this machine:
/// it is needed again only to sign the next key document.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread init --config broker.toml --make-keys
  shortbread init --config /etc/shortbread/broker.toml")]
pub(crate) struct InitArgs {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "broker.toml")]
    config: PathBuf,
    /// Make the keys that are missing, the root key included.
    #[arg(long)]
    make_keys: bool,
    /// Encrypt the keys that are made, with the passphrase of [keys] passphrase_file or SHORTBREAD_KEY_PASSPHRASE.
    #[arg(long, requires = "make_keys")]
    encrypt: bool,
}

/// Does the first steps, each once.
///
/// # Errors
/// When there is a store already, a key is missing, or the policy does not pass its checks.
pub(crate) async fn run(args: &InitArgs, context: &Context) -> Result<(), Failure> {
    let mut config = Config::read(&args.config).map_err(|e| failed(&e))?;
    config.keys.passphrase = context.passphrase();
    let (clock, random) = surroundings();
    if args.make_keys {
        let made = match args.encrypt {
            true => setup::make_encrypted_keys(&config.keys, &*random),
            false => setup::make_keys(&config.keys, &*random, false),
        };
        made.map_err(|e| failed(&e))?;
    }
    setup::make_document(&config.keys, &config.issuer, clock.now(), false).map_err(|e| failed(&e))?;
    let store = setup::init(&config, &clock, &random, StoreKind::Broker).await;
    let store = store.map_err(|error| match error {
        SetupError::Policy(ActivationError::Problems(problems)) => broken(&config, &problems, context),
        other => failed(&other),
    })?;
    drop(store);
    let root = setup::private_half(&config.keys.root);
    if context.ui.is_json() {
        context.ui.json(&json!({
            "issuer": config.issuer, "store": config.store.sqlite, "policy": config.policy,
            "key_document": config.keys.document, "root_public": config.keys.root, "root_private": root,
        }));
        return Ok(());
    }
    context.ui.heading("The broker is initialised.");
    context.ui.pairs(&[
        ("issuer", config.issuer.clone()),
        ("store", config.store.sqlite.display().to_string()),
        ("policy", format!("{} (in force)", config.policy.display())),
        ("key document", config.keys.document.display().to_string()),
        ("verifiers pin", config.keys.root.display().to_string()),
    ]);
    if root.exists() {
        context.ui.line(&format!(
            "Now move {} to a safe place off this machine; the broker does not need it.",
            root.display()
        ));
    }
    context.ui.line(&format!("Start it with: shortbread serve --config {}", args.config.display()));
    Ok(())
}

fn broken(config: &Config, problems: &[Problem], context: &Context) -> Failure {
    let policy = config.policy.display();
    for problem in problems.iter().filter(|_| !context.ui.is_json()) {
        context.ui.complain_lines(&problem.to_string());
    }
    let found = count(problems.len() as u64, "problem");
    let fix =
        format!("Correct it until `shortbread policy check {policy}` finds it sound, then run init again.");
    Failure::new(format!("not initialised: the policy {policy} has {found}"), fix)
}

fn failed(error: &dyn std::error::Error) -> Failure {
    match start_failure(error) {
        Failure::Failed { .. } => Failure::new(format!("not initialised: {error}"), String::new()),
        other => other,
    }
}
