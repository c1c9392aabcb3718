#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes of trees that fit in memory"
)]

use std::collections::HashMap;

use proptest::prelude::*;
use shortbread_protocol::log::{Hash, TilePlace, WIDTH};

use super::super::tree::{self, Tiles};
use super::rfc6962;
use super::*;

/// Tiles in memory, written as the writer writes them.
#[derive(Default)]
struct Memory {
    leaves: Vec<Hash>,
    full: HashMap<(u8, u64), (Hash, Vec<Hash>)>,
}

impl Memory {
    fn of(leaves: Vec<Hash>) -> Self {
        let (mut full, mut row, mut level) = (HashMap::new(), leaves.clone(), 0);
        while row.len() >= 256 {
            let tiles = row.chunks_exact(256).map(|tile| (tree::perfect(tile), tile.to_vec()));
            let tiles: Vec<_> = tiles.collect();
            row = tiles.iter().map(|(root, _)| *root).collect();
            full.extend(tiles.into_iter().enumerate().map(|(n, tile)| ((level, n as u64), tile)));
            level += 1;
        }
        Self { leaves, full }
    }
}

impl Tiles for Memory {
    type Error = String;

    fn hashes(&self, TilePlace { level, n, width }: TilePlace) -> Result<Vec<Hash>, String> {
        if let Some((_, hashes)) = self.full.get(&(level, n)) {
            return Ok(hashes[..width as usize].to_vec());
        }
        let from = n * WIDTH;
        (from..from + width)
            .map(|at| match level {
                0 => Ok(self.leaves[at as usize]),
                _ => self.root(level - 1, at),
            })
            .collect()
    }

    fn root(&self, level: u8, n: u64) -> Result<Hash, String> {
        self.full.get(&(level, n)).map(|(root, _)| *root).ok_or(format!("no tile {level}/{n}"))
    }

    fn impossible(what: String) -> String {
        what
    }
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|n| rfc6962::leaf(&n.to_be_bytes())).collect()
}

