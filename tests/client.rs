//! Requests as an orchestrator and an operator make them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use shortbread_protocol::call::Args;
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::dpop::{ProofKey, Statement, token_hash};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::oauth::{CLIENT_ASSERTION, CLIENT_CREDENTIALS};
use shortbread_protocol::random::{SystemRandom, id};

use crate::world::World;

/// An HTTP answer, read.
#[derive(Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body, where it is JSON; else null.
    pub body: Value,
    /// The body as it came.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?}", self.status, String::from_utf8_lossy(&self.bytes), self.headers)
    }
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

    /// A header's text; empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The id that ties the answer to its record.
    #[must_use]
    pub fn decision(&self) -> &str {
        self.header("shortbread-decision-id")
    }

    /// The W3C trace id that the answer belongs to.
    ///
    /// # Panics
    /// When it names none.
    #[must_use]
    pub fn trace(&self) -> [u8; 16] {
        let hex = self.header("traceparent").split('-').nth(1).expect("a trace");
        u128::from_str_radix(hex, 16).expect("a trace").to_be_bytes()
    }

    /// Status, OAuth error code and reason code: all that a refused client can act on.
    #[must_use]
    pub fn refusal(&self) -> (u16, &str, &str) {
        (self.status, self.text("/error"), self.reason())
    }

    /// A text in the body by its JSON pointer; empty when it is not there.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

/// A JWS in compact form (RFC 7515) under any header.
#[must_use]
pub fn jws(key: &PrivateKey, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()));
    format!("{input}.{signature}")
}

/// An RFC 7523 assertion over these claims.
#[must_use]
pub fn assertion(key: &PrivateKey, claims: &Value) -> String {
    jws(key, &json!({ "alg": "EdDSA", "typ": "JWT" }), claims)
}

/// The key that tests bind tokens to.
#[must_use]
pub fn holder() -> ProofKey {
    ProofKey::new(PrivateKey::from_seed(&[77; 32]))
}

// The calls whose proof has to speak of the call itself.
fn privileged(path: &str) -> Option<&'static str> {
    match path {
        "/api/v1/revocations/lift" => Some("shortbread/revocations.lift"),
        "/api/v1/policy/activate" => Some("shortbread/policy.activate"),
        "/api/v1/policy/rollback" => Some("shortbread/policy.rollback"),
        "/api/v1/audit/erase" => Some("shortbread/audit.erase"),
        "/api/v1/keys/document" => Some("shortbread/keys.rotate"),
        _ => None,
    }
}

impl World {
    /// What a sound assertion of a principal such as `workflow:demo` claims now.
    ///
    /// # Panics
    /// When there is no randomness.
    #[must_use]
    pub fn claims(&self, principal: &str) -> Value {
        let now = self.clock.now().seconds();
        let jti = id("", self.clock.now(), &SystemRandom).expect("randomness");
        json!({ "iss": principal, "sub": principal, "aud": self.issuer, "iat": now, "exp": now + 60, "jti": jti })
    }

    /// A fresh assertion of a principal.
    #[must_use]
    pub fn assertion(&self, principal: &str, key: &str) -> String {
        assertion(&self.key(key), &self.claims(principal))
    }

