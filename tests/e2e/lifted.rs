//! A lift says what it brings back, and brings back that: nothing unless it is told to, and never what another
//! revocation still refuses.

use serde_json::{Value, json};
use shortbread_tests::{Answer, Tool, World};

use crate::revoked::one;

const READ: (&str, &str) = ("scope", "github:issues.read");

/// A tool service that follows, and tokens that it lets pass: three of workflow `demo`, two of `other`.
struct Scene {
    world: World,
    tool: Tool,
    tokens: Vec<String>,
}

impl Scene {
    async fn new() -> Self {
        let world = World::start().await;
        let mut tokens = Vec::new();
        for (principal, key) in
            [("demo", "demo"), ("demo", "demo"), ("demo", "demo"), ("other", "other"), ("other", "other")]
        {
            let answer = world.exchange(&format!("workflow:{principal}"), key, &[READ]).await;
            tokens.push(answer.token().to_owned());
        }
        let tool = world.tool("github");
        let mut scene = Self { world, tool, tokens };
        assert_eq!(scene.living().await, 5);
        scene
    }

    /// How many of the tokens the tool service lets pass.
    async fn living(&mut self) -> usize {
        self.tool.poll().await;
        let passes = |token: &&String| self.tool.check(token, "issues.read", &json!({})) == "allowed";
        self.tokens.iter().filter(passes).count()
    }

