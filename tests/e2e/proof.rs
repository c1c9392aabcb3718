//! A token that is bound to a key is good with a fresh proof of that key for each call, and for nothing without: at a
//! tool service over real HTTP that follows the broker's list.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::request::Parts;
use serde_json::{Value as Json, json};
use shortbread_protocol::call::Args;
use shortbread_protocol::clock::{Clock as _, Timestamp};
use shortbread_protocol::dpop::{ProofKey, Statement, token_hash};
use shortbread_protocol::random::SystemRandom;
use shortbread_tests::{POLICY, Tool, World, holder};
use shortbread_verifier::decision::Checker;
use shortbread_verifier::narrow::{Narrowing, narrow};
use shortbread_verifier::tower::{CheckLayer, Mapped, Unmapped};

/// A world in which workflow `demo` may delete repositories too.
async fn start() -> World {
    let more = r#"
[[grants]]
workflow = "demo"
tool = "github"
verbs = ["repo.delete"]
constraints."repo.delete" = { repo = { any = true } }
approval = "none"
"#;
    World::builder().policy(&format!("{POLICY}{more}")).start().await
}

/// A token of workflow `demo` that the broker bound to the key of [`holder`].
async fn bound(world: &World) -> String {
    let scope = [("scope", "github:issues.read github:repo.delete")];
    let answer = world.bound("workflow:demo", "demo", &scope).await;
    assert_eq!((answer.status, answer.text("/token_type")), (200, "DPoP"), "{answer:?}");
    answer.token().to_owned()
}

/// A tool service at an address of its own. A call is a POST of its arguments to the path of its verb.
struct Service<'a> {
    world: &'a World,
    tool: Tool,
    url: String,
}

impl<'a> Service<'a> {
    async fn start(world: &'a World) -> Self {
        let mut tool = world.tool("github");
        tool.poll().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let checker: Arc<dyn Checker> = tool.verifier();
        let layer = CheckLayer::new(checker, map).origin(&url).unwrap();
        let router = Router::new().fallback(|| async { "done" }).layer(layer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { world, tool, url }
    }

    fn statement<'s>(&self, url: &'s str, token: &str) -> Statement<'s> {
        Statement { method: "POST", url, token: Some(token_hash(token)), ..Statement::default() }
    }

    /// A good proof for a call of `issues.read`, made now.
    fn read(&self, token: &str) -> String {
        self.prove(&self.statement(&self.at("issues.read"), token))
    }

    fn prove(&self, statement: &Statement<'_>) -> String {
        self.world.prove(statement)
    }

    fn at(&self, verb: &str) -> String {
        format!("{}/{verb}", self.url)
    }

    /// Sends a call with these headers; gives the status and the reason.
    async fn send(&self, verb: &str, headers: &[(&str, &str)], args: &Json) -> (u16, String) {
        let request = self.world.http.post(self.at(verb)).body(args.to_string());
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Json = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
        (status, body.pointer("/shortbread/reason").and_then(Json::as_str).unwrap_or_default().to_owned())
    }

    async fn call(&self, verb: &str, token: &str, proof: &str, args: &Json) -> (u16, String) {
        self.send(verb, &[("authorization", &format!("DPoP {token}")), ("dpop", proof)], args).await
    }
}

fn map(parts: &Parts, body: &[u8]) -> Result<Mapped, Unmapped> {
    let args = Args::from_json(body).map_err(|error| Unmapped::Malformed(error.to_string()))?;
    let verb = parts.uri.path().trim_start_matches('/').to_owned();
    Ok(Mapped::Call { tool: "github".to_owned(), verb, args: Some(args) })
}

fn done() -> (u16, String) {
    (200, String::new())
}

fn refused(reason: &str) -> (u16, String) {
    (401, reason.to_owned())
}

#[tokio::test]
async fn a_stolen_token_is_of_no_use_without_its_key() {
    let world = start().await;
    let (service, token, none) = (Service::start(&world).await, bound(&world).await, json!({}));
    assert_eq!(service.call("issues.read", &token, &service.read(&token), &none).await, done());

    let (bearer, dpop) = (format!("Bearer {token}"), format!("DPoP {token}"));
    for authorization in [&bearer, &dpop] {
        let headers = [("authorization", authorization.as_str())];
        assert_eq!(service.send("issues.read", &headers, &none).await, refused("proof.required"));
    }
    let headers = [("authorization", bearer.as_str()), ("dpop", &service.read(&token))];
    assert_eq!(service.send("issues.read", &headers, &none).await, refused("proof.required"));
    let thief = ProofKey::generate(&SystemRandom).unwrap();
    let statement = service.statement("", &token);
    let url = service.at("issues.read");
    let proof = thief.prove(&Statement { url: &url, ..statement }, world.clock.now(), &SystemRandom).unwrap();
    assert_eq!(service.call("issues.read", &token, &proof, &none).await, refused("proof.wrong_key"));
}

