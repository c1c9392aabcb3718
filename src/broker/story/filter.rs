//! Which entries somebody wants to see.

use serde_json::Value;

use super::entry::{kind, outcome};

/// Which entries; each part leaves out what does not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only entries of a workflow.
    pub workflow: Option<String>,
    /// Only entries with a declared purpose.
    pub intent: Option<String>,
    /// Only entries about a tool.
    pub tool: Option<String>,
    /// Only entries with an access: read, write or privileged.
    pub access: Option<String>,
    /// Only entries of a release.
    pub release: Option<String>,
    /// Only entries with an outcome: allow, deny or done.
    pub outcome: Option<String>,
    /// Only entries of a type, such as `call.decision`.
    pub kind: Option<String>,
    /// Only entries with a reason code.
    pub reason: Option<String>,
    /// Whoever looks, as `operator/NAME`: their own sign-ins to read the log are left out; none: nothing is.
    pub reader: Option<String>,
}

impl Filter {
    /// Whether it leaves anything out but the reader's own sign-ins.
    #[must_use]
    pub fn narrows(&self) -> bool {
        *self != Self { reader: self.reader.clone(), ..Self::default() }
    }

    /// Whether an entry is wanted.
    #[must_use]
    pub fn wants(&self, event: &Value) -> bool {
        let fits = |wanted: &Option<String>, fits: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(fits);
        let segment = |part: &str, wanted: &str| event.pointer(part).and_then(Value::as_str) == Some(wanted);
        !self.reader.as_deref().is_some_and(|own| is_sign_in(event, own))
            && fits(&self.workflow, &|name| is_of(event, name))
            && fits(&self.intent, &|wanted| segment("/data/segment/intent", wanted))
            && fits(&self.tool, &|name| is_about(event, name))
            && fits(&self.access, &|wanted| segment("/data/segment/access", wanted))
            && fits(&self.release, &|wanted| segment("/data/segment/release", wanted))
            && fits(&self.outcome, &|wanted| outcome(event) == wanted)
            && fits(&self.kind, &|wanted| {
                let full = event.get("type").and_then(Value::as_str);
                kind(event) == wanted || full == Some(wanted)
            })
            && fits(&self.reason, &|code| has_reason(event, code))
    }
}

/// Whether it is this operator's token for nothing but reading the log.
fn is_sign_in(event: &Value, own: &str) -> bool {
    let asked = event.pointer("/data/requested").and_then(Value::as_array);
    kind(event) == "token.minted"
        && event.get("subject").and_then(Value::as_str) == Some(own)
        && asked.is_some_and(|asked| matches!(&asked[..], [one] if one == "shortbread/audit.read"))
}

fn is_of(event: &Value, workflow: &str) -> bool {
    let named = |pointer| event.pointer(pointer).and_then(Value::as_str) == Some(workflow);
    let subject = event.get("subject").and_then(Value::as_str).unwrap_or_default();
    subject.strip_prefix("workflow/") == Some(workflow) || named("/data/workflow")
}

fn is_about(event: &Value, tool: &str) -> bool {
    let named = |pointer| event.pointer(pointer).and_then(Value::as_str) == Some(tool);
    let listed = |pointer| {
        let verbs = event.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        verbs.filter_map(Value::as_str).any(|verb| verb.split_once('/').is_some_and(|(of, _)| of == tool))
    };
    named("/data/tool") || named("/data/segment/tool") || listed("/data/requested") || listed("/data/granted")
}

fn has_reason(event: &Value, code: &str) -> bool {
    let listed = event.pointer("/data/reasons").and_then(Value::as_array).into_iter().flatten();
    let single = ["/data/reason", "/data/observed"].into_iter().filter_map(|pointer| event.pointer(pointer));
    listed.chain(single).any(|reason| reason.as_str() == Some(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filter(change: impl FnOnce(&mut Filter)) -> Filter {
        let mut filter = Filter { reader: Some("operator/alice".to_owned()), ..Filter::default() };
        change(&mut filter);
        filter
    }

    #[test]
    fn each_filter_leaves_out_what_does_not_fit() {
        let call = json!({
            "type": "dev.shortbread.call.decision.v1", "subject": "workflow/demo",
            "data": {"outcome": "deny", "reasons": ["not_granted"], "tool": "github", "verb": "issues.write", "workflow": "demo",
                "segment": {"intent": "triage", "access": "write", "release": "v1"}},
        });
        let some = |text: &str| Some(text.to_owned());
        for (filter, wanted) in [
            (filter(|_| {}), true),
            (filter(|f| f.workflow = some("demo")), true),
            (filter(|f| f.workflow = some("dem")), false),
            (filter(|f| f.tool = some("github")), true),
            (filter(|f| f.tool = some("git")), false),
            (filter(|f| f.intent = some("triage")), true),
            (filter(|f| f.intent = some("other")), false),
            (filter(|f| f.access = some("write")), true),
            (filter(|f| f.access = some("read")), false),
            (filter(|f| f.release = some("v1")), true),
            (filter(|f| f.release = some("v2")), false),
            (filter(|f| f.outcome = some("deny")), true),
            (filter(|f| f.outcome = some("allow")), false),
            (filter(|f| f.kind = some("call.decision")), true),
            (filter(|f| f.kind = some("dev.shortbread.call.decision.v1")), true),
            (filter(|f| f.kind = some("call")), false),
            (filter(|f| f.reason = some("not_granted")), true),
            (filter(|f| f.reason = some("granted")), false),
        ] {
            assert_eq!(filter.wants(&call), wanted, "{filter:?}");
        }
        let asked =
            json!({"type": "dev.shortbread.token.refused.v1", "data": {"requested": ["github/issues.read"]}});
        assert!(filter(|f| f.tool = some("github")).wants(&asked));
        assert!(!filter(|f| f.tool = some("github")).wants(&json!(null)));
    }

    #[test]
    fn own_sign_ins_are_left_out_unless_asked_for() {
        let minted = |subject: &str, asked: &[&str]| {
            json!({
                "type": "dev.shortbread.token.minted.v1", "subject": subject, "data": {"outcome": "allow", "requested": asked},
            })
        };
        let own = minted("operator/alice", &["shortbread/audit.read"]);
        let (plain, all) = (filter(|_| {}), filter(|f| f.reader = None));
        let other = filter(|f| f.reader = Some("operator/bob".to_owned()));
        assert!(!plain.wants(&own) && all.wants(&own) && !plain.narrows());
        assert!(other.wants(&own), "another's is of interest");
        let more = minted("operator/alice", &["shortbread/audit.read", "shortbread/revocations.revoke"]);
        assert!(plain.wants(&more));
    }
}