    /// What both kinds of lift would bring back: old tokens dead, revive.
    async fn preview(&self, mut body: Value) -> Value {
        body["dry_run"] = true.into();
        let answer = self.world.lift_with(body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["lift"].clone()
    }

    async fn lift(&self, mut body: Value, revive: bool) -> Answer {
        body["revive"] = revive.into();
        let answer = self.world.lift_with(body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }
}

fn kinds(revive: u64) -> Value {
    json!({ "keep_old_dead": 0, "revive": revive })
}

#[tokio::test]
async fn old_tokens_stay_dead_unless_they_are_revived() {
    let mut scene = Scene::new().await;
    scene.world.revoke("workflow", "demo").await;
    assert_eq!(scene.living().await, 2);
    let body = one("workflow", "demo");
    assert_eq!(scene.preview(body.clone()).await, kinds(3));
    let lifted = scene.lift(body.clone(), false).await;
    assert_eq!((&lifted.body["lift"], &lifted.body["touched"]["tokens"]), (&kinds(3), &json!(0)));
    assert_eq!(scene.living().await, 2, "none came back");
    assert_eq!(scene.world.demo("github:issues.read").await.status, 200, "new tokens are good");
    // What is left of it is dated, and can still be deleted.
    assert_eq!(scene.preview(body.clone()).await, kinds(3));
    let revived = scene.lift(body, true).await;
    assert_eq!((&revived.body["lift"], &revived.body["touched"]["tokens"]), (&kinds(3), &json!(3)));
    assert_eq!(scene.living().await, 5);
}

#[tokio::test]
async fn a_lift_of_one_weakens_no_other() {
    let mut scene = Scene::new().await;
    scene.world.revoke("workflow", "demo").await;
    scene.world.revoke("tool", "github").await;
    assert_eq!(scene.living().await, 0);
    assert_eq!(scene.preview(one("workflow", "demo")).await, kinds(0), "the tool is revoked as well");
    assert_eq!(scene.preview(one("tool", "github")).await, kinds(2));
    let both = json!({ "selectors": [
        { "kind": "workflow", "value": "demo" }, { "kind": "tool", "value": "github" },
    ] });
    assert_eq!(scene.preview(both).await, kinds(5));
    scene.lift(one("workflow", "demo"), true).await;
    assert_eq!(scene.living().await, 0);
    assert_eq!(scene.preview(one("tool", "github")).await, kinds(5));
    scene.lift(one("tool", "github"), true).await;
    assert_eq!(scene.living().await, 5);
}

#[tokio::test]
async fn a_stop_of_everything_brings_back_what_it_says() {
    let mut scene = Scene::new().await;
    scene.world.revoke_with(json!({ "all": true })).await;
    scene.world.revoke("workflow", "other").await;
    assert_eq!(scene.living().await, 0);
    let all = json!({ "all": true });
    let previewed = scene.preview(all.clone()).await;
    assert_eq!(previewed, kinds(3));
    scene.lift(all, true).await;
    assert_eq!(scene.living().await, 3);
}

#[tokio::test]
async fn what_has_ended_is_not_brought_back() {
    let mut scene = Scene::new().await;
    scene.world.revoke("workflow", "demo").await;
    scene.world.clock.advance(std::time::Duration::from_secs(3600));
    assert_eq!(scene.preview(one("workflow", "demo")).await, kinds(0));
    let late = scene.world.revoke("workflow", "demo").await;
    assert_eq!(late.status, 200);
    scene.lift(one("workflow", "demo"), true).await;
    assert_eq!(scene.living().await, 0);
}

#[tokio::test]
async fn a_key_bears_no_date() {
    let mut scene = Scene::new().await;
    let mut dated = one("key", "old-key");
    dated["issued_so_far"] = true.into();
    assert_eq!(scene.world.revoke_with(dated).await.reason(), "admin.conflict");
    assert_eq!(scene.world.revoke("key", "old-key").await.status, 200);
    let preview = scene.preview(one("key", "old-key")).await;
    assert_eq!(preview, json!({ "keep_old_dead": null, "revive": 0 }));
    let refused = scene.world.lift_with(one("key", "old-key")).await;
    assert_eq!((refused.status, refused.reason()), (409, "admin.conflict"), "{refused:?}");
    scene.lift(one("key", "old-key"), true).await;
    assert_eq!(scene.living().await, 5);
}

#[tokio::test]
async fn a_dry_run_names_what_each_selector_hits() {
    let scene = Scene::new().await;
    let body = json!({ "dry_run": true, "selectors": [
        { "kind": "workflow", "value": "demo" }, { "kind": "tool", "value": "github" }, { "kind": "tool", "value": "payments" },
    ] });
    let answer = scene.world.revoke_with(body).await;
    let touched = &answer.body["touched"];
    assert_eq!((&touched["tokens"], &touched["names"]["workflows"]), (&json!(5), &json!(["demo", "other"])));
    assert_eq!(touched["names"]["tokens"].as_array().unwrap().len(), 5);
    let each = answer.body["each"].as_array().unwrap();
    let told: Vec<_> =
        each.iter().map(|by| (by["selector"].as_str().unwrap(), by["touched"]["tokens"].as_u64())).collect();
    assert_eq!(told, [("workflow demo", Some(3)), ("tool github", Some(5)), ("tool payments", Some(0))]);
    assert!(answer.body["seq"].is_null() && answer.body["warnings"].is_null());
}

#[tokio::test]
async fn an_operator_is_warned_of_more_than_meets_the_eye() {
    let world = World::start().await;
    let held = world.sign_in("alice", "revocations.revoke").await;
    let own = held.text("/shortbread/token_id").to_owned();
    let holder = shortbread_tests::holder().thumbprint().to_owned();
    let issuer = world.issuer.clone();
    for (kind, value, says) in [
        ("key", "token", "the only key that signs tokens: every operator loses the switch"),
        ("operator", "alice", "is you"),
        ("token", own.as_str(), "the very token that you sign in with"),
        ("holder", holder.as_str(), "your own token is bound to"),
        ("tool", "shortbread", "the broker's own tool"),
        ("access", "write", "the broker's own tool"),
        ("verb", "shortbread/policy.activate", "the broker's own tool"),
        ("issuer", issuer.as_str(), "every workflow at every tool"),
    ] {
        let mut body = one(kind, value);
        (body["dry_run"], body["reason"]) = (true.into(), "a test".into());
        let answer = world.call("post", "/api/v1/revocations", Some(held.token()), Some(&body)).await;
        let warnings = answer.body["warnings"].to_string();
        assert!(warnings.contains(says), "{kind} {value}: {answer:?}");
    }
    for (kind, value) in
        [("operator", "bob"), ("key", "other"), ("tool", "github"), ("access", "github/write")]
    {
        let mut body = one(kind, value);
        body["dry_run"] = true.into();
        assert!(world.revoke_with(body).await.body["warnings"].is_null(), "{kind} {value}");
    }
}
