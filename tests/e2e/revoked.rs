//! What is revoked is refused: at the next exchange, and at every tool service that has polled the list.
//! The clock stands still throughout, so every token is of the very second in which it is revoked.

use serde_json::{Value, json};
use shortbread_protocol::names::Operation;
use shortbread_protocol::random::SystemRandom;
use shortbread_tests::{Answer, Tool, World};
use shortbread_verifier::feed::Step;
use shortbread_verifier::narrow::{Narrowing, narrow, seal};

const TASK: &str = "tsk_01KB0ZQ2D7Z0J4M1";
const ALLOWED: &str = "allowed";

/// Asks for a verb as workflow `demo`, with the purpose and the task that selectors below name.
async fn ask(world: &World, verb: &str) -> Answer {
    let scope = verb.replacen('/', ":", 1);
    let more = [("scope", scope.as_str()), ("intent", "triage"), ("task", TASK)];
    world.exchange("workflow:demo", "demo", &more).await
}

fn arguments(verb: &str) -> Value {
    match verb {
        "github/issues.write" => json!({ "repo": "acme/web", "title": "t", "body": "b" }),
        "payments/refunds.create" => json!({ "amount": 5, "charge": "ch_1" }),
        _ => json!({}),
    }
}

/// A verb in use: a tool service that has the list, and a token that it lets pass.
struct Use {
    verb: &'static str,
    tool: Tool,
    token: String,
    id: String,
}

impl Use {
    async fn of(world: &World, verb: &'static str) -> Self {
        let (name, _) = verb.split_once('/').unwrap();
        let answer = ask(world, verb).await;
        let (token, id) = (answer.token().to_owned(), answer.text("/shortbread/token_id").to_owned());
        let mut used = Self { verb, tool: world.tool(name), token, id };
        assert_eq!(used.now(&used.token.clone()).await, ALLOWED);
        used
    }

    /// What the tool service says after its next poll.
    async fn now(&mut self, token: &str) -> &'static str {
        self.tool.poll().await;
        let (_, verb) = self.verb.split_once('/').unwrap();
        self.tool.check(token, verb, &arguments(self.verb))
    }

    async fn token_now(&mut self) -> &'static str {
        self.now(&self.token.clone()).await
    }
}

