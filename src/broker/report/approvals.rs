//! How approvals went: read from their entries, where there are any.

use std::collections::{BTreeMap, HashMap};

use shortbread_protocol::admin::ApprovalsBody;
use shortbread_protocol::clock::Timestamp;

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
}

impl Approvals {
    /// An entry whose kind is `approval.` and something. One of the period before only says when it was asked for.
    pub(super) fn note(&mut self, kind: &str, entry: &Entry<'_>, at: Timestamp, counts: bool) {
        let (data, id) = (&entry.data, entry.data.approval.0.as_str());
        match kind {
            "approval.requested" if data.repeated.0 => {}
            "approval.requested" => {
                self.requested += u64::from(counts);
                if !id.is_empty() && self.open.len() < MAX_OPEN {
                    self.open.insert(id.to_owned(), (at, data.sla_seconds.0));
                }
            }
            "approval.decided" => {
                let open = self.open.remove(id);
                if !counts {
                    return;
                }
                let outcome: String = data.outcome.or("unknown").chars().take(32).collect();
                if self.decided.len() < 16 || self.decided.contains_key(&outcome) {
                    *self.decided.entry(outcome).or_default() += 1;
                }
                let Some((asked, sla)) = open else { return };
                let took = at.since(asked).as_secs();
                self.times.add(took);
                if let Some(sla) = data.sla_seconds.0.or(sla) {
                    self.timed += 1;
                    self.in_time += u64::from(took <= sla);
                }
            }
            "approval.expired" => {
                let open = self.open.remove(id);
                if counts {
                    self.expired += 1;
                    self.timed +=
                        u64::from(open.is_some_and(|(_, sla)| sla.or(data.sla_seconds.0).is_some()));
                }
            }
            _ => {}
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
