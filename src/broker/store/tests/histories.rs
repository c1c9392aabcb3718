use std::collections::HashMap;

use proptest::prelude::*;
use shortbread_protocol::clock::FOREVER;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Revoke { who: Option<u8>, forever: bool },
    Lift { who: Option<u8>, revive: bool },
    Record { who: u8, ahead: u64, shown: Option<(u8, Option<u8>)> },
    Prune,
    Head,
    Reopen,
}

/// Beyond all that these histories reach.
const LAST: u64 = NOW.seconds() + 1_000_000;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// An assertion that may come again, and the key that shows it, if any does.
fn shown() -> impl Strategy<Value = Option<(u8, Option<u8>)>> {
    proptest::option::of((0..3_u8, proptest::option::weighted(0.7, 0..3_u8)))
}

fn steps() -> impl Strategy<Value = Vec<(Step, u64)>> {
    let who = || proptest::option::weighted(0.8, 0..3_u8);
    let step = prop_oneof![
        4 => (who(), any::<bool>()).prop_map(|(who, forever)| Step::Revoke { who, forever }),
        3 => (who(), any::<bool>()).prop_map(|(who, revive)| Step::Lift { who, revive }),
        6 => (0..3_u8, 0..3_u64, shown()).prop_map(|(who, ahead, shown)| Step::Record { who, ahead, shown }),
        1 => Just(Step::Prune),
        1 => Just(Step::Head),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec((step, 0..3_u64), 1..40)
}

fn aim(who: Option<u8>) -> Target {
    who.map_or(Target::All, |who| workflow(NAMES[usize::from(who)]))
}

/// The rules once more, as plainly as can be.
#[derive(Default)]
struct Model {
    before: HashMap<Option<u8>, u64>,
    latest: u64,
    /// Who showed which assertion first.
    used: HashMap<u8, Option<u8>>,
}

impl Model {
    /// An assertion is good once, or for the key that showed it first.
    fn takes(&self, (which, holder): (u8, Option<u8>)) -> bool {
        self.used.get(&which).is_none_or(|first| first.is_some() && *first == holder)
    }

    fn allows(&self, who: u8, issued: u64) -> bool {
        [None, Some(who)].iter().all(|key| issued >= self.before.get(key).copied().unwrap_or(0))
    }
}

async fn run(place: &Place, steps: Vec<(Step, u64)>) {
    let mut store = place.create();
    let mut model = Model::default();
    let (mut now, mut recorded, mut seq) = (NOW.seconds(), 0, 0);
    for (n, (step, wait)) in steps.into_iter().enumerate() {
        now += wait;
        let at = Timestamp::from_seconds(now);
        let dead = now.max(model.latest) + 1;
        match step {
            Step::Revoke { who, forever } => {
                let mode = if forever { RevokeMode::Forever } else { RevokeMode::IssuedSoFar };
                let revoke = Revoke { until: Some(now + 2), ..revocation(aim(who), mode) };
                let changed = store.revoke(vec![revoke], "alice".into(), at, |_| audit("r")).await.unwrap();
                assert!(changed.seq > seq);
                seq = changed.seq;
                let before = model.before.entry(who).or_default();
                *before = (*before).max(if forever { FOREVER } else { dead });
            }
            Step::Lift { who, revive } => {
                let mode = if revive { LiftMode::Revive } else { LiftMode::KeepOldDead };
                let lift = Lift { target: aim(who), mode, until: Some(now + 2) };
                let lifted = store.lift(vec![lift], at, |_| audit("l")).await;
                assert_eq!(lifted.is_ok(), model.before.contains_key(&who));
                match model.before.get_mut(&who) {
                    Some(_) if revive => drop(model.before.remove(&who)),
                    Some(before) => *before = (*before).min(dead),
                    None => {}
                }
            }
            Step::Record { who, ahead, shown } => {
                let issued = now + ahead;
                let mut exchange = exchange(n as u64, NAMES[usize::from(who)], issued);
                if let Some((which, holder)) = shown {
                    let holder = holder.map(|holder| holder.to_string());
                    exchange.replay =
                        Some(Replay { hash: [200 + which; 32], keep_until: LAST, made: LAST, holder });
                }
                let result = store.record_exchange(exchange).await;
                let should = model.allows(who, issued) && shown.is_none_or(|shown| model.takes(shown));
                assert_eq!(result.is_ok(), should, "{result:?}");
                if result.is_ok() {
                    if let Some((which, holder)) = shown {
                        model.used.entry(which).or_insert(holder);
                    }
                    recorded += 1;
                    model.latest = model.latest.max(issued);
                }
            }
            Step::Prune => drop(store.prune(at).await.unwrap()),
            Step::Head => {
                let next = head(&store).await.seq;
                assert!(next > seq);
                seq = next;
            }
            Step::Reopen => {
                let (mirror, number) = (store.mirror(), store.seq());
                drop(store);
                store = place.open();
                assert_eq!((store.mirror(), store.seq()), (mirror, number));
            }
        }
    }
    assert_eq!(store.counts().await.unwrap().tokens, recorded);
    let mirror = store.mirror();
    drop(store);
    assert_eq!(place.open().mirror(), mirror);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn memory_equals_disk_and_nothing_revoked_is_recorded(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(&Place::new(), steps));
    }
}
