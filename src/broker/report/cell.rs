//! What is counted in one segment: two periods, and their course.

use std::collections::BTreeMap;

use shortbread_protocol::admin::{FiguresBody, SegmentBody, ShareBody};

use super::drift;
use super::histogram::Histogram;
use super::names::{Id, Names};
use super::share::share;

/// Both periods together are cut into so many parts.
pub(super) const STEPS: usize = 56;

/// Counts that add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) exchanges: u64,
    pub(super) refused: u64,
    pub(super) needs_approval: u64,
    pub(super) calls: u64,
    pub(super) denied: u64,
    pub(super) observed: u64,
    pub(super) completed: u64,
    pub(super) corrected: u64,
    pub(super) failed: u64,
    pub(super) cost_micros: u64,
    pub(super) costed: u64,
}

/// The shares that are told, and of what.
pub(super) const SHARES: [&str; 6] =
    ["refused", "needs_approval", "denied", "observed", "corrected", "failed"];

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.exchanges += other.exchanges;
        self.refused += other.refused;
        self.needs_approval += other.needs_approval;
        self.calls += other.calls;
        self.denied += other.denied;
        self.observed += other.observed;
        self.completed += other.completed;
        self.corrected += other.corrected;
        self.failed += other.failed;
        // Whoever reports costs may report nonsense.
        self.cost_micros = self.cost_micros.saturating_add(other.cost_micros);
        self.costed += other.costed;
    }

    pub(super) const fn results(&self) -> u64 {
        self.completed + self.corrected + self.failed
    }

    /// A share by its name: hits, and of how many.
    pub(super) fn share(&self, name: &str) -> (u64, u64) {
        match name {
            "refused" => (self.refused, self.exchanges),
            "needs_approval" => (self.needs_approval, self.exchanges),
            "denied" => (self.denied, self.calls),
            "observed" => (self.observed, self.calls),
            "corrected" => (self.corrected, self.results()),
            _ => (self.failed, self.results()),
        }
    }
}

/// Reasons, each with how often it was given.
pub(super) type Reasons = BTreeMap<Id, u64>;

/// One period of one segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) counts: Counts,
    pub(super) refused: Reasons,
    pub(super) denied: Reasons,
    pub(super) observed: Reasons,
    pub(super) latency: Histogram,
}

impl Figures {
    pub(super) fn merge(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.latency.merge(&other.latency);
        for (to, from) in [
            (&mut self.refused, &other.refused),
            (&mut self.denied, &other.denied),
            (&mut self.observed, &other.observed),
        ] {
            from.iter().for_each(|(reason, count)| *to.entry(*reason).or_default() += count);
        }
    }

    pub(super) fn shares(&self) -> BTreeMap<String, ShareBody> {
        let told = SHARES.into_iter().map(|name| (name, self.counts.share(name)));
        told.filter(|(_, (_, of))| *of > 0)
            .map(|(name, (hits, of))| (name.to_owned(), share(hits, of)))
            .collect()
    }

    pub(super) fn body(&self, names: &Names) -> FiguresBody {
        let told = |reasons: &Reasons| {
            let mut told = BTreeMap::new();
            for (reason, count) in reasons {
                *told.entry(names.name(*reason).to_owned()).or_default() += count;
            }
            told
        };
        let counts = &self.counts;
        FiguresBody {
            exchanges: counts.exchanges,
            granted: counts.exchanges - counts.refused,
            refused: told(&self.refused),
            needs_approval: counts.needs_approval,
            calls: counts.calls,
            allowed: counts.calls - counts.denied,
            denied: told(&self.denied),
            observed: told(&self.observed),
            completed: counts.completed,
            corrected: counts.corrected,
            failed: counts.failed,
            latency: self.latency.times(),
            cost_micros: counts.cost_micros,
            costed: counts.costed,
            shares: self.shares(),
        }
    }
}

/// One segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    pub(super) now: Figures,
    pub(super) before: Figures,
    /// As many as [`STEPS`], or none while nothing was counted.
    pub(super) steps: Vec<Counts>,
}

impl Cell {
    /// Where to count what happened in this part of the time axis.
    pub(super) fn at(&mut self, step: usize) -> (&mut Figures, Option<&mut Counts>) {
        if self.steps.is_empty() {
            self.steps = vec![Counts::default(); STEPS];
        }
        let figures = if step < STEPS / 2 { &mut self.before } else { &mut self.now };
        (figures, self.steps.get_mut(step))
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.now.merge(&other.now);
        self.before.merge(&other.before);
        if self.steps.is_empty() {
            self.steps.clone_from(&other.steps);
        } else {
            self.steps.iter_mut().zip(&other.steps).for_each(|(to, from)| to.add(from));
        }
    }

    /// How much was counted, in both periods.
    pub(super) fn volume(&self) -> u64 {
        let of = |figures: &Figures| figures.counts.exchanges + figures.counts.calls;
        of(&self.now) + of(&self.before)
    }

    /// What is told of it; nothing is compared where something is missing.
    pub(super) fn body(&self, segment: BTreeMap<String, String>, names: &Names, whole: bool) -> SegmentBody {
        let drift = if whole { drift::of(self) } else { Vec::new() };
        SegmentBody { segment, now: self.now.body(names), before: self.before.body(names), drift }
    }
}