    /// Posts a form.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn form(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.form_with(path, form, &[]).await
    }

    /// Posts any body.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn post(&self, path: &str, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.http.post(format!("{}{path}", self.issuer));
        self.send(request.header("content-type", kind).body(body)).await
    }

    /// Sends any request.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.expect("a body");
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status, headers, body, bytes: bytes.to_vec() }
    }

    /// Gets a public document.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.http.get(format!("{}{path}", self.issuer))).await
    }

    /// The signed head of the revocation list, as it is served.
    pub async fn head(&self) -> Answer {
        self.get("/revocations/head").await
    }

    /// Presents an assertion as client authentication.
    pub async fn present(&self, assertion: &str, more: &[(&str, &str)]) -> Answer {
        self.present_with(assertion, more, &[]).await
    }

    /// Presents an assertion as client authentication, with these `DPoP` headers.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn present_with(&self, assertion: &str, more: &[(&str, &str)], proofs: &[&str]) -> Answer {
        let own = [
            ("grant_type", CLIENT_CREDENTIALS),
            ("client_assertion_type", CLIENT_ASSERTION),
            ("client_assertion", assertion),
        ];
        self.form_with("/oauth/token", &[&own, more].concat(), proofs).await
    }

    /// Posts a form with these `DPoP` headers.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn form_with(&self, path: &str, form: &[(&str, &str)], proofs: &[&str]) -> Answer {
        let escape = |text: &str| text.bytes().map(|b| format!("%{b:02x}")).collect::<String>();
        let pairs: Vec<String> =
            form.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
        let request = self.http.post(format!("{}{path}", self.issuer));
        let request =
            request.header("content-type", "application/x-www-form-urlencoded").body(pairs.join("&"));
        self.send(proofs.iter().fold(request, |request, proof| request.header("dpop", *proof))).await
    }

    /// Asks for a token as a principal, with a fresh assertion: an operator with a proof of [`holder`], others without.
    pub async fn exchange(&self, principal: &str, key: &str, more: &[(&str, &str)]) -> Answer {
        if principal.starts_with("operator:") {
            return self.bound(principal, key, more).await;
        }
        self.present(&self.assertion(principal, key), more).await
    }

    /// Asks for a token that is bound to [`holder`].
    pub async fn bound(&self, principal: &str, key: &str, more: &[(&str, &str)]) -> Answer {
        let proof = self.proof_for("/oauth/token");
        self.present_with(&self.assertion(principal, key), more, &[&proof]).await
    }

    /// A proof of [`holder`], made now.
    ///
    /// # Panics
    /// When there is no randomness.
    #[must_use]
    pub fn prove(&self, statement: &Statement<'_>) -> String {
        holder().prove(statement, self.clock.now(), &SystemRandom).expect("randomness")
    }

    /// A proof of [`holder`] for a form that is posted to this path.
    #[must_use]
    pub fn proof_for(&self, path: &str) -> String {
        let url = format!("{}{path}", self.issuer);
        self.prove(&Statement { method: "POST", url: &url, ..Statement::default() })
    }

    /// A proof of [`holder`] for a call of the admin API with this token and body.
    #[must_use]
    pub fn proof_of_call(&self, method: &str, path: &str, token: &str, body: &[u8]) -> String {
        let path = path.split('?').next().unwrap_or(path);
        let operation = privileged(path);
        self.prove(&Statement {
            method: &method.to_uppercase(),
            url: &format!("{}{path}", self.issuer),
            token: Some(token_hash(token)),
            operation,
            args: operation.and_then(|_| Args::from_json(body).ok()?.digest()),
            holder: None,
        })
    }

    /// A request of the admin API with this token and a proof of [`holder`].
    ///
    /// # Panics
    /// When the method is none.
    pub fn signed(&self, method: &str, path: &str, token: &str, body: &[u8]) -> reqwest::RequestBuilder {
        let proof = self.proof_of_call(method, path, token, body);
        let method = method.to_uppercase().parse().expect("a method");
        let request = self.http.request(method, format!("{}{path}", self.issuer)).body(body.to_owned());
        request.header("authorization", format!("DPoP {token}")).header("dpop", proof)
    }

    /// Asks for a token of workflow `demo`.
    pub async fn demo(&self, scope: &str) -> Answer {
        self.exchange("workflow:demo", "demo", &[("scope", scope)]).await
    }

    /// Asks for an operator's token for one verb of the admin API.
    pub async fn sign_in(&self, name: &str, verb: &str) -> Answer {
        let key = if name == "alice" { "operator" } else { "second" };
        self.exchange(&format!("operator:{name}"), key, &[("scope", &format!("shortbread:{verb}"))]).await
    }

    /// An operator's token for one verb of the admin API.
    pub async fn operator(&self, name: &str, verb: &str) -> String {
        self.sign_in(name, verb).await.token().to_owned()
    }

    /// Calls the admin API with this token and a proof of [`holder`].
    ///
    /// # Panics
    /// When the method is none, or there is no answer.
    pub async fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
        let bytes = body.map(ToString::to_string).unwrap_or_default();
        let mut request = match token {
            Some(token) => self.signed(method, path, token, bytes.as_bytes()),
            None => {
                let method = method.to_uppercase().parse().expect("a method");
                self.http.request(method, format!("{}{path}", self.issuer)).body(bytes)
            }
        };
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        self.send(request).await
    }

    /// Posts JSON to the admin API as an operator who signs in for it.
    pub async fn admin_as(&self, name: &str, verb: &str, path: &str, body: &Value) -> Answer {
        let token = self.operator(name, verb).await;
        self.call("post", path, Some(&token), Some(body)).await
    }

    /// Posts JSON to the admin API as operator `alice`.
    pub async fn admin(&self, verb: &str, path: &str, body: &Value) -> Answer {
        self.admin_as("alice", verb, path, body).await
    }

    /// Reads from the admin API as operator `alice`.
    pub async fn admin_read(&self, verb: &str, path: &str) -> Answer {
        let token = self.operator("alice", verb).await;
        self.call("get", path, Some(&token), None).await
    }

    /// Revokes as a body says, but for the reason, which is a test's.
    pub async fn revoke_with(&self, mut body: Value) -> Answer {
        body["reason"] = "a test".into();
        self.admin("revocations.revoke", "/api/v1/revocations", &body).await
    }

    /// Revokes one selector.
    pub async fn revoke(&self, kind: &str, value: &str) -> Answer {
        self.revoke_with(json!({ "selectors": [{ "kind": kind, "value": value }] })).await
    }

    /// Lifts as a body says, but for the reason, which is a test's.
    pub async fn lift_with(&self, mut body: Value) -> Answer {
        body["reason"] = "a test".into();
        self.admin("revocations.lift", "/api/v1/revocations/lift", &body).await
    }

    /// The particulars in the audit log of what an answer decided.
    pub async fn audited(&self, answer: &Answer) -> Value {
        let entries = self.broker.store.audit_by_decision(answer.decision()).await.expect("entries");
        let entry = entries.first().unwrap_or_else(|| panic!("nothing is recorded of {answer:?}"));
        let event: Value = serde_json::from_slice(&entry.body).expect("JSON");
        event.get("data").cloned().unwrap_or_default()
    }
}
