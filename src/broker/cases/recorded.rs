//! Cases of what was decided: from an entry of the audit log and the input that was kept beside it.

use serde::Deserialize;
use serde_json::Value;
use shortbread_protocol::event::{Event, EventType, Segment};
use shortbread_protocol::names::ToolName;
use shortbread_protocol::reason::Reason;
use thiserror::Error;

use super::read::MAX_WEIGHT;
use super::{Case, Input, Outcome, Recorded, VERSION};

/// Why an entry is no case of the policy.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NoCase {
    /// It records no exchange.
    #[error("it records no exchange of an identity for a token")]
    Kind,
    /// It records that a token was passed on: the policy takes rights back there and grants none.
    #[error(
        "it records that a token was passed on: what a child may have was decided when its parent was granted"
    )]
    PassedOn {
        /// The parent's id.
        parent: String,
    },
    /// The policy did not decide, or did not refuse.
    #[error("{reason} refused it at the step `{stage}`, not the policy")]
    Elsewhere {
        /// The reason code.
        reason: String,
        /// The step that refused.
        stage: String,
    },
    /// Entry or input have a form that this program does not know.
    #[error("its form is not known to this version: {0}")]
    Form(String),
}

/// What of an entry's particulars a case needs.
#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    stage: String,
    #[serde(default)]
    reasons: Vec<String>,
    #[serde(default)]
    granted: Vec<String>,
    #[serde(default)]
    dropped: Vec<Dropped>,
    #[serde(default)]
    policy: Option<String>,
    #[serde(default)]
    segment: Segment,
    #[serde(default)]
    identity: Option<Value>,
    #[serde(default)]
    count: Option<u64>,
}

#[derive(Deserialize)]
struct Dropped {
    verb: String,
    reason: String,
}

/// Whether an entry is of an operator who signed in: an exchange for the built-in tool.
#[must_use]
pub fn is_operators(event: &Event) -> bool {
    event.subject.starts_with("operator/")
        || event.data.pointer("/segment/tool").is_some_and(|tool| *tool == ToolName::shortbread().as_str())
}

/// What can be known of an entry without its input: whether the policy decided, and what.
///
/// # Errors
/// When it did not.
pub fn decided(event: &Event) -> Result<Recorded, NoCase> {
    recorded(event, read(event)?)
}

/// The case of an entry and its input.
///
/// # Errors
/// When the policy did not decide it, or a form is not known.
pub fn case(event: &Event, input: &[u8]) -> Result<Case, NoCase> {
    let data = read(event)?;
    let (segment, weight) = (data.segment.clone(), data.count.unwrap_or(1).clamp(1, MAX_WEIGHT));
    let recorded = recorded(event, data)?;
    let input: Input = serde_json::from_slice(input).map_err(|error| NoCase::Form(error.to_string()))?;
    let at = event.time.parse().map_err(|_| NoCase::Form("the time".to_owned()))?;
    Ok(Case {
        v: VERSION,
        id: event.id.clone(),
        at: Some(at),
        input,
        recorded: Some(recorded),
        label: None,
        segment,
        weight,
    })
}

fn read(event: &Event) -> Result<Data, NoCase> {
    if !matches!(event.kind, EventType::TokenMinted | EventType::TokenRefused | EventType::ApprovalRequested)
    {
        return Err(NoCase::Kind);
    }
    Data::deserialize(&event.data).map_err(|error| NoCase::Form(error.to_string()))
}

fn recorded(event: &Event, data: Data) -> Result<Recorded, NoCase> {
    let parent = data.identity.as_ref().and_then(|identity| identity.get("parent")).and_then(Value::as_str);
    if let Some(parent) = parent {
        return Err(NoCase::PassedOn { parent: parent.to_owned() });
    }
    if event.kind == EventType::TokenMinted {
        // What was revoked at the time was granted by the policy all the same.
        let revoked = data.dropped.into_iter().filter(|dropped| is_revoked(&dropped.reason));
        let mut granted: Vec<String> = data.granted.into_iter().chain(revoked.map(|one| one.verb)).collect();
        granted.sort_unstable();
        return Ok(Recorded { outcome: Outcome::Allow, granted, reasons: Vec::new(), policy: data.policy });
    }
    let first = data.reasons.first().cloned().unwrap_or_default();
    if data.stage != "policy" && event.kind != EventType::ApprovalRequested {
        return Err(NoCase::Elsewhere { reason: first, stage: data.stage });
    }
    let asked = first == Reason::ApprovalRequired.code();
    let outcome = if asked { Outcome::NeedsApproval } else { Outcome::Deny };
    Ok(Recorded { outcome, granted: Vec::new(), reasons: data.reasons, policy: data.policy })
}

