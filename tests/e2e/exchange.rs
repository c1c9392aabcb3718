//! An identity becomes a token, limited to what policy and request both allow.

use shortbread_tests::World;

#[tokio::test]
async fn a_registered_key_gets_a_token_and_an_audit_entry() {
    let world = World::start().await;
    let answer = world.demo("github:issues.read github:issues.write").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.text("/scope"), "github:issues.read github:issues.write");
    let id = answer.text("/shortbread/decision_id");
    let entries = world.admin_read("audit.read", &format!("/api/v1/audit/{id}")).await;
    assert_eq!(entries.text("/entries/0/event/data/outcome"), "allow");
    assert_eq!(entries.text("/entries/0/event/subject"), "workflow/demo");
}

#[tokio::test]
async fn what_is_not_granted_is_dropped_and_shown_or_refused() {
    let world = World::start().await;
    let answer = world.demo("github:issues.read github:repo.delete").await;
    assert_eq!(answer.text("/scope"), "github:issues.read");
    assert_eq!(answer.text("/shortbread/dropped/github~1repo.delete"), "policy.not_granted");
    let answer = world.demo("github:repo.delete").await;
    assert_eq!((answer.status, answer.reason()), (400, "policy.not_granted"));
}
