//! Who asks for refunds, and who decides about them, each over a connection of their own.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use shortbread_protocol::clock::{Clock as _, SystemClock};
use shortbread_protocol::dpop::{ProofKey, Statement, token_hash};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::oauth::{CLIENT_ASSERTION, CLIENT_CREDENTIALS, DEFERRED};
use shortbread_protocol::random::{SystemRandom, id};

use crate::Outcome;
use crate::broker::Served;
use crate::http::{Connection, request};
use crate::load::{assertion, refused};

/// The keys and the operator's token, which all connections share.
pub struct Desk {
    pub address: SocketAddr,
    issuer: String,
    workflow: PrivateKey,
    agent: ProofKey,
    approver: ProofKey,
    token: String,
}

/// What one request's way through the broker took, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    pub ask: f64,
    pub show: f64,
    pub vote: f64,
    pub fetch: f64,
}

impl Desk {
    pub async fn open(served: &Served) -> Outcome<Rc<Self>> {
        let approver = ProofKey::generate(&SystemRandom)?;
        let mut desk = Self {
            address: served.address,
            issuer: served.issuer.clone(),
            workflow: served.key("demo")?,
            agent: ProofKey::generate(&SystemRandom)?,
            approver,
            token: String::new(),
        };
        let operator = served.key("operator")?;
        let scope = [("grant_type", CLIENT_CREDENTIALS), ("scope", "shortbread:approvals.decide")];
        let signed = desk.form("operator:alice", &operator, &desk.approver, &scope)?;
        let answer = sent(&mut Connection::open(served.address).await?, &signed, 200).await?.0;
        desk.token = text(&answer, "/access_token")?.to_owned();
        Ok(Rc::new(desk))
    }

    /// Asks for a refund that nobody else asks for; gives the answer and how long it took.
    pub async fn ask(&self, connection: &mut Connection, n: u64) -> Outcome<(Value, f64)> {
        let call =
            json!({ "verb": "refunds.create", "args": { "amount": 100, "charge": format!("ch_{n}") } });
        let details =
            json!([{ "type": "shortbread_tool_call", "tool": "payments", "call": call }]).to_string();
        let more = [
            ("grant_type", CLIENT_CREDENTIALS),
            ("completion_mode", "deferred"),
            ("authorization_details", &details),
        ];
        let asked = self.form("workflow:demo", &self.workflow, &self.agent, &more)?;
        sent(connection, &asked, 400).await
    }

    /// From the request to its token: asked for, looked at, approved, fetched.
    pub async fn story(&self, connection: &mut Connection, n: u64) -> Outcome<Story> {
        let (asked, ask) = self.ask(connection, n).await?;
        let (show, vote) = self.decide(connection, text(&asked, "/shortbread/approval_id")?).await?;
        let more = [("grant_type", DEFERRED), ("deferral_code", text(&asked, "/deferral_code")?)];
        let fetched = self.form("workflow:demo", &self.workflow, &self.agent, &more)?;
        let (_, fetch) = sent(connection, &fetched, 200).await?;
        Ok(Story { ask, show, vote, fetch })
    }

    /// Looks at a request and approves it; how long each took.
    pub async fn decide(&self, connection: &mut Connection, id: &str) -> Outcome<(f64, f64)> {
        let path = format!("/api/v1/approvals/{id}");
        let (shown, show) = sent(connection, &self.admin("GET", &path, "")?, 200).await?;
        let body = json!({ "digest": text(&shown, "/digest")? }).to_string();
        let vote = self.admin("POST", &format!("{path}/approve"), &body)?;
        Ok((show, sent(connection, &vote, 200).await?.1))
    }

    /// A link that signs in to the console.
    pub async fn link(&self, connection: &mut Connection) -> Outcome<Value> {
        let asked = self.admin("POST", "/api/v1/console/links", "{}")?;
        Ok(sent(connection, &asked, 200).await?.0)
    }

    /// The first page of what waits; how long it took.
    pub async fn list(&self, connection: &mut Connection) -> Outcome<(Value, f64)> {
        sent(connection, &self.admin("GET", "/api/v1/approvals", "")?, 200).await
    }

    fn form(
        &self,
        principal: &str,
        key: &PrivateKey,
        bound: &ProofKey,
        more: &[(&str, &str)],
    ) -> Outcome<Vec<u8>> {
        let now = SystemClock::start().now();
        let claims = json!({
            "iss": principal, "sub": principal, "aud": self.issuer,
            "iat": now.seconds(), "exp": now.seconds() + 60, "jti": id("", now, &SystemRandom)?,
        });
        let proved = assertion(key, &claims);
        let own = [("client_assertion_type", CLIENT_ASSERTION), ("client_assertion", proved.as_str())];
        let escape = |text: &str| text.bytes().map(|b| format!("%{b:02x}")).collect::<String>();
        let pairs: Vec<String> =
            own.iter().chain(more).map(|(name, value)| format!("{name}={}", escape(value))).collect();
        let url = format!("{}/oauth/token", self.issuer);
        let statement = Statement { method: "POST", url: &url, ..Statement::default() };
        let proof = bound.prove(&statement, now, &SystemRandom)?;
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("dpop", proof.as_str())];
        Ok(request("POST", "/oauth/token", &headers, &pairs.join("&")))
    }

    fn admin(&self, method: &str, path: &str, body: &str) -> Outcome<Vec<u8>> {
        let url = format!("{}{path}", self.issuer);
        let statement =
            Statement { method, url: &url, token: Some(token_hash(&self.token)), ..Statement::default() };
        let proof = self.approver.prove(&statement, SystemClock::start().now(), &SystemRandom)?;
        let authorization = format!("DPoP {}", self.token);
        let headers = [
            ("content-type", "application/json"),
            ("authorization", authorization.as_str()),
            ("dpop", proof.as_str()),
        ];
        Ok(request(method, path, &headers, body))
    }
}

async fn sent(connection: &mut Connection, request: &[u8], wanted: u16) -> Outcome<(Value, f64)> {
    let clock = SystemClock::start();
    let begun = clock.monotonic();
    let (status, body) = connection.send(request).await?;
    let took = seconds(clock.monotonic() - begun);
    if status != wanted {
        return Err(refused(status, body).into());
    }
    Ok((serde_json::from_slice(body)?, took))
}

fn seconds(span: Duration) -> f64 {
    span.as_secs_f64()
}

pub fn text<'a>(value: &'a Value, pointer: &str) -> Outcome<&'a str> {
    Ok(value
        .pointer(pointer)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("an answer without {pointer}: {value}"))?)
}
