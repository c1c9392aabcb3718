//! Resident memory, in processes of their own that do nothing else: of a large list, and of the cache under a flood.

use std::fs::read_to_string;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;

use shortbread_protocol::clock::SystemClock;
use shortbread_protocol::keys::PublicKey;

use super::MILLION;
use super::bench::{Bench, Files, allowed, verifier};
use crate::Outcome;
use crate::figure::{Figure, Target};

const RUNS: usize = 3;
const MIB: f64 = (1024 * 1024) as f64;
/// The cap of 64 MiB and a quarter for what the allocator adds.
const CAP: f64 = 64.0 * 1.25;
/// Tokens of the flood, each with a narrower copy: together far more than the cap.
const FLOOD: usize = 20_000;
/// Copies of a single token, made offline by whoever holds it.
const COPIES: usize = 5_000;

pub fn measure(bench: &Bench) -> Outcome<Vec<Figure>> {
    let files = bench.files(MILLION)?;
    let root = bench.root.public().to_pem();
    let (mut each, mut peak, mut grown) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let parts = [root.as_bytes(), &files.document, &files.head, &files.snapshot];
        let [held, most] = run("list", &parts)?[..] else { return Err("two numbers are told".into()) };
        each.push(held / f64::from(MILLION));
        peak.push(most / MIB);
        grown.extend(run("flood", &[])?.iter().map(|bytes| bytes / MIB));
    }
    let tokens = 2 * FLOOD + COPIES;
    let flood = format!("growth of resident memory in a flood of {tokens} valid tokens, cache of 64 MiB");
    Ok(vec![
        Figure::of("resident memory of a revoked id, list of 1,000,000", "bytes", each)
            .target(Target::AtMost(40.0)),
        Figure::of("resident memory while that list is taken in, its 19 MiB of file apart", "MiB", peak),
        Figure::of(flood, "MiB", grown).target(Target::AtMost(CAP)),
    ])
}

/// Starts this program again for one of the two, and hands it what it needs.
pub fn run(what: &str, parts: &[&[u8]]) -> Outcome<Vec<f64>> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["memory-for-bench", what])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut to) = child.stdin.take() {
        for part in parts {
            to.write_all(&(part.len() as u64).to_le_bytes())?;
            to.write_all(part)?;
        }
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("measuring memory ended with {}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}

/// What runs in the process of its own; tells the numbers on standard output.
pub fn child(what: &str) -> Outcome<()> {
    let numbers = if what == "list" { list()? } else { flood()? };
    let text: Vec<String> = numbers.iter().map(f64::to_string).collect();
    Ok(std::io::stdout().write_all(text.join(" ").as_bytes())?)
}

// The file stays where it is until the end, as before: what grows is what taking it in leaves behind.
fn list() -> Outcome<Vec<f64>> {
    let root = PublicKey::from_pem(std::str::from_utf8(&part()?)?)?;
    let files = Files { document: part()?, head: part()?, snapshot: part()? };
    let before = status("VmRSS:")?;
    let trust = files.trust(root, Arc::new(SystemClock::start()))?;
    let numbers = vec![status("VmRSS:")? - before, status("VmHWM:")? - before];
    drop((trust, files));
    Ok(numbers)
}

fn part() -> Outcome<Vec<u8>> {
    let mut from = std::io::stdin().lock();
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::try_from(u64::from_le_bytes(length))?];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn flood() -> Outcome<Vec<f64>> {
    let bench = Bench::new()?;
    let verifier = verifier(&bench.trust(0)?)?;
    let seen = |text: &str| match allowed(&verifier, text) {
        1 => Ok(()),
        _ => Err("a token of the flood was refused"),
    };
    seen(&bench.narrowed(1)?)?;
    let before = status("VmRSS:")?;
    for _ in 0..FLOOD {
        let text = bench.token(None)?;
        seen(&text)?;
        seen(&bench.copy(&text, 0)?)?;
    }
    let held = bench.token(None)?;
    for _ in 0..COPIES {
        seen(&bench.copy(&held, 0)?)?;
    }
    // The highest it ever was, not what is left of it.
    Ok(vec![status("VmHWM:")? - before])
}

/// A field of this process's status, in bytes.
fn status(field: &str) -> Outcome<f64> {
    let status = read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib: Option<f64> = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    Ok(kib.ok_or("the resident memory is not to be read")? * 1024.0)
}
