//! Times short operations against each other: in turns, so that a slow moment of the machine hits all alike.

use std::hint::black_box;
use std::time::Duration;

use shortbread_protocol::clock::{Clock as _, SystemClock};

use crate::progress;

const ROUNDS: usize = 31;
const TURN: Duration = Duration::from_millis(25);

/// An operation that can be repeated. What it gives only has to be used.
pub type Operation<'a> = Box<dyn FnMut() -> usize + 'a>;

/// Microseconds of each operation, a sample for each round. The first round warms up and does not count.
pub fn interleaved(operations: &mut [(&str, Operation<'_>)]) -> Vec<Vec<f64>> {
    let clock = SystemClock::start();
    let mut counts = vec![1_u32; operations.len()];
    let mut samples = vec![Vec::with_capacity(ROUNDS); operations.len()];
    for round in 0..=ROUNDS {
        for (at, (name, operation)) in operations.iter_mut().enumerate() {
            progress::say(&format!("round {round} of {ROUNDS}: {name}"));
            let count = counts[at];
            let begun = clock.monotonic();
            for _ in 0..count {
                black_box(operation());
            }
            let each = (clock.monotonic() - begun).as_secs_f64() / f64::from(count);
            if round > 0 {
                samples[at].push(each * 1e6);
            }
            // Twice in the warm-up: the first, single run is cold.
            if round == 0 {
                counts[at] = calibrated(operation, &clock);
            }
        }
    }
    samples
}

fn calibrated(operation: &mut Operation<'_>, clock: &SystemClock) -> u32 {
    let begun = clock.monotonic();
    let mut count = 0_u32;
    while clock.monotonic() - begun < TURN {
        black_box(operation());
        count += 1;
    }
    count.max(1)
}

/// The ratio of two operations, round by round.
pub fn ratios(above: &[f64], below: &[f64]) -> Vec<f64> {
    above.iter().zip(below).map(|(above, below)| above / below).collect()
}