#[tokio::test]
async fn a_proof_that_was_caught_opens_nothing_again() {
    let world = start().await;
    let (service, token, none) = (Service::start(&world).await, bound(&world).await, json!({}));
    let proof = service.read(&token);
    assert_eq!(service.call("issues.read", &token, &proof, &none).await, done());
    assert_eq!(service.call("issues.read", &token, &proof, &none).await, refused("proof.replayed"));
    let repo = json!({ "repo": "acme/web" });
    assert_eq!(service.call("repo.delete", &token, &proof, &repo).await, refused("proof.mismatch"));

    let there = service.prove(&service.statement("https://evil.example/issues.read", &token));
    let authorization = format!("DPoP {token}");
    let headers = [("authorization", authorization.as_str()), ("dpop", &there), ("host", "evil.example")];
    assert_eq!(service.send("issues.read", &headers, &none).await, refused("proof.mismatch"));

    // Another instance knows nothing of it, and takes no proof from before it was there.
    world.clock.advance(Duration::from_secs(1));
    let other = Service::start(&world).await;
    let moved = other.prove(&other.statement(&other.at("issues.read"), &token));
    assert_eq!(other.call("issues.read", &token, &moved, &none).await, done());
    let (url, statement) = (other.at("issues.read"), other.statement("", &token));
    let before = Timestamp::from_seconds(world.clock.now().seconds() - 1);
    let early = holder().prove(&Statement { url: &url, ..statement }, before, &SystemRandom).unwrap();
    assert_eq!(other.call("issues.read", &token, &early, &none).await, refused("proof.stale"));

    let old = service.read(&token);
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(service.call("issues.read", &token, &old, &none).await, refused("proof.stale"));
}

#[tokio::test]
async fn a_privileged_call_is_the_one_that_its_proof_names() {
    let world = start().await;
    let (service, token) = (Service::start(&world).await, bound(&world).await);
    let (meant, url) = (json!({ "repo": "acme/web" }), service.at("repo.delete"));
    let args = Args::from_json(meant.to_string().as_bytes()).unwrap().digest();
    let whole = Statement { operation: Some("github/repo.delete"), args, ..service.statement(&url, &token) };
    let call = async |statement: Statement<'_>, args: &Json| {
        service.call("repo.delete", &token, &service.prove(&statement), args).await
    };
    assert_eq!(call(Statement { operation: None, ..whole }, &meant).await, refused("proof.mismatch"));
    assert_eq!(call(Statement { args: None, ..whole }, &meant).await, refused("proof.mismatch"));
    let other = Statement { operation: Some("github/issues.read"), ..whole };
    assert_eq!(call(other, &meant).await, refused("proof.mismatch"));
    assert_eq!(call(whole, &json!({ "repo": "acme/infra" })).await, refused("proof.mismatch"));
    assert_eq!(call(whole, &meant).await, done());
}

#[tokio::test]
async fn a_narrower_copy_keeps_its_key_and_wants_its_own_proofs() {
    let world = start().await;
    let (service, parent, none) = (Service::start(&world).await, bound(&world).await, json!({}));
    let by =
        Narrowing { operations: Some(vec!["github/issues.read".parse().unwrap()]), ..Narrowing::default() };
    let child = narrow(&parent, &by, &SystemRandom).unwrap();
    let parents = service.read(&parent);
    assert_eq!(service.call("issues.read", &child, &parents, &none).await, refused("proof.mismatch"));
    assert_eq!(service.call("issues.read", &child, &service.read(&child), &none).await, done());
    let headers = [("authorization", &*format!("Bearer {child}"))];
    assert_eq!(service.send("issues.read", &headers, &none).await, refused("proof.required"));
}

#[tokio::test]
async fn a_revoked_key_ends_its_tokens_before_any_proof_is_looked_at() {
    let world = start().await;
    let (mut service, token, none) = (Service::start(&world).await, bound(&world).await, json!({}));
    assert_eq!(service.call("issues.read", &token, &service.read(&token), &none).await, done());
    assert_eq!(world.revoke("holder", holder().thumbprint()).await.status, 200);
    service.tool.poll().await;
    let said = service.call("issues.read", &token, &service.read(&token), &none).await;
    assert_eq!(said, (403, "revoked.holder".to_owned()));
    assert_eq!(service.tool.verifier().proof_signatures(), 1);
}
