//! How approvals went: read from their entries, where there are any.

use std::collections::{BTreeMap, HashMap};

use shortbread_protocol::admin::{ApprovalsBody, StepBody};
use shortbread_protocol::clock::Timestamp;

use super::cell::STEPS;
use super::entry::Entry;
use super::histogram::Histogram;
use super::share::share;

/// How many open requests are remembered.
const MAX_OPEN: usize = 100_000;

/// Requests for approvals and what became of them.
#[derive(Debug, Default)]
pub(super) struct Approvals {
    // When it was asked for, and within how many seconds it was to be decided.
    open: HashMap<String, (Timestamp, Option<u64>)>,
    requested: u64,
    decided: BTreeMap<String, u64>,
    expired: u64,
    in_time: u64,
    timed: u64,
    times: Histogram,
    // As many as there are parts of the time axis, or none while nothing was counted.
    course: Vec<Step>,
}

/// One part of the time axis.
#[derive(Clone, Debug, Default)]
struct Step {
    decided: u64,
    in_time: u64,
    expired: u64,
    times: Histogram,
    sla: Option<u64>,
}

impl Approvals {
    /// An entry whose kind is `approval.` and something, in this part of the time axis.
    pub(super) fn note(&mut self, kind: &str, entry: &Entry<'_>, at: Timestamp, step: usize) {
        if self.course.is_empty() {
            self.course = vec![Step::default(); STEPS];
        }
        let (data, id) = (&entry.data, entry.data.approval.0.as_str());
        let counts = step >= STEPS / 2;
        match kind {
            "approval.requested" if data.repeated.0 => {}
            "approval.requested" => {
                self.requested += u64::from(counts);
                self.demanded(step, data.sla_seconds.0);
                if !id.is_empty() && self.open.len() < MAX_OPEN {
                    self.open.insert(id.to_owned(), (at, data.sla_seconds.0));
                }
            }
            "approval.decided" => {
                if counts {
                    let outcome: String = data.outcome.or("unknown").chars().take(32).collect();
                    if self.decided.len() < 16 || self.decided.contains_key(&outcome) {
                        *self.decided.entry(outcome).or_default() += 1;
                    }
                }
                let (asked, sla) = self.open.remove(id).unzip();
                let took = asked.map(|asked| at.since(asked).as_secs()).or(data.waited_seconds.0);
                self.decided(step, took, data.sla_seconds.0.or(sla.flatten()));
            }
            "approval.expired" => {
                let sla = self.open.remove(id).and_then(|(_, sla)| sla).or(data.sla_seconds.0);
                self.demanded(step, sla);
                self.course.get_mut(step).into_iter().for_each(|step| step.expired += 1);
                if counts {
                    self.expired += 1;
                    self.timed += u64::from(sla.is_some());
                }
            }
            _ => {}
        }
    }

    fn decided(&mut self, step: usize, took: Option<u64>, sla: Option<u64>) {
        self.demanded(step, sla);
        let in_time = took.zip(sla).is_some_and(|(took, sla)| took <= sla);
        if let Some(step) = self.course.get_mut(step) {
            step.decided += 1;
            step.in_time += u64::from(in_time);
            took.into_iter().for_each(|took| step.times.add(took));
        }
        if let Some(took) = took.filter(|_| step >= STEPS / 2) {
            self.times.add(took);
            self.timed += u64::from(sla.is_some());
            self.in_time += u64::from(in_time);
        }
    }

    fn demanded(&mut self, step: usize, sla: Option<u64>) {
        if let (Some(step), Some(sla)) = (self.course.get_mut(step), sla) {
            step.sla = Some(step.sla.map_or(sla, |known| known.min(sla)));
        }
    }

    /// Tells what became of approvals in each part.
    pub(super) fn tell(&self, series: &mut [StepBody]) {
        for (told, step) in series.iter_mut().zip(&self.course) {
            told.decided = step.decided;
            told.in_time = step.in_time;
            told.expired = step.expired;
            told.approval_p50 = step.times.quantile(0.5);
            told.approval_p90 = step.times.quantile(0.9);
            told.sla_seconds = step.sla;
        }
    }

    /// What is told of it.
    pub(super) fn told(&self) -> ApprovalsBody {
        ApprovalsBody {
            requested: self.requested,
            decided: self.decided.clone(),
            expired: self.expired,
            in_time: (self.timed > 0).then(|| share(self.in_time, self.timed)),
            times: self.times.times(),
        }
    }
}
