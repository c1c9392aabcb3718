//! That a token seen before is decided about as if it never was, whatever changes in between.

use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use proptest::prelude::*;
use shortbread_protocol::clock::{Clock as _, FOREVER, ManualClock, Timestamp};
use shortbread_protocol::key_document::{DocumentKey, KeyPurpose};
use shortbread_protocol::revocations::{Cause, Entry, RevokedId};

use super::*;
use crate::list::Next;
use crate::list::testing::{self, Broker, NOW, key};
use crate::testing::{AUDIENCE, Mint, copy};

const READ: Call<'_> = Call { tool: "github", verb: "issues.read", args: None };
const WRITE: Call<'_> = Call { tool: "github", verb: "issues.write", args: None };

/// A broker and what one service knows of it.
struct World {
    broker: Broker,
    trust: Arc<Trust>,
    clock: Arc<ManualClock>,
    seq: u64,
}

impl World {
    fn new() -> Self {
        let clock = testing::clock();
        let trust = Arc::new(testing::open(&clock, None).unwrap());
        let mut world = Self { broker: Broker::new(), trust, clock, seq: 5 };
        world.publish();
        world
    }

    fn verifier(&self, cache: usize) -> Verifier {
        let config = Config { audience: AUDIENCE.to_owned() };
        Verifier::new(Arc::clone(&self.trust), config).unwrap().cache_bytes(cache)
    }

    fn publish(&mut self) {
        self.seq += 1;
        self.broker.snapshot.seq = self.seq;
        let head = self.broker.signed(self.seq, self.clock.now().seconds());
        self.trust.offer_keys(&self.broker.keys()).unwrap();
        if let Next::Snapshot(_) = self.trust.offer_head(&head).unwrap() {
            self.trust.offer_snapshot(&self.broker.snapshot()).unwrap();
        }
        assert_eq!(self.trust.state().seq(), self.seq);
    }

    fn revoke(&mut self, kind: SelectorKind, value: &str) {
        let value = value.to_owned();
        let entry = Entry { kind, value, before: FOREVER, until: None, seq: 6, cause: Cause::Incident };
        self.broker.snapshot.entries.push(entry);
        self.publish();
    }

    fn revoke_id(&mut self, of: &[u8]) {
        self.broker.snapshot.ids.push(RevokedId { id: RevokedId::hash(of), until: u32::MAX });
        self.publish();
    }

    /// The token keys from now on: name, seed, until when.
    fn token_keys(&mut self, keys: &[(&str, u8, u64)]) {
        self.broker.document.keys.retain(|key| key.purpose != KeyPurpose::Token);
        self.broker.document.version += 1;
        for (name, seed, not_after) in keys {
            self.broker.document.keys.push(DocumentKey {
                purpose: KeyPurpose::Token,
                name: name.parse().unwrap(),
                key: key(*seed).public(),
                not_before: 1,
                not_after: *not_after,
            });
        }
        self.publish();
    }
}

fn check(verifier: &Verifier, text: &str, call: &Call<'_>) -> Option<Reason> {
    let decision = verifier.check(&Presented::bearer(text), call);
    assert_eq!(decision.is_allowed(), decision.reason.is_none());
    decision.reason
}

#[test]
fn a_revocation_is_effective_on_the_very_next_call() {
    let text = Mint::named("tok_1").text();
    let copied = copy(&text, 1);
    let signature = {
        let bytes = decode(&copied).unwrap();
        *shortbread_protocol::biscuit::Container::read(&bytes).unwrap().blocks[1].signature
    };
    let selectors = [
        (SelectorKind::Workflow, "release-notes"),
        (SelectorKind::Task, "tsk_1"),
        (SelectorKind::Token, "tok_1"),
        (SelectorKind::Key, "k2026-11a"),
        (SelectorKind::Tool, "github"),
        (SelectorKind::Verb, "github/issues.write"),
        (SelectorKind::Access, "write"),
        (SelectorKind::Access, "github/write"),
    ];
    for (kind, value) in selectors {
        let mut world = World::new();
        let verifier = world.verifier(DEFAULT_BYTES);
        assert_eq!([&text, &copied, &text].map(|text| check(&verifier, text, &WRITE)), [None; 3]);
        world.revoke(kind, value);
        assert_eq!(
            [&text, &copied].map(|text| check(&verifier, text, &WRITE)),
            [Some(Reason::Revoked(kind)); 2]
        );
        let milder = [SelectorKind::Verb, SelectorKind::Access].contains(&kind);
        assert_eq!(check(&verifier, &text, &READ).is_none(), milder, "{kind}");
        world.broker.snapshot.entries.clear();
        world.publish();
        assert_eq!(check(&verifier, &text, &WRITE), None, "{kind} was lifted");
    }
    let mut world = World::new();
    let verifier = world.verifier(DEFAULT_BYTES);
    assert_eq!([&text, &copied].map(|text| check(&verifier, text, &READ)), [None; 2]);
    world.revoke_id(&signature);
    assert_eq!(
        [&text, &copied].map(|text| check(&verifier, text, &READ)),
        [None, Some(Reason::RevokedBlock)]
    );
}

