//! Whether a policy loosens what new versions are judged by: `[gate]` and `[rollback]`. One operator alone may tighten it; a
//! version that is judged by less takes two, or else the first would take the limits out and then do what they forbid.

use std::collections::BTreeSet;

use shortbread_protocol::access::Access;
use shortbread_protocol::names::{Intent, ToolName, WorkflowName};

use super::Policy;
use super::model::{Gate, GateSegment, Rollback, RollbackSegment};

/// How many kinds of requests are compared one by one: beyond that what differs counts as looser.
const MAX_CELLS: usize = 100_000;

impl Policy {
    /// What of it `next` loosens, in words; empty where nothing.
    #[must_use]
    pub fn loosened_by(&self, next: &Self) -> Vec<String> {
        let mut found = gate(self.gate(), next.gate());
        let usual = Rollback::default();
        found.extend(rollback(self.rollback().unwrap_or(&usual), next.rollback().unwrap_or(&usual)));
        found
    }
}

/// Requests that no limit tells apart; `None` is any that no segment names.
#[derive(Clone, Copy)]
struct Cell<'a> {
    workflow: Option<&'a WorkflowName>,
    intent: Option<&'a Intent>,
    tool: Option<&'a ToolName>,
    access: Option<Access>,
}

fn gate(old: Option<&Gate>, new: Option<&Gate>) -> Vec<String> {
    let (old, new) = match (old, new) {
        (None, _) => return Vec::new(),
        (Some(_), None) => return vec!["takes [gate] out".to_owned()],
        (Some(old), Some(new)) => (old, new),
    };
    let mut found = Vec::new();
    if new.max_approval_load > old.max_approval_load {
        found.push("raises max_approval_load of [gate]".to_owned());
    }
    let limits = |gate: &Gate, cell: &Cell<'_>| {
        let own = gate.segments.iter().find(|own| reaches_gate(own, cell));
        own.map_or((gate.max_newly_denied, gate.min_cases), |own| (own.max_newly_denied, own.min_cases))
    };
    let all: Vec<&GateSegment> = old.segments.iter().chain(&new.segments).collect();
    let names = Names {
        workflows: all.iter().filter_map(|own| own.workflow.as_ref()).collect(),
        intents: all.iter().filter_map(|own| own.intent.as_ref()).collect(),
        tools: all.iter().filter_map(|own| own.tool.as_ref()).collect(),
    };
    let Some(cells) = names.cells() else {
        if old.segments != new.segments || limits(old, &ANY) != limits(new, &ANY) {
            found.push("has other limits in [gate], too many to compare".to_owned());
        }
        return found;
    };
    let first = |looser: &dyn Fn(&Cell<'_>) -> bool| cells.iter().find(|cell| looser(cell)).map(Cell::words);
    if let Some(place) = first(&|cell| limits(new, cell).0 > limits(old, cell).0) {
        found.push(format!("raises max_newly_denied of [gate]{place}"));
    }
    if let Some(place) = first(&|cell| limits(new, cell).1 < limits(old, cell).1) {
        found.push(format!("lowers min_cases of [gate]{place}"));
    }
    found
}

fn rollback(old: &Rollback, new: &Rollback) -> Vec<String> {
    let mut found = Vec::new();
    if new.min_requests > old.min_requests {
        found.push("raises min_requests of [rollback]".to_owned());
    }
    let limits = |rollback: &Rollback, cell: &Cell<'_>| {
        let own = rollback.segments.iter().find(|own| reaches_rollback(own, cell));
        let usual = (rollback.max_denied, rollback.max_needs_approval);
        own.map_or(usual, |own| (own.max_denied, own.max_needs_approval))
    };
    let all: Vec<&RollbackSegment> = old.segments.iter().chain(&new.segments).collect();
    let names = Names {
        workflows: all.iter().filter_map(|own| own.workflow.as_ref()).collect(),
        intents: BTreeSet::new(),
        tools: all.iter().filter_map(|own| own.tool.as_ref()).collect(),
    };
    let Some(cells) = names.cells() else {
        if old.segments != new.segments || limits(old, &ANY) != limits(new, &ANY) {
            found.push("has other limits in [rollback], too many to compare".to_owned());
        }
        return found;
    };
    let first = |looser: &dyn Fn(&Cell<'_>) -> bool| cells.iter().find(|cell| looser(cell)).map(Cell::words);
    if let Some(place) = first(&|cell| limits(new, cell).0 > limits(old, cell).0) {
        found.push(format!("raises max_denied of [rollback]{place}"));
    }
    if let Some(place) = first(&|cell| limits(new, cell).1 > limits(old, cell).1) {
        found.push(format!("raises max_needs_approval of [rollback]{place}"));
    }
    found
}

const ANY: Cell<'static> = Cell { workflow: None, intent: None, tool: None, access: None };

impl Cell<'_> {
    fn words(&self) -> String {
        let named = [
            self.workflow.map(|name| format!("workflow {name}")),
            self.intent.map(|name| format!("intent {name}")),
            self.tool.map(|name| format!("tool {name}")),
            self.access.map(|access| format!("access {access}")),
        ];
        let named: Vec<String> = named.into_iter().flatten().collect();
        if named.is_empty() { String::new() } else { format!(" for {}", named.join(", ")) }
    }
}

