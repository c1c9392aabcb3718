//! Calls, as the watch counts them.

use serde::Deserialize;
use shortbread_protocol::access::Access;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::{Intent, Operation, ToolName, WorkflowName};
use shortbread_protocol::reason::Reason;
use shortbread_protocol::verifiers::{CallRecord, RESULT_STAGE};

use super::count::{Fate, Seen};
use crate::policy::diff::loses;
use crate::policy::model::Principal;
use crate::policy::{Policy, worst_access};

/// What a verifier recorded of a call, as far as the watch reads it: as it comes in, or as it stands in the log.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Called {
    workflow: Option<String>,
    intent: Option<String>,
    tool: Option<String>,
    verb: Option<String>,
    access: Option<Access>,
    stage: Option<String>,
    reasons: Vec<String>,
    observed: Option<String>,
    token: Option<String>,
}

impl From<&CallRecord> for Called {
    fn from(record: &CallRecord) -> Self {
        Self {
            workflow: record.workflow.clone(),
            intent: record.intent.clone(),
            tool: Some(record.tool.clone()),
            verb: Some(record.verb.clone()),
            access: record.access,
            stage: record.stage.clone(),
            reasons: record.reason.iter().cloned().collect(),
            observed: record.observed.clone(),
            token: record.token.clone(),
        }
    }
}

impl Called {
    /// When its token was made: the id begins with the milliseconds (RFC 9562, section 5.7).
    pub(super) fn made(&self) -> Option<Timestamp> {
        let digits = self.token.as_deref()?.strip_prefix("tok_")?.get(..12)?;
        u64::from_str_radix(digits, 16).ok().map(Timestamp::from_millis)
    }

    /// What it says of a change of policies: a refusal counts only where the one before gives of its verb what
    /// the other one does not.
    pub(super) fn seen(&self, before: &Policy, now: &Policy) -> Option<Seen> {
        // How a task came out is said of a call that was counted when it was decided.
        if self.stage.as_deref() == Some(RESULT_STAGE) {
            return None;
        }
        let workflow: WorkflowName = self.workflow.as_deref()?.parse().ok()?;
        let intent: Option<Intent> = self.intent.as_deref().and_then(|intent| intent.parse().ok());
        let tool: ToolName = self.tool.as_deref()?.parse().ok()?;
        let fate = match self.reasons.first().or(self.observed.as_ref()) {
            None => Fate::Allowed,
            Some(code) => Fate::of(Reason::from_code(code)?)?,
        };
        let verb = self.verb.as_deref().and_then(|verb| verb.parse().ok());
        let operation = verb.map(|verb| Operation { tool: tool.clone(), verb });
        let lost = || {
            operation.as_ref().is_some_and(|operation| {
                let principal = Principal::Workflow(workflow.clone());
                let intent = intent.clone().unwrap_or_else(Intent::undeclared);
                loses(before, now, &principal, &intent, operation)
            })
        };
        // What is not granted has no access of its own.
        let worst = || worst_access([before, now], operation.as_ref()?);
        let access = self.access.or_else(worst)?;
        let fate = if fate == Fate::Allowed || lost() { fate } else { Fate::Unchanged };
        Some(Seen { workflow, intent, tool, access, fate, call: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{EXAMPLE, policy};

    fn call(verb: &str, reason: Option<&str>) -> Called {
        Called {
            workflow: Some("release-notes".to_owned()),
            intent: Some("triage".to_owned()),
            tool: Some("github".to_owned()),
            verb: Some(verb.to_owned()),
            access: None,
            stage: Some("evaluate".to_owned()),
            reasons: reason.map(str::to_owned).into_iter().collect(),
            observed: None,
            token: Some("tok_019ab0c1d2e3700080000000000000ff".to_owned()),
        }
    }

    fn fate(before: &str, now: &str, call: &Called) -> Option<Fate> {
        call.seen(&policy(before), &policy(now)).map(|seen| seen.fate)
    }

    #[test]
    fn a_refusal_counts_where_the_change_could_be_why() {
        let from = "repo = { claim = \"repository\" }";
        assert!(EXAMPLE.contains(from));
        let narrower = EXAMPLE.replace(from, "repo = { eq = \"acme/web\" }");
        let refused = call("issues.write", Some("argument_refused"));
        let code = Reason::ArgumentRefused.code();
        let refused = Called { reasons: vec![code.to_owned()], ..refused };
        assert_eq!(fate(EXAMPLE, EXAMPLE, &refused), Some(Fate::Unchanged));
        assert_eq!(fate(EXAMPLE, &narrower, &refused), Some(Fate::Denied));
        let wider = EXAMPLE.replace("repo = { claim = \"repository\" }", "repo = { any = true }");
        assert_eq!(fate(EXAMPLE, &wider, &refused), Some(Fate::Unchanged), "nothing was lost");
        assert_eq!(fate(&wider, EXAMPLE, &refused), Some(Fate::Denied));
        // Another verb, which is as it was; and one that nobody knows.
        let code = Some(Reason::NotGranted.code());
        assert_eq!(fate(EXAMPLE, &narrower, &call("issues.read", code)), Some(Fate::Unchanged));
        assert_eq!(fate(EXAMPLE, &narrower, &call("issues.burn", code)), None);
        let burn = Called { access: Some(Access::Write), ..call("issues.burn", code) };
        assert_eq!(fate(EXAMPLE, &narrower, &burn), Some(Fate::Unchanged));
        assert_eq!(fate(EXAMPLE, &narrower, &call("issues.write", None)), Some(Fate::Allowed));
    }

    #[test]
    fn what_a_list_refuses_and_how_a_task_came_out_say_nothing() {
        let stale =
            Called { reasons: vec![Reason::RevokedAll.code().to_owned()], ..call("issues.read", None) };
        assert_eq!(fate(EXAMPLE, EXAMPLE, &stale), None);
        let result = Called { stage: Some(RESULT_STAGE.to_owned()), ..call("issues.read", None) };
        assert_eq!(fate(EXAMPLE, EXAMPLE, &result), None);
        assert_eq!(call("issues.read", None).made(), Some(Timestamp::from_millis(0x019a_b0c1_d2e3)));
    }
}
