//! The built-in tool `shortbread`: the broker's own admin API, fixed in code so that no policy can bend it.

use shortbread_protocol::access::Access;
use shortbread_protocol::event::Segment;
use shortbread_protocol::names::{Intent, Operation, ToolName, VerbName};
use shortbread_protocol::normalise::Forms;

use super::model::{Tool, Verb, Windows};

/// The verbs of the built-in tool and what harm each can do.
pub const VERBS: [(&str, Access); 13] = [
    ("revocations.read", Access::Read),
    (REVOKE, Access::Write),
    (LIFT, Access::Privileged),
    ("policy.read", Access::Read),
    (ACTIVATE, Access::Privileged),
    ("policy.rollback", Access::Privileged),
    ("audit.read", Access::Read),
    (ERASE, Access::Privileged),
    ("approvals.read", Access::Read),
    (DECIDE, Access::Write),
    ("keys.read", Access::Read),
    ("keys.rotate", Access::Privileged),
    ("status.read", Access::Read),
];

/// Pressing the switch.
pub const REVOKE: &str = "revocations.revoke";
/// Taking revocations back.
pub const LIFT: &str = "revocations.lift";
/// Putting a policy in force.
pub const ACTIVATE: &str = "policy.activate";
/// Approving or denying a request.
pub const DECIDE: &str = "approvals.decide";
/// Erasing what decisions depended on.
pub const ERASE: &str = "audit.erase";

/// The exact audience of tokens for the admin API of the broker at `issuer`.
#[must_use]
pub fn audience(issuer: &str) -> String {
    format!("{}/api/v1", issuer.trim_end_matches('/'))
}

/// The tool as it stands in every catalogue.
#[must_use]
pub fn tool(issuer: &str) -> Tool {
    let verbs = VERBS.into_iter().filter_map(|(name, access)| {
        let verb: VerbName = name.parse().ok()?;
        Some((verb, Verb { access, args: None, forms: Forms::new() }))
    });
    Tool { audience: audience(issuer), windows: Windows::default(), verbs: verbs.collect(), observe: None }
}

/// Whether this is the built-in tool.
#[must_use]
pub fn is(tool: &ToolName) -> bool {
    *tool == ToolName::shortbread()
}

/// Whether the operation reads, sets or lifts revocations: the verbs that no forbid reaches.
#[must_use]
pub fn is_switch(operation: &Operation) -> bool {
    is(&operation.tool) && operation.verb.as_str().starts_with("revocations.")
}

/// What an entry about a call of the admin API is counted by.
#[must_use]
pub fn segment(who: &str, verb: &str) -> Segment {
    let access = VERBS.into_iter().find(|(name, _)| *name == verb).map(|(_, access)| access.to_string());
    Segment {
        workflow: Some(who.to_owned()),
        intent: Some(Intent::undeclared()),
        tool: Some(ToolName::shortbread().to_string()),
        access,
        ..Segment::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_in_the_tool() {
        let tool = tool("https://broker.acme.example/");
        assert_eq!(tool.verbs.len(), VERBS.len());
        assert_eq!(tool.audience, "https://broker.acme.example/api/v1");
    }
}
