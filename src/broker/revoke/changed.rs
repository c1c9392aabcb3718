//! A change by its number, as the list still has it.

use shortbread_protocol::admin::Bounds;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::revocations::Selector;

use super::bounds;
use crate::broker::Broker;
use crate::store::Target;

/// What a change revoked and is not lifted or changed since.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// What, in words such as `workflow release-notes`.
    pub what: Vec<String>,
    /// Until when a verifier that hears nothing may still allow such calls; nothing for a lift.
    pub bounds: Bounds,
}

/// The change of this number.
pub async fn changed(broker: &Broker, seq: u64) -> Change {
    let list = broker.store.mirror();
    let mut targets: Vec<(Target, Timestamp)> = Vec::new();
    for (kind, value, entry) in list.entries().filter(|(_, _, entry)| entry.seq == seq && entry.listed) {
        targets.extend(Selector::new(kind, value).map(|selector| (Target::Selector(selector), entry.set_at)));
    }
    let global = list.global_entry().filter(|entry| entry.seq == seq && entry.before > 0);
    targets.extend(global.map(|entry| (Target::All, entry.set_at)));
    let stored = targets.iter().map(|(_, at)| *at).max();
    let targets: Vec<Target> = targets.into_iter().map(|(target, _)| target).collect();
    let bounds = match stored {
        Some(stored) => bounds::of(broker, &targets, stored).await,
        None => Bounds::default(),
    };
    Change { what: targets.iter().map(ToString::to_string).collect(), bounds }
}
