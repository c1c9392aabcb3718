//! Logs and metrics: JSON lines with the fields that tie them to the audit log.

use std::net::SocketAddr;
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use shortbread_protocol::admin::StateCounts;
use shortbread_protocol::oauth::TokenAnswer;
use shortbread_protocol::verifiers::{BatchAnswer, CallRecord};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::util::TryInitError;

use crate::broker::Broker;
use crate::exchange::{Context, Refusal};
use crate::http::{ServeError, Server};

/// Seconds: from a cached answer on a fast machine to the request timeout.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0];

/// Seconds: from a decision made at once to one at the end of an hour.
const DECIDED: [f64; 9] = [5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0];

/// How often histograms are drained.
const UPKEEP: Duration = Duration::from_secs(5);

/// Writes JSON lines to standard output at the level that `SHORTBREAD_LOG` names (`info` unless told).
///
/// # Errors
/// When logging was set up before.
pub fn log_json() -> Result<(), TryInitError> {
    let filter = EnvFilter::try_from_env("SHORTBREAD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let lines =
        tracing_subscriber::fmt().json().flatten_event(true).with_current_span(false).with_span_list(false);
    lines.with_env_filter(filter).with_target(false).finish().try_init()
}

/// Collects metrics for this process.
///
/// # Errors
/// When another collector was set up before.
pub fn collect() -> Result<PrometheusHandle, BuildError> {
    let decided = Matcher::Full("shortbread_approval_seconds".to_owned());
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS)?;
    let handle = builder.set_buckets_for_metric(decided, &DECIDED)?.install_recorder()?;
    describe_counter!(
        "shortbread_exchanges_total",
        "Exchanges by outcome: granted, or the reason code of the refusal."
    );
    describe_counter!(
        "shortbread_proofs_total",
        "DPoP proofs whose signature holds, by use and outcome: good, or the reason code of the refusal."
    );
    describe_histogram!("shortbread_exchange_seconds", Unit::Seconds, "Time from the request to its answer.");
    describe_gauge!("shortbread_revocation_head_seq", "The sequence of the newest signed head.");
    describe_gauge!(
        "shortbread_store_reserve",
        Unit::Bytes,
        "How much of the space that is kept for the switch is left."
    );
    describe_gauge!(
        "shortbread_store_at_reserve",
        "1 while the store is full but for its reserve, and exchanges are refused."
    );
    describe_gauge!("shortbread_revocation_snapshot_bytes", Unit::Bytes, "The size of the newest snapshot.");
    describe_gauge!(
        "shortbread_revocation_head_age_seconds",
        Unit::Seconds,
        "How long ago the served head was signed; a new one is due every five seconds."
    );
    describe_gauge!("shortbread_streams", "Readers that follow the revocation list on an open stream.");
    describe_counter!(
        "shortbread_call_decisions_total",
        "Call decisions that verifiers uploaded, by verifier and outcome: recorded, known, or what is wrong with them; result for what became of an earlier call."
    );
    describe_counter!(
        "shortbread_calls_observed_total",
        "Calls that verifiers let pass in observe mode, by verifier and the reason for which they would be denied."
    );
    describe_gauge!("shortbread_tools_observed", "Tools that the policy in force does not enforce now.");
    describe();
    describe_approvals();
    Ok(handle)
}

// What waits for a person.
fn describe_approvals() {
    describe_gauge!("shortbread_approvals_open", "Requests that wait for a person, or to be fetched.");
    describe_counter!(
        "shortbread_approvals_total",
        "Requests that waited for a person, by outcome: approved, denied or expired."
    );
    describe_histogram!(
        "shortbread_approval_seconds",
        Unit::Seconds,
        "Time from a request to the decision about it."
    );
    describe_counter!(
        "shortbread_approval_sla_breaches_total",
        "Times that a group of approvers did not decide in time, by approvers."
    );
}

// What stands before other services, what operators were told, and what verifiers report.
fn describe() {
    describe_gauge!(
        "shortbread_breaker_state",
        "A breaker's state by kind (issuer, webhook) and source: 0 closed, 1 half-open, 2 open."
    );
    describe_counter!(
        "shortbread_breaker_transitions_total",
        "Changes of a breaker's state by kind, source and new state."
    );
    describe_counter!("shortbread_notices_total", "What operators were told, by type.");
    describe_gauge!(
        "shortbread_verifiers",
        "Running instances of verifiers by state: enforcing, behind, silent or gone."
    );
    describe_histogram!(
        "shortbread_propagation_seconds",
        Unit::Seconds,
        "Time from a change of the revocation list to a verifier that applied it, as it reports."
    );
    describe_counter!(
        "shortbread_webhook_deliveries_total",
        "Notices for the webhook by outcome: delivered, failed (and sent again), dropped."
    );
    describe_gauge!("shortbread_webhook_waiting", "Notices that wait for the webhook.");
    describe_gauge!(
        "shortbread_webhook_oldest_seconds",
        Unit::Seconds,
        "How long the oldest of them has waited."
    );
    describe_gauge!(
        "shortbread_webhook_disabled",
        "1 when the receiver answered 410 Gone: nothing is sent until the broker is started again."
    );
    describe_gauge!("shortbread_store_failing", "1 while the store takes no records.");
    describe_gauge!("shortbread_log_failing", "1 while no checkpoint of the audit log can be signed.");
    describe_gauge!("shortbread_log_anchor_failing", "1 while checkpoints cannot be written to their file.");
    describe_gauge!(
        "shortbread_key_end_seconds",
        Unit::Seconds,
        "When a key of the key document ends (seconds since the epoch), by purpose and name."
    );
    describe_counter!(
        "shortbread_connections_refused_total",
        "Connections that were closed unheard because there were too many."
    );
    describe_counter!("shortbread_otel_exported_total", "Spans that the collector took.");
    describe_counter!(
        "shortbread_otel_dropped_total",
        "Spans that were not exported: there was no room, or the collector refused them; the audit log has them."
    );
    describe_counter!(
        "shortbread_policy_taken_back_total",
        "Watched policy versions that passed a limit of [rollback] and were taken back, by limit."
    );
    describe_counter!(
        "shortbread_policy_breached_total",
        "Watched policy versions that passed a limit of [rollback] and are not taken back by themselves, by limit."
    );
    describe_counter!("shortbread_tripwire_trips_total", "Tasks that a tripwire revoked, by tripwire.");
    describe_counter!(
        "shortbread_tripwire_held_total",
        "Tasks that a tripwire would have revoked but for its cap or a full queue, by tripwire."
    );
}

