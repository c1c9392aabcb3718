use std::collections::BTreeMap;

use proptest::prelude::*;
use shortbread_protocol::clock::{FOREVER, ManualClock, Timestamp};
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::random::SeededRandom;
use shortbread_protocol::revocations::{Delta, Selector, SelectorKind, Snapshot};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;
use crate::config::Keys;
use crate::setup::{make_document, make_keys};
use crate::store::{
    AuditEntry, Exchange, Lift, LiftMode, Meta, Options, Revoke, RevokeBlock, RevokeMode, Standing,
    StoreKind, Target, Tie, TokenRecord,
};

const NOW: Timestamp = Timestamp::from_seconds(1_795_176_000);
const ISSUER: &str = "https://broker.acme.example";
const ORIGIN: &str = "broker.acme.example/revocations";

fn create(folder: &TempDir) -> Store {
    let meta = Meta {
        kind: StoreKind::Broker,
        issuer: ISSUER.into(),
        created: NOW,
        hmac_secret: Zeroizing::new([7; 32]),
    };
    Store::create(&folder.path().join("store.db"), &meta, &Options::default()).unwrap()
}

fn audit() -> AuditEntry {
    AuditEntry {
        at: NOW,
        decision: "dec".into(),
        trace: None,
        parent: None,
        about: None,
        body: b"{}".to_vec(),
        input: None,
    }
}

fn target(kind: SelectorKind, value: &str) -> Target {
    Target::Selector(Selector::new(kind, value).unwrap())
}

async fn revoke(store: &Store, targets: Vec<Target>, mode: RevokeMode, until: Option<u64>, now: Timestamp) {
    let (reason, note) = ("incident".to_owned(), String::new());
    let one = |target| Revoke { target, mode, reason: reason.clone(), note: note.clone(), until };
    let revokes = targets.into_iter().map(one).collect();
    store.revoke(revokes, "alice".into(), now, |_| audit()).await.unwrap();
}

async fn stop(store: &Store, workflow: &str) {
    revoke(store, vec![target(SelectorKind::Workflow, workflow)], RevokeMode::Forever, None, NOW).await;
}

fn token(n: u8) -> String {
    format!("tok_{n:032x}")
}

