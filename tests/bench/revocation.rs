//! From the operator's command to the first refused call: what the command waits for, and what the tool waits for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shortbread_protocol::clock::{Clock, SystemClock};
use shortbread_protocol::dpop::{ProofKey, Statement, token_hash};
use shortbread_protocol::random::{Random as _, SystemRandom};
use shortbread_verifier::decision::{Call, Checker as _, Outcome as Answer, Presented};
use shortbread_verifier::feed::{Feed, FeedConfig};
use shortbread_verifier::list::{Pin, Trust};
use shortbread_verifier::{Verifier, VerifierConfig};

use crate::broker::Served;
use crate::figure::Figure;
use crate::http::{Connection, request};
use crate::load::{Client, refused};
use crate::verify::AUDIENCE;
use crate::{Outcome, progress};

/// The feed polls every 2 s, give or take a quarter.
const INTERVAL: Duration = Duration::from_secs(2);
const TOO_LONG: Duration = Duration::from_secs(15);
const CALL: Call<'static> = Call { tool: "github", verb: "issues.read", args: None };

pub fn measure(rounds: usize) -> Outcome<Vec<Figure>> {
    let served = Served::start()?;
    let client = |principal: &str, key: &str, scope: &str| -> Outcome<Client> {
        Ok(Client {
            issuer: served.issuer.clone(),
            principal: principal.to_owned(),
            key: served.key(key)?,
            scope: scope.to_owned(),
            bound: principal
                .starts_with("operator:")
                .then(|| ProofKey::generate(&SystemRandom))
                .transpose()?,
        })
    };
    let workflow = client("workflow:demo", "demo", "github:issues.read")?;
    let operator = client("operator:alice", "operator", "shortbread:revocations.revoke")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (mut answers, mut effects) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let verifier = following(&served).await?;
        for number in 1..=rounds {
            progress::say(&format!("revocation: round {number} of {rounds}"));
            let (answer, effect) = once(&verifier, &workflow, &operator, served.address).await?;
            answers.push(1e3 * answer);
            effects.push(effect);
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    })?;
    drop(runtime);
    served.stop()?;
    Ok(vec![
        Figure::of("revocation.answer (command to confirmation)", "ms", answers),
        Figure::of("revocation.effect (command to first refused call, polling every 2 s)", "s", effects),
    ])
}

/// A verifier that follows the broker's list and has one.
async fn following(served: &Served) -> Outcome<Verifier> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let trust =
        Arc::new(Trust::new(Pin { issuer: served.issuer.clone(), root: served.root()? }, clock, None)?);
    let config = FeedConfig { interval: INTERVAL, ..FeedConfig::new(served.issuer.clone()) };
    let mut feed = Feed::new(Arc::clone(&trust), &config, Arc::new(SystemRandom))?;
    feed.step().await?;
    tokio::spawn(feed.run(std::future::pending()));
    Ok(Verifier::new(trust, VerifierConfig { audience: AUDIENCE.to_owned() })?)
}

/// Seconds until the command is confirmed, and until the verifier refuses.
async fn once(
    verifier: &Verifier,
    workflow: &Client,
    operator: &Client,
    address: SocketAddr,
) -> Outcome<(f64, f64)> {
    let token = workflow.token(address).await?;
    let (text, id) = (text(&token, "/access_token")?, text(&token, "/shortbread/token_id")?);
    let allows = || verifier.check(&Presented::bearer(text), &CALL).outcome == Answer::Allow;
    if !allows() {
        return Err("the verifier refuses a fresh token".into());
    }
    let signed_in = operator.token(address).await?;
    let held = self::text(&signed_in, "/access_token")?;
    let body = json!({ "selectors": [{ "kind": "token", "value": id }], "reason": "a measurement" });
    let mut connection = Connection::open(address).await?;
    // At any moment between two polls.
    tokio::time::sleep(INTERVAL.mul_f64(fraction()?)).await;
    let clock = SystemClock::start();
    let command = revoke(operator, held, &body.to_string(), &clock)?;
    let answered = match connection.send(&command).await? {
        (200, _) => clock.monotonic(),
        (status, body) => return Err(refused(status, body).into()),
    };
    while allows() {
        if clock.monotonic() > TOO_LONG {
            return Err(format!("a revoked token was still allowed after {TOO_LONG:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok((answered.as_secs_f64(), clock.monotonic().as_secs_f64()))
}

/// The operator's command, with a proof made for it.
fn revoke(operator: &Client, token: &str, body: &str, clock: &SystemClock) -> Outcome<Vec<u8>> {
    let url = format!("{}/api/v1/revocations", operator.issuer);
    let key = operator.bound.as_ref().ok_or("operators have a key to bind tokens to")?;
    let statement =
        Statement { method: "POST", url: &url, token: Some(token_hash(token)), ..Statement::default() };
    let proof = key.prove(&statement, clock.now(), &SystemRandom)?;
    let authorization = format!("DPoP {token}");
    let headers = [
        ("content-type", "application/json"),
        ("authorization", authorization.as_str()),
        ("dpop", proof.as_str()),
    ];
    Ok(request("POST", "/api/v1/revocations", &headers, body))
}

fn text<'a>(value: &'a Value, pointer: &str) -> Outcome<&'a str> {
    Ok(value.pointer(pointer).and_then(Value::as_str).ok_or("an answer without its token")?)
}

fn fraction() -> Outcome<f64> {
    let mut bytes = [0; 4];
    SystemRandom.fill(&mut bytes)?;
    Ok(f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX))
}