fn is_revoked(code: &str) -> bool {
    matches!(Reason::from_code(code), Some(Reason::Revoked(_) | Reason::RevokedAll | Reason::RevokedBlock))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shortbread_protocol::clock::Timestamp;
    use shortbread_protocol::event::Decision;

    use super::*;

    const INPUT: &[u8] = br#"{"identity":{"principal":"workflow:demo"},"possession":"proved","request":[{"verb":"github/issues.read"}]}"#;

    fn event(kind: EventType, subject: &str, data: Value) -> Event {
        let at = Timestamp::from_seconds(1_795_176_000);
        let decision =
            Decision { id: "dec_1".to_owned(), at, trace: [1; 16], span: [2; 8], parent: None, flags: 1 };
        Event::new(kind, "https://broker.acme.example", &decision, subject.to_owned(), data)
    }

    fn refused(stage: &str, reason: &str) -> Event {
        let data = json!({ "outcome": "deny", "stage": stage, "reasons": [reason], "count": 3, "policy": "sha256:1" });
        event(EventType::TokenRefused, "workflow/demo", data)
    }

    #[test]
    fn what_was_granted_and_revoked_was_granted() {
        let data = json!({
            "outcome": "allow", "stage": "record", "reasons": ["grant:1"], "granted": ["github/issues.write"],
            "dropped": [
                { "verb": "github/issues.read", "reason": "revoked.verb" },
                { "verb": "github/repo.delete", "reason": "policy.not_granted" },
            ],
            "segment": { "workflow": "demo", "tool": "github" },
        });
        let case = case(&event(EventType::TokenMinted, "workflow/demo", data), INPUT).unwrap();
        let recorded = case.recorded.unwrap();
        assert_eq!((recorded.outcome, recorded.reasons.len()), (Outcome::Allow, 0));
        assert_eq!(recorded.granted, ["github/issues.read", "github/issues.write"]);
        assert_eq!(
            (case.id.as_str(), case.weight, case.segment.tool.as_deref()),
            ("dec_1", 1, Some("github"))
        );
        assert_eq!(case.at.unwrap().to_string(), "2026-11-20T12:00:00Z");
    }

    #[test]
    fn a_refusal_is_a_case_where_the_policy_refused() {
        let denied = case(&refused("policy", "policy.not_granted"), INPUT).unwrap();
        assert_eq!((denied.recorded.unwrap().outcome, denied.weight), (Outcome::Deny, 3));
        let asked = case(&refused("policy", "approval.required"), INPUT).unwrap();
        assert_eq!(asked.recorded.unwrap().outcome, Outcome::NeedsApproval);
        let data = json!({ "outcome": "pending", "stage": "approval", "reasons": ["approval.required"] });
        let waits = case(&event(EventType::ApprovalRequested, "workflow/demo", data), INPUT).unwrap();
        assert_eq!(waits.recorded.unwrap().outcome, Outcome::NeedsApproval);
        for (stage, reason) in [
            ("proof", "proof.required"),
            ("limits", "rate.limited"),
            ("revocation", "revoked.workflow"),
            ("target", "target.unknown"),
            ("record", "store.unavailable"),
        ] {
            let elsewhere = NoCase::Elsewhere { reason: reason.to_owned(), stage: stage.to_owned() };
            assert_eq!(case(&refused(stage, reason), INPUT), Err(elsewhere));
        }
    }

    #[test]
    fn other_entries_are_no_cases() {
        let call = event(EventType::CallDecision, "workflow/demo", json!({ "outcome": "allow" }));
        assert_eq!(case(&call, INPUT), Err(NoCase::Kind));
        let data = json!({ "stage": "record", "identity": { "parent": "tok_1" } });
        let child = event(EventType::TokenMinted, "workflow/demo", data);
        assert_eq!(decided(&child), Err(NoCase::PassedOn { parent: "tok_1".to_owned() }));
        assert!(matches!(case(&refused("policy", "x"), b"{}"), Err(NoCase::Form(_))));
        let strange = event(EventType::TokenMinted, "workflow/demo", json!({ "granted": 1 }));
        assert!(matches!(case(&strange, INPUT), Err(NoCase::Form(_))));
    }

    #[test]
    fn operators_signing_in_are_told_apart() {
        let tool = |tool: &str| json!({ "segment": { "tool": tool } });
        assert!(is_operators(&event(EventType::TokenMinted, "operator/alice", tool("shortbread"))));
        assert!(is_operators(&event(EventType::TokenRefused, "workflow/demo", tool("shortbread"))));
        assert!(!is_operators(&event(EventType::TokenMinted, "workflow/demo", tool("github"))));
    }
}
