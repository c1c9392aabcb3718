//! Operators, each with a key of their own: what they ask of the admin API, and how they get into the console.

use serde_json::{Value, json};
use shortbread_protocol::call::Args;
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::dpop::{ProofKey, Statement, token_hash};
use shortbread_protocol::random::SystemRandom;

use crate::client::Answer;
use crate::desk::Desk;
use crate::world::World;

impl World {
    /// A proof by a key for a form that is posted to this path.
    ///
    /// # Panics
    /// When there is no randomness.
    #[must_use]
    pub fn proof_by(&self, key: &ProofKey, path: &str) -> String {
        let url = format!("{}{path}", self.issuer);
        let statement = Statement { method: "POST", url: &url, ..Statement::default() };
        key.prove(&statement, self.clock.now(), &SystemRandom).expect("randomness")
    }

    /// Calls the admin API as an operator, with the key of this name and a token for this verb.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn call_as(
        &self,
        (name, key): (&str, &str),
        (method, path): (&str, &str),
        verb: &str,
        body: Option<&Value>,
    ) -> Answer {
        let file = match name {
            "alice" => "operator",
            "bob" => "second",
            "carol" => "third",
            _ => "fourth",
        };
        let assertion = self.assertion(&format!("operator:{name}"), file);
        let key = Desk::key(key);
        let scope = format!("shortbread:{verb}");
        let proof = self.proof_by(&key, "/oauth/token");
        let token = self.present_with(&assertion, &[("scope", &scope)], &[&proof]).await;
        let token = token.token();
        let bytes = body.map(ToString::to_string).unwrap_or_default();
        let privileged = ["policy.activate", "policy.rollback", "revocations.lift"].contains(&verb);
        let operation = format!("shortbread/{verb}");
        let url = format!("{}{}", self.issuer, path.split('?').next().unwrap_or(path));
        let statement = Statement {
            method,
            url: &url,
            token: Some(token_hash(token)),
            operation: privileged.then_some(operation.as_str()),
            args: privileged.then(|| Args::from_json(bytes.as_bytes()).ok()?.digest()).flatten(),
            holder: None,
        };
        let proof = key.prove(&statement, self.clock.now(), &SystemRandom).expect("randomness");
        let request = self.http.request(method.parse().expect("a method"), format!("{}{path}", self.issuer));
        let request = request.header("authorization", format!("DPoP {token}")).header("dpop", proof);
        let request = request.header("content-type", "application/json").body(bytes);
        self.send(request).await
    }

    /// A link that signs an operator in to the console. They have to be granted `approvals.decide`.
    ///
    /// # Panics
    /// When they are given none.
    pub async fn console_link(&self, name: &str) -> String {
        let path = ("POST", "/api/v1/console/links");
        let answer = self.call_as((name, name), path, "approvals.decide", Some(&json!({}))).await;
        assert_eq!((answer.status, answer.text("/operator")), (200, name), "{answer:?}");
        answer.text("/url").to_owned()
    }
}
