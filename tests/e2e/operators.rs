//! Operators can never lock themselves out of the switch; one who is revoked has none.

use serde_json::json;
use shortbread_tests::World;

use crate::revoked::one;

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
async fn a_refusal_of_whoever_holds_a_token_is_recorded() {
    let world = World::start().await;
    let held = world.operator("bob", "policy.read").await;
    let refused = world.call("get", "/api/v1/audit", Some(&held), None).await;
    assert_eq!((refused.status, refused.reason()), (403, "admin.not_permitted"));
    let id = refused.text("/decision_id");
    let entries = world.admin_read("audit.read", &format!("/api/v1/audit/{id}")).await;
    assert_eq!(entries.text("/entries/0/event/subject"), "operator/bob");
    assert_eq!(entries.text("/entries/0/event/data/reasons/0"), "admin.not_permitted");
    assert_eq!(entries.text("/entries/0/event/data/requested/0"), "shortbread/audit.read");
}
