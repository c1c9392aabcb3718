//! Grants for what no grant of today covers: as comments, for a person to decide.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use shortbread_broker::policy::Policy;
use shortbread_protocol::access::Access;
use shortbread_protocol::names::{Operation, ToolName, WorkflowName};

use super::edit::quoted;
use super::evidence::{Evidence, undeclared};
use super::propose::{asked, spelled};

/// The grants, and what to say of them.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    pub(super) text: String,
    pub(super) wider: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// One block: a tool and the intents that share the same verbs.
type Key = (ToolName, BTreeSet<String>, bool);

/// Grants for these verbs. Without a policy they are lines to begin one with; beside one they are comments, except, where
/// it was asked for, of verbs that were let pass.
pub(super) fn grants(
    policy: Option<&Policy>,
    workflow: &WorkflowName,
    missing: &[(Operation, BTreeSet<String>)],
    evidence: &Evidence,
    with_observed: bool,
) -> Fresh {
    let mut fresh = Fresh::default();
    let mut blocks: BTreeMap<Key, Vec<&Operation>> = BTreeMap::new();
    for (verb, intents) in missing {
        let known = policy.is_none_or(|policy| policy.catalogue().verb(verb).is_some());
        if !known {
            fresh.notes.push(format!("{verb} was used and is not in the catalogue of this policy any more"));
            continue;
        }
        let used = evidence.of_verb(verb, |intent| intents.contains(intent)).used > 0;
        blocks.entry((verb.tool.clone(), intents.clone(), used)).or_default().push(verb);
    }
    for ((tool, intents, used), verbs) in &blocks {
        let risky = verbs.iter().any(|verb| access(policy, verb) == Some(Access::Privileged));
        let live = policy.is_none() && *used || with_observed && !risky;
        let why = match (used, policy) {
            (true, None) => "# used in this period",
            (true, Some(_)) => "# used in this period, and not granted by this policy; grant only if meant",
            (false, _) => "# was let pass in observe mode; grant only if meant",
        };
        if with_observed && risky {
            let note = format!(
                "verbs of {tool} are privileged: their grant stays a comment, for it must say whose approval it needs"
            );
            fresh.notes.push(note);
        }
        let named: Vec<String> = verbs.iter().map(ToString::to_string).collect();
        let today = if policy.is_some() || !used {
            "is not granted today"
        } else {
            "is granted here by what was used; look at each line"
        };
        let form = if live { "" } else { " (a comment until you take it in)" };
        fresh.wider.push(format!("{} {today}{form}", named.join(", ")));
        let block = block(policy, workflow, tool, intents, verbs, evidence);
        let _ = writeln!(fresh.text, "\n{why}");
        for line in block.lines() {
            let _ = if live { writeln!(fresh.text, "{line}") } else { writeln!(fresh.text, "# {line}") };
        }
    }
    fresh
}

fn access(policy: Option<&Policy>, verb: &Operation) -> Option<Access> {
    policy?.catalogue().verb(verb).map(|verb| verb.access)
}

fn block(
    policy: Option<&Policy>,
    workflow: &WorkflowName,
    tool: &ToolName,
    intents: &BTreeSet<String>,
    verbs: &[&Operation],
    evidence: &Evidence,
) -> String {
    let mut text = format!("[[grants]]\nworkflow = {}\n", quoted(workflow.as_str()));
    let list = |names: Vec<String>| names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    // Who declares nothing can only be served by a grant for any intent.
    if !intents.contains(&undeclared()) {
        let _ = writeln!(text, "intents = [{}]", list(intents.iter().cloned().collect()));
    }
    let _ = writeln!(text, "tool = {}", quoted(tool.as_str()));
    let _ = writeln!(text, "verbs = [{}]", list(verbs.iter().map(|verb| verb.verb.to_string()).collect()));
    let mut free = false;
    for verb in verbs {
        let known = policy.and_then(|policy| policy.catalogue().verb(verb));
        let args = known.and_then(|known| known.args.clone());
        match (known.map(|known| known.access), args) {
            (Some(Access::Read), _) => {}
            (Some(_), Some(args)) => {
                let parts = args
                    .iter()
                    .map(|arg| format!("{arg} = {}", spelled(&asked(evidence, verb, arg, intents))));
                let parts = parts.collect::<Vec<_>>().join(", ");
                let _ = writeln!(text, "constraints.{} = {{ {parts} }}", quoted(verb.verb.as_str()));
            }
            (Some(_), None) => free = true,
            (None, _) => {
                let verb = quoted(verb.verb.as_str());
                let _ = writeln!(
                    text,
                    "# constraints.{verb} = {{ … }}   say what its arguments may be, if it is no read"
                );
            }
        }
    }
    if free {
        text.push_str("any_arguments = true   # the catalogue does not list their arguments\n");
    }
    text
}
