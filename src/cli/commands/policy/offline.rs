//! `shortbread policy rollback --offline`: the way out when nobody can sign in, on the broker's own machine.

use std::path::Path;

use serde_json::json;
use shortbread_broker::activation::{ActivationError, Actor, PolicyHolder};
use shortbread_broker::audit::Scribe;
use shortbread_broker::broker::begin;
use shortbread_broker::config::Config;
use shortbread_broker::store::{Options, Store, StoreError};

use crate::context::Context;
use crate::failure::Failure;
use crate::server::surroundings;

/// Goes back to a version that was once in force, in the store itself; recorded as the host's doing.
///
/// # Errors
/// When a broker holds the store, it is not the configuration's, or there is nothing to go back to.
pub(super) async fn roll_back(version: Option<u64>, file: &Path, context: &Context) -> Result<(), Failure> {
    let config =
        Config::read(file).map_err(|error| failed(&error, "Correct the file, or name another one."))?;
    let store = open(&config)?;
    let (clock, random) = surroundings();
    let holder = PolicyHolder::load(store, &config.issuer, Scribe::new(&config.issuer))
        .await
        .map_err(|error| failed(&error, "Look at the store's disk."))?;
    let decision = begin(&*clock, &*random, None)?;
    let version = holder
        .roll_back(version, &Actor::Host("offline"), &decision, clock.monotonic())
        .await
        .map_err(|error| refused(&error))?;
    if context.ui.is_json() {
        context.ui.json(&json!({"version": version, "decision_id": decision.id}));
    } else {
        context.ui.line(&format!("version {version} is in force from the broker's next start on"));
        context.ui.pairs(&[("decision", decision.id)]);
    }
    Ok(())
}

fn open(config: &Config) -> Result<Store, Failure> {
    let path = &config.store.sqlite;
    let store = Store::open(path, &Options { dev: true, ..Options::default() });
    let store = store.map_err(|error| match error {
        StoreError::InUse { .. } => {
            let fix = "Stop the broker, or leave --offline out and roll back through it.";
            Failure::new(format!("another process holds the store {}", path.display()), fix)
        }
        other => failed(&other, "Name the configuration of the broker with --config."),
    })?;
    if store.meta().issuer == config.issuer {
        return Ok(store);
    }
    let what = format!(
        "the store {} belongs to {}, the configuration says {}",
        path.display(),
        store.meta().issuer,
        config.issuer
    );
    Err(Failure::new(what, "Correct `issuer`, or name another store."))
}

fn refused(error: &ActivationError) -> Failure {
    let fix = match error {
        ActivationError::Problems(_) => {
            "Name a version that this program still accepts, such as an older one."
        }
        ActivationError::Store(_) => "Look at the store's disk.",
        _ => "Name a version that was once in force.",
    };
    failed(error, fix)
}

fn failed(error: &dyn std::error::Error, fix: &str) -> Failure {
    Failure::new(format!("not rolled back: {error}"), fix)
}