/// A token that was made of another.
fn exchange(n: u8, of: Option<u8>, issued: u64) -> Exchange {
    let id = token(n);
    let selectors = vec![(SelectorKind::Token, id.clone()), (SelectorKind::Workflow, "a".to_owned())];
    let token = TokenRecord {
        id,
        principal: "workflow:a".into(),
        workflow: Some("a".into()),
        intent: None,
        task: None,
        issued,
        expires: issued + 600,
        holder: None,
        policy: 1,
        body: b"{}".to_vec(),
    };
    let ties = of.map(|of| Tie::Selector(SelectorKind::Token, self::token(of))).into_iter().collect();
    let standing = Standing { issued, selectors, ..Standing::default() };
    Exchange {
        replay: None,
        token,
        standing,
        ties,
        others: Vec::new(),
        one_shots: Vec::new(),
        spends: Vec::new(),
        redeem: None,
        retry: None,
        audit: audit(),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Revoke { what: Vec<u8>, forever: bool, until: Option<u64> },
    Lift { what: u8, revive: bool },
    GiveBack { token: u8, copy: u8 },
    Record { of: Option<u8> },
    Prune,
}

/// Two workflows, a tool, everything, and three tokens: in the packed section or beside it.
fn what(n: u8) -> Target {
    match n {
        0 => Target::All,
        1 => target(SelectorKind::Tool, "github"),
        2 => target(SelectorKind::Workflow, "a"),
        3 => target(SelectorKind::Workflow, "b"),
        n => target(SelectorKind::Token, &token(n)),
    }
}

fn steps() -> impl Strategy<Value = Vec<(Step, u64)>> {
    let until = || proptest::option::of(0..4000_u64);
    let revoke = (proptest::collection::vec(0..7_u8, 1..4), any::<bool>(), until());
    let step = prop_oneof![
        5 => revoke.prop_map(|(what, forever, until)| Step::Revoke { what, forever, until }),
        4 => (0..7_u8, any::<bool>()).prop_map(|(what, revive)| Step::Lift { what, revive }),
        3 => (4..6_u8, 0..12_u8).prop_map(|(token, copy)| Step::GiveBack { token, copy }),
        2 => proptest::option::of(4..7_u8).prop_map(|of| Step::Record { of }),
        2 => Just(Step::Prune),
    ];
    proptest::collection::vec((step, prop_oneof![Just(0_u64), Just(1), Just(2500)]), 1..25)
}

async fn run(store: &Store, step: Step, n: u8, now: u64) {
    let at = Timestamp::from_seconds(now);
    match step {
        Step::Revoke { what: them, forever, until } => {
            let mode = if forever { RevokeMode::Forever } else { RevokeMode::IssuedSoFar };
            let targets = them.into_iter().map(what).collect();
            revoke(store, targets, mode, until.map(|until| now + until), at).await;
        }
        Step::Lift { what: it, revive } => {
            let mode = if revive { LiftMode::Revive } else { LiftMode::KeepOldDead };
            let lift = Lift { target: what(it), mode, until: Some(now + 5) };
            // What is not revoked cannot be lifted.
            let _ = store.lift(vec![lift], at, |_| audit()).await;
        }
        Step::GiveBack { token, copy } => {
            let (token, reason) = (self::token(token), "returned".to_owned());
            let (hash, until, by) = ([copy; 16], now + 700, "holder".to_owned());
            let given = RevokeBlock { hash, token, until, reason, by };
            store.revoke_block(given, at, |_| audit()).await.unwrap();
        }
        Step::Record { of } => {
            // What is revoked is not recorded.
            let _ = store.record_exchange(exchange(100 + n, of, now)).await;
        }
        Step::Prune => drop(store.prune(at).await.unwrap()),
    }
}

fn leads(from: &Revocations, to: &Revocations) {
    let (old, new) = (snapshot::write(from, ORIGIN), snapshot::write(to, ORIGIN));
    if from.changed_seq() == to.changed_seq() {
        assert_eq!(old.file.bytes(), new.file.bytes());
        return;
    }
    let delta = delta::write(to, from.changed_seq(), ORIGIN).unwrap();
    let mut list = Snapshot::decode(old.file.bytes(), ORIGIN).unwrap();
    list.apply(&Delta::decode(delta.file.bytes(), ORIGIN).unwrap()).unwrap();
    assert_eq!(list.encode(ORIGIN), new.file.bytes()[..], "{from:?}\n{to:?}");
    let again = delta::write(to, from.changed_seq(), ORIGIN).unwrap();
    assert_eq!(again.file.bytes(), delta.file.bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_and_a_delta_are_the_later_snapshot_to_the_byte(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = create(&folder);
            let mut moments = vec![store.mirror()];
            let mut now = NOW.seconds();
            for (n, (step, wait)) in (0..).zip(steps) {
                now += wait;
                run(&store, step, n, now).await;
                moments.push(store.mirror());
            }
            for (n, from) in moments.iter().enumerate() {
                moments.iter().skip(n).for_each(|to| leads(from, to));
            }
        });
    }
}

