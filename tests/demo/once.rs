//! The approved call at the payment service: its verifier claims the one use of the token, for one attempt.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use shortbread_protocol::clock::{Clock as _, SystemClock};
use shortbread_protocol::jws;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::{Random as _, SystemRandom};
use shortbread_protocol::verifiers::{
    CLAIM_TYPE, CLAIMS, Claim, GOODBYE, GOODBYE_TYPE, Goodbye, LEASE, Message,
};

use crate::Outcome;
use crate::lost::assertion;
use crate::page::{passed, refused, say};
use crate::person::Approved;
use crate::stage::Stage;

/// Runs the call once; the second attempt is refused.
pub(crate) async fn run_once(stage: &Stage, approved: &Approved) -> Outcome {
    say("The payment service claims the token's one use, for one attempt, before it pays:");
    let service = Service::start(stage).await?;
    let (status, answer) = service.claim(approved).await?;
    if (status, answer.get("again")) != (200, Some(&false.into())) {
        return Err(format!("the approved call cannot run: {status} {answer}").into());
    }
    passed("The agent makes the call", "paid, once");
    let (status, answer) = service.claim(approved).await?;
    let reason = answer.get("reason").and_then(Value::as_str).unwrap_or_default();
    if (status, reason) != (409, "approval.used") {
        return Err(format!("a second payout was not refused: {status} {answer}").into());
    }
    refused("It makes the same call again, with the same token", reason);
    service.stop().await
}

/// A running instance of the verifier `payments`.
struct Service<'a> {
    stage: &'a Stage,
    key: PrivateKey,
}

impl<'a> Service<'a> {
    async fn start(stage: &'a Stage) -> Outcome<Self> {
        let identity = PrivateKey::from_pem(&std::fs::read_to_string(stage.verifier_key("payments"))?)?;
        let key = PrivateKey::generate(&SystemRandom)?;
        let public = URL_SAFE_NO_PAD.encode(key.public().as_bytes());
        let proof = assertion(stage, "verifier:payments", &identity)?;
        let body = json!({ "assertion": proof, "key": public, "label": "payments" }).to_string();
        let service = Self { stage, key };
        match service.post(LEASE, "application/json", body).await? {
            (200, _) => Ok(service),
            (status, answer) => Err(format!("no lease: {status} {answer}").into()),
        }
    }

    /// For a new attempt.
    async fn claim(&self, approved: &Approved) -> Outcome<(u16, Value)> {
        let mut attempt = [0; 16];
        SystemRandom.fill(&mut attempt)?;
        let claim = Claim {
            token: approved.token_id.clone(),
            attempt: attempt.iter().map(|byte| format!("{byte:02x}")).collect(),
            tool: "payments".parse()?,
            verb: "payouts.create".parse()?,
            args_sha256: Some(approved.args_sha256.clone()),
        };
        self.send(CLAIMS, jws::sign(CLAIM_TYPE, &self.id(), &self.message(claim), &self.key)).await
    }

    async fn stop(&self) -> Outcome {
        let message = self.message(Goodbye {});
        match self.send(GOODBYE, jws::sign(GOODBYE_TYPE, &self.id(), &message, &self.key)).await? {
            (200, _) => Ok(()),
            (status, answer) => Err(format!("no goodbye: {status} {answer}").into()),
        }
    }

    fn id(&self) -> String {
        self.key.public().thumbprint()
    }

    fn message<T>(&self, said: T) -> Message<T> {
        let now = SystemClock::start().now();
        Message { aud: self.stage.issuer.clone(), n: now.millis(), iat: now.seconds(), said }
    }

    async fn send(&self, path: &str, signed: String) -> Outcome<(u16, Value)> {
        self.post(path, "application/jose", signed).await
    }

    async fn post(&self, path: &str, kind: &str, body: String) -> Outcome<(u16, Value)> {
        let request = self.stage.http.post(format!("{}{path}", self.stage.issuer));
        let answer = request.header("content-type", kind).body(body).send().await?;
        let status = answer.status().as_u16();
        Ok((status, serde_json::from_slice(&answer.bytes().await?).unwrap_or(Value::Null)))
    }
}
