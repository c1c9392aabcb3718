//! The broker is gone: calls go on for a while, and the offline root key still stops everything.

use std::time::Duration;

use crate::Outcome;
use crate::fleet::Fleet;
use crate::page::{passed, refused, say, scene, show};
use crate::stage::Stage;
use crate::story::{Held, refusal};
use crate::switch::all_go_on;

/// How long the calls go on in the story before the glass is broken.
const WHILE: Duration = Duration::from_secs(3);

/// Kills the broker, and breaks the glass.
pub(crate) async fn lose(stage: &Stage, held: &Held, fleet: &Fleet) -> Outcome {
    scene("9. The broker is gone");
    say(
        "The operator lifts it (`lift --revive`: old tokens live again) and puts a copy of the list on a mirror:",
    );
    let mirror = stage.path("mirror").display().to_string();
    stage.shortbread(&["lift", "--workflow", "demo", "--revive", "--reason", "fixed"])?;
    show("shortbread revocations publish MIRROR");
    show(&stage.shortbread(&["revocations", "publish", &mirror])?);
    fleet.until_allowed().await?;
    stage.end_broker();
    say("Then the broker's process is killed.");
    tokio::time::sleep(WHILE).await;
    let agent = held.agent(stage);
    agent.open_issue("acme/web").await?.expect(201, "")?;
    passed("Three seconds later the agent opens an issue", "done");
    all_go_on(fleet, &format!("{} verifiers allow writes and refunds, by the list they hold", fleet.size()))?;
    say(
        "Nobody waits for the broker. Privileged calls would stop after a minute without a list, writes after 5, reads after 15.",
    );
    break_glass(stage, held, fleet).await
}

async fn break_glass(stage: &Stage, held: &Held, fleet: &Fleet) -> Outcome {
    scene("10. Break glass");
    say("No broker, no store. The offline root key, kept elsewhere, signs a file for the mirror:");
    show("shortbread break-glass --root root.pem --issuer URL --out MIRROR/revocations/break-glass");
    let out = stage.glass().display().to_string();
    let (root, issuer) = (stage.root_key(), &stage.issuer);
    stage.shortbread(&["break-glass", "--root", &root, "--issuer", issuer, "--out", &out])?;
    let took = fleet.until_refused("revoked.all", Duration::from_secs(20)).await?.as_secs_f64();
    refused(&format!("All {} verifiers, {took:.1} s later", fleet.size()), "revoked.all");
    let said = held.agent(stage).read_until_refused().await?;
    refusal("The agent, at the tool service", &said, 403, "revoked.all")?;
    say("Whoever has the broker cannot undo it; only the root key can (`break-glass --lift`).");
    Ok(())
}