#[tokio::test]
async fn a_token_changes_its_place_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = create(&folder);
    let mut moments = vec![store.mirror()];
    let it = || vec![what(4)];
    revoke(&store, it(), RevokeMode::IssuedSoFar, None, NOW).await;
    moments.push(store.mirror());
    revoke(&store, it(), RevokeMode::Forever, None, NOW).await;
    moments.push(store.mirror());
    let lift = |mode| vec![Lift { target: what(4), mode, until: None }];
    store.lift(lift(LiftMode::KeepOldDead), NOW, |_| audit()).await.unwrap();
    moments.push(store.mirror());
    store.lift(lift(LiftMode::Revive), NOW, |_| audit()).await.unwrap();
    moments.push(store.mirror());
    let read = |from: usize, to: usize| {
        let delta = delta::write(&moments[to], moments[from].changed_seq(), ORIGIN).unwrap();
        let delta = Delta::decode(delta.file.bytes(), ORIGIN).unwrap();
        [delta.entries.len(), delta.removed.len(), delta.ids.len(), delta.ids_removed.len()]
    };
    assert_eq!(read(0, 1), [1, 0, 0, 0]);
    assert_eq!(read(1, 2), [0, 1, 1, 0], "it leaves the entries and is packed");
    assert_eq!(read(2, 3), [1, 0, 0, 1], "and the other way round");
    assert_eq!(read(3, 4), [0, 1, 0, 0]);
    assert_eq!(read(0, 2), [0, 0, 1, 0], "nothing that was not there is removed");
    assert_eq!((read(0, 4), read(2, 4)), ([0, 0, 0, 0], [0, 0, 0, 1]));
}

/// A publisher over a store, and the key that its heads are checked with.
struct Bench {
    folder: TempDir,
    store: Store,
    clock: Arc<ManualClock>,
    key: PublicKey,
    publisher: Publisher,
}

fn keyring(folder: &TempDir, clock: Arc<dyn Clock>) -> Keyring {
    let at = |name: &str| folder.path().join(name);
    let keys = Keys {
        token: at("token.pem"),
        revocation: at("revocation.pem"),
        audit: at("audit.pem"),
        root: at("root.pub.pem"),
        document: at("document.txt"),
        ..Keys::default()
    };
    make_keys(&keys, &SeededRandom::new(1), false).unwrap();
    make_document(&keys, ISSUER, NOW, false).unwrap();
    Keyring::read(&keys, ISSUER, false, clock).unwrap()
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = create(&folder);
        Self::over(folder, store)
    }

    fn over(folder: TempDir, store: Store) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let keyring = Arc::new(keyring(&folder, clock.clone()));
        let key = keyring.heads().unwrap().signer.public();
        let publisher = Publisher::new(store.clone(), keyring, clock.clone(), ISSUER);
        Self { folder, store, clock, key, publisher }
    }

    fn restart(self) -> Self {
        let Self { folder, store, publisher, .. } = self;
        drop((store, publisher));
        let store = Store::open(&folder.path().join("store.db"), &Options::default()).unwrap();
        Self::over(folder, store)
    }

    /// Publishes, and looks at what every head must be.
    async fn publish(&self) -> (Arc<Published>, Head) {
        let published = self.publisher.publish().await.unwrap();
        let head = Head::open(&published.head, ORIGIN, &[self.key]).unwrap();
        assert_eq!((head.seq, head.contents()), (published.seq, self.store.mirror().changed_seq()));
        assert_eq!(published.contents, head.contents());
        assert!(published.snapshot(head.snapshot.seq, &head.snapshot.sha256).is_some());
        let mut list = self.read(&published, &head);
        for delta in &head.deltas {
            assert_eq!(delta.to.seq, head.contents(), "in one step");
            assert!(published.delta(delta.from, delta.to.seq, &delta.to.sha256).is_some());
        }
        // What a reader with nothing comes to is the list.
        if list.seq < head.contents() {
            let way = head.deltas.iter().find(|delta| delta.from == list.seq).unwrap();
            let file = published.delta(way.from, way.to.seq, &way.to.sha256).unwrap();
            list.apply(&Delta::decode(file.file.bytes(), ORIGIN).unwrap()).unwrap();
        }
        assert_eq!(list.encode(ORIGIN), snapshot::write(&self.store.mirror(), ORIGIN).file.bytes()[..]);
        (published, head)
    }

    fn read(&self, published: &Published, head: &Head) -> Snapshot {
        let file = published.snapshot(head.snapshot.seq, &head.snapshot.sha256).unwrap();
        Snapshot::decode(file.file.bytes(), ORIGIN).unwrap()
    }

    /// Revokes so much that the delta from the snapshot is long.
    async fn stop_many(&self) {
        let name = |n: u32| target(SelectorKind::Task, &format!("task-{n}-of-many"));
        revoke(&self.store, (0..100).map(name).collect(), RevokeMode::Forever, None, NOW).await;
    }
}

