//! Requests as an orchestrator and an operator make them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::oauth::{CLIENT_ASSERTION, CLIENT_CREDENTIALS};
use shortbread_protocol::random::{SystemRandom, id};

use crate::world::World;

/// An HTTP answer, read.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body, where it is JSON; else null.
    pub body: Value,
}

impl Answer {
    /// The reason code of a refusal, on `/oauth/*` or the admin API.
    #[must_use]
    pub fn reason(&self) -> &str {
        let oauth = self.body.pointer("/shortbread/reason").or_else(|| self.body.get("reason"));
        oauth.and_then(Value::as_str).unwrap_or_default()
    }

    /// The token of a granted exchange.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn token(&self) -> &str {
        self.body
            .get("access_token")
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no token in {self:?}"))
    }

    /// A text in the body by its JSON pointer; empty when it is not there.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

/// An RFC 7523 assertion over these claims.
#[must_use]
pub fn assertion(key: &PrivateKey, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", part(&json!({ "alg": "EdDSA", "typ": "JWT" })), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()));
    format!("{input}.{signature}")
}

impl World {
    /// A fresh assertion of a principal such as `workflow:demo`.
    ///
    /// # Panics
    /// When there is no randomness.
    #[must_use]
    pub fn assertion(&self, principal: &str, key: &str) -> String {
        let now = self.clock.now().seconds();
        let jti = id("", self.clock.now(), &SystemRandom).expect("randomness");
        let claims = json!({ "iss": principal, "sub": principal, "aud": self.issuer, "iat": now, "exp": now + 60, "jti": jti });
        assertion(&self.key(key), &claims)
    }

    /// Posts a form.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn form(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let mut body = String::new();
        for (name, value) in form {
            let escape = |text: &str| text.bytes().map(|b| format!("%{b:02x}")).collect::<String>();
            body.push_str(&format!("{}={}&", escape(name), escape(value)));
        }
        let request =
            self.http.post(format!("{}{path}", self.issuer)).body(body.trim_end_matches('&').to_owned());
        self.send(request.header("content-type", "application/x-www-form-urlencoded")).await
    }

    /// Sends any request.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.expect("a body");
        Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    /// Asks for a token as a principal, with a fresh assertion.
    pub async fn exchange(&self, principal: &str, key: &str, more: &[(&str, &str)]) -> Answer {
        let assertion = self.assertion(principal, key);
        let mut form = vec![
            ("grant_type", CLIENT_CREDENTIALS),
            ("client_assertion_type", CLIENT_ASSERTION),
            ("client_assertion", assertion.as_str()),
        ];
        form.extend_from_slice(more);
        self.form("/oauth/token", &form).await
    }

    /// Asks for a token of workflow `demo`.
    pub async fn demo(&self, scope: &str) -> Answer {
        self.exchange("workflow:demo", "demo", &[("scope", scope)]).await
    }

    /// An operator's token for one verb of the admin API.
    pub async fn operator(&self, name: &str, verb: &str) -> String {
        let key = if name == "alice" { "operator" } else { "second" };
        let scope = format!("shortbread:{verb}");
        self.exchange(&format!("operator:{name}"), key, &[("scope", &scope)]).await.token().to_owned()
    }

    /// Posts JSON to the admin API as operator `alice`.
    pub async fn admin(&self, verb: &str, path: &str, body: &Value) -> Answer {
        let token = self.operator("alice", verb).await;
        let request = self.http.post(format!("{}{path}", self.issuer)).bearer_auth(token);
        self.send(request.header("content-type", "application/json").body(body.to_string())).await
    }

    /// Reads from the admin API as operator `alice`.
    pub async fn admin_read(&self, verb: &str, path: &str) -> Answer {
        let token = self.operator("alice", verb).await;
        self.send(self.http.get(format!("{}{path}", self.issuer)).bearer_auth(token)).await
    }

    /// Revokes one selector.
    pub async fn revoke(&self, kind: &str, value: &str) -> Answer {
        let body = json!({ "selectors": [{ "kind": kind, "value": value }], "reason": "a test" });
        self.admin("revocations.revoke", "/api/v1/revocations", &body).await
    }
}
