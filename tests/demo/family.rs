//! Sub-agents: a narrower copy for one in the agent's own process, a token of its own for one with a key, and how both
//! end with the token that they come from.

use serde_json::Value;
use shortbread_protocol::clock::{Clock as _, SystemClock};

use crate::Outcome;
use crate::agent::Credential;
use crate::page::{passed, say, scene, show};
use crate::stage::Stage;
use crate::story::{Held, at_service, refusal};

/// Passes the agent's token on, then revokes it.
pub(crate) async fn pass_on(stage: &Stage, held: &Held) -> Outcome {
    scene("5. Sub-agents");
    let copy = copy(stage, held).await?;
    let child = child(stage, held).await?;
    say("The copy in the log is found, and an operator stops that one token:");
    show(&format!("shortbread revoke --token {} --reason \"found in a log\"", held.id));
    let clock = SystemClock::start();
    stage.shortbread(&["revoke", "--token", &held.id, "--reason", "found in a log"])?;
    let said = held.agent(stage).read_until_refused().await?;
    let took = clock.monotonic().as_millis();
    refusal(&format!("The agent, {took} ms after the operator's command"), &said, 403, "revoked.token")?;
    let copy = at_service(stage, Credential::Bound(&copy, &held.key));
    refusal("The narrower copy, at its next call", &copy.read().await?, 403, "revoked.token")?;
    refusal("The sub-agent, at its next call", &child.agent(stage).read().await?, 403, "revoked.token")
}

async fn copy(stage: &Stage, held: &Held) -> Outcome<String> {
    say(
        "For a helper in its own process the agent makes a narrower copy, offline, with `shortbread attenuate`:",
    );
    let copy =
        stage.shortbread(&["attenuate", &held.token, "--verb", "github/issues.read", "--ttl", "60s"])?;
    let agent = at_service(stage, Credential::Bound(&copy, &held.key));
    agent.read().await?.expect(200, "")?;
    passed("The helper reads; nobody was asked for the copy", "read");
    refusal("It opens an issue, as the agent may", &agent.open_issue("acme/web").await?, 403, "narrowed")?;
    Ok(copy)
}

async fn child(stage: &Stage, held: &Held) -> Outcome<Held> {
    say("A sub-agent with a key of its own gets a token of its own, for which the agent vouches:");
    show("shortbread exchange --parent @token --dpop-key agent.pem --for-key sub-agent.pub.pem \\");
    show("    --scope github:issues.read");
    let (key, own) = (stage.key("sub-agent")?, stage.pem("agent"));
    let (parent, heir) = (stage.path("token"), stage.pem("sub-agent.pub"));
    std::fs::write(&parent, &held.token)?;
    let parent = format!("@{}", parent.display());
    let ask = ["--json", "exchange", "--parent", &parent, "--dpop-key", &own, "--for-key", &heir];
    let answer: Value =
        serde_json::from_str(&stage.shortbread(&[&ask[..], &["--scope", "github:issues.read"]].concat())?)?;
    let child = Held::read(&answer, key)?;
    let agent = child.agent(stage);
    agent.read().await?.expect(200, "")?;
    passed("The sub-agent reads with its own token and its own key", "read");
    refusal("It opens an issue, as the agent may", &agent.open_issue("acme/web").await?, 403, "not_granted")?;
    let borrowed = at_service(stage, Credential::Bound(&child.token, &held.key)).read().await?;
    refusal("The agent uses the sub-agent's token", &borrowed, 401, "proof.wrong_key")?;
    Ok(child)
}
