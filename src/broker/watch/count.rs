//! What became of requests, segment by segment, before a version came in and since.

use std::collections::{BTreeSet, HashMap};

use shortbread_protocol::access::Access;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::{Intent, ToolName, WorkflowName};
use shortbread_protocol::reason::Reason;

use super::Change;
use super::once::Once;
use crate::activation::OnTrial;
use crate::interval::{share, wilson};
use crate::policy::Policy;
use crate::policy::model::{PerMille, Principal, Rollback};

/// How many segments are told apart, of calls and of exchanges each. The policies bound them; this bounds the policies.
const MAX_SEGMENTS: usize = 8192;
/// Beyond so many the past counts half, so that a year of quiet does not outweigh today.
const HALVE: u64 = 20_000;

/// What was decided about one verb of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whose request.
    pub workflow: WorkflowName,
    /// The declared purpose.
    pub intent: Option<Intent>,
    /// The tool.
    pub tool: ToolName,
    /// The access of the verb.
    pub access: Access,
    /// What was decided.
    pub fate: Fate,
    /// Whether it was a call, not an exchange.
    pub call: bool,
}

/// What became of a request, held against what the version before would have made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Granted, or allowed.
    Allowed,
    /// Refused, and the change is not why.
    Unchanged,
    /// Refused by the policy, or by what a token made of it.
    Denied,
    /// A person must approve it first.
    NeedsApproval,
}

impl Fate {
    /// What a refusal for this reason says about the policy; `None`: nothing.
    #[must_use]
    pub const fn of(reason: Reason) -> Option<Self> {
        match reason {
            Reason::ApprovalRequired => Some(Self::NeedsApproval),
            Reason::PolicyDenied
            | Reason::PolicyForbidden
            | Reason::IntentRefused
            | Reason::ConstraintRefused
            | Reason::IdentityInvalid
            | Reason::IdentityUnmatched
            | Reason::WorkflowUnlisted
            | Reason::IssuerUnavailable
            | Reason::ProofRequired
            | Reason::ScopeUnknown
            | Reason::TargetUnknown
            | Reason::TooLarge
            | Reason::NotGranted
            | Reason::ArgumentRefused => Some(Self::Denied),
            _ => None,
        }
    }
}

/// A segment, as it is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The workflow.
    pub workflow: WorkflowName,
    /// The declared purpose, where some grant lists it.
    pub intent: Option<Intent>,
    /// The tool.
    pub tool: ToolName,
    /// The access.
    pub access: Access,
    /// Whether calls are counted, not exchanges.
    pub call: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    all: u64,
    denied: u64,
    needs_approval: u64,
}

impl Tally {
    fn add(&mut self, fate: Fate) {
        if self.all >= HALVE {
            *self =
                Self { all: self.all / 2, denied: self.denied / 2, needs_approval: self.needs_approval / 2 };
        }
        self.all += 1;
        match fate {
            Fate::Allowed | Fate::Unchanged => {}
            Fate::Denied => self.denied += 1,
            Fate::NeedsApproval => self.needs_approval += 1,
        }
    }
}

/// A limit of a segment was passed.
#[derive(Clone, Debug, PartialEq)]
pub struct Breach {
    /// The segment.
    pub segment: Key,
    /// `denied` or `needs_approval`.
    pub what: &'static str,
    /// How many requests of it there were since the version came in.
    pub requests: u64,
    /// How many of them were denied, or need approval.
    pub hits: u64,
    /// The share before: of calls as it was counted, of requests 0, for what would have been refused before is no hit.
    pub before: f64,
    /// The limit on the rise.
    pub limit: f64,
}

/// Counts by segment; bounded.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    workflows: BTreeSet<WorkflowName>,
    intents: BTreeSet<Intent>,
    // Apart, so that neither takes the other's room.
    calls: HashMap<Key, Tally>,
    exchanges: HashMap<Key, Tally>,
    full: bool,
}

