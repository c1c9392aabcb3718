//! The switch.

use shortbread_protocol::clock::{Clock as _, SystemClock};

use crate::Outcome;
use crate::page::{passed, refused, say, scene, show};
use crate::stage::Stage;
use crate::story::{Held, refusal};

/// Stops the workflow and everything it has.
pub(crate) async fn pull(stage: &Stage, held: &Held) -> Outcome {
    scene("7. The switch");
    let agent = held.agent(stage);
    agent.read().await?.expect(200, "")?;
    passed("The agent works with its new token", "read");
    say("An operator stops the whole workflow:");
    show("shortbread revoke --workflow demo --reason \"deleted a repository\"");
    let clock = SystemClock::start();
    stage.shortbread(&["revoke", "--workflow", "demo", "--reason", "deleted a repository"])?;
    let said = agent.read_until_refused().await?;
    let took = clock.monotonic().as_secs_f64();
    let what = format!("The agent, {took:.1} s after the operator's command");
    refusal(&what, &said, 403, "revoked.workflow")?;
    let key = stage.at("workflow_key");
    let ask = ["exchange", "--workflow", "demo", "--key", &key, "--token", "--scope", "github:issues.read"];
    match stage.shortbread(&ask) {
        Err(error) if error.to_string().contains("revoked.workflow") => {
            refused("A new token for the workflow", "revoked.workflow");
        }
        other => return Err(format!("a revoked workflow got an answer: {other:?}").into()),
    }
    say("The audit log has it all (`shortbread audit tail`):");
    show(&stage.shortbread(&["audit", "tail", "--limit", "3"])?);
    Ok(())
}
