//! Times short operations against each other: in turns, so that a slow moment of the machine hits all alike.

use std::hint::black_box;
use std::time::Duration;

use shortbread_protocol::clock::{Clock as _, SystemClock};

use crate::figure::median;
use crate::progress;

const ROUNDS: usize = 31;
/// A round's sample is the median of so many turns.
const TURNS: usize = 15;
/// Shorter than the scheduler's slice: what else runs on the machine spoils some turns and leaves the median alone.
const TURN: Duration = Duration::from_millis(1);

/// An operation that can be repeated. What it gives only has to be used.
pub type Operation<'a> = Box<dyn FnMut() -> usize + 'a>;

/// Microseconds of each operation, a sample for each round.
pub fn interleaved(operations: &mut [(&str, Operation<'_>)]) -> Vec<Vec<f64>> {
    let clock = SystemClock::start();
    let counts: Vec<u32> = operations.iter_mut().map(|(_, each)| calibrated(each, &clock)).collect();
    let mut samples = vec![Vec::with_capacity(ROUNDS); operations.len()];
    for number in 1..=ROUNDS {
        progress::say(&format!("short operations: round {number} of {ROUNDS}"));
        for (samples, median) in samples.iter_mut().zip(round(operations, &counts, &clock)) {
            samples.push(median);
        }
    }
    samples
}

fn round(operations: &mut [(&str, Operation<'_>)], counts: &[u32], clock: &SystemClock) -> Vec<f64> {
    let mut turns = vec![Vec::with_capacity(TURNS); operations.len()];
    for _ in 0..TURNS {
        for (((_, operation), count), turns) in operations.iter_mut().zip(counts).zip(&mut turns) {
            let begun = clock.monotonic();
            for _ in 0..*count {
                black_box(operation());
            }
            turns.push((clock.monotonic() - begun).as_secs_f64() * 1e6 / f64::from(*count));
        }
    }
    turns
        .iter_mut()
        .map(|turns| {
            turns.sort_by(f64::total_cmp);
            median(turns)
        })
        .collect()
}

// How often it fits into a turn; warms up, too.
fn calibrated(operation: &mut Operation<'_>, clock: &SystemClock) -> u32 {
    const WARM: u32 = 25;
    let begun = clock.monotonic();
    let mut count = 0_u32;
    while clock.monotonic() - begun < TURN * WARM {
        black_box(operation());
        count += 1;
    }
    (count / WARM).max(1)
}

/// The ratio of two operations, round by round.
pub fn ratios(above: &[f64], below: &[f64]) -> Vec<f64> {
    above.iter().zip(below).map(|(above, below)| above / below).collect()
}
