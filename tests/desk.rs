//! A broker whose refunds wait for a person: whoever asks and whoever decides, each with a key of their own.

use serde_json::{Value, json};
use shortbread_protocol::dpop::ProofKey;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::oauth::{CLIENT_ASSERTION, CLIENT_CREDENTIALS, DEFERRED};

use crate::client::Answer;
use crate::world::{World, WorldBuilder};

/// Who may ask for refunds, and who decides about them: `alice` owns the workflow and is on call with `bob`; `carol` and
/// `dave` lead.
pub const DESK: &str = r#"
[tools.payments]
audience = "https://tools.acme.example/payments"
verbs."refunds.create" = { access = "privileged", args = ["amount", "charge"] }
verbs."refunds.read" = { access = "read" }
[tools.github]
audience = "https://tools.acme.example/github"
verbs."issues.read" = { access = "read" }
verbs."issues.write" = { access = "write", args = ["repo", "title", "body"] }

[[identities]]
workflow = "desk"
key = "keys/demo.pub.pem"
[[identities]]
workflow = "other"
key = "keys/other.pub.pem"
[[identities]]
verifier = "payments"
tools = ["payments"]
key = "keys/payments.pub.pem"
[[identities]]
verifier = "github"
tools = ["github"]
key = "keys/github.pub.pem"
[[identities]]
operator = "alice"
key = "keys/operator.pub.pem"
[[identities]]
operator = "bob"
key = "keys/second.pub.pem"
[[identities]]
operator = "carol"
key = "keys/third.pub.pem"
[[identities]]
operator = "dave"
key = "keys/fourth.pub.pem"

[[grants]]
workflow = "desk"
owners = ["alice"]
tool = "payments"
verbs = ["refunds.create", "refunds.read"]
constraints."refunds.create" = { amount = { min = 1, max = 10000 }, charge = { any = true } }
approval = { access = ["privileged"], approvers = "oncall", quorum = 1, sla = "5m", expires = "15m" }
[[grants]]
workflow = "desk"
tool = "github"
verbs = ["issues.read", "issues.write"]
constraints."issues.write" = { repo = { in = ["acme/web", "acme/docs"] }, title = { any = true }, body = { any = true } }
approval = { access = ["write"], approvers = "oncall", quorum = 1, sla = "5m", expires = "15m" }
[[grants]]
workflow = "other"
tool = "payments"
verbs = ["refunds.create"]
any_arguments = true
approval = { access = ["privileged"], approvers = "oncall", quorum = 1, sla = "5m", expires = "15m" }
[[grants]]
operator = "alice"
tool = "shortbread"
verbs = ["revocations.*", "policy.*", "audit.*", "status.read", "approvals.*"]
[[grants]]
operator = "bob"
tool = "shortbread"
verbs = ["approvals.decide", "policy.activate"]
[[grants]]
operator = "carol"
tool = "shortbread"
verbs = ["approvals.decide"]
[[grants]]
operator = "dave"
tool = "shortbread"
verbs = ["approvals.decide", "approvals.read"]

[approvers.oncall]
members = ["alice", "bob"]
escalate = "leads"
[approvers.leads]
members = ["carol", "dave"]
"#;

/// An exact refund, as `authorization_details`.
#[must_use]
pub fn refund(amount: i64, charge: &str) -> Value {
    json!([{
        "type": "shortbread_tool_call", "tool": "payments",
        "call": { "verb": "refunds.create", "args": { "amount": amount, "charge": charge } },
    }])
}

/// The key of the verifier of this tool.
#[must_use]
pub fn verifier(tool: &str) -> PrivateKey {
    PrivateKey::from_seed(&[if tool == "payments" { 111 } else { 112 }; 32])
}

/// With the keys of the verifiers that [`DESK`] names.
#[must_use]
pub fn with_verifiers(builder: WorldBuilder) -> WorldBuilder {
    ["payments", "github"].into_iter().fold(builder, |builder, tool| {
        builder.file(&format!("keys/{tool}.pub.pem"), &verifier(tool).public().to_pem())
    })
}

