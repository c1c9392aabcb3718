//! A decision as it is recorded: names and ids, never the token, an argument or a detail.

use std::str::FromStr;

use shortbread_protocol::names::{ToolName, VerbName};
use shortbread_protocol::verifiers::{CallRecord, RESULT_STAGE, TaskOutcome};

use super::result::TaskResult;
use crate::decision::{Call, Decision};

// Longer than any name or id of ours. What is longer comes from whoever wrote the token and says nothing.
const MAX_TEXT: usize = 96;

/// The record of a decision; `None` for one without an id, which nothing could tell from the next.
pub(super) fn of(decision: &Decision, call: &Call<'_>) -> Option<CallRecord> {
    let id = decision.id?;
    let trace = if decision.trace == [0; 16] { id.trace() } else { decision.trace };
    let caller = decision.caller.as_deref();
    let intent = match caller {
        Some(caller) => plain(caller.intent.as_deref()).unwrap_or_else(|| "undeclared".to_owned()),
        None => "unknown".to_owned(),
    };
    Some(CallRecord {
        id: id.to_string(),
        at: decision.at.millis(),
        trace_id: Some(hex::encode(trace)),
        intent: Some(intent),
        stage: Some(decision.stage.as_str().to_owned()),
        outcome: Some(if decision.is_allowed() { "allow" } else { "deny" }.to_owned()),
        reason: decision.reason.map(|reason| reason.code().to_owned()),
        observed: decision.observed.map(|reason| reason.code().to_owned()),
        tool: named::<ToolName>(call.tool),
        verb: named::<VerbName>(call.verb),
        access: decision.access,
        workflow: caller.and_then(|caller| plain(caller.workflow.as_deref())),
        operator: caller.and_then(|caller| plain(caller.operator.as_deref())),
        task: caller.and_then(|caller| plain(caller.task.as_deref())),
        token: caller.and_then(|caller| plain(caller.token.as_deref())),
        list_seq: decision.list_seq,
        list_age: decision.list_age,
        step: decision.step,
        ..CallRecord::default()
    })
}

/// The record of what became of a decision's call: the same names and trace, under an id of its own.
pub(super) fn of_result(decision: &Decision, call: &Call<'_>, result: &TaskResult) -> Option<CallRecord> {
    let word = match result.outcome {
        None => 0,
        Some(TaskOutcome::Completed) => 1,
        Some(TaskOutcome::Corrected) => 2,
        Some(TaskOutcome::Failed) => 3,
    };
    Some(CallRecord {
        id: decision.id?.of_result(word).to_string(),
        at: result.at.millis(),
        stage: Some(RESULT_STAGE.to_owned()),
        // That was said of the call, and is counted there.
        observed: None,
        task_outcome: result.outcome,
        cost_micros: result.cost_micros,
        ..of(decision, call)?
    })
}

/// What a caller named is recorded only where it is a name: a call of `; drop table` is one that could not be read.
fn named<N: FromStr>(text: &str) -> String {
    text.parse::<N>().map_or_else(|_| String::new(), |_| text.to_owned())
}

fn plain(text: Option<&str>) -> Option<String> {
    let sound = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    text.filter(|text| text.len() <= MAX_TEXT && text.bytes().all(sound)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use shortbread_protocol::clock::Timestamp;
    use shortbread_protocol::reason::Reason;
    use shortbread_protocol::verifiers::span;

    use super::*;
    use crate::decision::{Caller, DecisionId, Outcome, Stage};

    fn decision() -> Decision {
        let caller = Caller {
            workflow: Some("release-notes".to_owned()),
            task: Some("tsk_1".to_owned()),
            token: Some("x".repeat(5000)),
            ..Caller::default()
        };
        let denied = Decision::denied(Some(DecisionId::new(7, 9)), Reason::NotGranted);
        Decision {
            caller: Some(Arc::new(caller)),
            detail: Some("argument \"secret\" is too long".to_owned()),
            held: vec!["github:issues.read".to_owned()],
            stage: Stage::Evaluate,
            ..denied
        }
    }

    #[test]
    fn a_record_has_all_that_the_broker_wants_and_nothing_of_the_call_itself() {
        let call = Call { tool: "github", verb: "issues.write", args: None };
        let record = of(&decision(), &call).unwrap();
        assert_eq!(record.lacks(), None);
        assert_eq!((record.halves(), record.trace_id.as_deref().map(str::len)), (Some((7, 9)), Some(32)));
        assert_eq!(DecisionId::new(7, 9).span(), span(7, 9));
        assert_eq!(
            (record.intent.as_deref(), record.stage.as_deref()),
            (Some("undeclared"), Some("evaluate"))
        );
        assert_eq!((record.reason.as_deref(), record.token), (Some("not_granted"), None));
        let text = serde_json::to_string(&of(&decision(), &call).unwrap()).unwrap();
        assert!(!text.contains("secret") && !text.contains("issues.read"), "{text}");
    }

    #[test]
    fn whom_nobody_vouches_for_is_unknown_and_what_is_no_name_is_not_repeated() {
        let call = Call { tool: "Git Hub", verb: "a\nb", args: None };
        let record = of(&Decision { caller: None, ..decision() }, &call).unwrap();
        assert_eq!((record.intent.as_deref(), record.workflow), (Some("unknown"), None));
        assert_eq!((record.tool.as_str(), record.verb.as_str()), ("", ""));
        assert!(of(&Decision { id: None, ..decision() }, &call).is_none());
    }

    #[test]
    fn a_result_is_of_its_decision_and_what_is_said_twice_is_one_record() {
        let call = Call { tool: "github", verb: "issues.write", args: None };
        let allowed = Decision { outcome: Outcome::Allow, reason: None, ..decision() };
        let result = |outcome, cost_micros| {
            let said = TaskResult { at: Timestamp::from_seconds(9), outcome, cost_micros };
            of_result(&allowed, &call, &said).unwrap()
        };
        let (own, done) = (of(&allowed, &call).unwrap(), result(Some(TaskOutcome::Completed), Some(7)));
        assert_eq!((done.lacks(), done.is_result(), own.is_result()), (None, true, false));
        assert_eq!((&done.trace_id, &done.task, &done.workflow), (&own.trace_id, &own.task, &own.workflow));
        assert_eq!(
            (done.at, done.cost_micros, done.task_outcome),
            (9000, Some(7), Some(TaskOutcome::Completed))
        );
        let words = TaskOutcome::ALL.map(Some).into_iter().chain([None]);
        let ids: BTreeSet<_> = words.map(|outcome| result(outcome, Some(1)).id).chain([own.id]).collect();
        assert_eq!(ids.len(), 5, "{ids:?}");
        assert_eq!(result(Some(TaskOutcome::Completed), Some(8)).id, done.id);
        assert!(done.halves().is_some_and(|(series, _)| series == 7));
    }
}
