//! Whose votes count: a pure function of the policy, the time and the votes. Who is asked follows from how long a request
//! waits, so that no restart and no replica disagrees about it.

use std::collections::BTreeSet;
use std::iter::successors;
use std::time::Duration;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::{Intent, Operation, OperatorName, ToolName};

use crate::policy::model::{Approvers, Principal};
use crate::policy::{Demand, Policy, builtin};
use crate::store::StoredVote;

/// A group that is asked, or will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// From when on.
    pub since: Timestamp,
    /// Who of it may vote: members who may decide approvals and do not own the workflow.
    pub members: BTreeSet<OperatorName>,
}

/// How far one demand is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The demand.
    pub demand: Demand,
    /// The groups that are asked, the first first, then those that will be.
    pub groups: Vec<Group>,
    /// How many of them are asked by now.
    pub asked: usize,
    /// Whose votes count for it.
    pub agreed: BTreeSet<OperatorName>,
}

/// How far a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Each demand.
    pub demands: Vec<Standing>,
    /// Who owns the workflow and has no vote.
    pub owners: BTreeSet<OperatorName>,
}

/// Counts. A vote counts for a demand where its operator was asked when they voted, by the groups of this policy, and may
/// decide approvals now.
#[must_use]
pub fn tally(
    policy: &Policy,
    principal: &Principal,
    demands: &[Demand],
    asked: Timestamp,
    votes: &[StoredVote],
    now: Timestamp,
) -> Tally {
    let owners = policy.owners_of(principal);
    let standing = |demand: &Demand| {
        let groups = groups(policy, demand, asked, &owners);
        let agreed = votes.iter().filter_map(|vote| {
            let operator: OperatorName = vote.operator.parse().ok()?;
            let was_asked = groups.iter().filter(|group| group.since <= vote.at);
            was_asked.into_iter().any(|group| group.members.contains(&operator)).then_some(operator)
        });
        let agreed = agreed.collect();
        let asked = groups.iter().filter(|group| group.since <= now).count();
        Standing { demand: demand.clone(), groups, asked, agreed }
    };
    Tally { demands: demands.iter().map(standing).collect(), owners }
}

impl Tally {
    /// Of a request that nobody is asked about.
    #[must_use]
    pub fn nobody() -> Self {
        Self { demands: Vec::new(), owners: BTreeSet::new() }
    }

    /// Whether every demand is met.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.demands.iter().all(Standing::is_met)
    }

    /// Whether this operator is asked now.
    #[must_use]
    pub fn asks(&self, operator: &OperatorName) -> bool {
        self.demands.iter().any(|demand| demand.voters().contains(operator))
    }

    /// From when on this operator is asked, where they will be.
    #[must_use]
    pub fn will_ask(&self, operator: &OperatorName) -> Option<Timestamp> {
        let groups = self.demands.iter().flat_map(|demand| &demand.groups);
        groups.filter(|group| group.members.contains(operator)).map(|group| group.since).min()
    }

    /// Whether this operator's vote counts for anything.
    #[must_use]
    pub fn counts(&self, operator: &str) -> bool {
        self.demands.iter().any(|demand| demand.agreed.iter().any(|other| other.as_str() == operator))
    }

    /// The demand that lacks most votes.
    #[must_use]
    pub fn furthest(&self) -> Option<&Standing> {
        self.demands.iter().max_by_key(|demand| demand.lacks())
    }

    /// The groups that are asked now, each once.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        let mut names = Vec::new();
        for group in self.demands.iter().flat_map(|demand| demand.groups.iter().take(demand.asked)) {
            if !names.contains(&group.name) {
                names.push(group.name.clone());
            }
        }
        names
    }

    /// When the next group is asked.
    #[must_use]
    pub fn escalates(&self) -> Option<Timestamp> {
        self.demands.iter().filter_map(|demand| demand.next()).map(|group| group.since).min()
    }
}

impl Standing {
    /// Whether as many agreed as have to.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.lacks() == 0
    }

    /// How many have to agree still. A demand of nobody's approval is none: it is never met.
    #[must_use]
    pub fn lacks(&self) -> usize {
        let quorum = usize::try_from(self.demand.quorum.max(1)).unwrap_or(usize::MAX);
        quorum.saturating_sub(self.agreed.len())
    }

    /// Who may vote now.
    #[must_use]
    pub fn voters(&self) -> BTreeSet<&OperatorName> {
        self.groups.iter().take(self.asked).flat_map(|group| &group.members).collect()
    }

    /// The group that is asked next.
    #[must_use]
    pub fn next(&self) -> Option<&Group> {
        self.groups.get(self.asked)
    }
}

fn groups(policy: &Policy, demand: &Demand, asked: Timestamp, owners: &BTreeSet<OperatorName>) -> Vec<Group> {
    let all = policy.approvers();
    let first = all.get_key_value(&demand.approvers);
    let next = |(_, group): &(&String, &Approvers)| all.get_key_value(group.escalate.as_ref()?);
    // An escalation that came back to itself would be a policy error; it ends here too.
    let chain = successors(first, next).take(all.len());
    let of = |(place, (name, group)): (usize, (&String, &Approvers))| Group {
        name: name.clone(),
        since: asked.plus(times(demand.sla, place)),
        members: group
            .members
            .iter()
            .filter(|m| !owners.contains(*m) && decides(policy, m))
            .cloned()
            .collect(),
    };
    chain.enumerate().map(of).collect()
}

fn times(span: Duration, times: usize) -> Duration {
    span.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX))
}

