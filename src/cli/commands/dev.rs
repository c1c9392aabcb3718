//! `shortbread dev`: a broker to play with, from nothing, on this machine alone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::json;
use shortbread_broker::activation::{ActivationError, Actor, Scope};
use shortbread_broker::broker::Broker;
use shortbread_broker::config::Config;
use shortbread_broker::setup::{self, DEV_POLICY};
use shortbread_broker::store::{Options, PolicyAction, Store, StoreError, StoreKind};

use crate::config::ClientConfig;
use crate::context::Context;
use crate::failure::Failure;
use crate::server::{assemble, run as run_broker, start_failure, surroundings};

/// How often the policy file is looked at.
const LOOK: Duration = Duration::from_millis(300);

/// Start a broker to play with: embedded store, example policy, fresh keys, a demo workflow and an operator.
///
/// The policy comes into force whenever you save it. Loopback only; `serve` refuses its store and its keys.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread dev
  shortbread dev --listen 127.0.0.1:9000 --data /tmp/try")]
pub(crate) struct DevArgs {
    /// Where to listen: a loopback address.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8700")]
    listen: SocketAddr,
    /// Where to keep keys, policy and store.
    #[arg(long, value_name = "DIR", default_value = ".shortbread")]
    data: PathBuf,
}

/// Sets up what is missing and serves until it is told to stop.
///
/// # Errors
/// When the address is not loopback or taken, or the folder belongs to another address.
pub(crate) async fn run(args: &DevArgs, context: &Context) -> Result<(), Failure> {
    if !args.listen.ip().is_loopback() {
        let fix =
            "Listen on 127.0.0.1; for other machines set a broker up with `shortbread init` and `serve`.";
        return Err(Failure::new(
            format!("dev serves this machine alone, and {} is not loopback", args.listen),
            fix,
        ));
    }
    let data = std::path::absolute(&args.data).map_err(|e| start_failure(&e))?;
    let mut config = prepare(&data, free_port(args.listen)?)?;
    config.keys.passphrase = context.passphrase();
    let store = open_store(&config).await?;
    let broker = assemble(config, store, true).await?;
    let client = write_client_config(&broker, &data, context)?;
    let watched = Arc::clone(&broker);
    let shown = data.clone();
    let ui = context.ui;
    tokio::spawn(async move { watch_policy(&watched, &ui).await });
    let told = Arc::clone(&broker);
    run_broker(broker, || tell(&told, &shown, &client, context)).await
}

// The address stands in every signature, so it must be known before there is a listener.
fn free_port(listen: SocketAddr) -> Result<SocketAddr, Failure> {
    if listen.port() != 0 {
        return Ok(listen);
    }
    let probe = std::net::TcpListener::bind(listen).map_err(|e| start_failure(&e))?;
    probe.local_addr().map_err(|e| start_failure(&e))
}

fn prepare(data: &Path, listen: SocketAddr) -> Result<Config, Failure> {
    let (clock, random) = surroundings();
    let issuer = format!("http://{listen}");
    let file = data.join("broker.toml");
    if !file.exists() {
        let text = format!(
            "# Made by `shortbread dev`.\nissuer = \"{issuer}\"\nlisten = \"{listen}\"\n\n[store]\nreserve = \"4MiB\"\n\n[network]\nmetrics = \"127.0.0.1:0\"\n"
        );
        setup::write_public(&file, text.as_bytes()).map_err(|e| start_failure(&e))?;
    }
    let config = Config::read(&file).map_err(|e| start_failure(&e))?;
    if config.issuer != issuer {
        let what = format!("{} belongs to the broker at {}", data.display(), config.issuer);
        return Err(Failure::new(what, "Use the same --listen as before, or another --data."));
    }
    if !config.policy.exists() {
        setup::write_public(&config.policy, DEV_POLICY.as_bytes()).map_err(|e| start_failure(&e))?;
    }
    setup::make_keys(&config.keys, &*random, true).map_err(|e| start_failure(&e))?;
    for name in ["demo", "operator"] {
        setup::make_key(&key(data, name), &*random, true).map_err(|e| start_failure(&e))?;
    }
    setup::make_document(&config.keys, &config.issuer, clock.now(), true).map_err(|e| start_failure(&e))?;
    Ok(config)
}

