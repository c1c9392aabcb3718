//! Whatever is offered, in whatever order, nothing goes back.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Act {
    /// A revocation, and a head that carries it.
    Revoke(u8),
    /// A head that changes nothing but its time and its `global`.
    Beat(bool),
    /// A head that was signed before.
    Again(usize),
    /// The last head with a byte of it changed.
    Damaged(usize),
    /// A head by a key that no document names, or no longer.
    Stranger {
        seq: u64,
        version: u64,
        seed: u8,
    },
    /// The last head is followed, so many steps far.
    Follow(usize),
    /// Any file, out of turn.
    File(usize),
    /// A new key document, with a new revocation key, and the lowest break-glass sequence.
    Rotate(u64),
    Stop(u64, bool),
    Wait(u64),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let stranger = (0..99_u64, 0..4_u64, prop_oneof![Just(9_u8), Just(3)]);
    prop_oneof![
        6 => (0..20_u8).prop_map(Act::Revoke),
        3 => any::<bool>().prop_map(Act::Beat),
        3 => (0..50_usize).prop_map(Act::Again),
        2 => (0..600_usize).prop_map(Act::Damaged),
        3 => stranger.prop_map(|(seq, version, seed)| Act::Stranger { seq, version, seed }),
        9 => (1..6_usize).prop_map(Act::Follow),
        3 => (0..50_usize).prop_map(Act::File),
        1 => (0..5_u64).prop_map(Act::Rotate),
        2 => (1..9_u64, any::<bool>()).prop_map(|(seq, on)| Act::Stop(seq, on)),
        1 => (0..20_u64).prop_map(Act::Wait),
        2 => Just(Act::Restart),
    ]
}

/// A broker with all that it ever signed.
struct World {
    broker: Broker,
    clock: Arc<ManualClock>,
    seq: u64,
    seed: u8,
    global: u64,
    files: HashMap<[u8; 32], Vec<u8>>,
    order: Vec<[u8; 32]>,
    heads: Vec<Vec<u8>>,
    past: Vec<Snapshot>,
}

impl World {
    fn keep(&mut self, bytes: Vec<u8>) {
        let hash = ratchet::sha256(&bytes);
        self.order.push(hash);
        self.files.insert(hash, bytes);
    }

    /// The next head: its snapshot may lag behind, and it has deltas from the last three lists.
    fn publish(&mut self, lags: bool) {
        self.seq += 1;
        let mut head = Head { global: self.global, ..self.broker.head(self.seq, self.clock.now().seconds()) };
        let recent = self.past.iter().rev().filter(|old| old.seq < self.broker.snapshot.seq).take(3);
        let deltas: Vec<_> = recent.map(|old| self.broker.delta(old)).collect();
        let (named, bytes): (Vec<_>, Vec<_>) = deltas.into_iter().unzip();
        if lags && let Some(oldest) = named.last() {
            let old = self.past.iter().rfind(|old| old.seq == oldest.from).unwrap();
            let whole = old.encode(&origin(ISSUER));
            head.snapshot =
                FileRef { seq: old.seq, sha256: ratchet::sha256(&whole), bytes: whole.len() as u64 };
            self.keep(whole);
        }
        head.deltas = named;
        bytes.into_iter().for_each(|bytes| self.keep(bytes));
        self.keep(self.broker.snapshot());
        self.heads.push(head.sign(&origin(ISSUER), &key(self.seed)).into_bytes());
    }

    fn follow(&self, trust: &Trust, steps: usize) {
        let Some(head) = self.heads.last() else { return };
        for _ in 0..steps {
            let _ = match trust.offer_head(head) {
                Ok(Next::Keys { .. }) => trust.offer_keys(&self.broker.keys()).map(|()| Next::Nothing),
                Ok(Next::Snapshot(file)) => trust.offer_snapshot(&self.files[&file.sha256]),
                Ok(Next::Delta(delta)) => trust.offer_delta(&self.files[&delta.to.sha256]),
                other => other,
            };
        }
    }

