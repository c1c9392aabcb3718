//! What operators are told: the kinds, their particulars, and the words for a reader.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use shortbread_protocol::access::Access;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::{Task, ToolName, VerifierName, WorkflowName};
use shortbread_protocol::revocations::Cause;

use super::approval::ApprovalNotice;
use crate::breaker::BreakerKind;
use crate::store::PolicyAction;

/// How many things a notice names; what is more is counted.
const MOST_NAMED: usize = 10;

/// What passed a limit of a watched version: the requests of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastLimit {
    /// Whose requests.
    pub workflow: WorkflowName,
    /// For which tool.
    pub tool: ToolName,
    /// Of which access.
    pub access: Access,
    /// `denied` or `needs_approval`.
    pub what: &'static str,
    /// How many requests of that segment there were.
    pub requests: u64,
    /// How many of them were denied, or need approval.
    pub hits: u64,
}

impl PastLimit {
    // Beside other particulars.
    fn with(&self, mut others: Value) -> Value {
        let Self { workflow, tool, access, what, requests, hits } = self;
        let own = json!({
            "workflow": workflow, "tool": tool, "access": access, "what": what, "requests": requests, "hits": hits,
        });
        if let (Some(others), Value::Object(own)) = (others.as_object_mut(), own) {
            others.extend(own);
        }
        others
    }
}

impl fmt::Display for PastLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workflow, tool, access, what, requests, hits } = self;
        let became = if *what == "denied" { "were denied" } else { "need approval" };
        write!(f, "of {requests} requests of {workflow} for {tool} ({access}) {hits} {became}")
    }
}

/// Something that operators are told. It holds no secret and nobody's free words: those stay in the audit log, which the
/// decision's id leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Something was revoked.
    Revoked {
        /// What, as selectors such as `task nightly`, or `everything`.
        what: Vec<String>,
        /// Who: an operator's name, `tripwire/NAME`, or `root key` for a break-glass head.
        by: String,
        /// The sequence of the change; for a break-glass head, which is beside the list, that of the list then.
        seq: u64,
        /// Why, as the public list has it.
        cause: Cause,
        /// How many living tokens it ended; none where they could not be counted in time.
        tokens: Option<u64>,
        /// The decision's id.
        decision: String,
    },
    /// A revocation was lifted.
    Lifted {
        /// What, as selectors.
        what: Vec<String>,
        /// Who.
        by: String,
        /// The sequence of the change.
        seq: u64,
        /// Whether old tokens live again.
        revive: bool,
        /// How many tokens with time left it concerns; none where they could not be counted in time.
        tokens: Option<u64>,
        /// The decision's id.
        decision: String,
    },
    /// An instance of a verifier has said nothing for longer than it may.
    VerifierSilent {
        /// The verifier.
        verifier: VerifierName,
        /// Its instance.
        instance: String,
        /// When it was last heard.
        since: Timestamp,
        /// The last sequence that it said to have applied.
        seq: u64,
    },
    /// A silent instance reports again.
    VerifierBack {
        /// The verifier.
        verifier: VerifierName,
        /// Its instance.
        instance: String,
        /// The sequence that it has applied.
        seq: u64,
    },
    /// A source fails and is not asked for a while.
    BreakerOpened {
        /// The issuer, or the host of the webhook.
        source: String,
        /// What kind of source.
        kind: BreakerKind,
        /// After how long it is tried again.
        retry_after: Duration,
    },
    /// A source that failed answers again.
    BreakerClosed {
        /// The issuer, or the host of the webhook.
        source: String,
        /// What kind of source.
        kind: BreakerKind,
    },
    /// A tripwire revoked a task.
    Tripped {
        /// Its name.
        tripwire: String,
        /// The task.
        task: Task,
        /// The access that was refused.
        access: Access,
        /// How many refusals it took.
        refusals: usize,
        /// The sequence of the revocation.
        seq: u64,
        /// The decision's id.
        decision: String,
    },
    /// A tripwire would revoke more tasks than it may in an hour: until then it revokes none.
    Capped {
        /// Its name.
        tripwire: String,
        /// How many it may revoke in an hour.
        max_per_hour: u32,
    },
    /// A policy came into force.
    PolicyActivated {
        /// Its version.
        version: u64,
        /// Its digest.
        digest: String,
        /// Who put it in force.
        by: String,
        /// Whether forwards or back.
        action: PolicyAction,
        /// The decision's id.
        decision: String,
    },
    /// A policy version is tried on some workflows.
    PolicyTried {
        /// Its version.
        version: u64,
        /// On which workflows.
        workflows: Vec<String>,
        /// Who tries it.
        by: String,
        /// The decision's id.
        decision: String,
    },
    /// An operator ended the trial of a policy version on some workflows.
    PolicyTrialEnded {
        /// Its version.
        version: u64,
        /// On which workflows it was tried.
        workflows: Vec<String>,
        /// Who ended it.
        by: String,
        /// The decision's id.
        decision: String,
    },
    /// A watched version passed a limit and was taken back.
    PolicyTakenBack {
        /// The version.
        version: u64,
        /// The version that is in force instead.
        to: u64,
        /// What passed it.
        past: PastLimit,
        /// The decision's id.
        decision: String,
    },
    /// A watched version passed a limit and is not taken back by itself.
    PolicyBreached {
        /// The version, which stays.
        version: u64,
        /// Why it is not taken back.
        why: String,
        /// What passed it.
        past: PastLimit,
        /// The decision's id.
        decision: String,
    },
    /// Something about a request for approval.
    Approval(Box<ApprovalNotice>),
    /// A key document was published.
    KeysActivated {
        /// Its version.
        version: u64,
    },
    /// A checkpoint of the audit log, for whoever keeps it outside the broker.
    LogCheckpoint {
        /// How many entries it covers.
        size: u64,
        /// The root of the tree over them, in base64.
        root: String,
        /// The signed note.
        note: String,
    },
}