impl Counts {
    /// None yet, and of those workflows alone that these policies name; intents that no grant of theirs lists are one.
    pub(super) fn of(policies: [&Policy; 2]) -> Self {
        let named = policies.into_iter().flat_map(Policy::identities).flat_map(|entry| &entry.principals);
        let workflows = named.filter_map(|principal| match principal {
            Principal::Workflow(name) => Some(name.clone()),
            Principal::Operator(_) | Principal::Verifier(_) => None,
        });
        let grants = policies.into_iter().flat_map(Policy::grants);
        let listed = grants.filter_map(|grant| grant.intents.as_ref()).flatten();
        let mut intents: BTreeSet<Intent> = listed.cloned().collect();
        if intents.len() > MAX_SEGMENTS {
            intents.clear();
        }
        Self { workflows: workflows.collect(), intents, ..Self::default() }
    }

    /// Counts, and gives the segment where it was counted.
    pub(super) fn add(&mut self, seen: &Seen) -> Option<Key> {
        // A verifier writes what name it likes.
        if !self.workflows.contains(&seen.workflow) {
            return None;
        }
        let key = Key {
            workflow: seen.workflow.clone(),
            intent: seen.intent.clone().filter(|intent| self.intents.contains(intent)),
            tool: seen.tool.clone(),
            access: seen.access,
            call: seen.call,
        };
        let segments = if seen.call { &mut self.calls } else { &mut self.exchanges };
        if segments.len() >= MAX_SEGMENTS && !segments.contains_key(&key) {
            if !std::mem::replace(&mut self.full, true) {
                tracing::warn!(
                    segments = MAX_SEGMENTS,
                    calls = seen.call,
                    "a watched policy version has more segments than are told apart: further ones are not judged"
                );
            }
            return None;
        }
        segments.entry(key.clone()).or_default().add(seen.fate);
        Some(key)
    }

    fn tally(&self, key: &Key) -> Tally {
        let segments = if key.call { &self.calls } else { &self.exchanges };
        segments.get(key).copied().unwrap_or_default()
    }
}

/// What is counted while a version is watched.
#[derive(Debug)]
pub(super) struct Watch {
    /// The trial's number.
    pub(super) n: u64,
    /// Since when.
    pub(super) since: Timestamp,
    /// Until when.
    pub(super) until: Timestamp,
    workflows: Option<BTreeSet<WorkflowName>>,
    change: Change,
    limits: Rollback,
    /// Of calls; none until it was read.
    pub(super) usual: Option<Counts>,
    now: Counts,
    pub(super) once: Once,
    /// Segments whose breach was told for a person to decide: it is not told again.
    pub(super) left: BTreeSet<Key>,
}

impl Watch {
    /// Of a trial that is watched and has something to be held against.
    pub(super) fn of(open: &OnTrial) -> Option<Self> {
        let (before, until) = (open.before.clone()?, open.trial.until?);
        let limits = before.rollback().cloned().unwrap_or_default();
        let now = Counts::of([&before, &open.policy]);
        Some(Self {
            n: open.trial.n,
            since: open.trial.at,
            until,
            workflows: open.trial.workflows.clone(),
            change: Change { before, now: open.policy.clone() },
            limits,
            usual: None,
            once: Once::default(),
            left: BTreeSet::new(),
            now,
        })
    }

    pub(super) fn change(&self) -> Change {
        self.change.clone()
    }

    /// Whether it is everyone's.
    pub(super) fn is_whole(&self) -> bool {
        self.workflows.is_none()
    }

    /// Whether this workflow's requests are what is watched.
    pub(super) fn concerns(&self, workflow: &WorkflowName) -> bool {
        self.workflows.as_ref().is_none_or(|workflows| workflows.contains(workflow))
    }

