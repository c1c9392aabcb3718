//! What a token is worth without its key, and what is no token at all.

use std::time::Duration;

use shortbread_protocol::biscuit::{Container, Proof, SignedBlock, signed_payload, write_container};
use shortbread_protocol::dpop::ProofKey;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::SystemRandom;
use shortbread_verifier::chain;

use crate::Outcome;
use crate::agent::Credential;
use crate::page::{passed, say, scene};
use crate::stage::Stage;
use crate::story::{Held, at_service, refusal};

/// A thief tries a copied token; forged, changed and expired ones are tried too.
pub(crate) async fn steal(stage: &Stage, held: &Held) -> Outcome {
    scene("4. Stolen, forged, expired");
    let short = short_lived(stage)?;
    say("A thief has copied the agent's token out of a log and tries to read with it:");
    stolen(stage, held).await?;
    say("Forgers do no better, nor does the agent itself when its token's time is up:");
    let forged = forged(&held.token)?;
    let changed = changed(&held.token);
    let with = |token: &str| {
        let agent = Held { token: token.to_owned(), id: String::new(), key: held.key.clone() };
        async move { agent.agent(stage).read().await }
    };
    let reason = "token.bad_signature";
    refusal("The same contents, signed by somebody else", &with(&forged).await?, 401, reason)?;
    refusal("The token with one character changed", &with(&changed).await?, 401, reason)?;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    refusal("A token for one second, two seconds later", &with(&short).await?, 401, "token.expired")
}

async fn stolen(stage: &Stage, held: &Held) -> Outcome {
    let thief = ProofKey::generate(&SystemRandom)?;
    let attempt = async |what: &str, proof: Option<&str>, reason: &str| -> Outcome {
        let said = at_service(stage, Credential::Stolen(&held.token, proof)).read().await?;
        refusal(what, &said, 401, reason)
    };
    attempt("The token alone", None, "proof.required").await?;
    let agent = held.agent(stage);
    let own = agent.proof_to_read(&held.token, &thief)?;
    attempt("With a proof by the thief's own key", Some(&own), "proof.wrong_key").await?;
    let captured = agent.proof_to_read(&held.token, &held.key)?;
    at_service(stage, Credential::Stolen(&held.token, Some(&captured))).read().await?.expect(200, "")?;
    passed("The agent itself reads; the thief listens in", "read");
    attempt("With the agent's own proof, sent again", Some(&captured), "proof.replayed").await
}

fn short_lived(stage: &Stage) -> Outcome<String> {
    let (workflow, agent) = (stage.at("workflow_key"), stage.pem("agent"));
    let base = ["exchange", "--workflow", "demo", "--key", &workflow, "--dpop-key", &agent, "--token"];
    stage.shortbread(&[&base[..], &["--scope", "github:issues.read", "--ttl", "1"]].concat())
}

// The same blocks, signed by somebody else.
fn forged(token: &str) -> Outcome<String> {
    let bytes = chain::decode(token)?;
    let container = Container::read(&bytes)?;
    let block = container.blocks.first().ok_or("no block")?.block;
    let (forger, next) = (PrivateKey::from_seed(&[7; 32]), PrivateKey::from_seed(&[8; 32]));
    let public = next.public();
    let signature = forger.sign(&signed_payload(block, public.as_bytes()));
    let signed = SignedBlock { block, next_key: public.as_bytes(), signature: &signature };
    Ok(chain::encode(&write_container(None, &[signed], &Proof::NextSecret(&next.seed()))))
}

// One character in the last signature, so that it still reads as a token.
fn changed(token: &str) -> String {
    let at = token.len().saturating_sub(120);
    let flip = |(index, c): (usize, char)| match (index == at, c) {
        (true, 'A') => 'B',
        (true, _) => 'A',
        _ => c,
    };
    token.chars().enumerate().map(flip).collect()
}