async fn open_store(config: &Config) -> Result<Store, Failure> {
    let reserve = Some(config.store.reserve.0);
    let options = Options { dev: true, migrate: true, reserve, ..Options::default() };
    match Store::open(&config.store.sqlite, &options) {
        Err(StoreError::Missing { .. }) => {
            let (clock, random) = surroundings();
            setup::init(config, &clock, &random, StoreKind::Dev).await.map_err(|e| start_failure(&e))
        }
        other => other.map_err(|e| start_failure(&e)),
    }
}

fn key(data: &Path, name: &str) -> PathBuf {
    data.join("keys").join(format!("{name}.pem"))
}

// Beside the keys always; as the user's own only where there is none yet.
fn write_client_config(broker: &Broker, data: &Path, context: &Context) -> Result<PathBuf, Failure> {
    let config = ClientConfig {
        broker: Some(broker.issuer.clone()),
        key: Some(key(data, "operator")),
        operator: "dev".parse().ok(),
        root: Some(broker.config.keys.root.clone()),
    };
    let beside = data.join("client.toml");
    config.write(&beside)?;
    match ClientConfig::path(&context.env) {
        Ok(path) if !path.exists() => {
            config.write(&path)?;
            Ok(path)
        }
        _ => Ok(beside),
    }
}

fn tell(broker: &Broker, data: &Path, client: &Path, context: &Context) {
    let (demo, operator) = (key(data, "demo"), key(data, "operator"));
    if context.ui.is_json() {
        return context.ui.json_line(&json!({
            "issuer": broker.issuer, "policy": broker.config.policy, "store": broker.config.store.sqlite,
            "workflow": "demo", "workflow_key": demo, "operator": "dev", "operator_key": operator,
            "root": broker.config.keys.root, "client_config": client,
        }));
    }
    let shown = |path: &Path| path.display().to_string();
    context
        .ui
        .heading(&format!("Shortbread listens on {} (for trying out, this machine alone)", broker.issuer));
    context.ui.pairs(&[
        ("policy", format!("{} (comes into force when you save it)", shown(&broker.config.policy))),
        ("store", shown(&broker.config.store.sqlite)),
        ("workflow demo", shown(&demo)),
        ("operator dev", shown(&operator)),
        ("root key", format!("{} (verifiers pin it)", shown(&broker.config.keys.root))),
        ("client config", shown(client)),
    ]);
    context.ui.line("");
    context.ui.line("In another terminal:");
    context.ui.line(&format!("  export SHORTBREAD_CONFIG={}", client.display()));
    context.ui.line(&format!(
        "  shortbread exchange --workflow demo --key {} --scope github:issues.read",
        demo.display()
    ));
    context.ui.line("  shortbread revoke --workflow demo --reason \"trying the switch\"");
    context.ui.line("  shortbread lift --workflow demo --reason \"tried it\"");
    context.ui.line("Stop it with Ctrl-C.");
}

/// Puts the policy in force whenever it was saved, and says what is wrong where it cannot be.
async fn watch_policy(broker: &Broker, ui: &crate::ui::Ui) {
    // Looked at once in any case: it may have been saved while nobody looked.
    let mut seen = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = saved(&broker.config.policy);
        if now == seen {
            continue;
        }
        seen = now;
        match put_in_force(broker).await {
            Ok(Some(version)) => ui.remark(&format!("policy version {version} is in force")),
            Ok(None) => {}
            Err(error) => {
                ui.complain("the saved policy is not in force; the one before stays:");
                ui.complain_lines(&error.to_string());
            }
        }
    }
}

async fn put_in_force(broker: &Broker) -> Result<Option<u64>, ActivationError> {
    let Ok(decision) = broker.decision(None) else {
        return Ok(None);
    };
    let version = broker.policy.take_in(&broker.config.policy, "dev", &decision).await?.n;
    if version == broker.policy.version() {
        return Ok(None);
    }
    let Ok(decision) = broker.decision(None) else {
        return Ok(None);
    };
    let actor = Actor::Host("dev");
    broker
        .policy
        .activate(Some(version), Scope::default(), &actor, &decision, broker.clock.monotonic())
        .await?;
    broker.policy_changed(&actor, PolicyAction::Activate, &decision);
    Ok(Some(version))
}

fn saved(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
