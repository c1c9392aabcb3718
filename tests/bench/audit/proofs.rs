//! Proofs out of a log of ten million entries.

use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};
use shortbread_broker::store::{Meta, Options, Store, StoreKind};
use shortbread_protocol::clock::{Clock as _, SystemClock, Timestamp};
use zeroize::Zeroizing;

use super::entry;
use crate::disk::Folder;
use crate::figure::{Figure, Target};
use crate::{Outcome, progress};

const ENTRIES: u64 = 10_000_000;
const WIDTH: u64 = 256;
const ASKED: u64 = 2000;

pub fn measure() -> Outcome<Vec<Figure>> {
    progress::say("audit: a log of ten million entries");
    let folder = Folder::make("proofs")?;
    let path = folder.path().join("s.db");
    let meta = Meta {
        kind: StoreKind::Broker,
        issuer: "https://broker.acme.example".to_owned(),
        created: Timestamp::from_seconds(1),
        hmac_secret: Zeroizing::new([7; 32]),
    };
    drop(Store::create(&path, &meta, &Options::default())?);
    fill(&path)?;
    let store = Store::open(&path, &Options::default())?;
    if store.audit_size() != ENTRIES {
        return Err(format!("the log has {} entries", store.audit_size()).into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    progress::say("audit: proofs out of ten million entries");
    let inclusion = timed(&runtime, |n| store.log_inclusion(ENTRIES, n))?;
    let consistency = timed(&runtime, |n| store.log_consistency(n + 1, ENTRIES))?;
    Ok(vec![
        Figure::of("audit.proof of inclusion, 10,000,000 entries", "ms", inclusion)
            .target(Target::AtMost(1.0)),
        Figure::of("audit.proof of consistency, 10,000,000 entries", "ms", consistency),
    ])
}

fn timed<T, E, F>(runtime: &tokio::runtime::Runtime, ask: impl Fn(u64) -> F) -> Outcome<Vec<f64>>
where
    F: Future<Output = Result<T, E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    let clock = SystemClock::start();
    let mut times = Vec::new();
    for n in 0..ASKED {
        // All over the log, each another one.
        let place = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % ENTRIES;
        let begun = clock.monotonic();
        runtime.block_on(ask(place))?;
        times.push(1e3 * (clock.monotonic() - begun).as_secs_f64());
    }
    Ok(times)
}

// The tiles of such a log, and the entries of the newest, partial one: what is older was pruned.
fn fill(path: &std::path::Path) -> Outcome<()> {
    let mut conn = Connection::open(path)?;
    let tx = conn.transaction()?;
    let (mut level, mut hashes): (u64, Box<dyn Iterator<Item = [u8; 32]>>) =
        (0, Box::new((0..ENTRIES).map(|n| Sha256::digest(n.to_be_bytes()).into())));
    loop {
        let mut roots: Vec<[u8; 32]> = Vec::new();
        let mut tile: Vec<[u8; 32]> = Vec::with_capacity(256);
        for hash in hashes {
            tile.push(hash);
            if tile.len() as u64 == WIDTH {
                let root = root(&tile);
                let mut insert = tx.prepare_cached(
                    "INSERT INTO audit_tile (level, n, root, hashes) VALUES (?1, ?2, ?3, ?4)",
                )?;
                insert.execute(params![level as i64, roots.len() as i64, root, tile.concat()])?;
                roots.push(root);
                tile.clear();
            }
        }
        if roots.is_empty() {
            break;
        }
        level += 1;
        hashes = Box::new(roots.into_iter());
    }
    for n in ENTRIES / WIDTH * WIDTH..ENTRIES {
        let body = entry(n);
        let leaf: [u8; 32] = Sha256::new().chain_update([0]).chain_update(&body).finalize().into();
        tx.execute(
            "INSERT INTO audit_entry (idx, at, body, leaf) VALUES (?1, 0, ?2, ?3)",
            params![n as i64, body, leaf],
        )?;
    }
    tx.commit()?;
    Ok(())
}

fn root(tile: &[[u8; 32]]) -> [u8; 32] {
    let mut row = tile.to_vec();
    while row.len() > 1 {
        let node = |pair: &[[u8; 32]]| {
            let hash = Sha256::new().chain_update([1]);
            pair.iter().fold(hash, |hash, side| hash.chain_update(side)).finalize().into()
        };
        row = row.chunks(2).map(node).collect();
    }
    row[0]
}
