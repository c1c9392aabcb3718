//! `audit verify`: an export of half a million entries against its proof, on one core.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};

use shortbread_broker::proof::{Asked, Head, Range, Tail, Trust, leaf, verify, write_leaf};
use shortbread_protocol::clock::{Clock as _, SystemClock};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::note;

use super::entry;
use crate::disk::Folder;
use crate::figure::{Figure, Target};
use crate::{Outcome, progress};

const ENTRIES: u64 = 500_000;
const ORIGIN: &str = "broker.acme.example/log";
const ROUNDS: usize = 5;

pub fn measure() -> Outcome<Vec<Figure>> {
    progress::say("audit: an export of 500,000 entries");
    let folder = Folder::make("export")?;
    let (export, proof) = (folder.path().join("log.jsonl"), folder.path().join("log.jsonl.proof"));
    let audit = PrivateKey::from_seed(&[5; 32]);
    let (mut lines, mut proofs) =
        (BufWriter::new(File::create(&export)?), BufWriter::new(File::create(&proof)?));
    Head::new(ORIGIN, [0, ENTRIES, ENTRIES], &[], &[]).write(&mut proofs)?;
    let mut range = Range::default();
    for n in 0..ENTRIES {
        let body = entry(n);
        let leaf = leaf(&body);
        write_leaf(&mut proofs, &leaf)?;
        range.push(leaf);
        lines.write_all(&body)?;
        lines.write_all(b"\n")?;
    }
    let text = format!("{ORIGIN}\n{ENTRIES}\n{}\n", base64(&range.root()));
    let checkpoint = note::sign(&text, ORIGIN, &audit);
    Tail { checkpoint, keys: Vec::new() }.write(&mut proofs)?;
    lines.flush()?;
    proofs.flush()?;
    let clock = SystemClock::start();
    let mut rates = Vec::new();
    for round in 0..=ROUNDS {
        progress::say(&format!("audit: verified offline, round {round} of {ROUNDS}"));
        let begun = clock.monotonic();
        let open = |path| File::open(path).map(|file| BufReader::with_capacity(1 << 20, file));
        let trust = Trust::Audit(audit.public());
        let asked = Asked { log: Some(ORIGIN.to_owned()), ..Asked::default() };
        let report = verify(open(&export)?, open(&proof)?, &trust, &[], &asked, &mut |_, _| {})?;
        if !report.is_good() {
            return Err("an undamaged log did not verify".into());
        }
        // The first warms the page cache.
        if round > 0 {
            rates.push(ENTRIES as f64 / (clock.monotonic() - begun).as_secs_f64());
        }
    }
    let name = "audit.verify, offline, one core";
    Ok(vec![Figure::of(name, "entries/s", rates).target(Target::AtLeast(500_000.0))])
}

fn base64(hash: &[u8; 32]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(hash)
}
