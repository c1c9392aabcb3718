//! What is told of each part of the time axis beyond its counts: times of exchanges, and why requests and calls were not
//! let through.

use std::collections::BTreeMap;

use shortbread_protocol::admin::StepBody;

use super::Counted;
use super::cell::STEPS;
use super::histogram::Histogram;
use super::names::{Id, Names, OTHER};

/// How many reasons are told apart while counting.
const MOST: usize = 256;
/// How many an answer names, the most frequent first to be named.
const MAX_NAMED: usize = 12;

/// The course of both periods.
#[derive(Debug)]
pub(super) struct Course {
    times: Vec<Histogram>,
    // By reason, as many as there are steps.
    reasons: BTreeMap<Id, Vec<u64>>,
    // Of more reasons than are told apart.
    rest: Vec<u64>,
}

impl Default for Course {
    fn default() -> Self {
        Self { times: vec![Histogram::default(); STEPS], reasons: BTreeMap::new(), rest: vec![0; STEPS] }
    }
}

impl Course {
    /// Counts a decision that lies in this part.
    pub(super) fn note(&mut self, counted: &Counted, step: usize) {
        if let (Some(times), Some(latency)) = (self.times.get_mut(step), counted.latency) {
            times.add(latency);
        }
        let counts = &counted.counts;
        for (reason, n) in [(counted.refused, counts.refused), (counted.denied, counts.denied)] {
            if let Some(count) = reason.and_then(|reason| self.of(reason).get_mut(step)) {
                *count += n;
            }
        }
    }

    fn of(&mut self, reason: Id) -> &mut Vec<u64> {
        if self.reasons.len() < MOST || self.reasons.contains_key(&reason) {
            self.reasons.entry(reason).or_insert_with(|| vec![0; STEPS])
        } else {
            &mut self.rest
        }
    }

    /// Tells it of each part.
    pub(super) fn tell(&self, names: &Names, series: &mut [StepBody]) {
        for (told, times) in series.iter_mut().zip(&self.times) {
            told.p50 = times.quantile(0.5);
            told.p99 = times.quantile(0.99);
        }
        let mut sizes: Vec<(u64, Id)> =
            self.reasons.iter().map(|(reason, counts)| (counts.iter().sum(), *reason)).collect();
        sizes.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| names.name(a.1).cmp(names.name(b.1))));
        let named: Vec<Id> = sizes.into_iter().take(MAX_NAMED).map(|(_, reason)| reason).collect();
        let rest = std::iter::once((OTHER, &self.rest));
        let all = self.reasons.iter().map(|(reason, counts)| {
            (if named.contains(reason) { names.name(*reason) } else { OTHER }, counts)
        });
        for (name, counts) in all.chain(rest) {
            for (told, count) in series.iter_mut().zip(counts).filter(|(_, count)| **count > 0) {
                *told.reasons.entry(name.to_owned()).or_default() += count;
            }
        }
    }
}
