//! A person in the loop: a payout waits, somebody looks at exactly what would run and approves it, and it runs once.

use std::time::Duration;

use serde_json::Value;

use crate::Outcome;
use crate::once::run_once;
use crate::page::{passed, refused, say, scene, show};
use crate::stage::Stage;

pub(crate) const OPERATION: &str = "payments/payouts.create";
pub(crate) const ARGS: &str = r#"{"account":"acct_1","amount":480000}"#;

/// The token of one approved call.
pub(crate) struct Approved {
    pub(crate) token: String,
}

/// Asks for a payout, has it approved, and runs it; the second try is refused.
pub(crate) async fn ask(stage: &Stage) -> Outcome {
    scene("7. A person in the loop");
    let (workflow, agent) = (stage.at("workflow_key"), stage.pem("agent"));
    let who = ["--json", "exchange", "--workflow", "demo", "--key", &workflow, "--dpop-key", &agent];
    let call = ["--call", OPERATION, "--args", ARGS];
    without_a_person(stage, &[&who[..], &call].concat())?;
    let waiting = [&who[..], &["--wait"], &call].concat();
    let asked = async { stage.shortbread_beside(&waiting).await };
    let (answer, decided) = tokio::join!(asked, decide(stage));
    let id = decided?;
    let answer: Value = serde_json::from_str(&answer?)?;
    let approved = Approved::read(&answer, &id)?;
    passed("The agent, which waited, gets a token for this one call", "approved");
    run_once(stage, &approved).await
}

// Who does not wait is told why there is no token.
fn without_a_person(stage: &Stage, ask: &[&str]) -> Outcome {
    say(
        "Paying out money waits for a person: the policy says `approval = { approvers = \"oncall\", quorum = 1, … }`. \
         So there is no token for it at once:",
    );
    match stage.shortbread(ask) {
        Err(error) if error.to_string().contains("approval.required") => {
            refused("The agent asks for a payout of 4,800.00", "approval.required");
            Ok(())
        }
        other => Err(format!("a payout did not wait for anybody: {other:?}").into()),
    }
}

// Gives the request's id.
async fn decide(stage: &Stage) -> Outcome<String> {
    say("It asks again and waits, with the call exactly as it would run:");
    show("shortbread exchange --workflow demo --key demo.pem --dpop-key agent.pem --wait \\");
    show(&format!("    --call {OPERATION} --args '{ARGS}'"));
    let id = pending(stage).await?;
    say("An operator sees what waits, and what exactly would run:");
    show("shortbread approvals list");
    show(&stage.shortbread(&["approvals", "list"])?);
    show("shortbread approvals show ID");
    let shown = stage.shortbread(&["approvals", "show", &id])?;
    if ![OPERATION, "480000", "acct_1"].iter().all(|part| shown.contains(part)) {
        return Err(format!("the approver does not see what would run: {shown}").into());
    }
    show(&shown);
    let answer: Value = serde_json::from_str(&stage.shortbread(&["--json", "approvals", "show", &id])?)?;
    let digest = answer.get("digest").and_then(Value::as_str).ok_or("no digest")?;
    say(
        "The vote names the digest of what was shown: if anything about it were different, it would not count.",
    );
    show("shortbread approvals approve ID --digest DIGEST --note \"seen the invoice\"");
    let vote = ["approvals", "approve", &id, "--digest", digest, "--note", "seen the invoice"];
    show(&stage.shortbread(&vote)?);
    Ok(id)
}

// Until the request is there: the agent asks beside this.
async fn pending(stage: &Stage) -> Outcome<String> {
    for _ in 0..100 {
        let listed: Value = serde_json::from_str(&stage.shortbread(&["--json", "approvals", "list"])?)?;
        if let Some(id) = listed.pointer("/approvals/0/approval_id").and_then(Value::as_str) {
            return Ok(id.to_owned());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("nothing waits for a person".into())
}

impl Approved {
    fn read(answer: &Value, id: &str) -> Outcome<Self> {
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        if text("/shortbread/approval_id").as_deref() != Some(id) {
            return Err(format!("a token that does not come of the approval: {answer}").into());
        }
        let of = |name: &str| text(&format!("/shortbread/calls/0/{name}"));
        if of("operation").as_deref() != Some(OPERATION) {
            return Err(format!("a token for something else: {answer}").into());
        }
        Ok(Self { token: of("access_token").ok_or("no token")? })
    }
}
