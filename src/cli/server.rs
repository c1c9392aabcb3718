//! Runs a broker: what `serve` and `dev` share.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shortbread_broker::activation::ActivationError;
use shortbread_broker::broker::{Broker, Parts};
use shortbread_broker::config::Config;
use shortbread_broker::http::{Server, router};
use shortbread_broker::identity::HttpFetch;
use shortbread_broker::keyring::Keyring;
use shortbread_broker::store::Store;
use shortbread_broker::telemetry;
use shortbread_broker::verifiers;
use shortbread_broker::{approvals, rollout};
use shortbread_protocol::clock::{Clock, SystemClock};
use shortbread_protocol::random::{Random, SystemRandom};

use crate::failure::Failure;

/// How long open requests may take once the broker is told to stop.
const DEADLINE: Duration = Duration::from_secs(10);

/// The machine's own clock and randomness, shared by all parts of a broker.
pub(crate) fn surroundings() -> (Arc<dyn Clock>, Arc<dyn Random>) {
    (Arc::new(SystemClock::start()), Arc::new(SystemRandom))
}

/// Puts a broker together from its configuration and store.
///
/// # Errors
/// When its keys, its store or its first head are not as they must be.
pub(crate) async fn assemble(config: Config, store: Store, dev: bool) -> Result<Arc<Broker>, Failure> {
    let (clock, random) = surroundings();
    let published = store.key_documents().await.map_err(|e| start_failure(&e))?;
    let keyring = Keyring::open(&config.keys, &config.issuer, dev, Arc::clone(&clock), &published)
        .map_err(|e| start_failure(&e))?;
    let fetch = HttpFetch::new().map_err(|e| start_failure(&e))?;
    let parts = Parts { config, keyring, store, clock, random, fetch: Arc::new(fetch) };
    Broker::start(parts).await.map_err(|e| start_failure(&e))
}

/// An error that keeps a broker from starting; it says itself what to do.
pub(crate) fn start_failure(error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("the broker does not start: {error}"), String::new())
}

/// Listens, then serves until SIGINT or SIGTERM. `ready` is called once it listens; SIGHUP takes the policy file in.
///
/// # Errors
/// When an address cannot be listened on.
pub(crate) async fn run(broker: Arc<Broker>, ready: impl FnOnce()) -> Result<(), Failure> {
    let server = Server::bind(broker.config.listen, router(Arc::clone(&broker)))
        .await
        .map_err(|e| start_failure(&e))?
        .from_one(broker.config.limits.connections);
    if let Some(address) = broker.config.network.metrics {
        let handle = telemetry::collect().map_err(|e| start_failure(&e))?;
        let metrics = telemetry::bind_metrics(address, handle).await.map_err(|e| start_failure(&e))?;
        tokio::spawn(metrics);
    }
    log_panics();
    tokio::spawn(Arc::clone(&broker).chores());
    tokio::spawn(verifiers::chores(Arc::clone(&broker)));
    tokio::spawn(rollout::chores(Arc::clone(&broker)));
    tokio::spawn(approvals::chores(Arc::clone(&broker)));
    tokio::spawn(reload_on_hangup(Arc::clone(&broker)));
    tracing::info!(listen = %server.address(), issuer = broker.issuer, "the broker listens");
    ready();
    server.run(stop_signal(), DEADLINE).await;
    broker.otel.finish().await;
    tracing::info!("the broker stopped");
    Ok(())
}

// Where, never what: the message of a panic may hold anything.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a part of the program panicked; its request failed, the broker goes on");
    }));
}

/// Takes the policy file in as a new version where it changed. The policy in force stays what it is.
///
/// # Errors
/// When the file cannot be read or does not pass its checks.
pub(crate) async fn take_policy_in(broker: &Broker) -> Result<u64, ActivationError> {
    let Ok(decision) = broker.decision(None) else {
        return Ok(broker.policy.version());
    };
    let path: &Path = &broker.config.policy;
    let version = broker.policy.take_in(path, "file", &decision).await?.n;
    if version != broker.policy.version() {
        tracing::info!(
            policy.version = version,
            "a new policy version waits for `shortbread policy activate`"
        );
    }
    Ok(version)
}

#[cfg(unix)]
async fn reload_on_hangup(broker: Arc<Broker>) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        return;
    };
    while hangup.recv().await.is_some() {
        broker.look_at_break_glass().await;
        if let Err(error) = take_policy_in(&broker).await {
            tracing::error!(error = %error, "the policy file was not taken in; the policy in force stays");
        }
    }
}

#[cfg(not(unix))]
async fn reload_on_hangup(_: Arc<Broker>) {}

#[cfg(unix)]
pub(crate) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return wait_for_interrupt().await;
    };
    tokio::select! {
        () = wait_for_interrupt() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
pub(crate) async fn stop_signal() {
    wait_for_interrupt().await;
}

async fn wait_for_interrupt() {
    // Without a handler there is nothing to wait for but the other signal.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