#[tokio::test]
async fn those_who_come_at_once_share_a_head_that_has_all_their_changes() {
    let bench = Bench::new();
    let (store, publisher) = (&bench.store, &bench.publisher);
    let before = publisher.publish().await.unwrap().seq;
    let one = async |n: u64| {
        stop(store, &format!("w{n}")).await;
        let confirmed = store.mirror().changed_seq();
        let head = publisher.publish().await.unwrap();
        assert!(head.contents >= confirmed && publisher.current().unwrap().seq >= head.seq);
    };
    let changes = 64;
    futures_util::future::join_all((0..changes).map(one)).await;
    let heads = store.seq() - before - changes;
    assert!(heads < changes / 2, "{heads} heads for {changes} changes that came at once");
    let asked = async || publisher.publish().await.unwrap().seq;
    assert!(asked().await < asked().await, "one after the other, each has its own");
}

#[tokio::test]
async fn the_snapshot_stays_and_deltas_lead_on_from_it_and_from_recent_lists() {
    let bench = Bench::new();
    let (_, first) = bench.publish().await;
    assert_eq!((first.snapshot.seq, first.deltas.len()), (first.contents(), 0));
    let mut contents = Vec::new();
    for n in 0..12 {
        stop(&bench.store, &format!("w{n}")).await;
        let (_, head) = bench.publish().await;
        assert_eq!(head.snapshot, first.snapshot, "written rarely");
        let from: Vec<u64> = head.deltas.iter().map(|delta| delta.from).collect();
        let recent = contents.iter().rev().take(7).copied();
        assert_eq!(from, std::iter::once(first.contents()).chain(recent).collect::<Vec<_>>());
        let (_, beat) = bench.publish().await;
        assert_eq!(
            (&beat.deltas, beat.snapshot),
            (&head.deltas, head.snapshot),
            "a heartbeat changes nothing"
        );
        contents.push(head.contents());
    }
}

#[tokio::test]
async fn a_new_snapshot_is_written_where_nobody_waits_for_it() {
    let bench = Bench::new();
    let (_, first) = bench.publish().await;
    let hold = Arc::clone(&bench.publisher.desk.lock().await.hold);
    let held = hold.lock().await;
    bench.stop_many().await;
    let (_, long) = bench.publish().await;
    assert!(long.deltas[0].to.bytes > 4 * 1024 && long.snapshot == first.snapshot);
    // It is being written, for as long as this test likes: heads and exchanges go on.
    for n in 0..3 {
        stop(&bench.store, &format!("w{n}")).await;
        let (_, head) = bench.publish().await;
        assert_eq!(head.snapshot, first.snapshot);
        bench.store.record_exchange(exchange(n, None, NOW.seconds())).await.unwrap();
    }
    drop(held);
    let until = Duration::from_secs(10);
    let renewed = tokio::time::timeout(until, async {
        loop {
            let (published, head) = bench.publish().await;
            if head.snapshot != first.snapshot {
                return (published, head);
            }
            tokio::task::yield_now().await;
        }
    });
    let (published, head) = renewed.await.unwrap();
    assert_eq!(head.snapshot.seq, long.contents(), "as the list stood when it was begun");
    assert_eq!(head.deltas[0].from, head.snapshot.seq);
    assert!(head.deltas[0].to.bytes < 1024);
    // Those who read an older head moments ago still find what it names.
    assert!(published.snapshot(first.snapshot.seq, &first.snapshot.sha256).is_some());
    let old = long.deltas[0];
    assert!(published.delta(old.from, old.to.seq, &old.to.sha256).is_some());
    bench.clock.advance(Duration::from_secs(61));
    let (later, _) = bench.publish().await;
    assert!(later.snapshot(first.snapshot.seq, &first.snapshot.sha256).is_none());
    assert!(later.delta(old.from, old.to.seq, &old.to.sha256).is_none());
}