/// The kinds of notice, as the configuration names them.
pub const KINDS: [&str; 19] = [
    "revocation.set",
    "revocation.lifted",
    "verifier.silent",
    "verifier.back",
    "breaker.opened",
    "breaker.closed",
    "tripwire.tripped",
    "tripwire.capped",
    "policy.activated",
    "policy.tried",
    "policy.trial_ended",
    "policy.taken_back",
    "policy.breached",
    "approval.requested",
    "approval.escalated",
    "approval.decided",
    "approval.expired",
    "keys.activated",
    "log.checkpoint",
];

/// How much a notice matters when there is no room for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Something is well again.
    Low = 1,
    /// A part fails, or somebody changed something.
    Middle = 2,
    /// Something was stopped.
    High = 3,
}

impl Weight {
    /// As a number: more for what matters more.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Low => 1,
            Self::Middle => 2,
            Self::High => 3,
        }
    }
}

impl Notice {
    /// The kind, such as `revocation.set`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Revoked { .. } => "revocation.set",
            Self::Lifted { .. } => "revocation.lifted",
            Self::VerifierSilent { .. } => "verifier.silent",
            Self::VerifierBack { .. } => "verifier.back",
            Self::BreakerOpened { .. } => "breaker.opened",
            Self::BreakerClosed { .. } => "breaker.closed",
            Self::Tripped { .. } => "tripwire.tripped",
            Self::Capped { .. } => "tripwire.capped",
            Self::PolicyActivated { .. } => "policy.activated",
            Self::PolicyTried { .. } => "policy.tried",
            Self::PolicyTrialEnded { .. } => "policy.trial_ended",
            Self::PolicyTakenBack { .. } => "policy.taken_back",
            Self::PolicyBreached { .. } => "policy.breached",
            Self::Approval(about) => about.kind(),
            Self::KeysActivated { .. } => "keys.activated",
            Self::LogCheckpoint { .. } => "log.checkpoint",
        }
    }

    /// How much it matters.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        match self {
            Self::Revoked { .. }
            | Self::Tripped { .. }
            | Self::PolicyTakenBack { .. }
            | Self::PolicyBreached { .. } => Weight::High,
            Self::Approval(about) => about.weight(),
            Self::VerifierBack { .. } | Self::BreakerClosed { .. } | Self::LogCheckpoint { .. } => {
                Weight::Low
            }
            _ => Weight::Middle,
        }
    }

    /// The particulars, for programs.
    #[must_use]
    pub fn data(&self) -> Value {
        match self {
            Self::Revoked { what, by, seq, cause, tokens, decision } => json!({
                "what": first(what), "unnamed": unnamed(what), "by": by, "seq": seq, "cause": cause, "tokens": tokens,
                "decision_id": decision,
            }),
            Self::Lifted { what, by, seq, revive, tokens, decision } => json!({
                "what": first(what), "unnamed": unnamed(what), "by": by, "seq": seq, "revive": revive, "tokens": tokens,
                "decision_id": decision,
            }),
            Self::VerifierSilent { verifier, instance, since, seq } => {
                json!({ "verifier": verifier, "instance": instance, "since": since.to_string(), "seq": seq })
            }
            Self::VerifierBack { verifier, instance, seq } => {
                json!({ "verifier": verifier, "instance": instance, "seq": seq })
            }
            Self::BreakerOpened { source, kind, retry_after } => {
                json!({ "source": source, "kind": kind.as_str(), "retry_after": retry_after.as_secs() })
            }
            Self::BreakerClosed { source, kind } => json!({ "source": source, "kind": kind.as_str() }),
            Self::Tripped { tripwire, task, access, refusals, seq, decision } => json!({
                "tripwire": tripwire, "task": task, "access": access, "refusals": refusals, "seq": seq,
                "decision_id": decision,
            }),
            Self::Capped { tripwire, max_per_hour } => {
                json!({ "tripwire": tripwire, "max_per_hour": max_per_hour })
            }
            Self::PolicyActivated { version, digest, by, action, decision } => json!({
                "version": version, "digest": digest, "by": by, "rollback": *action == PolicyAction::Rollback,
                "decision_id": decision,
            }),
            Self::PolicyTried { version, workflows, by, decision }
            | Self::PolicyTrialEnded { version, workflows, by, decision } => json!({
                "version": version, "workflows": first(workflows), "unnamed": unnamed(workflows), "by": by,
                "decision_id": decision,
            }),
            Self::PolicyTakenBack { version, to, past, decision } => {
                past.with(json!({ "version": version, "to": to, "decision_id": decision }))
            }
            Self::PolicyBreached { version, why, past, decision } => {
                past.with(json!({ "version": version, "why": why, "decision_id": decision }))
            }
            Self::Approval(about) => about.data(),
            Self::KeysActivated { version } => json!({ "version": version }),
            Self::LogCheckpoint { size, root, note } => {
                json!({ "size": size, "root": root, "note": note })
            }
        }
    }
}

