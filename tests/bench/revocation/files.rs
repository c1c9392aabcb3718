//! What the list costs on the wire, to take in, and to hold.

use std::io::Write as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use shortbread_protocol::clock::{Clock as _, FOREVER, SystemClock};
use shortbread_protocol::revocations::{Cause, Delta, Entry, RevokedId, SelectorKind, origin};
use shortbread_verifier::list::{Next, Trust};

use crate::figure::{Figure, Target};
use crate::verify::{Bench, Files, ISSUER, MILLION, in_a_child};
use crate::{Outcome, progress};

const ROUNDS: usize = 15;
const CHANGES: u64 = 100;
const MIB: f64 = (1024 * 1024) as f64;

pub fn measure() -> Outcome<Vec<Figure>> {
    progress::say("revocation: a list of a million");
    let bench = Bench::new()?;
    let files = bench.files(MILLION)?;
    let mut figures = full(&bench, &files)?;
    for (what, selectors) in [("selectors", true), ("tokens", false)] {
        figures.extend(delta(&bench, &files, what, selectors)?);
    }
    Ok(figures)
}

fn full(bench: &Bench, files: &Files) -> Outcome<Vec<Figure>> {
    let line = files.snapshot.iter().position(|b| *b == b'\n').ok_or("a snapshot without its first line")?;
    let each = (files.snapshot.len() - line - 1) as f64 / f64::from(MILLION);
    let (clock, mut times) = (SystemClock::start(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = clock.monotonic();
        drop(files.trust(bench.root.public(), Arc::clone(&bench.clock))?);
        times.push(1e3 * (clock.monotonic() - begun).as_secs_f64());
    }
    let root = bench.root.public().to_pem();
    let parts = [root.as_bytes(), &files.document, &files.head, &files.snapshot];
    let (mut held, mut most) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let [resident, peak] = in_a_child("list", &parts)?[..] else {
            return Err("two numbers are told".into());
        };
        held.push(resident / MIB);
        most.push(peak / MIB);
    }
    Ok(vec![
        Figure::of("list of 1,000,000 ids: after its first line", "bytes an id", vec![each])
            .target(Target::AtMost(20.0)),
        Figure::of("list of 1,000,000 ids: from its bytes to in force", "ms", times)
            .target(Target::AtMost(100.0)),
        Figure::of("list of 1,000,000 ids: memory held", "MiB", held).target(Target::AtMost(40.0)),
        Figure::of("list of 1,000,000 ids: most memory while it is taken in, its file apart", "MiB", most),
    ])
}

fn delta(bench: &Bench, files: &Files, what: &str, selectors: bool) -> Outcome<Vec<Figure>> {
    let (from, seq) = (bench.contents(), bench.contents() + CHANGES);
    let entry = |n: u64| Entry {
        kind: SelectorKind::Task,
        // As hard to compress as ids are: all of it is random.
        value: format!("tsk_{}", hex(&RevokedId::hash(&n.to_be_bytes()))),
        before: FOREVER,
        until: Some(bench.now() + 3600),
        seq: from + n + 1,
        cause: Cause::Incident,
    };
    let until = u32::try_from(bench.now() + 3600).unwrap_or(u32::MAX);
    let id = |n: u64| RevokedId { id: RevokedId::hash(format!("tok_of_a_delta_{n}").as_bytes()), until };
    let mut delta = Delta { from, seq, ..Delta::default() };
    if selectors {
        delta.entries = (0..CHANGES).map(entry).collect();
    } else {
        delta.ids = (0..CHANGES).map(id).collect();
    }
    let bytes = delta.encode(&origin(ISSUER));
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&bytes)?;
    let wire = packed.finish()?.len().min(bytes.len());
    let head = bench.head_with(files, &delta, &bytes);
    let (clock, mut times) = (SystemClock::start(), Vec::new());
    for _ in 0..ROUNDS {
        let trust = files.trust(bench.root.public(), Arc::clone(&bench.clock))?;
        times.push(1e6 * apply(&trust, &head, &bytes, &clock)?);
    }
    let name = |part: &str| format!("delta of {CHANGES} {what} onto 1,000,000: {part}");
    Ok(vec![
        Figure::of(name("on the wire"), "bytes", vec![wire as f64]).target(Target::AtMost(4096.0)),
        Figure::of(name("from its bytes to in force"), "us", times).target(Target::AtMost(100.0)),
    ])
}

fn apply(trust: &Trust, head: &[u8], bytes: &[u8], clock: &SystemClock) -> Outcome<f64> {
    let Next::Delta(_) = trust.offer_head(head)? else { return Err("the head asks for no delta".into()) };
    let begun = clock.monotonic();
    trust.offer_delta(bytes)?;
    Ok((clock.monotonic() - begun).as_secs_f64())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
