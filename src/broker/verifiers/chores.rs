//! What is done about instances every few seconds: they are written down, found silent, forgotten.

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::VerifierName;

use crate::broker::Broker;
use crate::instances::{Now, State};
use crate::store::{Lease, Progress, StoreError};
use crate::telemetry;

/// The most instances that one transaction writes, so that no exchange waits long behind it.
const ROWS: usize = 500;

/// Writes down how far instances are, tells of those that fell silent, and forgets those whose time is over.
///
/// # Errors
/// When the store fails; what was not written is tried again the next time.
pub async fn tend(broker: &Broker) -> Result<(), StoreError> {
    let now = Now::of(&*broker.clock);
    let policy = broker.policy.in_force();
    let due = broker.instances.due(policy.as_ref(), now);
    due.silent.iter().for_each(|lease| tell_silent(broker, lease, now));
    count(broker, now);
    for rows in due.progress.chunks(ROWS) {
        let rows: Vec<(String, Progress)> = rows.to_vec();
        broker.store.save_instances(rows.clone()).await?;
        broker.instances.written(&rows, now);
    }
    for forgotten in due.forgotten.chunks(ROWS) {
        broker.store.forget_instances(forgotten.to_vec(), None).await?;
    }
    Ok(())
}

fn count(broker: &Broker, now: Now) {
    let Some(policy) = broker.policy.in_force() else { return };
    let change = broker.store.mirror().changed_seq();
    let counts = broker.instances.look(&policy, |instances, _| {
        let mut counts =
            [State::Enforcing, State::Behind, State::Silent, State::Gone].map(|state| (state, 0));
        for (instance, _) in instances {
            let state = instance.state(change, now.monotonic);
            counts.iter_mut().filter(|(known, _)| *known == state).for_each(|(_, count)| *count += 1);
        }
        counts
    });
    counts.into_iter().for_each(|(state, count)| telemetry::verifiers(state.as_str(), count));
}

/// Operators are told once that an instance fell silent.
fn tell_silent(_broker: &Broker, lease: &Lease, now: Now) {
    tracing::warn!(
        verifier = lease.verifier.as_str(),
        instance = lease.instance,
        label = lease.label,
        at = %now.wall,
        "a verifier fell silent: whether it enforces the newest revocations is not known, the bound holds without it"
    );
}

/// And once that it is back.
pub(super) fn tell_back(_broker: &Broker, verifier: &VerifierName, instance: &str, since: Timestamp) {
    tracing::info!(verifier = verifier.as_str(), instance, silent_since = %since, "a silent verifier reports again");
}
