//! The weekly page: what moved, what it coincides with, what was refused most, what to do next.

use std::collections::BTreeMap;

use shortbread_protocol::admin::{
    ChangeBody, DenialBody, DriftBody, MarkBody, NextBody, ReviewBody, Verdict,
};
use shortbread_protocol::names::WorkflowName;
use shortbread_protocol::reason::Reason;

use super::cell::{Cell, Figures as Period, STEPS};
use super::{By, Figures, drift};

/// How many changes the page names.
const MAX_CHANGES: usize = 20;
/// How many reasons.
const MAX_DENIALS: usize = 8;
/// How many things to do.
const MAX_NEXT: usize = 12;
/// A mark this many seconds from where a change began coincides with it, or one part of the time axis if that is more.
const NEAR: u64 = 3600;

/// The page.
pub(super) fn of(figures: &Figures, marks: &[MarkBody], whole: bool) -> ReviewBody {
    let mut changes = Vec::new();
    let mut compared = 0;
    for (key, cell) in figures.cells.iter().filter(|_| whole) {
        let segment = figures.segment(key);
        for moved in drift::of(cell) {
            compared += u64::from(moved.verdict != Verdict::Unclear);
            if matches!(moved.verdict, Verdict::Up | Verdict::Down) {
                changes.push(change(figures, cell, segment.clone(), moved, marks));
            }
        }
    }
    changes.sort_by(|a, b| weight(&b.drift).total_cmp(&weight(&a.drift)));
    let unnamed = changes.len().saturating_sub(MAX_CHANGES) as u64;
    changes.truncate(MAX_CHANGES);
    let denials = denials(figures);
    let next = next(figures, &changes, &denials);
    ReviewBody { compared, changes, unnamed, denials, cases: None, next }
}

fn change(
    figures: &Figures,
    cell: &Cell,
    segment: BTreeMap<String, String>,
    drift: DriftBody,
    marks: &[MarkBody],
) -> ChangeBody {
    // Of times there is no course by segment: nothing is said of when they moved.
    let step = if drift.low.is_some() { drift::onset(cell, &drift.figure) } else { None };
    let onset = step.map(|step| figures.ask.step_at(step));
    let near = NEAR.max(figures.ask.long() * 2 / STEPS as u64);
    let coincides = |mark: &&MarkBody| {
        let here = mark.workflow.is_none() || mark.workflow.as_ref() == segment.get(By::Workflow.as_str());
        here && onset.is_some_and(|onset| mark.at.abs_diff(onset) <= near)
    };
    let coincides = marks.iter().filter(coincides).take(5).cloned().collect();
    ChangeBody { segment, drift: DriftBody { onset, ..drift }, coincides }
}

// By how much, wherever chance allows it the least; for times, by how many times.
fn weight(drift: &DriftBody) -> f64 {
    match (drift.low, drift.high) {
        (Some(low), Some(high)) => low.abs().min(high.abs()),
        _ => (drift.now.max(1.0) / drift.before.max(1.0)).ln().abs() / 4.0,
    }
}

fn denials(figures: &Figures) -> Vec<DenialBody> {
    let told = |period: &Period| {
        let mut told: BTreeMap<String, u64> = BTreeMap::new();
        for (reason, count) in period.refused.iter().chain(&period.denied) {
            *told.entry(figures.names.name(*reason).to_owned()).or_default() += count;
        }
        told
    };
    let (now, before) = (told(&figures.total.now), told(&figures.total.before));
    let mut all: Vec<DenialBody> = now
        .into_iter()
        .map(|(reason, count)| {
            let known = Reason::from_code(&reason);
            DenialBody {
                count,
                before: before.get(&reason).copied().unwrap_or(0),
                meaning: known.map_or("", Reason::meaning).to_owned(),
                action: known.map_or("", Reason::action).to_owned(),
                reason,
            }
        })
        .collect();
    all.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.cmp(&b.reason)));
    all.truncate(MAX_DENIALS);
    all
}

/// What to do, as commands. Only names that are names stand in one: whoever copies it runs nothing else.
fn next(figures: &Figures, changes: &[ChangeBody], denials: &[DenialBody]) -> Vec<NextBody> {
    let mut next: Vec<NextBody> = Vec::new();
    let mut add = |why: String, command: String| {
        if next.len() < MAX_NEXT && next.iter().all(|known| known.command != command) {
            next.push(NextBody { why, command });
        }
    };
    for change in changes {
        let worse = change.drift.verdict == Verdict::Up;
        let policy = change.coincides.iter().any(|mark| mark.kind == "policy");
        if worse && policy {
            let why = format!(
                "{} rose about when a policy came into force: compare its versions",
                change.drift.figure
            );
            add(why, "shortbread policy history".to_owned());
        }
        let Some(workflow) =
            change.segment.get("workflow").and_then(|name| name.parse::<WorkflowName>().ok())
        else {
            continue;
        };
        if worse && change.drift.low.is_some() {
            let why =
                format!("{} of {workflow} rose: see which release or intent it is", change.drift.figure);
            add(why, "shortbread report segments --by workflow,intent,release".to_owned());
        } else if worse {
            add(
                format!("{workflow} waits longer: see at which stage"),
                "shortbread report latency".to_owned(),
            );
        }
    }
    for workflow in figures.rights.never_used() {
        let why = format!("{workflow} was granted verbs that it never used");
        add(why, format!("shortbread policy suggest --workflow {workflow}"));
    }
    for denial in denials.iter().filter(|denial| Reason::from_code(&denial.reason).is_some()).take(2) {
        let times = if denial.count == 1 { "once".to_owned() } else { format!("{} times", denial.count) };
        let why = format!("{} was given {times}", denial.reason);
        add(why, format!("shortbread explain {}", denial.reason));
    }
    if figures.total.now.counts.observed > 0 {
        let why = "calls that would have been denied were let pass in observe mode".to_owned();
        add(why, "shortbread report rights".to_owned());
    }
    if figures.total.now.counts.exchanges > 0 && figures.total.now.counts.calls == 0 {
        let why = "no verifier reports calls: nothing is known of what is used".to_owned();
        add(why, "shortbread revocations status".to_owned());
    }
    next
}