/// One sentence for people.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revoked { what, by, seq, tokens, decision, .. } => {
                let ended = Counted(*tokens, "ended");
                write!(f, "{by} revoked {}{ended} (list {seq}, decision {decision})", Named(what))
            }
            Self::Lifted { what, by, seq, revive, tokens, decision } => {
                let old =
                    if *revive { Counted(*tokens, "live again") } else { Counted(*tokens, "stay dead") };
                write!(
                    f,
                    "{by} lifted the revocation of {}{old} (list {seq}, decision {decision})",
                    Named(what)
                )
            }
            Self::VerifierSilent { verifier, instance, since, seq } => write!(
                f,
                "the verifier {verifier} is silent: instance {instance} was last heard at {since} with list {seq}"
            ),
            Self::VerifierBack { verifier, instance, seq } => {
                write!(f, "the verifier {verifier} reports again: instance {instance} has list {seq}")
            }
            Self::BreakerOpened { source, kind, retry_after } => {
                let after = retry_after.as_secs();
                write!(f, "the {} {source} fails and is left alone for {after} s", kind.words())
            }
            Self::BreakerClosed { source, kind } => {
                write!(f, "the {} {source} answers again", kind.words())
            }
            Self::Tripped { tripwire, task, access, refusals, seq, decision } => write!(
                f,
                "the tripwire {tripwire} revoked the task {task} after {refusals} refusals of {access} (list {seq}, decision {decision})"
            ),
            Self::Capped { tripwire, max_per_hour } => write!(
                f,
                "the tripwire {tripwire} has revoked {max_per_hour} tasks within an hour, which is all it may; it revokes no more until that hour is over"
            ),
            Self::PolicyActivated { version, by, action, decision, .. } => {
                let how = if *action == PolicyAction::Rollback {
                    "rolled the policy back to"
                } else {
                    "activated policy"
                };
                write!(f, "{by} {how} version {version} (decision {decision})")
            }
            Self::PolicyTried { version, workflows, by, decision } => {
                write!(f, "{by} tries policy version {version} on {} (decision {decision})", Named(workflows))
            }
            Self::PolicyTrialEnded { version, workflows, by, decision } => {
                write!(f, "{by} took policy version {version} off {} (decision {decision})", Named(workflows))
            }
            Self::PolicyTakenBack { version, to, past, decision } => write!(
                f,
                "policy version {version} was taken back and version {to} is in force: {past} (decision {decision})"
            ),
            Self::PolicyBreached { version, why, past, decision } => write!(
                f,
                "policy version {version} passed a limit and stays, for it is not taken back by itself: {why}; {past} (decision {decision})"
            ),
            Self::Approval(about) => about.fmt(f),
            Self::KeysActivated { version } => write!(f, "key document version {version} was activated"),
            Self::LogCheckpoint { size, root, .. } => {
                write!(f, "the audit log has {size} entries and the root {root}")
            }
        }
    }
}

