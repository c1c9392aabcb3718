//! The story, scene by scene. Every line that claims something was checked just before it is told.

use std::time::Duration;

use shortbread_protocol::biscuit::{Container, Proof, SignedBlock, signed_payload, write_container};
use shortbread_protocol::clock::{Clock as _, SystemClock};
use shortbread_protocol::keys::PrivateKey;
use shortbread_verifier::chain;

use crate::Outcome;
use crate::agent::{Agent, ISSUE, Said};
use crate::old_way::{SHARED_KEY, serve};
use crate::stage::Stage;

/// Tells everything.
pub(crate) async fn tell(stage: &Stage) -> Outcome {
    shared_key(stage).await?;
    let token = our_token(stage).await?;
    sub_agent(stage, &token).await?;
    bad_tokens(stage, &token).await?;
    switch(stage, &token).await?;
    Ok(())
}

fn scene(title: &str) {
    println!("\n── {title}");
}

fn expect(said: &Said, status: u16, reason: &str) -> Outcome {
    if said.status == status && (reason.is_empty() || said.reason() == reason) {
        return Ok(());
    }
    Err(format!("expected {status} {reason}, got {} {}: {}", said.status, said.reason(), said.body).into())
}

async fn shared_key(stage: &Stage) -> Outcome {
    scene("1. The old way: one API key that may do everything");
    let service = serve().await?;
    let agent = Agent { http: &stage.http, service: &service, credential: SHARED_KEY };
    println!("   A scripted agent (no model runs here) reads an issue from the internet:");
    for line in ISSUE.lines() {
        println!("     | {line}");
    }
    expect(&agent.obey().await?, 204, "")?;
    let left = stage.http.get(format!("{service}/repos")).send().await?.text().await?;
    println!("   It obeys. The repository acme/infra is gone; what is left: {left}.");
    Ok(())
}

async fn our_token(stage: &Stage) -> Outcome<String> {
    scene("2. The same agent with a Shortbread token");
    let scope = ["--scope", "github:issues.read", "--scope", "github:issues.write"];
    let key = stage.at("workflow_key");
    let base = ["exchange", "--workflow", "demo", "--key", &key, "--token"];
    let token = stage.shortbread(&[&base[..], &scope[..]].concat())?;
    println!("   The workflow `demo` proves its key and gets a token for 5 minutes:");
    println!("   github/issues.read, and github/issues.write in acme/web or acme/docs alone.");
    let agent = Agent { http: &stage.http, service: &stage.tool, credential: &token };
    expect(&agent.open_issue("acme/web").await?, 201, "")?;
    println!("   ✓ It opens an issue in acme/web. The tool service checked the token offline.");
    let said = agent.obey().await?;
    expect(&said, 403, "not_granted")?;
    println!("   ✗ It obeys the injected instruction again: refused, {}.", said.reason());
    println!("     “{}”", said.words());
    let said = agent.open_issue("acme/payroll").await?;
    expect(&said, 403, "argument_refused")?;
    println!("   ✗ It tries another repository, acme/payroll: refused, {}.", said.reason());
    println!("     “{}”", said.words());
    Ok(token)
}

async fn sub_agent(stage: &Stage, token: &str) -> Outcome {
    scene("3. A narrower copy for a sub-agent, made offline");
    let child = stage.shortbread(&["attenuate", token, "--verb", "github/issues.read", "--ttl", "60s"])?;
    let agent = Agent {
        http: &stage.http,
        service: &stage.tool,
        credential: child.lines().last().unwrap_or_default(),
    };
    expect(&agent.read().await?, 200, "")?;
    println!("   ✓ The copy reads; nobody was asked.");
    let said = agent.open_issue("acme/web").await?;
    expect(&said, 403, "narrowed")?;
    println!("   ✗ The copy cannot write, though its parent can: refused, {}.", said.reason());
    Ok(())
}

async fn bad_tokens(stage: &Stage, token: &str) -> Outcome {
    scene("4. Stolen, forged, expired");
    let refused = async |what: &str, credential: &str, status: u16, reason: &str| -> Outcome {
        let said = Agent { http: &stage.http, service: &stage.tool, credential }.read().await?;
        expect(&said, status, reason)?;
        println!("   ✗ {what}: refused, {}.", said.reason());
        Ok(())
    };
    let key = stage.at("workflow_key");
    let base = ["exchange", "--workflow", "demo", "--key", &key, "--token"];
    let elsewhere = stage.shortbread(&[&base[..], &["--scope", "payments:refunds.read"]].concat())?;
    refused("A token stolen at the payment service, tried here", &elsewhere, 403, "not_granted").await?;
    refused("A token signed with a forger's own key", &forged(token)?, 401, "token.bad_signature").await?;
    refused("The real token with a byte changed", &changed(token), 401, "token.bad_signature").await?;
    let short = stage.shortbread(&[&base[..], &["--scope", "github:issues.read", "--ttl", "1"]].concat())?;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    refused("A token that lived for one second, two seconds later", &short, 401, "token.expired").await
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

async fn switch(stage: &Stage, token: &str) -> Outcome {
    scene("5. The switch");
    let agent = Agent { http: &stage.http, service: &stage.tool, credential: token };
    expect(&agent.read().await?, 200, "")?;
    println!("   ✓ The agent's token still works. An operator types:");
    println!("     shortbread revoke --workflow demo --reason \"deleted a repository\"");
    let clock = SystemClock::start();
    stage.shortbread(&["revoke", "--workflow", "demo", "--reason", "deleted a repository"])?;
    let said = loop {
        let said = agent.read().await?;
        if said.status != 200 {
            break said;
        }
        if clock.monotonic() > Duration::from_secs(10) {
            return Err("the revocation did not reach the tool service in 10 s".into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    let took = clock.monotonic();
    expect(&said, 403, "revoked.workflow")?;
    println!(
        "   ✗ Refused, {}: {:.2} s from the operator's command to the first refused call.",
        said.reason(),
        took.as_secs_f64()
    );
    let key = stage.at("workflow_key");
    let again = stage.shortbread(&[
        "exchange",
        "--workflow",
        "demo",
        "--key",
        &key,
        "--token",
        "--scope",
        "github:issues.read",
    ]);
    match again {
        Err(error) if error.to_string().contains("revoked") => {
            println!("   ✗ A new token for the workflow: refused too.");
        }
        other => return Err(format!("a revoked workflow got an answer: {other:?}").into()),
    }
    let tail = stage.shortbread(&["audit", "tail", "--limit", "3"])?;
    println!("   The audit log has it all (`shortbread audit tail`):");
    for line in tail.lines() {
        println!("     {line}");
    }
    Ok(())
}

/// Where to go on playing.
pub(crate) fn encore(stage: &Stage) {
    scene("Go on playing");
    let client = stage.path("data").join("client.toml");
    println!("   broker        {}", stage.issuer);
    println!("   tool service  {}", stage.tool);
    println!("   export SHORTBREAD_CONFIG={}", client.display());
    println!("   shortbread revocations list; shortbread lift --workflow demo --reason \"fixed\"");
    println!("   Ctrl-C ends it all.");
}
