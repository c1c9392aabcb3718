//! Counting refusals by tripwire, workflow and task, in bounded memory.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use shortbread_protocol::access::Access;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::{Task, ToolName, WorkflowName};
use shortbread_protocol::reason::Reason;

use crate::policy::Policy;
use crate::policy::model::{Principal, Tripwire};

/// How many tasks of one workflow are told apart. When there are more, the one of which nothing was heard for longest is
/// forgotten: whoever invents task ids pushes out none but their own.
const MAX_TASKS: usize = 256;

/// What happened longer ago concerns tokens that have ended.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// A refusal of somebody who proved to be a workflow, or of the bearer of its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The workflow.
    pub workflow: WorkflowName,
    /// The task.
    pub task: Task,
    /// The tool.
    pub tool: ToolName,
    /// The access of the verb that was refused.
    pub access: Access,
    /// Why.
    pub reason: Reason,
    /// The decision's id, which counts once.
    pub decision: String,
    /// When.
    pub at: Timestamp,
}

/// A tripwire tripped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trip {
    /// Which.
    pub tripwire: Tripwire,
    /// Whose task.
    pub workflow: WorkflowName,
    /// The task to revoke.
    pub task: Task,
    /// The refusals, oldest first.
    pub refusals: Vec<Refused>,
}

/// Whether a refusal says something about what its caller does: it asked for what it may not have. What a stranger could
/// bring about with somebody else's token, what is no fault of the caller, and what is revoked anyway does not count.
#[must_use]
pub const fn counts(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NotGranted
            | Reason::ArgumentRefused
            | Reason::Narrowed
            | Reason::WrongAudience
            | Reason::ApprovedCallOnly
            | Reason::AlreadyUsed
            | Reason::CallMalformed
            | Reason::PolicyDenied
            | Reason::PolicyForbidden
            | Reason::IntentRefused
            | Reason::ConstraintRefused
            | Reason::TargetUnknown
    )
}

/// All counts.
#[derive(Debug, Default)]
pub(super) struct Counts {
    wires: Vec<Wire>,
    workflows: BTreeSet<WorkflowName>,
}

#[derive(Debug)]
struct Wire {
    tripwire: Tripwire,
    workflows: HashMap<WorkflowName, Tasks>,
}

/// The tasks of one workflow, the one that was quiet for longest first.
type Tasks = VecDeque<(Task, Vec<Refused>)>;

impl Counts {
    pub(super) fn follow(&mut self, policy: &Policy) {
        let principals = policy.identities().iter().flat_map(|identity| &identity.principals);
        let workflows = principals.filter_map(|principal| match principal {
            Principal::Workflow(name) => Some(name.clone()),
            _ => None,
        });
        self.workflows = workflows.collect();
        let mut old = std::mem::take(&mut self.wires);
        let wires = policy.tripwires().iter().map(|tripwire| {
            let known = old.iter().position(|wire| wire.tripwire == *tripwire).map(|at| old.swap_remove(at));
            known.unwrap_or_else(|| Wire { tripwire: tripwire.clone(), workflows: HashMap::new() })
        });
        self.wires = wires.collect();
        for wire in &mut self.wires {
            wire.workflows.retain(|name, _| self.workflows.contains(name));
        }
    }

    /// Counts a refusal and gives what tripped by it.
    pub(super) fn note(&mut self, refused: &Refused, now: Timestamp) -> Vec<Trip> {
        let known = self.workflows.contains(&refused.workflow);
        if !known || !counts(refused.reason) || now.since(refused.at) > MAX_AGE {
            return Vec::new();
        }
        // A clock that is ahead must not make the refusals before it look old.
        let refused = Refused { at: refused.at.min(now), ..refused.clone() };
        self.wires.iter_mut().filter_map(|wire| wire.note(&refused)).collect()
    }
}