/// What the segments of both policies name.
struct Names<'a> {
    workflows: BTreeSet<&'a WorkflowName>,
    intents: BTreeSet<&'a Intent>,
    tools: BTreeSet<&'a ToolName>,
}

impl<'a> Names<'a> {
    /// Every kind of request, those that nothing names first; none where they are too many.
    fn cells(&self) -> Option<Vec<Cell<'a>>> {
        let accesses = || std::iter::once(None).chain(Access::ALL.into_iter().map(Some));
        let sizes =
            [self.workflows.len() + 1, self.intents.len() + 1, self.tools.len() + 1, accesses().count()];
        if sizes.into_iter().product::<usize>() > MAX_CELLS {
            return None;
        }
        let mut cells = Vec::new();
        for workflow in or_other(&self.workflows) {
            for intent in or_other(&self.intents) {
                for tool in or_other(&self.tools) {
                    cells.extend(accesses().map(|access| Cell { workflow, intent, tool, access }));
                }
            }
        }
        Some(cells)
    }
}

fn or_other<'n, T>(names: &BTreeSet<&'n T>) -> Vec<Option<&'n T>> {
    std::iter::once(None).chain(names.iter().map(|name| Some(*name))).collect()
}

fn reaches_gate(own: &GateSegment, cell: &Cell<'_>) -> bool {
    fits(own.workflow.as_ref(), cell.workflow)
        && fits(own.intent.as_ref(), cell.intent)
        && fits(own.tool.as_ref(), cell.tool)
        && own.access.is_none_or(|access| cell.access.is_some_and(|other| access.covers(other)))
}

fn reaches_rollback(own: &RollbackSegment, cell: &Cell<'_>) -> bool {
    fits(own.workflow.as_ref(), cell.workflow)
        && fits(own.tool.as_ref(), cell.tool)
        && own.access.is_none_or(|access| cell.access.is_some_and(|other| access.covers(other)))
}

fn fits<T: PartialEq>(wanted: Option<&T>, named: Option<&T>) -> bool {
    wanted.is_none() || wanted == named
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{EXAMPLE, policy};

    const GATE: &str = "[gate]\nmax_newly_denied = 0.05\nmax_approval_load = 0.1\nmin_cases = 10\n";
    const OWN: &str = "[[gate.segments]]\nworkflow = \"release-notes\"\nmax_newly_denied = 0.01\n";
    const BACK: &str = "[rollback]\nmax_denied = 0.05\nmin_requests = 30\n";

    fn loosened(before: &str, next: &str) -> Vec<String> {
        let of = |more: &str| policy(&format!("{EXAMPLE}\n{more}"));
        of(before).loosened_by(&of(next))
    }

    #[test]
    fn taking_limits_out_or_raising_them_is_looser() {
        let swap = |text: &str, from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        };
        let own = format!("{GATE}{OWN}");
        for (before, next, says) in [
            (GATE.to_owned(), String::new(), "takes [gate] out"),
            (GATE.to_owned(), swap(GATE, "0.05", "0.06"), "raises max_newly_denied of [gate]"),
            (GATE.to_owned(), swap(GATE, "load = 0.1", "load = 0.2"), "raises max_approval_load of [gate]"),
            (GATE.to_owned(), swap(GATE, "10", "9"), "lowers min_cases of [gate]"),
            (own.clone(), GATE.to_owned(), "raises max_newly_denied of [gate] for workflow release-notes"),
            (
                own,
                format!("{GATE}[[gate.segments]]\naccess = \"write\"\nmax_newly_denied = 0.05\n{OWN}"),
                "raises max_newly_denied of [gate] for workflow release-notes, access write",
            ),
            (BACK.to_owned(), String::new(), "raises max_denied of [rollback]"),
            (String::new(), "[rollback]\nmax_denied = 0.2\n".to_owned(), "raises max_denied of [rollback]"),
            (BACK.to_owned(), swap(BACK, "30", "31"), "raises min_requests of [rollback]"),
            (
                BACK.to_owned(),
                format!("{BACK}[[rollback.segments]]\ntool = \"github\"\nmax_needs_approval = 1\n"),
                "raises max_needs_approval of [rollback] for tool github",
            ),
        ] {
            assert_eq!(loosened(&before, &next), [says], "{before} -> {next}");
        }
    }

    #[test]
    fn tightening_is_not() {
        let own = format!("{GATE}{OWN}");
        let none: [&str; 0] = [];
        for (before, next) in [
            ("", GATE),
            (GATE, own.as_str()),
            (own.as_str(), own.as_str()),
            (GATE, "[gate]\nmax_newly_denied = 0.04\nmax_approval_load = 0.1\nmin_cases = 11\n"),
            ("[rollback]\nmax_denied = 0.2\n", ""),
            ("", "[rollback]\nmax_denied = 0.05\nmin_requests = 10\n"),
            ("", ""),
        ] {
            assert_eq!(loosened(before, next), none, "{before} -> {next}");
        }
        // The same limits in other words: a segment that the limits above it say already.
        let same = format!("{GATE}[[gate.segments]]\nintent = \"triage\"\n");
        assert_eq!(loosened(GATE, &same), none);
        assert_eq!(loosened(&same, GATE), none);
    }
}