#[test]
fn a_lost_key_is_refused_at_once_and_empties_the_cache() {
    let mut world = World::new();
    let both = [("k2026-11a", 2, FOREVER), ("k2026-11b", 4, FOREVER)];
    world.token_keys(&both);
    let first = Mint::named("tok_1").text();
    let second = Mint { key_name: "k2026-11b", key_seed: 4, ..Mint::named("tok_2") }.text();
    let verifier = world.verifier(DEFAULT_BYTES);
    let fill = |verifier: &Verifier| {
        assert_eq!([&first, &second].map(|text| check(verifier, text, &READ)), [None; 2]);
        assert_eq!(verifier.cache.held().1, 2);
    };
    fill(&verifier);
    // A key more, or a list that names no key, takes nothing away.
    world.token_keys(&[both[0], both[1], ("k2026-11c", 5, FOREVER)]);
    world.revoke(SelectorKind::Workflow, "payroll");
    assert_eq!(check(&verifier, &first, &READ), None);
    assert_eq!(verifier.cache.held().1, 2);
    let refused = |world: &World, reason: Reason| {
        assert_eq!(check(&verifier, &first, &READ), None, "{world:p}");
        assert_eq!(verifier.cache.held().1, 1, "only what was seen since");
        assert_eq!(check(&verifier, &second, &READ), Some(reason));
    };
    world.token_keys(&both[..1]);
    refused(&world, Reason::UnknownKey);
    world.token_keys(&both);
    fill(&verifier);
    world.token_keys(&[both[0], ("k2026-11b", 6, FOREVER)]);
    refused(&world, Reason::BadSignature);
    world.token_keys(&both);
    fill(&verifier);
    world.revoke(SelectorKind::Key, "k2026-11b");
    refused(&world, Reason::Revoked(SelectorKind::Key));
}

#[test]
fn what_was_valid_ends_on_time() {
    let mut world = World::new();
    world.token_keys(&[("k2026-11a", 2, NOW + 100)]);
    let (text, copied) = (Mint::named("tok_1").text(), copy(&Mint::named("tok_1").text(), 1));
    let long = Mint { life: 3000, ..Mint::named("tok_2") }.text();
    let verifier = world.verifier(DEFAULT_BYTES);
    let at = |second: u64, world: &World| world.clock.jump_to(Timestamp::from_seconds(NOW + second));
    let all = |verifier: &Verifier| [&text, &copied, &long].map(|text| check(verifier, text, &READ));
    assert_eq!(all(&verifier), [None; 3]);
    world.clock.advance(Duration::from_secs(99));
    assert_eq!(all(&verifier), [None; 3]);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(all(&verifier), [Some(Reason::UnknownKey); 3]);
    world.token_keys(&[("k2026-11a", 2, FOREVER)]);
    world.clock.advance(Duration::from_secs(99));
    assert_eq!(all(&verifier), [None; 3]);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(all(&verifier), [None, Some(Reason::Expired), None]);
    world.clock.advance(Duration::from_secs(100));
    assert_eq!(all(&verifier), [Some(Reason::Expired), Some(Reason::Expired), None]);
    at(301 + 30, &world);
    assert_eq!(check(&verifier, &long, &READ), Some(Reason::ClockUnsure));
    at(300, &world);
    world.clock.advance(Duration::from_secs(1000));
    assert_eq!(check(&verifier, &long, &READ), Some(Reason::ListTooOld), "the head has expired");
}

#[test]
fn a_token_that_is_refused_for_its_signature_is_not_kept() {
    let world = World::new();
    let verifier = world.verifier(DEFAULT_BYTES);
    for number in 0..50 {
        let forged = Mint { key_seed: 9, ..Mint::named(&format!("tok_{number}")) }.text();
        for _ in 0..2 {
            assert_eq!(check(&verifier, &forged, &READ), Some(Reason::BadSignature));
        }
    }
    assert_eq!(verifier.cache.held(), (0, 0));
}