fn one(kind: &str, value: &str) -> Value {
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
async fn operators_keep_the_switch_whatever_else_is_revoked() {
    for (kind, value) in [
        ("all", ""),
        ("issuer", ""),
        ("tool", "shortbread"),
        ("verb", "shortbread/revocations.revoke"),
        ("access", "write"),
        ("access", "shortbread/privileged"),
        ("intent", "undeclared"),
    ] {
        let world = World::start().await;
        let before = world.operator("alice", "revocations.revoke").await;
        let value = if kind == "issuer" { world.issuer.clone() } else { value.to_owned() };
        let body = if kind == "all" { json!({ "all": true }) } else { one(kind, &value) };
        assert_eq!(world.revoke_with(body.clone()).await.status, 200);
        assert_eq!(world.revoke("workflow", "other").await.status, 200, "under {kind} {value}");
        let more = json!({ "selectors": [{ "kind": "user", "value": "u" }], "reason": "a test" });
        let held = world.call("post", "/api/v1/revocations", Some(&before), Some(&more)).await;
        assert_eq!(held.status, 200, "a token from before, under {kind} {value}: {held:?}");
        assert_eq!(world.lift_with(body).await.status, 200, "{kind} {value} is lifted");
    }
}

#[tokio::test]
async fn a_stop_of_everything_reaches_operators_elsewhere() {
    let world = World::start().await;
    let reader = world.operator("alice", "audit.read").await;
    world.revoke_with(json!({ "all": true })).await;
    assert_eq!(world.sign_in("alice", "audit.read").await.reason(), "revoked.all");
    let held = world.call("get", "/api/v1/audit", Some(&reader), None).await;
    assert_eq!((held.status, held.reason()), (403, "revoked.all"));
}

#[tokio::test]
async fn a_revoked_operator_has_no_switch() {
    let world = World::start().await;
    let held = world.operator("alice", "revocations.lift").await;
    assert_eq!(world.revoke("operator", "alice").await.status, 200);
    assert_eq!(world.sign_in("alice", "revocations.revoke").await.reason(), "revoked.operator");
    let lift = json!({ "selectors": [{ "kind": "operator", "value": "alice" }], "reason": "a test" });
    let refused = world.call("post", "/api/v1/revocations/lift", Some(&held), Some(&lift)).await;
    assert_eq!((refused.status, refused.reason()), (403, "revoked.operator"));
    assert_eq!(world.sign_in("bob", "policy.read").await.status, 200);
}

#[tokio::test]
async fn a_revoked_operator_token_is_dead_alone() {
    let world = World::start().await;
    let held = world.sign_in("alice", "revocations.read").await;
    world.revoke("token", held.text("/shortbread/token_id")).await;
    let refused = world.call("get", "/api/v1/revocations", Some(held.token()), None).await;
    assert_eq!((refused.status, refused.reason()), (403, "revoked.token"));
    assert_eq!(world.admin_read("revocations.read", "/api/v1/revocations").await.status, 200);
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
    assert_eq!(counted.body["touched"], json!({ "tokens": 1, "workflows": 1, "tools": 1 }));
    assert!(
        counted.body["seq"].is_null() && counted.body["head"].is_null() && counted.body["bound"].is_null()
    );
    assert_eq!(world.lift_with(body).await.status, 200);
    assert_eq!((world.broker.store.mirror(), world.broker.store.seq()), (list, seq));
    assert_eq!(world.head().await.bytes, head.bytes);
    assert_eq!(used.token_now().await, ALLOWED);
}

#[tokio::test]
async fn what_was_confirmed_is_in_the_head_that_is_served() {
    let world = World::start().await;
    let mut last = seq(&world.head().await);
    for name in ["a", "b", "c"] {
        let done = world.revoke("workflow", name).await;
        let head = world.head().await;
        assert_eq!(done.body["head"], json!(seq(&head)));
        assert!(done.body["seq"].as_u64().unwrap() < seq(&head) && seq(&head) > last);
        let mut tool = world.tool("github");
        assert_eq!(tool.poll().await, Step::Applied { seq: seq(&head) });
        let audit = world.audited(&done).await;
        assert_eq!(audit["revocation_seq"], done.body["seq"]);
        assert_eq!(audit["reason"], "a test");
        last = seq(&head);
    }
}

#[tokio::test]
async fn heads_rise_over_a_restart_and_revocations_outlive_it() {
    let world = World::start().await;
    let mut used = Use::of(&world, "github/issues.read").await;
    world.revoke("workflow", "demo").await;
    let before = seq(&world.head().await);
    let world = world.restart().await;
    assert!(seq(&world.head().await) > before);
    assert_eq!(ask(&world, used.verb).await.reason(), "revoked.workflow");
    assert_eq!(used.token_now().await, "revoked.workflow");
    assert!(used.tool.seq() > before);
}

#[tokio::test]
async fn an_unchanged_head_costs_no_bytes() {
    let world = World::start().await;
    let head = world.head().await;
    let url = format!("{}/revocations/head", world.issuer);
    let again = world.send(world.http.get(&url).header("if-none-match", head.header("etag"))).await;
    assert_eq!((again.status, again.bytes.len()), (304, 0));
    assert_eq!(
        (again.header("etag"), again.header("cache-control")),
        (head.header("etag"), "public, max-age=1")
    );
    let mut tool = world.tool("github");
    assert!(matches!(tool.poll().await, Step::Applied { .. }));
    assert_eq!(tool.poll().await, Step::Unchanged);
    world.revoke("workflow", "demo").await;
    let changed = world.send(world.http.get(&url).header("if-none-match", head.header("etag"))).await;
    assert_eq!(changed.status, 200);
    assert!(changed.header("etag") != head.header("etag"));
    assert!(matches!(tool.poll().await, Step::Applied { .. }));
}

#[tokio::test]
async fn a_service_that_hears_nothing_grows_strict() {
    let world = World::start().await;
    let mut used = Use::of(&world, "github/issues.write").await;
    world.clock.advance(std::time::Duration::from_secs(301));
    let fresh = ask(&world, used.verb).await.token().to_owned();
    let write = used.tool.check(&fresh, "issues.write", &arguments(used.verb));
    assert_eq!(write, "list.too_old");
    let (issued, read) = (ask(&world, "github/issues.read").await, "issues.read");
    assert_eq!(used.tool.check(issued.token(), read, &json!({})), ALLOWED);
    world.broker.publisher.publish().await.unwrap();
    assert_eq!(used.now(&fresh).await, ALLOWED);
}

#[tokio::test]
async fn a_holder_may_give_a_token_back() {
    let world = World::start().await;
    let mut used = Use::of(&world, "github/issues.read").await;
    let given = world.form("/oauth/revoke", &[("token", &used.token)]).await;
    assert_eq!((given.status, given.bytes.len()), (200, 0));
    assert_eq!(used.token_now().await, "revoked.token");
    assert_eq!(ask(&world, used.verb).await.status, 200, "the workflow asks on");
    let seq = world.broker.store.seq();
    assert_eq!(world.form("/oauth/revoke", &[("token", &used.token)]).await.status, 200);
    assert_eq!(world.broker.store.seq(), seq, "what is dead already is left alone");
}

#[tokio::test]
async fn a_narrowed_copy_is_given_back_alone() {
    let world = World::start().await;
    let mut used = Use::of(&world, "github/issues.read").await;
    let read: Operation = "github/issues.read".parse().unwrap();
    let by = Narrowing { operations: Some(vec![read]), ..Narrowing::default() };
    let copy = || narrow(&used.token, &by, &SystemRandom).unwrap();
    let (child, sibling, grandchild) = (copy(), copy(), narrow(&copy(), &by, &SystemRandom).unwrap());
    let offspring = narrow(&child, &by, &SystemRandom).unwrap();
    assert_eq!(world.form("/oauth/revoke", &[("token", &child)]).await.status, 200);
    assert_eq!(used.now(&child).await, "revoked.block");
    assert_eq!(used.now(&offspring).await, "revoked.block", "and what was narrowed from it");
    assert_eq!(used.now(&seal(&child).unwrap()).await, "revoked.block");
    for living in [&sibling, &grandchild, &used.token.clone()] {
        assert_eq!(used.now(living).await, ALLOWED);
    }
    // After eight copies the next takes the token with it: a holder cannot fill the list.
    for _ in 0..8 {
        let copy = narrow(&used.token, &by, &SystemRandom).unwrap();
        assert_eq!(world.form("/oauth/revoke", &[("token", &copy)]).await.status, 200);
    }
    assert_eq!(used.token_now().await, "revoked.token");
}

#[tokio::test]
async fn what_is_no_living_token_is_taken_back_without_a_word() {
    let world = World::start().await;
    let other = World::start().await;
    let foreign = other.demo("github:issues.read").await.token().to_owned();
    let dead = world.demo("github:issues.read").await.token().to_owned();
    world.clock.advance(std::time::Duration::from_secs(600));
    let seq = world.broker.store.seq();
    for token in [foreign.as_str(), dead.as_str(), "nonsense", &"A".repeat(20_000)] {
        let answer = world.form("/oauth/revoke", &[("token", token)]).await;
        assert_eq!((answer.status, answer.bytes.len()), (200, 0));
    }
    assert_eq!(world.broker.store.seq(), seq);
    let twice = world.form("/oauth/revoke", &[("token", "a"), ("token", "b")]).await;
    assert_eq!(twice.refusal(), (400, "invalid_request", "request.malformed"));
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

fn seq(head: &Answer) -> u64 {
    let text = String::from_utf8(head.bytes.clone()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("seq ")).expect("a seq line");
    line.parse().unwrap()
}
