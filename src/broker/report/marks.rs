//! What happened meanwhile and may matter: policies, releases, revocations, breakers, keys.

use std::collections::{BTreeMap, BTreeSet};

use shortbread_protocol::admin::MarkBody;
use shortbread_protocol::clock::Timestamp;

use super::entry::{Entry, Text};

/// How many policies and releases are kept, and how many of the rest.
const MOST: usize = 200;
/// How many releases of how many workflows are told apart.
const MAX_RELEASES: usize = 5000;

/// The marks of both periods.
#[derive(Debug, Default)]
pub(super) struct Marks {
    turns: Vec<MarkBody>,
    rest: Vec<MarkBody>,
    seen: BTreeMap<String, BTreeSet<String>>,
    releases: usize,
}

impl Marks {
    /// An entry that is no decision on an exchange or a call.
    pub(super) fn note(&mut self, kind: &str, entry: &Entry<'_>, at: Timestamp) {
        let by = entry.subject.as_str();
        let number = entry.data.version.0;
        let version = || number.map_or_else(|| "a version".to_owned(), |number| format!("version {number}"));
        let (kind, what) = match kind {
            "policy.activated" => ("policy", format!("policy {} came into force ({by})", version())),
            "policy.tried" => ("policy", format!("policy {} was tried on a part ({by})", version())),
            "policy.trial_ended" => ("policy", format!("the trial of policy {} ended ({by})", version())),
            "store.restored" => ("restore", "the store was restored from a backup".to_owned()),
            // What a holder gives back concerns nobody else.
            "revocation.set" if by.starts_with("token/") => return,
            "revocation.set" => ("revocation", format!("something was revoked ({by})")),
            "revocation.lifted" => ("lift", format!("a revocation was lifted ({by})")),
            "breaker.opened" => ("breaker", format!("{by} failed and was left alone")),
            "breaker.closed" => ("breaker", format!("{by} answered again")),
            "key.rotated" => ("keys", format!("key document {} was published ({by})", version())),
            _ => return,
        };
        let mark = MarkBody { at: at.seconds(), kind: kind.to_owned(), what, workflow: None };
        let list = if kind == "policy" { &mut self.turns } else { &mut self.rest };
        if list.len() < MOST {
            list.push(mark);
        }
    }

    /// A token was granted to a release: the first of a workflow that had another before is a mark.
    pub(super) fn release(&mut self, workflow: &str, release: &Text<'_>, at: Timestamp) {
        let release = release.as_str();
        let known = self.seen.get(workflow);
        if release.is_empty() || known.is_some_and(|known| known.contains(release)) {
            return;
        }
        if self.releases == MAX_RELEASES {
            return;
        }
        self.releases += 1;
        if known.is_some() && self.turns.len() < MOST {
            let what = format!("{workflow} {release} was seen first");
            let (kind, workflow) = ("release".to_owned(), Some(workflow.to_owned()));
            self.turns.push(MarkBody { at: at.seconds(), kind, what, workflow });
        }
        self.seen.entry(workflow.to_owned()).or_default().insert(release.to_owned());
    }

    /// All of them, in order of time.
    pub(super) fn told(&self) -> Vec<MarkBody> {
        let mut all: Vec<MarkBody> = self.turns.iter().chain(&self.rest).cloned().collect();
        all.sort_by_key(|mark| mark.at);
        all
    }
}