fn agrees(memory: &Memory, size: usize, index: usize, from: usize) {
    let entries = &memory.leaves[..size];
    let (size, at) = (size as u64, |n: usize| n as u64);
    assert_eq!(tree::root(memory, size), Ok(rfc6962::mth(entries)), "root of {size}");
    if index < entries.len() {
        let path = rfc6962::path(index, entries);
        assert_eq!(tree::inclusion(memory, size, at(index)), Ok(path), "{index} in {size}");
    }
    if (1..=entries.len()).contains(&from) {
        let proof = rfc6962::proof(from, entries);
        assert_eq!(tree::consistency(memory, at(from), size), Ok(proof), "{from} to {size}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    // Three levels of tiles begin at 65,536.
    #[test]
    fn the_tree_is_that_of_the_rfc(
        total in 1..70_000_usize, size in 0.0..=1.0_f64, index in 0.0..1.0_f64, from in 0.0..=1.0_f64,
    ) {
        let share = |of: usize, share: f64| (of as f64 * share) as usize;
        let memory = Memory::of(leaves(total));
        let size = share(total, size);
        agrees(&memory, size, share(size, index), share(size, from));
    }
}

#[test]
fn the_tree_is_that_of_the_rfc_where_tiles_begin_and_end() {
    let memory = Memory::of(leaves(65_800));
    let edges = [0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 65_791, 65_792, 65_793];
    for size in edges {
        for other in edges.into_iter().filter(|other| *other <= size) {
            agrees(&memory, size, other, other);
        }
    }
}

#[test]
fn numbers_that_no_tree_has_are_refused() {
    let memory = Memory::of(leaves(300));
    assert!(tree::inclusion(&memory, 300, 300).is_err());
    assert!(tree::inclusion(&memory, 0, 0).is_err());
    assert!(tree::consistency(&memory, 301, 300).is_err());
    assert_eq!(tree::consistency(&memory, 0, 300), Ok(Vec::new()));
    assert_eq!(tree::consistency(&memory, 300, 300), Ok(Vec::new()));
}

// An entry with this in it makes its operation fail after others of the same operation were appended.
const TRAP: &str = "CREATE TRIGGER pitfall BEFORE INSERT ON audit_entry WHEN instr(NEW.body, 'pitfall') > 0
    BEGIN SELECT raise(FAIL, 'a pitfall'); END;";

fn batch(round: u64, op: u64, size: u64, fails: bool) -> Vec<AuditEntry> {
    let mut entries: Vec<_> = (0..size).map(|n| audit(&format!("dec_{round}_{op}_{n}"))).collect();
    if fails {
        entries.push(audit(&format!("dec_{round}_{op}_pitfall")));
    }
    entries
}

type Calls = std::pin::Pin<Box<dyn Future<Output = Result<Vec<bool>, StoreError>> + Send>>;

fn calls(store: &Store, entries: Vec<AuditEntry>) -> Calls {
    let store = store.clone();
    Box::pin(async move { store.record_calls(entries, |_| true).await })
}

async fn stored_leaves(store: &Store) -> Vec<Hash> {
    let mut leaves = Vec::new();
    loop {
        let page = store.audit_tail(leaves.len() as u64, TAIL_LIMIT).await.unwrap();
        if page.is_empty() {
            return leaves;
        }
        leaves.extend(page.iter().map(|entry| rfc6962::leaf(&entry.body)));
    }
}

async fn fits(store: &Store) {
    let leaves = stored_leaves(store).await;
    let size = leaves.len() as u64;
    assert_eq!(store.audit_size(), size);
    // The reference is slow: a dozen of each where the log is long.
    let step = (size / 12).max(97) as usize;
    let sizes: Vec<u64> = (0..size).step_by(step).chain([size]).collect();
    let roots = store.log_roots(sizes.clone()).await.unwrap();
    for (known, root) in sizes.iter().zip(roots) {
        assert_eq!(root, rfc6962::mth(&leaves[..*known as usize]), "the root of {known} of {size}");
    }
    for at in (0..size).step_by(4 * step) {
        let path = rfc6962::path(at as usize, &leaves);
        assert_eq!(store.log_inclusion(size, at).await.unwrap(), path);
        let proof = rfc6962::proof(at as usize + 1, &leaves);
        assert_eq!(store.log_consistency(at + 1, size).await.unwrap(), proof);
    }
    for n in 0..size.div_ceil(WIDTH) {
        let width = TilePlace::width_in(0, n, size);
        let from = (n * WIDTH) as usize;
        let tile = store.log_tile(TilePlace { level: 0, n, width }).await.unwrap();
        assert_eq!(tile, leaves[from..from + width as usize]);
    }
}

#[tokio::test]
async fn nothing_of_a_failed_operation_is_in_the_tree() {
    let place = Place::new();
    let mut store = place.create();
    place.raw().execute_batch(TRAP).unwrap();
    let mut expected = 0;
    for round in 0..24_u64 {
        let mut operations = Vec::new();
        for op in 0..60 {
            let (size, fails) = ((round + op) % 5 + 1, (round * 7 + op * 3) % 4 == 0);
            expected += if fails { 0 } else { size };
            operations.push(calls(&store, batch(round, op, size, fails)));
        }
        let done = group(&store, operations).await;
        assert!(done.iter().any(Result::is_err) && done.iter().any(Result::is_ok));
        assert_eq!(store.audit_size(), expected);
        if round % 8 == 7 {
            fits(&store).await;
            drop(store);
            store = place.open();
        }
    }
    assert!(expected > 3000, "{expected}");
    fits(&store).await;
}

#[tokio::test]
async fn a_group_that_does_not_hold_leaves_the_tree_as_it_was() {
    let place = Place::new();
    let store = place.create();
    place.raw().execute_batch(writer::TRAP).unwrap();
    for round in 0..12_u64 {
        let mut operations = vec![calls(&store, batch(round, 0, 100, false))];
        if round % 3 == 1 {
            let (store, exchange) = (store.clone(), exchange(round, "trap", NOW.seconds()));
            operations.push(Box::pin(async move {
                store.record_exchange(exchange).await.map(|_| Vec::new()).map_err(|error| match error {
                    RecordError::Store(error) => error,
                    other => panic!("{other}"),
                })
            }));
        }
        let held = group(&store, operations).await.iter().all(Result::is_ok);
        assert_eq!(held, round % 3 != 1);
    }
    assert_eq!(store.audit_size(), 800);
    fits(&store).await;
}

/// A store of so many entries, with a checkpoint over all of them.
async fn filled(place: &Place, entries: u64) -> Hash {
    let store = place.create();
    for round in 0..entries.div_ceil(100) {
        let size = (entries - round * 100).min(100);
        calls(&store, batch(round, 0, size, false)).await.unwrap();
    }
    let root = store.log_roots(vec![entries]).await.unwrap()[0];
    assert!(checkpoint(&store, entries, NOW).await);
    root
}

async fn checkpoint(store: &Store, size: u64, at: Timestamp) -> bool {
    let root = store.log_roots(vec![size]).await.unwrap()[0];
    let origin = shortbread_protocol::log::origin(&store.meta().issuer);
    let text = shortbread_protocol::log::Checkpoint { size, root }.text(&origin);
    let note = format!("{text}\n\u{2014} {origin} AAAA\n").into_bytes();
    store.keep_checkpoint(StoredCheckpoint { size, at, note }).await.unwrap()
}

#[tokio::test]
async fn tiles_that_are_missing_are_built_when_the_store_is_opened() {
    let place = Place::new();
    let root = filled(&place, 1500).await;
    for gone in ["1", "level = 0 AND n IN (0, 3)", "level = 0 AND n > 2"] {
        place.raw().execute(&format!("DELETE FROM audit_tile WHERE {gone}"), []).unwrap();
        let store = place.open();
        assert_eq!(store.log_roots(vec![1500]).await.unwrap(), [root], "without {gone}");
        fits(&store).await;
    }
}

#[tokio::test]
async fn levels_above_are_built_too() {
    let place = Place::new();
    drop(place.create());
    let mut raw = place.raw();
    let tx = raw.transaction().unwrap();
    let leaves = leaves(65_536 + 300);
    for (idx, leaf) in leaves.iter().enumerate() {
        let body = idx.to_be_bytes();
        let sql = "INSERT INTO audit_entry (idx, at, body, leaf) VALUES (?1, 0, ?2, ?3)";
        tx.prepare_cached(sql).unwrap().execute(rusqlite::params![idx as i64, body, leaf]).unwrap();
    }
    tx.commit().unwrap();
    drop(raw);
    let store = place.open();
    assert_eq!(store.log_roots(vec![leaves.len() as u64]).await.unwrap(), [rfc6962::mth(&leaves)]);
    for entry in 0..300_u64 {
        store.record_denial(None, audit(&format!("dec_{entry}"))).await.unwrap();
    }
    drop(store);
    fits(&place.open()).await;
    let above: i64 = place
        .raw()
        .query_row("SELECT count(*) FROM audit_tile WHERE level = 1", [], |row| row.get(0))
        .unwrap();
    assert_eq!(above, 1);
}

#[tokio::test]
async fn a_log_that_contradicts_itself_is_refused_with_the_place_named() {
    for (change, named) in [
        ("UPDATE audit_entry SET body = CAST('forged' AS BLOB) WHERE idx = 1400", "entry 1400"),
        ("UPDATE audit_entry SET leaf = zeroblob(32) WHERE idx = 1300", "entry 1300"),
        ("UPDATE audit_tile SET root = zeroblob(32) WHERE level = 0 AND n = 4", "tile 0/4"),
        ("UPDATE audit_tile SET hashes = zeroblob(8192) WHERE level = 0 AND n = 4", "tile 0/4"),
        ("DELETE FROM audit_entry WHERE idx = 1499", "entries 1499 to 1499"),
        ("DELETE FROM audit_entry WHERE idx = 1450", "entries 1280 to 1499"),
        ("DELETE FROM audit_entry WHERE idx >= 1200", "entries 1200 to 1279"),
        ("DELETE FROM audit_entry WHERE idx = 700; DELETE FROM audit_tile WHERE n = 2", "entries 512 to 767"),
        ("UPDATE audit_tile SET root = zeroblob(32) WHERE level = 0 AND n = 1", "checkpoint of 1500"),
        ("UPDATE audit_checkpoint SET note = CAST('x' AS BLOB)", "checkpoint of 1500"),
        ("UPDATE audit_checkpoint SET size = 1600", "entries 1500 to 1599"),
    ] {
        let place = Place::new();
        filled(&place, 1500).await;
        place.raw().execute_batch(change).unwrap();
        let refused = Store::open(&place.path(), &Options::default()).unwrap_err();
        let StoreError::LogDamaged { place, .. } = &refused else { panic!("{change}: {refused}") };
        assert!(place.contains(named), "{change}: {place}");
    }
}

#[tokio::test]
async fn checkpoints_only_grow_and_time_with_them() {
    let place = Place::new();
    let store = place.create();
    calls(&store, batch(0, 0, 50, false)).await.unwrap();
    let later = NOW.plus(std::time::Duration::from_secs(60));
    assert!(checkpoint(&store, 10, later).await);
    assert!(!checkpoint(&store, 10, later).await && !checkpoint(&store, 9, later).await);
    // The clock went back.
    assert!(checkpoint(&store, 20, NOW).await);
    let last = store.last_checkpoint().await.unwrap().unwrap();
    assert_eq!((last.size, last.at), (20, later));
    let beyond = StoredCheckpoint { size: 51, ..last };
    assert!(!store.keep_checkpoint(beyond).await.unwrap());
    assert_eq!(store.audit_place(NOW).await, Ok(0));
    assert_eq!(store.audit_place(later).await, Ok(20));
    let sizes: Vec<u64> = store.checkpoints(0, 10).await.unwrap().iter().map(|one| one.size).collect();
    assert_eq!(sizes, [10, 20]);
}

const DAY: u64 = 86_400;

fn day(n: u64) -> Timestamp {
    Timestamp::from_seconds(NOW.seconds() + n * DAY)
}

#[tokio::test]
async fn what_is_pruned_leaves_every_proof_of_the_rest() {
    let place = Place::new();
    let store = place.create();
    store.record_exchange(exchange(1, "enrich", NOW.seconds())).await.unwrap();
    for n in 0..8_u64 {
        calls(&store, batch(n, 0, 200, false)).await.unwrap();
        assert!(checkpoint(&store, store.audit_size(), day(n)).await);
    }
    let (leaves, size) = (stored_leaves(&store).await, store.audit_size());
    let prune = async |store: &Store, before| {
        while store.prune_log(Some(before), day(8)).await.unwrap() {}
        store.audit_tail(0, 1).await.unwrap().first().map(|entry| entry.idx)
    };
    assert_eq!(prune(&store, Timestamp::from_seconds(NOW.seconds() - 1)).await, Some(0));
    assert_eq!(store.counts().await.unwrap().tokens, 1);
    // By the third day 601 had arrived: two whole tiles.
    assert_eq!(prune(&store, day(2)).await, Some(512));
    assert_eq!(store.counts().await.unwrap().tokens, 0);
    assert!(store.audit_by_decision("dec_0_0_0").await.unwrap().is_empty());
    let keys: i64 = place.raw().query_row("SELECT count(*) FROM audit_key", [], |row| row.get(0)).unwrap();
    assert_eq!(keys as u64, size - 512);
    let reopen = |store: Store| {
        drop(store);
        place.open()
    };
    let store = reopen(store);
    assert_eq!(store.audit_size(), size);
    for at in [512, 700, size - 1] {
        let path = rfc6962::path(at as usize, &leaves);
        assert_eq!(store.log_inclusion(size, at).await.unwrap(), path);
    }
    for from in (1..size).step_by(37) {
        let proof = rfc6962::proof(from as usize, &leaves);
        assert_eq!(store.log_consistency(from, size).await.unwrap(), proof);
    }
    // Everything that makes a whole tile.
    assert_eq!(prune(&store, day(30)).await, Some(size / WIDTH * WIDTH));
    let store = reopen(store);
    assert_eq!(
        store.record_denial(None, audit("next")).await.map(|denial| denial.place),
        Ok(size),
        "places go on"
    );
    let roots = store.log_roots(vec![100, size]).await.unwrap();
    assert_eq!(roots, [rfc6962::mth(&leaves[..100]), rfc6962::mth(&leaves)]);
}

#[tokio::test]
async fn a_log_that_was_pruned_to_its_end_begins_nowhere_anew() {
    let place = Place::new();
    let store = place.create();
    calls(&store, batch(0, 0, 256, false)).await.unwrap();
    assert!(checkpoint(&store, 256, NOW).await);
    while store.prune_log(Some(day(1)), day(2)).await.unwrap() {}
    assert_eq!(store.counts().await.unwrap().audit, 0);
    drop(store);
    let store = place.open();
    assert_eq!(store.audit_size(), 256);
    assert_eq!(store.record_denial(None, audit("next")).await.map(|denial| denial.place), Ok(256));
    assert!(store.log_inclusion(257, 256).await.is_ok());
}

#[tokio::test]
async fn old_checkpoints_are_thinned_out() {
    let place = Place::new();
    let store = place.create();
    calls(&store, batch(0, 0, 900, false)).await.unwrap();
    let start = NOW.seconds() / DAY * DAY;
    // Every ten minutes on three days.
    for n in 0..432 {
        assert!(checkpoint(&store, n + 1, Timestamp::from_seconds(start + n * 600)).await);
    }
    let count = async |now| {
        while store.prune_log(None, Timestamp::from_seconds(now)).await.unwrap() {}
        store.checkpoints(0, 1000).await.unwrap().len()
    };
    assert_eq!(count(start + 600).await, 432);
    assert_eq!(count(start + 3 * DAY).await, 48 + 144, "one an hour, and a day of all");
    assert_eq!(count(start + 60 * DAY).await, 3, "one a day");
    let last = store.last_checkpoint().await.unwrap().unwrap();
    assert_eq!(last.size, 432, "the newest stays");
}
