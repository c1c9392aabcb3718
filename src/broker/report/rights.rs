//! Granted against used, by workflow, intent and verb, in the period itself.

use std::collections::{BTreeMap, BTreeSet};

use shortbread_protocol::admin::RightBody;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::WorkflowName;

use super::entry::{Entry, Text};

/// How many rights are told apart while counting.
const MOST: usize = 20_000;
/// How many an answer names.
const MAX_NAMED: usize = 1500;
/// How many grants and reasons are named of one right.
const MAX_GRANTS: usize = 8;

/// What workflows were granted, and what they did with it.
#[derive(Debug, Default)]
pub(super) struct Rights {
    rows: BTreeMap<[String; 3], RightBody>,
    // Tools whose calls anyone reports.
    reported: BTreeSet<String>,
    left_out: u64,
}

impl Rights {
    /// A token was granted.
    pub(super) fn granted(&mut self, entry: &Entry<'_>) {
        // What operators do with the built-in tool is no call that a verifier reports.
        if entry.principal().starts_with("operator:") {
            return;
        }
        let intent = entry.data.segment.intent.or("undeclared");
        for verb in &entry.data.granted.0 {
            let Some(row) = self.row(&entry.principal(), intent, verb.as_str()) else { continue };
            row.granted += 1;
            for grant in entry.data.reasons.0.iter().map(Text::as_str) {
                let known = row.grants.iter().any(|known| known == grant);
                if !known && row.grants.len() < MAX_GRANTS {
                    row.grants.push(grant.to_owned());
                }
            }
        }
    }

    /// A call was decided.
    pub(super) fn called(&mut self, entry: &Entry<'_>, at: Timestamp) {
        let (data, intent) = (&entry.data, entry.data.segment.intent.or("undeclared"));
        let tool = data.tool.or(data.segment.tool.as_str());
        if tool.is_empty() || data.verb.as_str().is_empty() {
            return;
        }
        if !self.reported.contains(tool) && self.reported.len() < MOST {
            self.reported.insert(tool.to_owned());
        }
        let verb = format!("{tool}/{}", data.verb.as_str());
        let Some(row) = self.row(&entry.principal(), intent, &verb) else { return };
        let observed = data.observed.as_str();
        match (data.outcome.as_str(), observed) {
            ("allow", "") => {
                row.used += 1;
                row.last_used = row.last_used.max(Some(at.seconds()));
            }
            ("allow", reason) => count(&mut row.observed, reason),
            _ => count(
                &mut row.denied,
                data.reasons.0.first().map_or("unknown", |reason| reason.or("unknown")),
            ),
        }
    }

    /// The rights, those that were never used first, and how many do not stand there.
    pub(super) fn told(&self) -> (Vec<RightBody>, u64) {
        let mut rows: Vec<RightBody> = self.rows.values().cloned().collect();
        for row in &mut rows {
            let tool = row.verb.split('/').next().unwrap_or_default();
            row.reported = self.reported.contains(tool);
        }
        let rank = |row: &RightBody| (row.used > 0, !row.reported, u64::MAX - row.granted);
        rows.sort_by(|a, b| {
            rank(a)
                .cmp(&rank(b))
                .then_with(|| (&a.workflow, &a.intent, &a.verb).cmp(&(&b.workflow, &b.intent, &b.verb)))
        });
        let left_out = rows.len().saturating_sub(MAX_NAMED) as u64 + self.left_out;
        rows.truncate(MAX_NAMED);
        (rows, left_out)
    }

    /// Workflows that were granted verbs of tools whose calls are reported, and never used them.
    pub(super) fn never_used(&self) -> BTreeSet<WorkflowName> {
        let mut names: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
        for row in self.rows.values().filter(|row| row.granted > 0) {
            if row.verb.split('/').next().is_some_and(|tool| self.reported.contains(tool)) {
                *names.entry(&row.workflow).or_default().entry(&row.verb).or_default() += row.used;
            }
        }
        let unused = names.into_iter().filter(|(_, verbs)| verbs.values().any(|used| *used == 0));
        unused.filter_map(|(name, _)| name.parse().ok()).collect()
    }

    fn row(&mut self, workflow: &str, intent: &str, verb: &str) -> Option<&mut RightBody> {
        let key = [workflow.to_owned(), intent.to_owned(), verb.to_owned()];
        if self.rows.len() >= MOST && !self.rows.contains_key(&key) {
            self.left_out += 1;
            return None;
        }
        let [workflow, intent, verb] = key.clone();
        let new = || RightBody { workflow, intent, verb, ..RightBody::default() };
        Some(self.rows.entry(key).or_insert_with(new))
    }
}

fn count(reasons: &mut BTreeMap<String, u64>, reason: &str) {
    let reason = if reasons.len() < MAX_GRANTS || reasons.contains_key(reason) { reason } else { "other" };
    *reasons.entry(reason.to_owned()).or_default() += 1;
}
