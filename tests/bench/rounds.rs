//! Times short operations against each other: in turns, so that a slow moment of the machine hits all alike.

use std::hint::black_box;
use std::time::Duration;

use shortbread_protocol::clock::{Clock as _, SystemClock};

use crate::Outcome;
use crate::figure::median;
use crate::progress;

const ROUNDS: usize = 31;
/// A round's sample is the median of so many turns.
const TURNS: usize = 15;
/// Shorter than the scheduler's slice: what else runs on the machine spoils some turns and leaves the median alone.
const TURN: Duration = Duration::from_millis(1);

/// An operation that can be repeated. It gives 0 when it failed, and anything else is only used.
pub type Operation<'a> = Box<dyn FnMut() -> usize + 'a>;

/// Microseconds of each operation, a sample for each round.
///
/// # Errors
/// When an operation fails even once: how long a failure takes says nothing.
pub fn interleaved(operations: &mut [(String, Operation<'_>)]) -> Outcome<Samples> {
    let clock = SystemClock::start();
    let mut counts = Vec::with_capacity(operations.len());
    for (name, each) in operations.iter_mut() {
        counts.push(calibrated(each, &clock).ok_or_else(|| failed(name))?);
    }
    let mut samples = Samples(operations.iter().map(|(name, _)| (name.clone(), Vec::new())).collect());
    for number in 1..=ROUNDS {
        progress::say(&format!("short operations: round {number} of {ROUNDS}"));
        for ((_, samples), median) in samples.0.iter_mut().zip(round(operations, &counts, &clock)?) {
            samples.push(median);
        }
    }
    Ok(samples)
}

/// What was measured, by the name of the operation.
pub struct Samples(Vec<(String, Vec<f64>)>);

impl Samples {
    pub fn of(&self, name: &str) -> Outcome<&[f64]> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, samples)| &samples[..]).ok_or_else(|| format!("{name} was not measured").into())
    }

    /// One operation over another, round by round.
    pub fn ratio(&self, above: &str, below: &str) -> Outcome<Vec<f64>> {
        Ok(ratios(self.of(above)?, self.of(below)?))
    }
}

fn failed(name: &str) -> String {
    format!("{name}: it failed while it was measured")
}

fn round(
    operations: &mut [(String, Operation<'_>)],
    counts: &[u32],
    clock: &SystemClock,
) -> Outcome<Vec<f64>> {
    let mut turns = vec![Vec::with_capacity(TURNS); operations.len()];
    for _ in 0..TURNS {
        for (((name, operation), count), turns) in operations.iter_mut().zip(counts).zip(&mut turns) {
            let mut failures = 0;
            // Not timed: what ran before has filled the processor's caches with its own.
            for _ in 0..(count / 2).max(3) {
                failures += u32::from(black_box(operation()) == 0);
            }
            let begun = clock.monotonic();
            for _ in 0..*count {
                failures += u32::from(black_box(operation()) == 0);
            }
            turns.push((clock.monotonic() - begun).as_secs_f64() * 1e6 / f64::from(*count));
            if failures > 0 {
                return Err(failed(name).into());
            }
        }
    }
    Ok(turns
        .iter_mut()
        .map(|turns| {
            turns.sort_by(f64::total_cmp);
            median(turns)
        })
        .collect())
}

// How often it fits into a turn; warms up, too. `None` when it fails.
fn calibrated(operation: &mut Operation<'_>, clock: &SystemClock) -> Option<u32> {
    const WARM: u32 = 25;
    let begun = clock.monotonic();
    let mut count = 0_u32;
    while clock.monotonic() - begun < TURN * WARM {
        if black_box(operation()) == 0 {
            return None;
        }
        count += 1;
    }
    Some((count / WARM).max(1))
}

/// The ratio of two operations, round by round.
pub fn ratios(above: &[f64], below: &[f64]) -> Vec<f64> {
    above.iter().zip(below).map(|(above, below)| above / below).collect()
}
