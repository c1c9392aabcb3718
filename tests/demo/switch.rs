//! The switch: fifty verifiers stop within a moment of one command, and the operator sees it.

use std::time::Duration;

use shortbread_protocol::clock::{Clock as _, SystemClock};

use crate::Outcome;
use crate::fleet::Fleet;
use crate::page::{passed, refused, say, scene, show};
use crate::stage::Stage;
use crate::story::{Held, refusal};

/// Stops the workflow and everything it has.
pub(crate) async fn pull(stage: &Stage, held: &Held, fleet: &Fleet) -> Outcome {
    scene("8. The switch");
    let (agent, size) = (held.agent(stage), fleet.size());
    agent.read().await?.expect(200, "")?;
    passed("The agent works with its new token", "read");
    all_go_on(fleet, &format!("{size} more verifiers of two tools allow its writes and refunds"))?;
    say("An operator stops the whole workflow, and waits until everybody enforces it:");
    show("shortbread revoke --workflow demo --reason \"deleted a repository\" --wait");
    let args = ["revoke", "--workflow", "demo", "--reason", "deleted a repository", "--wait"];
    let clock = SystemClock::start();
    let command = async { stage.shortbread_beside(&args).await };
    let (said, took) =
        tokio::join!(command, fleet.until_refused("revoked.workflow", Duration::from_secs(10)));
    let (said, took) = (said?, took?.as_millis());
    let whole = clock.monotonic().as_millis();
    show(&said);
    refused(&format!("All {size} verifiers, {took} ms after the command was started"), "revoked.workflow");
    refusal("The agent, at its next call", &agent.read().await?, 403, "revoked.workflow")?;
    say(&format!(
        "The command came back after {whole} ms, with the word of each verifier. The bounds hold for those that say nothing."
    ));
    ask_again(stage)?;
    say("Who enforces it, in the operator's view (`shortbread revocations status --watch`):");
    show(&summary(&stage.shortbread(&["revocations", "status"])?));
    Ok(())
}

fn ask_again(stage: &Stage) -> Outcome {
    let key = stage.at("workflow_key");
    let ask = ["exchange", "--workflow", "demo", "--key", &key, "--token", "--scope", "github:issues.read"];
    match stage.shortbread(&ask) {
        Err(error) if error.to_string().contains("revoked.workflow") => {
            refused("A new token for the workflow", "revoked.workflow");
            Ok(())
        }
        other => Err(format!("a revoked workflow got an answer: {other:?}").into()),
    }
}

/// Every verifier allows its call, or the story is over.
pub(crate) fn all_go_on(fleet: &Fleet, what: &str) -> Outcome {
    let (allowing, size) = (fleet.allowing(), fleet.size());
    if allowing < size {
        return Err(format!("{allowing} of {size} verifiers allow their call").into());
    }
    passed(what, "allowed");
    Ok(())
}

// Without the head, and without a line for each of fifty.
fn summary(status: &str) -> String {
    let lines = status.lines().skip_while(|line| !line.starts_with("last change"));
    lines
        .take_while(|line| !line.starts_with("instance"))
        .collect::<Vec<_>>()
        .join("\n")
        .trim_end()
        .to_owned()
}