/// Listens for those who collect metrics: Prometheus' text form at `/metrics`. The future serves until it is dropped.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn bind_metrics(
    address: SocketAddr,
    handle: PrometheusHandle,
) -> Result<impl Future<Output = ()> + Send, ServeError> {
    let upkeep = handle.clone();
    let render = move || std::future::ready(handle.render());
    let router = axum::Router::new().route("/metrics", axum::routing::get(render));
    let server = Server::bind(address, router).await?;
    let chores = async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    };
    Ok(async move {
        tokio::join!(chores, server.run(std::future::pending(), Duration::ZERO));
    })
}

/// Counts an exchange and writes its line: refusals at `info`, grants at `debug`, for the audit log has them all.
/// Refusals of strangers that the audit log merely counts have no line of their own.
pub(crate) fn exchanged(broker: &Broker, context: &Context, outcome: &Result<TokenAnswer, Refusal>) {
    let spent = broker.clock.monotonic().saturating_sub(context.begun);
    let reason = outcome.as_ref().map_or_else(|refusal| refusal.reason.code(), |_| "granted");
    counter!("shortbread_exchanges_total", "reason" => reason).increment(1);
    histogram!("shortbread_exchange_seconds").record(spent.as_secs_f64());
    let decision = &context.decision;
    let (trace_id, span_id) = (hex::encode(decision.trace), hex::encode(decision.span));
    match outcome {
        Ok(answer) => tracing::debug!(
            trace_id,
            span_id,
            decision_id = decision.id,
            token = answer.shortbread.token_id,
            scope = answer.scope,
            "a token was issued"
        ),
        Err(refusal) if refusal.trail.as_ref().is_some_and(|trail| trail.quiet) => {}
        Err(refusal) => {
            let trail = refusal.trail.as_deref();
            let segment = trail.map(|trail| &trail.segment);
            tracing::info!(
                trace_id,
                span_id,
                decision_id = decision.id,
                reason,
                workflow = segment.and_then(|segment| segment.workflow.as_deref()),
                intent = segment.and_then(|segment| segment.intent.as_ref()).map(tracing::field::display),
                task = segment.and_then(|segment| segment.task.as_ref()).map(tracing::field::display),
                stage = trail.map(|trail| trail.stage),
                error_class = refusal.error_class(),
                cause = refusal.cause,
                "a token was refused"
            );
        }
    }
}

/// Counts a proof whose signature holds.
pub(crate) fn proof_used(by: &'static str, outcome: &'static str) {
    counter!("shortbread_proofs_total", "use" => by, "outcome" => outcome).increment(1);
}

/// Notes how many instances of verifiers are in each state.
pub(crate) fn verifiers(counts: &StateCounts) {
    let StateCounts { enforcing, behind, silent, gone } = *counts;
    for (state, count) in [("enforcing", enforcing), ("behind", behind), ("silent", silent), ("gone", gone)] {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        gauge!("shortbread_verifiers", "state" => state).set(count as f64);
    }
}

/// Notes how long a change took to one verifier.
pub(crate) fn propagated(spent: Duration) {
    histogram!("shortbread_propagation_seconds").record(spent.as_secs_f64());
}

/// Counts what a verifier uploaded.
pub(crate) fn uploaded(verifier: &str, answer: &BatchAnswer, new: &[&CallRecord]) {
    let count = |outcome: &str, by| {
        let labels = [("verifier", verifier.to_owned()), ("outcome", outcome.to_owned())];
        counter!("shortbread_call_decisions_total", &labels).increment(by);
    };
    // What became of a call is one more record, and not one more call.
    let results = new.iter().filter(|record| record.is_result()).count() as u64;
    count("recorded", answer.recorded.saturating_sub(results));
    count("result", results);
    for code in new.iter().filter_map(|record| record.observed.as_deref()) {
        let labels = [("verifier", verifier.to_owned()), ("reason", code.to_owned())];
        counter!("shortbread_calls_observed_total", &labels).increment(1);
    }
    count("known", answer.known);
    answer.refused.iter().for_each(|refused| count(&refused.wrong, 1));
}

/// Notes what was published.
pub(crate) fn published(seq: u64, bytes: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    {
        gauge!("shortbread_revocation_head_seq").set(seq as f64);
        gauge!("shortbread_revocation_snapshot_bytes").set(bytes as f64);
    }
}

/// Notes how old the head is that is served.
pub(crate) fn head_age(age: Duration) {
    gauge!("shortbread_revocation_head_age_seconds").set(age.as_secs_f64());
}

/// Notes that a stream began or ended.
pub(crate) fn stream(begun: bool) {
    let streams = gauge!("shortbread_streams");
    if begun { streams.increment(1.0) } else { streams.decrement(1.0) }
}
