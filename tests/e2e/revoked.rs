//! What is revoked is refused: at the next exchange, and at every tool service that has polled the list.
//! The clock stands still throughout, so every token is of the very second in which it is revoked.

use serde_json::{Value, json};
use shortbread_tests::{Answer, Tool, World};
use shortbread_verifier::feed::Step;

const TASK: &str = "tsk_01KB0ZQ2D7Z0J4M1";
pub(crate) const ALLOWED: &str = "allowed";

/// Asks for a verb as workflow `demo`, with the purpose and the task that selectors below name.
pub(crate) async fn ask(world: &World, verb: &str) -> Answer {
    let scope = verb.replacen('/', ":", 1);
    let more = [("scope", scope.as_str()), ("intent", "triage"), ("task", TASK)];
    world.exchange("workflow:demo", "demo", &more).await
}

pub(crate) fn arguments(verb: &str) -> Value {
    match verb {
        "github/issues.write" => json!({ "repo": "acme/web", "title": "t", "body": "b" }),
        "payments/refunds.create" => json!({ "amount": 5, "charge": "ch_1" }),
        _ => json!({}),
    }
}

/// A verb in use: a tool service that has the list, and a token that it lets pass.
pub(crate) struct Use {
    pub(crate) verb: &'static str,
    pub(crate) tool: Tool,
    pub(crate) token: String,
    pub(crate) id: String,
}

impl Use {
    pub(crate) async fn of(world: &World, verb: &'static str) -> Self {
        let (name, _) = verb.split_once('/').unwrap();
        let answer = ask(world, verb).await;
        let (token, id) = (answer.token().to_owned(), answer.text("/shortbread/token_id").to_owned());
        let mut used = Self { verb, tool: world.tool(name), token, id };
        assert_eq!(used.now(&used.token.clone()).await, ALLOWED);
        used
    }

    /// What the tool service says after its next poll.
    pub(crate) async fn now(&mut self, token: &str) -> &'static str {
        self.tool.poll().await;
        let (_, verb) = self.verb.split_once('/').unwrap();
        self.tool.check(token, verb, &arguments(self.verb))
    }

    pub(crate) async fn token_now(&mut self) -> &'static str {
        self.now(&self.token.clone()).await
    }
}

pub(crate) fn one(kind: &str, value: &str) -> Value {
    json!({ "selectors": [{ "kind": kind, "value": value }] })
}

/// Revokes, sees both sides refuse, lifts so that old tokens live again, sees both sides allow.
async fn revoked_and_back(verb: &'static str, kind: &str, value: &str) {
    let world = World::start().await;
    let mut used = Use::of(&world, verb).await;
    let value = match kind {
        "issuer" => world.issuer.clone(),
        "token" => used.id.clone(),
        _ => value.to_owned(),
    };
    let body = if kind == "all" { json!({ "all": true }) } else { one(kind, &value) };
    let code = format!("revoked.{kind}");
    let done = world.revoke_with(body.clone()).await;
    assert_eq!(done.status, 200, "{kind} {value}: {done:?}");
    assert_eq!(used.token_now().await, code, "{kind} {value} at the tool service");
    let again = ask(&world, verb).await;
    if kind == "token" {
        assert_eq!(again.status, 200, "another token is another token");
    } else {
        assert_eq!(again.refusal(), (400, "access_denied", code.as_str()), "{kind} {value} at the broker");
    }
    let mut lift = body;
    lift["revive"] = true.into();
    assert_eq!(world.lift_with(lift).await.status, 200, "{kind} {value} lifted");
    assert_eq!(used.token_now().await, ALLOWED, "{kind} {value} lifted, at the tool service");
    assert_eq!(ask(&world, verb).await.status, 200, "{kind} {value} lifted, at the broker");
}

#[tokio::test]
async fn whoever_is_revoked_is_refused() {
    for (kind, value) in [("workflow", "demo"), ("intent", "triage"), ("task", TASK), ("token", "")] {
        revoked_and_back("github/issues.write", kind, value).await;
    }
}

