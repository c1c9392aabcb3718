//! `shortbread serve`: the broker.

use std::path::PathBuf;

use clap::Args;
use shortbread_broker::config::Config;
use shortbread_broker::store::{Options, Store};
use shortbread_broker::telemetry;

use crate::context::Context;
use crate::failure::Failure;
use crate::server::{assemble, run as run_broker, start_failure, take_policy_in};

/// Run the broker.
///
/// It wants a store that `shortbread init` made. Logs are JSON lines on standard output (SHORTBREAD_LOG sets the level).
/// SIGHUP takes the policy file in as a new version and looks for a break-glass file; SIGTERM stops it in order.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread serve --config /etc/shortbread/broker.toml
  shortbread serve --config broker.toml --migrate")]
pub(crate) struct ServeArgs {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "broker.toml")]
    config: PathBuf,
    /// Bring an older store up to date first; make a backup before.
    #[arg(long)]
    migrate: bool,
}

/// Serves until it is told to stop.
///
/// # Errors
/// When the configuration, a key, the store or an address is not as it must be.
pub(crate) async fn run(args: &ServeArgs, context: &Context) -> Result<(), Failure> {
    let mut config = Config::read(&args.config).map_err(|e| start_failure(&e))?;
    config.keys.passphrase = context.passphrase();
    telemetry::log_json().map_err(|e| start_failure(&e))?;
    let reserve = Some(config.store.reserve.0);
    let options = Options { migrate: args.migrate, reserve, ..Options::default() };
    let store = Store::open(&config.store.sqlite, &options).map_err(|e| start_failure(&e))?;
    let broker = assemble(config, store, false).await?;
    if let Err(error) = take_policy_in(&broker).await {
        tracing::error!(error = %error, "the policy file was not taken in; the policy in force stays");
    }
    run_broker(broker, || {}).await
}