fn decides(policy: &Policy, operator: &OperatorName) -> bool {
    let Ok(verb) = builtin::DECIDE.parse() else { return false };
    let operation = Operation { tool: ToolName::shortbread(), verb };
    policy.lets(operator, &operation, &Intent::undeclared())
}

/// When a request is over: when the first of its demands is.
#[must_use]
pub fn expires(demands: &[Demand], asked: Timestamp) -> Timestamp {
    let first = demands.iter().map(|demand| demand.expires).min().unwrap_or_default();
    asked.plus(first)
}

/// When somebody has to look at it next, after `now`: an SLA is breached, or it is over.
#[must_use]
pub fn due(tally: &Tally, asked: Timestamp, expires: Timestamp, now: Timestamp) -> Timestamp {
    let breaches = tally.demands.iter().flat_map(|standing| {
        let sla = standing.demand.sla;
        (1..=standing.groups.len().max(1)).map(move |place| asked.plus(times(sla, place)))
    });
    breaches.filter(|moment| *moment > now).min().unwrap_or(expires).min(expires)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::policy;

    const POLICY: &str = r#"
[tools.pay]
audience = "https://tools.acme.example/pay"
verbs."refund" = { access = "privileged", args = ["amount"] }
[[identities]]
workflow = "desk"
key = "keys/demo.pub.pem"
[[identities]]
operator = "alice"
key = "keys/alice.pub.pem"
[[identities]]
operator = "bob"
key = "keys/bob.pub.pem"
[[identities]]
operator = "carol"
key = "keys/carol.pub.pem"
[[grants]]
workflow = "desk"
owners = ["alice"]
tool = "pay"
verbs = ["refund"]
any_arguments = true
approval = { approvers = "oncall", quorum = 1, sla = "5m", expires = "15m" }
[[grants]]
operator = "alice"
tool = "shortbread"
verbs = ["revocations.*", "policy.*", "approvals.decide"]
[[grants]]
operator = "bob"
tool = "shortbread"
verbs = ["approvals.decide"]
[[grants]]
operator = "carol"
tool = "shortbread"
verbs = ["approvals.decide"]
[approvers.oncall]
members = ["alice", "bob"]
escalate = "leads"
[approvers.leads]
members = ["carol"]
"#;

    const ASKED: Timestamp = Timestamp::from_seconds(1_795_176_000);

    fn at(seconds: u64) -> Timestamp {
        ASKED.plus(Duration::from_secs(seconds))
    }

    fn demand(quorum: u32) -> Demand {
        Demand {
            approvers: "oncall".to_owned(),
            quorum,
            sla: Duration::from_secs(300),
            expires: Duration::from_secs(900),
            verbs: vec!["pay/refund".parse().unwrap()],
        }
    }

    fn count(policy: &Policy, quorum: u32, votes: &[(&str, u64)], now: u64) -> Tally {
        let votes: Vec<StoredVote> = votes
            .iter()
            .map(|(operator, seconds)| StoredVote {
                operator: (*operator).to_owned(),
                at: at(*seconds),
                marks: Vec::new(),
                note: None,
            })
            .collect();
        tally(policy, &"workflow:desk".parse().unwrap(), &[demand(quorum)], ASKED, &votes, at(now))
    }

    #[test]
    fn the_next_group_is_asked_when_the_sla_is_breached_and_the_first_goes_on_being_asked() {
        let policy = policy(POLICY);
        let early = count(&policy, 1, &[], 299);
        assert_eq!((early.asked(), early.escalates()), (vec!["oncall".to_owned()], Some(at(300))));
        let (bob, carol) = ("bob".parse().unwrap(), "carol".parse().unwrap());
        assert!(early.asks(&bob) && !early.asks(&carol));
        assert_eq!(early.will_ask(&carol), Some(at(300)));
        let late = count(&policy, 1, &[], 300);
        assert_eq!((late.asked().len(), late.escalates()), (2, None));
        assert!(late.asks(&bob) && late.asks(&carol));
    }

    #[test]
    fn votes_count_of_who_was_asked_then_and_may_decide_now() {
        let of = policy;
        let policy = of(POLICY);
        assert!(count(&policy, 1, &[("bob", 10)], 20).is_complete());
        assert!(!count(&policy, 1, &[("carol", 10)], 400).is_complete(), "before she was asked");
        assert!(count(&policy, 2, &[("bob", 10), ("carol", 310)], 400).is_complete());
        assert!(
            !count(&policy, 2, &[("bob", 10), ("bob", 20)], 400).is_complete(),
            "one operator is one vote"
        );
        assert!(!count(&policy, 1, &[("alice", 10)], 20).is_complete(), "an owner in the group");
        assert!(!count(&policy, 1, &[("mallory", 10), ("", 10)], 20).is_complete());
        assert!(!count(&policy, 0, &[], 20).is_complete(), "no quorum is not an open door");
        let removed = of(&POLICY.replace("members = [\"alice\", \"bob\"]", "members = [\"carol\"]"));
        assert!(!count(&removed, 1, &[("bob", 10)], 20).is_complete());
        let gone = POLICY
            .replace("[approvers.leads]\nmembers = [\"carol\"]", "[approvers.leads]\nmembers = [\"bob\"]");
        assert!(count(&of(&gone), 1, &[("bob", 10)], 20).is_complete());
    }

    #[test]
    fn somebody_looks_at_each_breach_and_at_the_end() {
        let tally = count(&policy(POLICY), 1, &[], 0);
        let next = |now| due(&tally, ASKED, expires(&[demand(1)], ASKED), at(now));
        assert_eq!([next(0), next(299), next(300), next(600), next(899)], [300, 300, 600, 900, 900].map(at));
    }
}