/// A broker whose refunds wait for a person.
pub struct Desk {
    /// The broker.
    pub world: World,
}

impl Desk {
    /// One under [`DESK`], changed as told.
    #[must_use]
    pub fn builder(change: impl Fn(String) -> String) -> WorldBuilder {
        with_verifiers(World::builder()).policy(&change(DESK.to_owned()))
    }

    /// One under [`DESK`].
    pub async fn start() -> Self {
        Self { world: Self::builder(|text| text).start().await }
    }

    /// One under [`DESK`], changed as told.
    pub async fn changed(change: impl Fn(String) -> String) -> Self {
        Self { world: Self::builder(change).start().await }
    }

    /// The DPoP key of whoever has this name.
    #[must_use]
    pub fn key(name: &str) -> ProofKey {
        let mut seed = [9; 32];
        seed.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        ProofKey::new(PrivateKey::from_seed(&seed))
    }

    /// A proof by a key for a form that is posted to this path.
    #[must_use]
    pub fn proof(&self, key: &ProofKey, path: &str) -> String {
        self.world.proof_by(key, path)
    }

    /// Asks as a workflow, which waits, with the key of this name.
    pub async fn ask_as(&self, workflow: &str, key: &str, more: &[(&str, &str)]) -> Answer {
        let file = if workflow == "desk" { "demo" } else { "other" };
        let assertion = self.world.assertion(&format!("workflow:{workflow}"), file);
        let own = [
            ("grant_type", CLIENT_CREDENTIALS),
            ("client_assertion_type", CLIENT_ASSERTION),
            ("client_assertion", &assertion),
            ("completion_mode", "deferred"),
        ];
        let proof = self.proof(&Self::key(key), "/oauth/token");
        self.world.form_with("/oauth/token", &[&own, more].concat(), &[&proof]).await
    }

    /// Asks for what these details say as workflow `desk`, which waits.
    pub async fn ask(&self, details: &Value) -> Answer {
        self.ask_as("desk", "desk", &[("authorization_details", &details.to_string())]).await
    }

    /// Asks for these verbs as workflow `desk`, which waits.
    pub async fn ask_scope(&self, scope: &str) -> Answer {
        self.ask_as("desk", "desk", &[("scope", scope)]).await
    }

    /// Asks for the answer of a request.
    pub async fn fetch(&self, asked: &Answer) -> Answer {
        self.fetch_by("desk", "desk", asked.text("/deferral_code"), None).await
    }