pub(super) fn first(what: &[String]) -> &[String] {
    what.get(..MOST_NAMED).unwrap_or(what)
}

pub(super) const fn unnamed(what: &[String]) -> usize {
    what.len().saturating_sub(MOST_NAMED)
}

/// `a, b and 3 more`
pub(super) struct Named<'a>(pub(super) &'a [String]);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&first(self.0).join(", "))?;
        match unnamed(self.0) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// `; tokens that ended: 12`, or that nobody counted.
struct Counted(Option<u64>, &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(tokens) => write!(f, "; tokens that {}: {tokens}", self.1),
            None => f.write_str("; the tokens were not counted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revoked(what: usize) -> Notice {
        Notice::Revoked {
            what: (0..what).map(|n| format!("task t{n}")).collect(),
            by: "alice".to_owned(),
            seq: 7,
            cause: Cause::Incident,
            tokens: Some(12),
            decision: "dec_1".to_owned(),
        }
    }

    #[test]
    fn a_sentence_says_who_what_how_many_and_where_to_look() {
        assert_eq!(
            revoked(1).to_string(),
            "alice revoked task t0; tokens that ended: 12 (list 7, decision dec_1)"
        );
        let many = revoked(100);
        assert!(many.to_string().contains("task t9 and 90 more;"), "{many}");
        assert_eq!(many.data()["what"].as_array().unwrap().len(), MOST_NAMED);
        assert_eq!(many.data()["unnamed"], 90);
    }

    #[test]
    fn what_was_stopped_matters_more_than_what_is_well() {
        let back = Notice::BreakerClosed { source: "x".to_owned(), kind: BreakerKind::Issuer };
        assert!(revoked(1).weight() > back.weight());
        assert!(KINDS.contains(&back.kind()) && KINDS.contains(&revoked(1).kind()));
    }
}
