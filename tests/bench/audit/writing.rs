//! Entries that are durable, in groups, and what of that is the tree's.

use sha2::{Digest as _, Sha256};
use shortbread_broker::store::{AuditEntry, Meta, Options, Store, StoreKind};
use shortbread_protocol::clock::{Clock as _, SystemClock, Timestamp};
use zeroize::Zeroizing;

use super::entry;
use crate::broker::recorded;
use crate::disk::Folder;
use crate::figure::{Figure, Target};
use crate::{Outcome, progress};

const ENTRIES: u64 = 200_000;
/// As many as a verifier sends in one message.
const BATCH: u64 = 64;
/// Hashes of a tile.
const TILE: usize = 256;

pub fn measure(rounds: usize) -> Outcome<Vec<Figure>> {
    let (mut rates, mut shares) = (Vec::new(), Vec::new());
    for number in 1..=rounds {
        progress::say(&format!("audit: durable entries, round {number} of {rounds}"));
        let rate = written()?;
        let tree = tree_alone()?;
        shares.push(100.0 * tree * rate / 1e6);
        rates.push(rate);
    }
    let name = "audit.record, durable, with the Merkle log, groups of 64";
    Ok(vec![
        Figure::of(name, "/s", rates).target(Target::AtLeast(80_000.0)),
        Figure::of("audit.tree (leaf, tile, row of the tile) of the time of an entry", "%", shares)
            .target(Target::AtMost(15.0)),
    ])
}

// Through the store, as uploads of call decisions go.
fn written() -> Outcome<f64> {
    let folder = Folder::make("audit")?;
    let meta = Meta {
        kind: StoreKind::Broker,
        issuer: "https://broker.acme.example".to_owned(),
        created: Timestamp::from_seconds(1),
        hmac_secret: Zeroizing::new([7; 32]),
    };
    let store = Store::create(&folder.path().join("s.db"), &meta, &Options::default())?;
    let batches: Vec<Vec<AuditEntry>> = (0..ENTRIES / BATCH).map(batch).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let clock = SystemClock::start();
    let begun = clock.monotonic();
    runtime.block_on(recorded(&store, batches.into_iter()))?;
    let took = (clock.monotonic() - begun).as_secs_f64();
    if store.audit_size() != ENTRIES {
        return Err(format!("{} of {ENTRIES} entries were recorded", store.audit_size()).into());
    }
    Ok(ENTRIES as f64 / took)
}

fn batch(n: u64) -> Vec<AuditEntry> {
    let entry = |n: u64| AuditEntry {
        at: Timestamp::from_seconds(1_795_348_800),
        decision: format!("dec_{n:032x}"),
        trace: Some(u128::from(n).to_be_bytes()),
        parent: None,
        about: None,
        body: entry(n),
        input: None,
    };
    (n * BATCH..(n + 1) * BATCH).map(entry).collect()
}

/// Microseconds an entry of what the tree adds to a store without it: the leaf, its share of the tile's root and of the row.
fn tree_alone() -> Outcome<f64> {
    let folder = Folder::make("tiles")?;
    let conn = rusqlite::Connection::open(folder.path().join("t.db"))?;
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
        CREATE TABLE audit_tile (level INTEGER NOT NULL, n INTEGER NOT NULL, root BLOB NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY (level, n)) STRICT;",
    )?;
    const TILES: usize = 400;
    let bodies: Vec<Vec<u8>> = (0..TILE as u64).map(entry).collect();
    let clock = SystemClock::start();
    let begun = clock.monotonic();
    for n in 0..TILES {
        let leaves: Vec<[u8; 32]> = bodies
            .iter()
            .map(|body| Sha256::new().chain_update([0]).chain_update(body).finalize().into())
            .collect();
        let mut row = leaves.clone();
        while row.len() > 1 {
            let node = |pair: &[[u8; 32]]| {
                let hash = Sha256::new().chain_update([1]);
                pair.iter().fold(hash, |hash, side| hash.chain_update(side)).finalize().into()
            };
            row = row.chunks(2).map(node).collect();
        }
        // Groups of a few thousand entries share a commit.
        if n % 8 == 0 {
            conn.execute_batch("BEGIN")?;
        }
        let mut insert = conn.prepare_cached("INSERT INTO audit_tile VALUES (0, ?1, ?2, ?3)")?;
        insert.execute(rusqlite::params![n as i64, row[0], leaves.concat()])?;
        drop(insert);
        if n % 8 == 7 {
            conn.execute_batch("COMMIT")?;
        }
    }
    Ok(1e6 * (clock.monotonic() - begun).as_secs_f64() / (TILES * TILE) as f64)
}