/// Calls from several threads while a change comes: after it none may be allowed, in whatever thread.
fn no_call_is_allowed_after(change: impl FnOnce(&mut World)) {
    let mut world = World::new();
    let verifier = world.verifier(1 << 20);
    let texts: Vec<_> = (0..8).map(|number| Mint::named(&format!("tok_{number}")).text()).collect();
    let (changed, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let late = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (verifier, texts, changed, stop, late) = (&verifier, &texts, &changed, &stop, &late);
            scope.spawn(move || {
                let mut at = thread;
                while !stop.load(Ordering::Relaxed) {
                    let after = changed.load(Ordering::Acquire);
                    let allowed = check(verifier, &texts[at % texts.len()], &READ).is_none();
                    late.fetch_add(u64::from(after), Ordering::Relaxed);
                    assert!(!(after && allowed), "allowed after the change");
                    at += 1;
                }
            });
        }
        std::thread::sleep(Duration::from_millis(50));
        change(&mut world);
        changed.store(true, Ordering::Release);
        while late.load(Ordering::Relaxed) < 1000 {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn calls_under_way_do_not_outlive_a_new_list() {
    no_call_is_allowed_after(|world| world.revoke(SelectorKind::Workflow, "release-notes"));
}

#[test]
fn calls_under_way_do_not_outlive_a_key() {
    no_call_is_allowed_after(|world| world.token_keys(&[("k2026-11b", 4, FOREVER)]));
    no_call_is_allowed_after(|world| world.revoke(SelectorKind::Key, "k2026-11a"));
}

#[derive(Clone, Debug)]
enum Step {
    Call(usize, usize),
    Revoke(usize),
    Lift,
    Global(u64),
    Keys(usize),
    Pass(u64),
    Jump(u64),
}

static TOKENS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let first = Mint::named("tok_1");
    let other = Mint { key_name: "k2026-11b", key_seed: 4, ..Mint::named("tok_2") };
    let text = first.text();
    let copies = [1, 2].map(|number| copy(&text, number));
    let mut all = vec![
        other.text(),
        Mint { workflow: "payroll", ..Mint::named("tok_3") }.text(),
        Mint { life: 60, ..Mint::named("tok_4") }.text(),
        Mint { key_seed: 9, ..Mint::named("tok_5") }.text(),
        text.chars().skip(1).collect(),
        format!("{text}="),
        crate::narrow::seal(&copies[0]).unwrap(),
        text,
    ];
    all.extend(copies);
    all
});

const CALLS: [Call<'_>; 4] = [
    READ,
    WRITE,
    Call { tool: "github", verb: "repo.delete", args: None },
    Call { tool: "stripe", verb: "issues.read", args: None },
];

const SELECTORS: [(SelectorKind, &str); 9] = [
    (SelectorKind::Workflow, "payroll"),
    (SelectorKind::Workflow, "release-notes"),
    (SelectorKind::Token, "tok_1"),
    (SelectorKind::Token, "tok_2"),
    (SelectorKind::Key, "k2026-11b"),
    (SelectorKind::Tool, "github"),
    (SelectorKind::Verb, "github/issues.read"),
    (SelectorKind::Access, "github/write"),
    (SelectorKind::Intent, "other"),
];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..TOKENS.len(), 0..CALLS.len()).prop_map(|(token, call)| Step::Call(token, call)),
        2 => (0..SELECTORS.len()).prop_map(Step::Revoke),
        1 => Just(Step::Lift),
        1 => (0..40_u64).prop_map(Step::Pass),
        1 => (0..5_usize).prop_map(Step::Keys),
        1 => prop::sample::select(vec![0, NOW, NOW + 1]).prop_map(Step::Global),
        1 => (0..120_u64).prop_map(Step::Jump),
    ]
}

fn take(world: &mut World, step: &Step) {
    match step {
        Step::Call(..) => {}
        Step::Revoke(at) => world.revoke(SELECTORS[*at].0, SELECTORS[*at].1),
        Step::Lift => {
            world.broker.snapshot.entries.clear();
            world.publish();
        }
        Step::Global(before) => {
            world.seq += 1;
            let mut head = world.broker.head(world.seq, world.clock.now().seconds());
            head.global = *before;
            assert_eq!(world.trust.offer_head(&testing::sign(&head)).unwrap(), Next::Nothing);
        }
        Step::Keys(0) => world.token_keys(&[("k2026-11a", 2, FOREVER), ("k2026-11b", 4, FOREVER)]),
        Step::Keys(1) => world.token_keys(&[("k2026-11b", 4, FOREVER)]),
        Step::Keys(2) => world.token_keys(&[("k2026-11a", 7, FOREVER), ("k2026-11b", 4, FOREVER)]),
        Step::Keys(3) => world.token_keys(&[("k2026-11a", 2, NOW + 50), ("k2026-11b", 4, FOREVER)]),
        Step::Keys(_) => world.token_keys(&[("k2026-11b", 2, FOREVER), ("k2026-11a", 4, FOREVER)]),
        Step::Pass(seconds) => world.clock.advance(Duration::from_secs(*seconds)),
        Step::Jump(second) => world.clock.jump_to(Timestamp::from_seconds(NOW + second)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_decision_does_not_depend_on_what_was_seen_before(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        let none = world.verifier(0);
        let others = [world.verifier(DEFAULT_BYTES), world.verifier(9_000)];
        for step in &steps {
            take(&mut world, step);
            let Step::Call(token, call) = step else { continue };
            let (text, call) = (&TOKENS[*token], &CALLS[*call]);
            // Ids differ, and so do the traces that are begun with them.
            let plain = |decision| Decision { id: None, trace: [0; 16], ..decision };
            let expected = plain(none.check(&Presented::bearer(text), call));
            for verifier in &others {
                let decision = plain(verifier.check(&Presented::bearer(text), call));
                prop_assert_eq!(format!("{decision:?}"), format!("{expected:?}"));
            }
        }
    }
}