#[tokio::test]
async fn whatever_is_revoked_is_refused() {
    for (verb, kind, value) in [
        ("github/issues.write", "tool", "github"),
        ("github/issues.write", "verb", "github/issues.write"),
        ("github/issues.read", "access", "read"),
        ("github/issues.read", "access", "github/read"),
        ("github/issues.write", "access", "write"),
        ("github/issues.write", "access", "github/write"),
        ("payments/refunds.create", "access", "privileged"),
        ("payments/refunds.create", "access", "payments/privileged"),
    ] {
        revoked_and_back(verb, kind, value).await;
    }
}

#[tokio::test]
async fn revoking_writes_revokes_what_is_worse() {
    for value in ["write", "payments/write"] {
        revoked_and_back("payments/refunds.create", "access", value).await;
    }
}

#[tokio::test]
async fn everything_can_be_revoked() {
    for (kind, value) in [("issuer", ""), ("all", "")] {
        revoked_and_back("github/issues.write", kind, value).await;
    }
}

#[tokio::test]
async fn a_revoked_token_key_ends_everything_it_signed_and_signs_nothing_more() {
    let world = World::start().await;
    let mut used = Use::of(&world, "github/issues.read").await;
    assert_eq!(world.revoke("key", "token").await.status, 200);
    assert_eq!(used.token_now().await, "revoked.key");
    assert_eq!(ask(&world, used.verb).await.reason(), "revoked.key");
    // Even the operators' tokens: whoever stole the key could sign those too.
    assert_eq!(world.sign_in("alice", "revocations.lift").await.reason(), "revoked.key");
}

#[tokio::test]
async fn what_is_not_named_stays_allowed() {
    let world = World::start().await;
    let mut used = Use::of(&world, "github/issues.read").await;
    for (kind, value) in [
        ("workflow", "other"),
        ("intent", "release"),
        ("task", "tsk_other"),
        ("token", "tok_other"),
        ("tool", "payments"),
        ("verb", "github/issues.write"),
        ("access", "write"),
        ("access", "payments/read"),
        ("operator", "bob"),
        ("key", "token-2020"),
    ] {
        assert_eq!(world.revoke(kind, value).await.status, 200, "{kind} {value}");
    }
    assert_eq!(used.token_now().await, ALLOWED);
    assert_eq!(ask(&world, used.verb).await.status, 200);
}

#[tokio::test]
async fn selectors_of_what_comes_later_are_taken_and_listed() {
    let world = World::start().await;
    for (kind, value) in [("holder", "pSPqCmTVQZH2ChdXG7q1Kk"), ("user", "u_17"), ("approval", "apr_01KB0")] {
        assert_eq!(world.revoke(kind, value).await.status, 200, "{kind}");
        let list = world.admin_read("revocations.read", "/api/v1/revocations").await;
        assert_eq!((list.text("/revocations/0/kind"), list.text("/revocations/0/value")), (kind, value));
    }
    let mut tool = world.tool("github");
    assert!(matches!(tool.poll().await, Step::Applied { .. }), "the signed list has them too");
}

#[tokio::test]
async fn only_what_was_issued_so_far_can_be_ended() {
    for (kind, value) in [("workflow", "demo"), ("tool", "github"), ("access", "read"), ("all", "")] {
        let world = World::start().await;
        let mut used = Use::of(&world, "github/issues.read").await;
        let mut body = if kind == "all" { json!({ "all": true }) } else { one(kind, value) };
        body["issued_so_far"] = true.into();
        for _ in 0..3 {
            assert_eq!(world.revoke_with(body.clone()).await.status, 200);
            assert_eq!(used.token_now().await, format!("revoked.{kind}"), "the old one is dead");
            used.token = ask(&world, used.verb).await.token().to_owned();
            assert_eq!(used.token_now().await, ALLOWED, "a new one of the same second is not");
        }
    }
}

