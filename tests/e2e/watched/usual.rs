//! What calls usually come to is read past whatever else stands in the log, and within a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use shortbread_broker::audit::begin;
use shortbread_broker::watch::Usual;
use shortbread_protocol::clock::{Clock, Timestamp};
use shortbread_protocol::event::EventType;
use shortbread_protocol::reason::Reason;
use shortbread_tests::World;

use super::{activate, call, one_repository, record, recorded, stays, taken_back, token};

/// More entries of other kinds than calls are counted.
const OTHERS: usize = 50_500;

/// A clock on which every look takes four seconds.
#[derive(Default)]
struct Slow(AtomicU64);

impl Clock for Slow {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(4, Ordering::Relaxed))
    }
}

#[tokio::test]
async fn other_entries_push_no_call_out_and_a_slow_store_is_not_waited_for() {
    let world = World::start().await;
    for _ in 0..OTHERS.div_ceil(500) {
        let others = (0..500).map(|_| {
            let decision = begin(&*world.clock, &*world.broker.random, None).unwrap();
            let data = json!({});
            world.broker.scribe.entry(EventType::PolicyAdded, &decision, "policy".to_owned(), data)
        });
        world.broker.store.record_calls(others.collect(), |_| true).await.unwrap();
    }
    let before = token(world.clock.now());
    recorded(&world, &vec![record(&before, "issues.write", None); 40]).await;
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(activate(&world, &one_repository(), json!({ "watch": 1800 })).await.status, 200);
    let open = world.broker.policy.on_trial().unwrap();
    let cut =
        async |clock: &dyn Clock| Usual::read(&world.broker.store, &open, clock).await.unwrap().is_cut();
    assert!(!cut(&*world.clock).await);
    assert!(cut(&Slow::default()).await);
    assert!(stays(&world, 2).await);
    let now = token(world.clock.now());
    call(&world, 200, &record(&now, "issues.write", Some(Reason::ArgumentRefused)));
    assert!(taken_back(&world, 1).await);
}
