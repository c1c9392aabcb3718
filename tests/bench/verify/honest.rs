//! Ten million honest calls while other threads want both processors: no clock decides, so none is refused.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::MILLION;
use super::bench::{Bench, SMALL_CACHE, allowed, verifier};
use super::threads::RING;
use crate::Outcome;
use crate::figure::{Figure, Target};

const CALLS: usize = 10_000_000;
const THREADS: usize = 2;
/// One call in so many is with a token at first sight.
const RARE: usize = 100;
const MANY: usize = 1000;

pub fn measure(bench: &Bench) -> Outcome<Vec<Figure>> {
    let tokens = (0..RING).map(|_| bench.token(None)).collect::<Outcome<Vec<String>>>()?;
    let trust = bench.trust(MILLION)?;
    // The small cache hardly ever holds the token that comes next in the ring.
    let (first, again) = (verifier(&trust)?.cache_bytes(SMALL_CACHE), verifier(&trust)?);
    let (over, next) = (AtomicBool::new(false), AtomicUsize::new(0));
    let nth = |at: usize| tokens.get(at).map_or("", String::as_str);
    let call = |at: usize| match at % RARE {
        0 => allowed(&first, nth(next.fetch_add(1, Ordering::Relaxed) % RING)),
        _ => allowed(&again, nth(at % MANY)),
    };
    let refused: usize = thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::black_box(tokens.iter().map(String::len).sum::<usize>());
                }
            });
        }
        let calls = |_| scope.spawn(|| (0..CALLS / THREADS).filter(|at| call(*at) == 0).count());
        let calling: Vec<_> = (0..THREADS).map(calls).collect();
        let refused = calling.into_iter().map(|thread| thread.join().unwrap_or(CALLS)).sum();
        over.store(true, Ordering::Relaxed);
        refused
    });
    let name = "refused of 10,000,000 honest calls under full load (1 in 100 at first sight)";
    Ok(vec![Figure::of(name, "calls", vec![refused as f64]).target(Target::AtMost(0.0))])
}