#[tokio::test]
async fn a_lift_leaves_old_tokens_dead_unless_they_are_to_live() {
    let world = World::start().await;
    let mut used = Use::of(&world, "github/issues.read").await;
    world.revoke("workflow", "demo").await;
    assert_eq!(world.lift_with(one("workflow", "demo")).await.status, 200);
    assert_eq!(used.token_now().await, "revoked.workflow");
    let new = ask(&world, used.verb).await;
    assert_eq!(used.now(new.token()).await, ALLOWED);
    let mut revive = one("workflow", "demo");
    revive["revive"] = true.into();
    assert_eq!(world.lift_with(revive).await.status, 200);
    assert_eq!(used.token_now().await, ALLOWED);
}

#[tokio::test]
async fn a_lift_of_several_is_done_whole_or_not_at_all() {
    let world = World::start().await;
    let mut used = Use::of(&world, "github/issues.read").await;
    world.revoke("workflow", "demo").await;
    let both = json!({ "revive": true, "selectors": [
        { "kind": "workflow", "value": "demo" }, { "kind": "workflow", "value": "other" }] });
    let refused = world.lift_with(both.clone()).await;
    assert_eq!((refused.status, refused.reason()), (409, "admin.conflict"));
    assert!(refused.text("/detail").contains("workflow other is not revoked"), "{refused:?}");
    assert_eq!(used.token_now().await, "revoked.workflow");
    assert_eq!(ask(&world, used.verb).await.reason(), "revoked.workflow");
    world.revoke("workflow", "other").await;
    assert_eq!(world.lift_with(both).await.status, 200);
    assert_eq!(used.token_now().await, ALLOWED);
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let world = World::start().await;
    let mut used = Use::of(&world, "github/issues.read").await;
    let (list, seq, head) = (world.broker.store.mirror(), world.broker.store.seq(), world.head().await);
    let mut body = one("workflow", "demo");
    body["dry_run"] = true.into();
    let counted = world.revoke_with(body.clone()).await;
    assert_eq!(counted.status, 200);
    let names = json!({ "tokens": [used.id], "workflows": ["demo"], "tools": ["github"] });
    let touched = json!({ "tokens": 1, "workflows": 1, "tools": 1, "names": names });
    assert_eq!(counted.body["touched"], touched);
    assert!(
        counted.body["seq"].is_null() && counted.body["head"].is_null() && counted.body["bound"].is_null()
    );
    assert_eq!(world.lift_with(body).await.status, 200);
    assert_eq!((world.broker.store.mirror(), world.broker.store.seq()), (list, seq));
    assert_eq!(world.head().await.bytes, head.bytes);
    assert_eq!(used.token_now().await, ALLOWED);
}

#[tokio::test]
async fn a_revocation_that_cannot_be_is_refused_and_changes_nothing() {
    let world = World::start().await;
    let list = world.broker.store.mirror();
    for (body, says) in [
        (json!({}), "name at least one selector"),
        (one("workflow", "Not A Name"), "workflow"),
        (one("verb", "issues.write"), "verb"),
        (one("access", "everything"), "access"),
        (one("colour", "red"), "unknown variant `colour`"),
        (json!({ "selectors": [], "allow": true }), "unknown field `allow`"),
        (json!({ "selectors": vec![json!({ "kind": "workflow", "value": "a" }); 101] }), "100"),
    ] {
        let refused = world.revoke_with(body).await;
        assert_eq!((refused.status, refused.reason()), (400, "request.malformed"), "{refused:?}");
        assert!(refused.text("/detail").contains(says), "{says}: {refused:?}");
    }
    let mut dated = one("key", "token");
    dated["issued_so_far"] = true.into();
    assert_eq!(world.revoke_with(dated).await.status, 409);
    let wordless = json!({ "all": true, "reason": "  " });
    let refused = world.admin("revocations.revoke", "/api/v1/revocations", &wordless).await;
    assert_eq!(refused.status, 400);
    assert_eq!(world.lift_with(one("workflow", "demo")).await.status, 409);
    assert_eq!(world.broker.store.mirror(), list);
}
