//! Who presses the switch, and whom it stops.

use serde_json::{Value, json};
use shortbread_protocol::clock::{Clock as _, SystemClock};
use shortbread_protocol::dpop::{ProofKey, Statement, token_hash};
use shortbread_protocol::random::SystemRandom;

use crate::Outcome;
use crate::broker::Served;
use crate::http::{Connection, request};
use crate::load::{Client, refused};

/// How long a sign-in is used, in seconds; it lives for longer.
const SIGNED_IN: u64 = 60;

/// The workflow of the policy.
pub fn workflow(served: &Served) -> Outcome<Client> {
    client(served, "workflow:demo", "demo", "github:issues.read", None)
}

fn client(
    served: &Served,
    principal: &str,
    key: &str,
    scope: &str,
    bound: Option<ProofKey>,
) -> Outcome<Client> {
    let (issuer, key) = (served.issuer.clone(), served.key(key)?);
    Ok(Client { issuer, principal: principal.to_owned(), key, scope: scope.to_owned(), bound })
}

/// An operator with a connection.
pub struct Operator {
    client: Client,
    connection: Connection,
    token: String,
    until: u64,
}

impl Operator {
    pub async fn sign_in(served: &Served) -> Outcome<Self> {
        let bound = Some(ProofKey::generate(&SystemRandom)?);
        let client = client(served, "operator:alice", "operator", "shortbread:revocations.revoke", bound)?;
        let connection = Connection::open(served.address).await?;
        let mut operator = Self { client, connection, token: String::new(), until: 0 };
        operator.renew(served).await?;
        Ok(operator)
    }

    /// Signs in again before the token is over.
    pub async fn renew(&mut self, served: &Served) -> Outcome<()> {
        let now = SystemClock::start().now().seconds();
        if now >= self.until {
            let answer = self.client.token(served.address).await?;
            self.token = text(&answer, "/access_token")?.to_owned();
            self.until = now + SIGNED_IN;
        }
        Ok(())
    }

    /// Revokes and gives the sequence of the change. The head that is served carries it when this returns.
    pub async fn revoke(&mut self, kind: &str, values: &[&str]) -> Outcome<u64> {
        let selectors: Vec<Value> =
            values.iter().map(|value| json!({ "kind": kind, "value": value })).collect();
        let body = json!({ "selectors": selectors, "reason": "a measurement" }).to_string();
        let command = self.command(&body)?;
        match self.connection.send(&command).await? {
            (200, body) => {
                let answer: Value = serde_json::from_slice(body)?;
                Ok(answer.pointer("/seq").and_then(Value::as_u64).ok_or("an answer without its sequence")?)
            }
            (status, body) => Err(refused(status, body).into()),
        }
    }

    fn command(&self, body: &str) -> Outcome<Vec<u8>> {
        let url = format!("{}/api/v1/revocations", self.client.issuer);
        let key = self.client.bound.as_ref().ok_or("operators have a key to bind tokens to")?;
        let token = Some(token_hash(&self.token));
        let statement = Statement { method: "POST", url: &url, token, ..Statement::default() };
        let proof = key.prove(&statement, SystemClock::start().now(), &SystemRandom)?;
        let authorization = format!("DPoP {}", self.token);
        let headers = [
            ("content-type", "application/json"),
            ("authorization", authorization.as_str()),
            ("dpop", proof.as_str()),
        ];
        Ok(request("POST", "/api/v1/revocations", &headers, body))
    }
}

pub fn text<'a>(value: &'a Value, pointer: &str) -> Outcome<&'a str> {
    Ok(value.pointer(pointer).and_then(Value::as_str).ok_or("an answer without its token")?)
}
