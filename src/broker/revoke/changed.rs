//! A change by its number, as the list still has it.

use shortbread_protocol::admin::Bounds;
use shortbread_protocol::clock::{FOREVER, Timestamp};
use shortbread_protocol::revocations::Selector;

use super::bounds;
use crate::broker::Broker;
use crate::store::Target;

/// What a change revoked and is not lifted or changed since.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// What, in words such as `workflow release-notes`, and whether only what it was issued before is meant, as after a lift
    /// that leaves old tokens dead.
    pub what: Vec<String>,
    /// Until when a verifier that hears nothing may still allow such calls; nothing for a lift.
    pub bounds: Bounds,
}

/// The change of this number.
pub async fn changed(broker: &Broker, seq: u64) -> Change {
    let list = broker.store.mirror();
    let mut targets: Vec<(Target, Timestamp, u64)> = Vec::new();
    for (kind, value, entry) in list.entries().filter(|(_, _, entry)| entry.seq == seq && entry.listed) {
        targets.extend(
            Selector::new(kind, value)
                .map(|selector| (Target::Selector(selector), entry.set_at, entry.before)),
        );
    }
    let global = list.global_entry().filter(|entry| entry.seq == seq && entry.before > 0);
    targets.extend(global.map(|entry| (Target::All, entry.set_at, entry.before)));
    let stored = targets.iter().map(|(_, at, _)| *at).max();
    let words = |(target, _, before): &(Target, Timestamp, u64)| match *before {
        FOREVER => target.to_string(),
        _ => format!("{target}, what was issued before"),
    };
    let what = targets.iter().map(words).collect();
    let targets: Vec<Target> = targets.into_iter().map(|(target, ..)| target).collect();
    let bounds = match stored {
        Some(stored) => bounds::of(broker, &targets, stored).await,
        None => Bounds::default(),
    };
    Change { what, bounds }
}