    fn act(&mut self, act: Act, trust: &Trust) {
        match act {
            Act::Revoke(n) => {
                self.past.push(self.broker.snapshot.clone());
                let seq = self.seq.max(self.broker.snapshot.seq) + 1;
                self.broker.lift(seq, &format!("w{n}"));
                self.broker.revoke(seq, &format!("w{n}"));
                self.seq = seq - 1;
                self.publish(n % 3 == 0);
            }
            Act::Beat(global) => {
                self.global += u64::from(global);
                self.publish(false);
            }
            Act::Again(at) => drop(self.heads.get(at).map(|head| trust.offer_head(head))),
            Act::Damaged(at) => {
                let mut head = self.heads.last().cloned().unwrap_or_default();
                head.get_mut(at).into_iter().for_each(|byte| *byte ^= 1);
                let _ = trust.offer_head(&head);
            }
            Act::Stranger { seq, version, seed } => {
                let empty = Snapshot { seq, ..Snapshot::default() };
                let theirs = Broker { document: self.broker.document.clone(), snapshot: empty };
                let mut head = theirs.head(seq, NOW);
                head.keys.0 = version;
                // The first key is one of the broker's until the first rotation.
                let seed = if self.seed == 3 { 9 } else { seed };
                let _ = trust.offer_head(&head.sign(&origin(ISSUER), &key(seed)).into_bytes());
                let _ = trust.offer_snapshot(&theirs.snapshot());
            }
            Act::Follow(steps) => self.follow(trust, steps),
            Act::File(at) => {
                let file = self.order.get(at).map(|hash| &self.files[hash]);
                file.into_iter().for_each(|file| drop((trust.offer_delta(file), trust.offer_snapshot(file))));
            }
            Act::Rotate(least) => {
                self.seed = if self.seed == 3 { 20 } else { self.seed + 1 };
                self.broker.document.version += 1;
                self.broker.document.break_glass = least.max(self.broker.document.break_glass);
                self.broker.document.keys[1].key = key(self.seed).public();
                self.publish(false);
            }
            Act::Stop(seq, on) => drop(trust.offer_break_glass(&stop(seq, if on { NOW + seq } else { 0 }))),
            Act::Wait(seconds) => self.clock.advance(Duration::from_secs(seconds)),
            Act::Restart => {}
        }
    }
}

/// How far a verifier has come. `stop` with the lowest break-glass sequence that its document names.
#[derive(Clone, Debug, Default)]
struct Mark {
    at: (u64, u64),
    contents: (u64, u64),
    revoked: BTreeSet<String>,
    keys: u64,
    stop: (u64, u64),
}

fn mark(trust: &Trust, before: &Mark) -> Mark {
    let state = trust.state();
    let stop = state.break_glass().map_or((0, 0), |known| (known.seq, known.global));
    let keys = state.document().map_or(0, |document| document.version);
    let Some(list) = &state.list else { return Mark { keys, stop, ..before.clone() } };
    let found = |name: &String| list.set.before(SelectorKind::Workflow, name).is_some();
    let revoked = (0..20).map(|n| format!("w{n}")).filter(found).collect();
    Mark { at: (list.version, list.seq), contents: (list.version, list.contents()), revoked, keys, stop }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn in_any_order_of_offers_nothing_goes_back(acts in prop::collection::vec(act(), 1..60)) {
        let (broker, clock) = (Broker::new(), clock());
        let tmp = tempfile::tempdir().unwrap();
        let mut world = World {
            broker, clock, seq: 5, seed: 3, global: 0,
            files: HashMap::new(), order: Vec::new(), heads: Vec::new(), past: Vec::new(),
        };
        let mut trust = open(&world.clock, Some(tmp.path())).unwrap();
        trust.offer_keys(&world.broker.keys()).unwrap();
        let mut before = mark(&trust, &Mark::default());
        for act in acts {
            if matches!(act, Act::Restart) {
                drop(trust);
                trust = open(&world.clock, Some(tmp.path())).unwrap();
            }
            world.act(act, &trust);
            let now = mark(&trust, &before);
            prop_assert!(now.at >= before.at && now.contents >= before.contents, "{now:?} after {before:?}");
            prop_assert!(now.revoked.is_superset(&before.revoked), "{now:?} after {before:?}");
            prop_assert!(now.keys >= before.keys, "{now:?} after {before:?}");
            let over = trust.state().document().map_or(0, |document| document.break_glass);
            let stopped = now.stop.0 > before.stop.0 || now.stop == before.stop
                || now.stop.0 == before.stop.0 && now.stop.1 > before.stop.1;
            prop_assert!(stopped || before.stop.0 < over, "{now:?} after {before:?}");
            if let Some(set) = trust.state().set() {
                prop_assert!(set.global() >= now.stop.1);
            }
            before = now;
        }
        // And it goes on: the next heads are followed to the end.
        world.publish(false);
        world.follow(&trust, 6);
        let state = trust.state();
        prop_assert_eq!((state.seq(), state.contents()), (world.seq, world.broker.snapshot.seq));
        let whole = RevocationSet::new(world.broker.snapshot.clone(), 0);
        for n in 0..20 {
            let found = |set: &RevocationSet| set.before(SelectorKind::Workflow, &format!("w{n}"));
            prop_assert_eq!(found(state.set().unwrap()), found(&whole));
        }
        prop_assert_eq!(trust.age(), Age::Seconds(0));
    }
}