#[tokio::test]
async fn after_a_start_the_snapshot_is_the_whole_list() {
    let bench = Bench::new();
    bench.publish().await;
    stop(&bench.store, "a").await;
    let (_, last) = bench.publish().await;
    let bench = bench.restart();
    let (published, head) = bench.publish().await;
    assert!(head.seq > last.seq);
    assert_eq!((head.snapshot.seq, head.deltas.len()), (last.contents(), 0), "nothing to fetch");
    // A stream is taken up where it broke off.
    assert_eq!(bench.publisher.contents_of(last.seq), Some(last.contents()));
    assert_eq!(bench.publisher.contents_of(last.seq - 1), None);
    assert_eq!(published.frame(Some(last.contents())), published.frame(None));
    stop(&bench.store, "b").await;
    let (published, head) = bench.publish().await;
    assert_eq!(head.deltas[0].from, last.contents());
    let frame = published.frame(bench.publisher.contents_of(last.seq));
    let name = format!("\nevent: delta\ndata: {}-{}-", last.contents(), head.contents());
    assert!(String::from_utf8_lossy(&frame).contains(&name), "{frame:?}");
    assert_eq!(published.frame(Some(1_000_000)), published.frame(None), "no delta fits");
    let again = published.frame(Some(last.contents()));
    assert_eq!(frame.as_ptr(), again.as_ptr(), "made once");
}

#[tokio::test]
async fn what_the_list_does_not_remember_is_written_down_whole() {
    let bench = Bench::new();
    bench.publish().await;
    for n in 0..2100_u32 {
        let it = vec![target(SelectorKind::Task, &format!("t{}", n % 3))];
        revoke(&bench.store, it, RevokeMode::Forever, None, NOW).await;
    }
    let (_, head) = bench.publish().await;
    assert_eq!((head.snapshot.seq, head.deltas.len()), (head.contents(), 0));
}

#[tokio::test]
async fn a_long_list_is_led_on_from_by_its_changes_alone() {
    let bench = Bench::new();
    for n in 0..50 {
        let name = |m: u32| target(SelectorKind::Task, &format!("task-{n}-{m}"));
        revoke(&bench.store, (0..100).map(name).collect(), RevokeMode::Forever, None, NOW).await;
    }
    let (_, first) = bench.publish().await;
    stop(&bench.store, "a").await;
    let (published, head) = bench.publish().await;
    assert_eq!(head.snapshot, first.snapshot);
    assert!(head.snapshot.bytes > 300_000 && head.deltas[0].to.bytes < 400);
    let frame = published.frame(Some(first.contents()));
    assert!(frame.len() < 1500, "{} bytes", frame.len());
    let gzip = published.snapshots[0].file.gzip().unwrap();
    assert!(gzip.len() * 4 < published.snapshots[0].file.bytes().len());
}

#[tokio::test]
async fn a_delta_of_a_hundred_entries_is_short() {
    let bench = Bench::new();
    let (_, first) = bench.publish().await;
    bench.stop_many().await;
    let (published, _) = bench.publish().await;
    let frame = published.frame(Some(first.contents()));
    assert!(frame.len() <= 4096, "{} bytes", frame.len());
}

#[test]
fn every_reference_of_an_entry_is_kept() {
    let entry = crate::store::Entry {
        before: FOREVER,
        until: Some(u64::MAX),
        seq: 7,
        reason: "no such code".into(),
        operator: "alice".into(),
        set_at: NOW,
        listed: true,
    };
    assert_eq!(snapshot::token("tok", &entry).until, u32::MAX);
    assert_eq!(snapshot::selector(SelectorKind::Tool, "t", &entry).cause, cause("incident"));
    let places: BTreeMap<_, _> = [(SelectorKind::Tool, false), (SelectorKind::Token, true)].into();
    for (kind, packed) in places {
        assert_eq!(entry.place(kind) == crate::store::Place::Packed, packed);
    }
}
