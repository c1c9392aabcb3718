//! The rules by which a list is believed, one test each.

mod age;
mod break_glass;
mod deltas;
mod heads;
mod keys;
mod random;
mod restart;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shortbread_protocol::clock::{Clock as _, FOREVER, ManualClock, Timestamp};
use shortbread_protocol::revocations::{
    BreakGlass, Delta, DeltaRef, FileRef, Head, RevokedId, SelectorKind, Snapshot, origin,
};

use super::testing::*;
use super::*;

/// Longer than any disk takes.
const LONG: Duration = Duration::from_secs(60);

/// A trust that follows the broker at sequence 10.
fn following(broker: &Broker, clock: &Arc<ManualClock>, dir: Option<&Path>) -> Trust {
    let trust = open(clock, dir).unwrap();
    let head = broker.signed(10, NOW);
    assert!(matches!(trust.offer_head(&head), Ok(Next::Keys { version: 1, .. })));
    trust.offer_keys(&broker.keys()).unwrap();
    assert!(matches!(trust.offer_head(&head), Ok(Next::Snapshot(_))));
    assert_eq!(trust.age(), Age::None);
    trust.offer_snapshot(&broker.snapshot()).unwrap();
    assert_eq!((trust.age(), trust.state().seq()), (Age::Seconds(0), 10));
    trust
}

fn code(result: Result<Next, Refused>) -> &'static str {
    result.map_or_else(|refused| refused.code(), |_| "taken")
}
