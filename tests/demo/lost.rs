//! A lost answer: the request is sent again, and there is no second token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use serde_json::{Value, json};
use shortbread_protocol::clock::{Clock as _, SystemClock};
use shortbread_protocol::dpop::{ProofKey, Statement};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::oauth::{CLIENT_ASSERTION, CLIENT_CREDENTIALS};
use shortbread_protocol::random::{SystemRandom, id};

use crate::Outcome;
use crate::page::{passed, say, scene};
use crate::stage::Stage;
use crate::story::{Held, SCOPE};

/// Asks for a new token, loses the answer, and asks again; gives that token.
pub(crate) async fn ask_twice(stage: &Stage) -> Outcome<Held> {
    scene("6. A lost answer");
    say("The agent asks for a new token. The answer gets lost on its way, so it asks again with the same \
         Idempotency-Key, a fresh assertion and a fresh proof:");
    let pem = std::fs::read_to_string(stage.at("workflow_key"))?;
    // The first line says that `dev` made it.
    let workflow = PrivateKey::from_pem(pem.split_once('\n').map_or(pem.as_str(), |(_, key)| key))?;
    let key = stage.key("new-agent")?;
    let retry = id("job-", SystemClock::start().now(), &SystemRandom)?;
    let lost = ask(stage, &workflow, &key, &retry).await?;
    let answer = ask(stage, &workflow, &key, &retry).await?;
    if lost != answer {
        return Err("the second answer is not the first one".into());
    }
    passed("The second answer is the first one, byte for byte", "one token");
    Held::read(&serde_json::from_slice(&answer)?, key)
}

async fn ask(stage: &Stage, workflow: &PrivateKey, key: &ProofKey, retry: &str) -> Outcome<Vec<u8>> {
    let now = SystemClock::start().now();
    let (url, assertion) =
        (format!("{}/oauth/token", stage.issuer), assertion(stage, "workflow:demo", workflow)?);
    let statement = Statement { method: "POST", url: &url, ..Statement::default() };
    let form = [
        ("grant_type", CLIENT_CREDENTIALS),
        ("client_assertion_type", CLIENT_ASSERTION),
        ("client_assertion", &assertion),
        ("scope", SCOPE),
    ];
    // Queries are encoded as forms are.
    let form = Url::parse_with_params(&url, form)?;
    let request = stage.http.post(&url).header("content-type", "application/x-www-form-urlencoded");
    let request = request.header("dpop", key.prove(&statement, now, &SystemRandom)?);
    let request = request.header("idempotency-key", retry);
    let answer = request.body(form.query().unwrap_or_default().to_owned()).send().await?;
    let (status, body) = (answer.status().as_u16(), answer.bytes().await?);
    if status != 200 {
        return Err(format!("no token: {status} {}", String::from_utf8_lossy(&body)).into());
    }
    Ok(body.to_vec())
}

/// Proves whose key this is (RFC 7523): for the broker, for a minute, used once.
pub(crate) fn assertion(stage: &Stage, name: &str, key: &PrivateKey) -> Outcome<String> {
    let now = SystemClock::start().now();
    let at = now.seconds();
    let jti = id("jti_", now, &SystemRandom)?;
    let claims =
        json!({ "iss": name, "sub": name, "aud": stage.issuer, "iat": at, "exp": at + 60, "jti": jti });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": "EdDSA", "typ": "JWT" })), part(&claims));
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()))))
}
