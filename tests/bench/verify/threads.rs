//! How much more two threads get done than one.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use shortbread_protocol::clock::{Clock as _, SystemClock};

use super::MILLION;
use super::bench::{Bench, SMALL_CACHE, allowed, verifier};
use crate::Outcome;
use crate::figure::{Figure, Target};
use crate::progress;

const ROUNDS: usize = 21;
const SPAN: Duration = Duration::from_millis(40);
const MANY: usize = 1000;
/// So many more tokens than the cache holds that, whichever it keeps, it has one in twenty at most.
pub const RING: usize = 40_000;

pub fn measure(bench: &Bench) -> Outcome<Vec<Figure>> {
    let tokens = (0..RING).map(|_| bench.token(None)).collect::<Outcome<Vec<String>>>()?;
    let trust = bench.trust(MILLION)?;
    let (first, again) = (verifier(&trust)?.cache_bytes(SMALL_CACHE), verifier(&trust)?);
    // One counter for both threads, so that no token comes round too soon.
    let next = AtomicUsize::new(0);
    let nth = |at: usize| tokens.get(at).map_or("", String::as_str);
    let first_sight = |_: usize| allowed(&first, nth(next.fetch_add(1, Ordering::Relaxed) % RING));
    let seen_before = |at: usize| allowed(&again, nth(at % MANY));
    let mut figures = ratio("first sight", 8, &first_sight, 1.9)?;
    figures.extend(ratio("seen before, 1,000 tokens", 256, &seen_before, 1.6)?);
    Ok(figures)
}

fn ratio(
    name: &str,
    batch: usize,
    work: &(dyn Fn(usize) -> usize + Sync),
    least: f64,
) -> Outcome<Vec<Figure>> {
    let (mut one, mut two) = (Vec::new(), Vec::new());
    rate(2, batch, work)?;
    for round in 1..=ROUNDS {
        progress::say(&format!("two threads, {name}: round {round} of {ROUNDS}"));
        one.push(rate(1, batch, work)?);
        two.push(rate(2, batch, work)?);
    }
    let ratios = two.iter().zip(&one).map(|(two, one)| two / one).collect();
    Ok(vec![
        Figure::of(format!("{name}, one thread"), "1/s", one),
        Figure::of(format!("{name}, two threads"), "1/s", two),
        Figure::of(format!("{name}, two threads / one"), "x", ratios).target(Target::AtLeast(least)),
    ])
}

/// Calls a second, of so many threads at once.
fn rate(threads: usize, batch: usize, work: &(dyn Fn(usize) -> usize + Sync)) -> Outcome<f64> {
    let (clock, begin) = (SystemClock::start(), Barrier::new(threads));
    let run = |thread: usize| -> Option<f64> {
        begin.wait();
        let (begun, mut done) = (clock.monotonic(), 0);
        while clock.monotonic() - begun < SPAN {
            for _ in 0..batch {
                if work(done + thread * MANY / 2) == 0 {
                    return None;
                }
                done += 1;
            }
        }
        Some(done as f64 / (clock.monotonic() - begun).as_secs_f64())
    };
    let rates: Vec<Option<f64>> = thread::scope(|scope| {
        let run = &run;
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or(None)).collect()
    });
    let total: Option<f64> = rates.into_iter().sum();
    total.ok_or_else(|| "an honest call was refused".into())
}