    /// The same as any workflow, with any key, waiting so many seconds.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn fetch_by(&self, workflow: &str, key: &str, code: &str, wait: Option<u64>) -> Answer {
        self.world.send(self.fetch_request(workflow, key, code, wait, None)).await
    }

    /// Asks for the answer of a request as workflow `desk`, with any key, under an Idempotency-Key.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn fetch_under(&self, key: &str, code: &str, under: &str) -> Answer {
        self.world.send(self.fetch_request("desk", key, code, None, Some(under))).await
    }

    /// The request that asks for an answer.
    pub fn fetch_request(
        &self,
        workflow: &str,
        key: &str,
        code: &str,
        wait: Option<u64>,
        under: Option<&str>,
    ) -> reqwest::RequestBuilder {
        let file = if workflow == "desk" { "demo" } else { "other" };
        let assertion = self.world.assertion(&format!("workflow:{workflow}"), file);
        let form = [
            ("grant_type", DEFERRED),
            ("deferral_code", code),
            ("client_assertion_type", CLIENT_ASSERTION),
            ("client_assertion", &assertion),
        ];
        let pairs = form.map(|(name, value)| {
            format!("{name}={}", value.bytes().map(|b| format!("%{b:02x}")).collect::<String>())
        });
        let request = self.world.http.post(format!("{}/oauth/token", self.world.issuer));
        let request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .header("dpop", self.proof(&Self::key(key), "/oauth/token"))
            .body(pairs.join("&"));
        let request = under.iter().fold(request, |request, under| request.header("idempotency-key", *under));
        wait.map(|wait| format!("wait={wait}")).iter().fold(request, |r, w| r.header("prefer", w))
    }

    /// Takes a request back.
    pub async fn cancel(&self, asked: &Answer) -> Answer {
        let assertion = self.world.assertion("workflow:desk", "demo");
        let form = [
            ("deferral_code", asked.text("/deferral_code")),
            ("client_assertion_type", CLIENT_ASSERTION),
            ("client_assertion", &assertion),
        ];
        let proof = self.proof(&Self::key("desk"), "/oauth/deferral/cancel");
        self.world.form_with("/oauth/deferral/cancel", &form, &[&proof]).await
    }

    /// Calls the admin API as an operator, with the key of this name.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn call_with(
        &self,
        who: (&str, &str),
        what: (&str, &str),
        verb: &str,
        body: Option<&Value>,
    ) -> Answer {
        self.world.call_as(who, what, verb, body).await
    }

    /// A request as an operator sees it.
    pub async fn show(&self, name: &str, asked: &Answer) -> Answer {
        let path = format!("/api/v1/approvals/{}", asked.text("/shortbread/approval_id"));
        self.call_with((name, name), ("GET", &path), "approvals.decide", None).await
    }

    /// Approves what is shown now.
    pub async fn approve(&self, name: &str, asked: &Answer) -> Answer {
        self.approve_with(name, asked, json!({})).await
    }

    /// Approves what is shown now, with more said.
    pub async fn approve_with(&self, name: &str, asked: &Answer, more: Value) -> Answer {
        let digest = self.show(name, asked).await.text("/digest").to_owned();
        self.approve_digest(name, asked, &digest, more).await
    }

    /// Approves what has this digest.
    pub async fn approve_digest(&self, name: &str, asked: &Answer, digest: &str, mut more: Value) -> Answer {
        more["digest"] = digest.into();
        let path = format!("/api/v1/approvals/{}/approve", asked.text("/shortbread/approval_id"));
        self.call_with((name, name), ("POST", &path), "approvals.decide", Some(&more)).await
    }

    /// Denies what is shown now.
    pub async fn deny(&self, name: &str, asked: &Answer, reason: &str) -> Answer {
        let digest = self.show(name, asked).await.text("/digest").to_owned();
        let path = format!("/api/v1/approvals/{}/deny", asked.text("/shortbread/approval_id"));
        let body = json!({ "digest": digest, "reason": reason });
        self.call_with((name, name), ("POST", &path), "approvals.decide", Some(&body)).await
    }

    /// Puts another policy in force, by the two operators who may.
    ///
    /// # Panics
    /// When it does not come into force.
    pub async fn activate(&self, change: impl Fn(String) -> String) {
        std::fs::write(self.world.path("policy.toml"), change(DESK.to_owned())).expect("a file");
        let mut answer = None;
        for name in ["alice", "bob"] {
            let path = ("POST", "/api/v1/policy/activate");
            let said = self.call_with((name, name), path, "policy.activate", Some(&json!({}))).await;
            let done = said.status == 200;
            answer = Some(said);
            if done {
                break;
            }
        }
        assert_eq!(answer.as_ref().map(|answer| answer.status), Some(200), "{answer:?}");
    }

    /// The kinds and particulars of all entries of the audit log about approvals, oldest first.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub async fn log(&self) -> Vec<(String, Value)> {
        let entries = self.world.broker.store.audit_tail(0, 10_000).await.expect("entries");
        let events = entries.iter().map(|entry| serde_json::from_slice::<Value>(&entry.body).expect("JSON"));
        let about = events.filter_map(|event| {
            let kind = event["type"].as_str()?.strip_prefix("dev.shortbread.")?.strip_suffix(".v1")?;
            kind.starts_with("approval.").then(|| (kind.to_owned(), event["data"].clone()))
        });
        about.collect()
    }
}