impl Wire {
    fn note(&mut self, refused: &Refused) -> Option<Trip> {
        let rule = &self.tripwire;
        let concerned = rule.access.covers(refused.access)
            && rule.tool.as_ref().is_none_or(|tool| *tool == refused.tool)
            && rule.workflow.as_ref().is_none_or(|workflow| *workflow == refused.workflow);
        if !concerned {
            return None;
        }
        let tasks = self.workflows.entry(refused.workflow.clone()).or_default();
        let at = tasks.iter().position(|(task, _)| *task == refused.task);
        let (task, mut window) =
            at.and_then(|at| tasks.remove(at)).unwrap_or_else(|| (refused.task.clone(), Vec::new()));
        add(&mut window, refused, rule.within);
        if window.len() >= usize::try_from(rule.refusals).unwrap_or(usize::MAX) {
            let workflow = refused.workflow.clone();
            return Some(Trip { tripwire: rule.clone(), workflow, task, refusals: window });
        }
        if tasks.len() >= MAX_TASKS {
            tasks.pop_front();
        }
        tasks.push_back((task, window));
        None
    }
}

// Uploaded decisions may come late and out of order; what counts is when they were made.
fn add(window: &mut Vec<Refused>, refused: &Refused, within: Duration) {
    if window.iter().any(|known| known.decision == refused.decision) {
        return;
    }
    let place = window.partition_point(|known| known.at <= refused.at);
    window.insert(place, refused.clone());
    if let Some(newest) = window.last().map(|last| last.at) {
        window.retain(|known| newest.since(known.at) <= within);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{EXAMPLE, policy};
    use proptest::prelude::*;

    const NOW: u64 = 1_795_176_000;

    fn followed(wires: &str) -> Counts {
        let mut counts = Counts::default();
        counts.follow(&policy(&format!("{EXAMPLE}\n{wires}")));
        counts
    }

    fn three_in_a_minute() -> Counts {
        followed("[[tripwires]]\nname = \"w\"\naccess = \"write\"\nrefusals = 3\nwithin = \"1m\"\n")
    }

    fn refused(task: &str, n: u64, at: u64) -> Refused {
        Refused {
            workflow: "demo".parse().unwrap(),
            task: task.parse().unwrap(),
            tool: "github".parse().unwrap(),
            access: Access::Write,
            reason: Reason::PolicyDenied,
            decision: format!("dec_{n}"),
            at: Timestamp::from_seconds(NOW + at),
        }
    }

    fn note(counts: &mut Counts, refused: &Refused) -> usize {
        counts.note(refused, Timestamp::from_seconds(NOW + 600)).len()
    }

    #[test]
    fn so_many_within_so_long_by_one_task() {
        let mut counts = three_in_a_minute();
        assert_eq!(note(&mut counts, &refused("a", 1, 0)), 0);
        assert_eq!(note(&mut counts, &refused("b", 2, 1)), 0, "another task");
        assert_eq!(note(&mut counts, &refused("a", 3, 61)), 0, "the first is over");
        assert_eq!(note(&mut counts, &refused("a", 4, 62)), 0);
        assert_eq!(note(&mut counts, &refused("a", 4, 63)), 0, "the same decision again");
        let trips = counts.note(&refused("a", 5, 63), Timestamp::from_seconds(NOW + 600));
        let [trip] = trips.as_slice() else { panic!("{trips:?}") };
        let decisions: Vec<_> = trip.refusals.iter().map(|refused| refused.decision.as_str()).collect();
        assert_eq!((trip.task.as_str(), decisions.as_slice()), ("a", &["dec_3", "dec_4", "dec_5"][..]));
        assert_eq!(note(&mut counts, &refused("a", 6, 64)), 0, "it begins anew");
    }

    #[test]
    fn late_and_unordered_decisions_count_by_when_they_were_made() {
        let mut counts = three_in_a_minute();
        assert_eq!(note(&mut counts, &refused("a", 1, 100)), 0);
        assert_eq!(note(&mut counts, &refused("a", 2, 10)), 0, "too long before");
        assert_eq!(note(&mut counts, &refused("a", 3, 50)), 0);
        assert_eq!(note(&mut counts, &refused("a", 4, 45)), 1);
        let long_ago = refused("a", 5, 0);
        let late = Timestamp::from_seconds(NOW + 3601);
        assert!((0..9).all(|_| counts.note(&long_ago, late).is_empty()));
        let ahead = Refused { at: Timestamp::from_seconds(NOW + 1_000_000), ..refused("c", 6, 0) };
        assert_eq!(note(&mut counts, &ahead), 0);
        assert_eq!(note(&mut counts, &refused("c", 7, 599)), 0);
        assert_eq!(note(&mut counts, &refused("c", 8, 600)), 1, "a clock that is ahead hides nothing");
    }

    #[test]
    fn write_includes_privileged_and_tools_and_workflows_are_told_apart() {
        let mut counts = followed(
            "[[tripwires]]\nname = \"w\"\naccess = \"write\"\nrefusals = 1\nwithin = \"1m\"\ntool = \"github\"\nworkflow = \"demo\"\n",
        );
        for (refusal, tripped) in [
            (refused("a", 1, 0), 1),
            (Refused { access: Access::Privileged, ..refused("a", 2, 0) }, 1),
            (Refused { access: Access::Read, ..refused("a", 3, 0) }, 0),
            (Refused { tool: "other".parse().unwrap(), ..refused("a", 4, 0) }, 0),
            (Refused { workflow: "release-notes".parse().unwrap(), ..refused("a", 5, 0) }, 0),
            (Refused { workflow: "nobody".parse().unwrap(), ..refused("a", 6, 0) }, 0),
        ] {
            assert_eq!(note(&mut counts, &refusal), tripped, "{refusal:?}");
        }
    }

    #[test]
    fn what_says_nothing_about_the_caller_does_not_count() {
        for reason in Reason::all() {
            let code = reason.code();
            let not = [
                "list.",
                "store.",
                "rate.",
                "overloaded",
                "clock.",
                "revoked.",
                "record.",
                "internal",
                "proof.",
                "identity.",
                "token.expired",
                "token.bad",
                "token.unknown",
                "token.mal",
                "policy.missing",
                "approval.required",
                "profile",
                "admin.",
                "verifier.",
            ];
            let excused = not.iter().any(|prefix| code.starts_with(prefix));
            assert!(!(excused && counts(reason)), "{code}");
            assert!(!reason.retryable() || !counts(reason), "{code}: what may pass later is no wrongdoing");
        }
        assert!(
            counts(Reason::NotGranted) && counts(Reason::PolicyDenied) && counts(Reason::ArgumentRefused)
        );
    }

    #[test]
    fn invented_tasks_push_out_none_of_another_workflow() {
        let mut counts = three_in_a_minute();
        let mine = |n| Refused { workflow: "release-notes".parse().unwrap(), ..refused("mine", n, 0) };
        assert_eq!(note(&mut counts, &mine(1)), 0);
        assert_eq!(note(&mut counts, &mine(2)), 0);
        for n in 0..10_000 {
            note(&mut counts, &refused(&format!("t{n}"), 10 + n, 0));
        }
        assert_eq!(counts.wires[0].workflows[&"demo".parse::<WorkflowName>().unwrap()].len(), MAX_TASKS);
        assert_eq!(note(&mut counts, &mine(3)), 1);
    }

    #[test]
    fn counts_outlive_a_policy_that_leaves_the_tripwire_alone() {
        let wire = "[[tripwires]]\nname = \"w\"\naccess = \"write\"\nrefusals = 2\nwithin = \"1m\"\n";
        let mut counts = followed(wire);
        note(&mut counts, &refused("a", 1, 0));
        counts.follow(&policy(&format!("{EXAMPLE}\n\n{wire}")));
        assert_eq!(note(&mut counts, &refused("a", 2, 1)), 1);
        note(&mut counts, &refused("a", 3, 0));
        counts.follow(&policy(&format!("{EXAMPLE}\n{}", wire.replace('2', "3"))));
        assert_eq!(note(&mut counts, &refused("a", 4, 1)), 0, "another rule counts anew");
        counts.follow(&policy(EXAMPLE));
        assert_eq!(note(&mut counts, &refused("a", 5, 2)), 0, "off");
    }

    proptest! {
        #[test]
        fn it_trips_exactly_when_a_window_is_full(times in proptest::collection::vec(0..300_u64, 1..60)) {
            let mut counts = three_in_a_minute();
            let mut since: Vec<u64> = Vec::new();
            for (n, at) in times.iter().enumerate() {
                let tripped = note(&mut counts, &refused("a", n as u64, *at));
                since.push(*at);
                let newest = since.iter().copied().max().unwrap_or_default();
                since.retain(|at| newest - at <= 60);
                prop_assert_eq!(tripped, usize::from(since.len() >= 3));
                if tripped > 0 {
                    since.clear();
                }
            }
        }
    }
}