    /// Counts, and says whether it is enough: the share is above what it was by more than the limit, with 95 % certainty
    /// for what came since. Of a call's segment it must be known what it was.
    pub(super) fn note(&mut self, seen: &Seen) -> Option<Breach> {
        if !self.concerns(&seen.workflow) {
            return None;
        }
        let segment = self.now.add(seen)?;
        let now = self.now.tally(&segment);
        if matches!(seen.fate, Fate::Allowed | Fate::Unchanged) || now.all < self.limits.min_requests {
            return None;
        }
        let known = self.usual.as_ref().filter(|_| seen.call);
        let usual = known.map(|usual| usual.tally(&segment)).unwrap_or_default();
        if seen.call && usual.all < self.limits.min_requests {
            return None;
        }
        let (max_denied, max_needs_approval) = self.limits_of(&segment);
        let breach = |what, hits: u64, past: u64, limit: PerMille| {
            let (lowest, _) = wilson(hits, now.all);
            let before = share(past, usual.all);
            (lowest > before + limit.share()).then(|| Breach {
                segment: segment.clone(),
                what,
                requests: now.all,
                hits,
                before,
                limit: limit.share(),
            })
        };
        breach("denied", now.denied, usual.denied, max_denied).or_else(|| {
            breach("needs_approval", now.needs_approval, usual.needs_approval, max_needs_approval)
        })
    }

    fn limits_of(&self, key: &Key) -> (PerMille, PerMille) {
        let fits = self.limits.segments.iter().find(|own| {
            own.workflow.as_ref().is_none_or(|workflow| *workflow == key.workflow)
                && own.tool.as_ref().is_none_or(|tool| *tool == key.tool)
                && own.access.is_none_or(|access| access.covers(key.access))
        });
        fits.map_or((self.limits.max_denied, self.limits.max_needs_approval), |own| {
            (own.max_denied, own.max_needs_approval)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{EXAMPLE, policy};
    use crate::policy::model::RollbackSegment;
    use crate::store::Trial;

    fn seen(workflow: &str, fate: Fate) -> Seen {
        Seen {
            workflow: workflow.parse().unwrap(),
            intent: None,
            tool: "github".parse().unwrap(),
            access: Access::Write,
            fate,
            call: false,
        }
    }

    fn counts() -> Counts {
        let policy = policy(EXAMPLE);
        Counts::of([&policy, &policy])
    }

    fn watch(usual: Counts, limits: Rollback, workflows: Option<&str>) -> Watch {
        let trial = Trial {
            n: 1,
            version: 2,
            before: 1,
            workflows: workflows.map(|name| [name.parse().unwrap()].into()),
            at: Timestamp::from_seconds(1),
            until: Some(Timestamp::from_seconds(2)),
            operator: "alice".to_owned(),
            ended: None,
        };
        let open = OnTrial { trial, policy: policy(EXAMPLE), before: Some(policy(EXAMPLE)) };
        Watch { limits, usual: Some(usual), ..Watch::of(&open).unwrap() }
    }

    fn feed(watch: &mut Watch, of: &Seen, fates: &[(Fate, usize)]) -> Option<Breach> {
        let all = fates.iter().flat_map(|(fate, times)| std::iter::repeat_n(*fate, *times));
        all.fold(None, |breach, fate| watch.note(&Seen { fate, ..of.clone() }).or(breach))
    }

    fn call(fate: Fate) -> Seen {
        Seen { call: true, ..seen("release-notes", fate) }
    }

    #[test]
    fn a_rise_beyond_the_limit_is_a_breach_and_the_usual_is_none() {
        let mut usual = counts();
        (0..100).for_each(|n| drop(usual.add(&call(if n < 20 { Fate::Denied } else { Fate::Allowed }))));
        let mut same = watch(usual.clone(), Rollback::default(), None);
        assert_eq!(feed(&mut same, &call(Fate::Allowed), &[(Fate::Allowed, 80), (Fate::Denied, 20)]), None);
        let worse = feed(&mut same, &call(Fate::Allowed), &[(Fate::Denied, 60)]).unwrap();
        assert_eq!((worse.what, worse.before), ("denied", 0.2));
    }

    #[test]
    fn what_the_version_before_refused_too_is_no_breach_however_often() {
        let mut fresh = watch(counts(), Rollback::default(), None);
        assert_eq!(
            feed(&mut fresh, &seen("release-notes", Fate::Allowed), &[(Fate::Unchanged, 10_000)]),
            None
        );
        let breach =
            feed(&mut fresh, &seen("enrich", Fate::Allowed), &[(Fate::Unchanged, 20), (Fate::Denied, 20)]);
        assert_eq!(breach.map(|breach| (breach.requests, breach.hits)), Some((40, 20)));
    }

    #[test]
    fn calls_of_a_segment_of_which_nothing_is_known_are_not_judged() {
        let mut fresh = watch(counts(), Rollback::default(), None);
        assert_eq!(feed(&mut fresh, &call(Fate::Allowed), &[(Fate::Denied, 1000)]), None);
        let mut usual = counts();
        (0..19).for_each(|_| drop(usual.add(&call(Fate::Allowed))));
        let mut little = watch(usual.clone(), Rollback::default(), None);
        assert_eq!(feed(&mut little, &call(Fate::Allowed), &[(Fate::Denied, 1000)]), None);
        usual.add(&call(Fate::Allowed));
        let mut enough = watch(usual, Rollback::default(), None);
        assert!(feed(&mut enough, &call(Fate::Allowed), &[(Fate::Denied, 20)]).is_some());
    }

    #[test]
    fn a_few_requests_prove_nothing() {
        let mut fresh = watch(counts(), Rollback::default(), None);
        let one = seen("release-notes", Fate::Allowed);
        assert_eq!(feed(&mut fresh, &one, &[(Fate::Denied, 19)]), None);
        assert!(feed(&mut fresh, &one, &[(Fate::Denied, 1)]).is_some(), "the twentieth of twenty");
        let mut approval = watch(counts(), Rollback::default(), None);
        let breach = feed(&mut approval, &one, &[(Fate::Allowed, 10), (Fate::NeedsApproval, 15)]).unwrap();
        assert_eq!(breach.what, "needs_approval");
    }

    #[test]
    fn only_those_on_whom_it_is_tried_count_and_segments_have_limits_of_their_own() {
        let [a, b] = ["release-notes", "enrich"].map(|name| seen(name, Fate::Allowed));
        let mut part = watch(counts(), Rollback::default(), Some("release-notes"));
        assert_eq!(feed(&mut part, &b, &[(Fate::Denied, 100)]), None);
        let own = RollbackSegment {
            workflow: Some("release-notes".parse().unwrap()),
            tool: None,
            access: Some(Access::Write),
            max_denied: PerMille::of(1.0),
            max_needs_approval: PerMille::of(1.0),
        };
        let limits = Rollback { segments: vec![own], ..Rollback::default() };
        let mut lenient = watch(counts(), limits, None);
        assert_eq!(feed(&mut lenient, &a, &[(Fate::Denied, 100)]), None);
        assert!(feed(&mut lenient, &b, &[(Fate::Denied, 100)]).is_some());
    }

    #[test]
    fn memory_is_bounded_and_neither_calls_nor_unknown_names_take_the_room_of_exchanges() {
        let mut counts = counts();
        for n in 0..20_000 {
            let stranger = Seen { call: true, ..seen(&format!("w{n}"), Fate::Denied) };
            assert_eq!(counts.add(&stranger), None, "nobody of this name may come");
            let tool = format!("t{n}").parse().unwrap();
            counts.add(&Seen { tool, ..call(Fate::Denied) });
        }
        assert_eq!(counts.calls.len(), MAX_SEGMENTS);
        assert!(counts.full && counts.exchanges.is_empty());
        assert!(counts.add(&seen("release-notes", Fate::Denied)).is_some());
        for n in 0..20_000 {
            let intent = Some(format!("i{n}").parse().unwrap());
            counts.add(&Seen { intent, ..seen("release-notes", Fate::Denied) });
        }
        assert_eq!(counts.exchanges.len(), 1, "intents that no grant lists are one");
    }
}
