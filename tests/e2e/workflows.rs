//! What the broker says of a workflow is what its policy grants, what stops it, and what lives of it.

use std::time::Duration;

use serde_json::{Value, json};
use shortbread_tests::{POLICY, World};

const PATH: &str = "/api/v1/workflows";

async fn show(world: &World, name: &str) -> Value {
    let answer = world.admin_read("policy.read", &format!("{PATH}/{name}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

#[tokio::test]
async fn a_workflow_shows_its_identity_its_grants_and_what_lives_of_it() {
    let policy = POLICY.replace(
        "verbs = [\"issues.read\", \"issues.write\"]\n",
        "verbs = [\"issues.read\", \"issues.write\"]\nowners = [\"alice\"]\nintents = [\"triage\"]\nrate = \"30/min\"\n\
         approval = { access = [\"write\"], approvers = \"oncall\", quorum = 1, sla = \"5m\", expires = \"15m\" }\n",
    ) + "[approvers.oncall]\nmembers = [\"bob\"]\n[[forbids]]\nworkflows = [\"demo\"]\ntool = \"github\"\naccess = [\"write\"]\n";
    let policy = policy.replace("verbs = [\"policy.*\"]", "verbs = [\"policy.*\", \"approvals.decide\"]");
    let world = World::builder().policy(&policy).start().await;
    assert_eq!(world.demo("payments:refunds.read").await.status, 200);
    world.clock.advance(Duration::from_secs(20));
    assert_eq!(world.demo("payments:refunds.read").await.status, 200);
    let body = show(&world, "demo").await;
    let workflow = &body["workflow"];
    let key = world.key("demo").public().thumbprint();
    assert_eq!(
        workflow["identities"],
        json!([{ "entry": "demo", "kind": "key", "proof": format!("the key {key}") }])
    );
    assert_eq!((&workflow["owners"], &workflow["grants"]), (&json!(["alice"]), &json!(2)));
    assert_eq!(workflow["tokens"], json!({ "living": 2, "revoked": 0, "exact": true }));
    assert_eq!(workflow["last_granted"], body["now"]);
    assert_eq!((&workflow["policy"], &workflow["on_trial"]), (&json!(1), &json!(false)));
    let first = &body["granted"][0];
    assert_eq!(
        (&first["grant"], &first["tool"], &first["rate"]),
        (&json!("grant:1"), &json!("github"), &json!("30/min"))
    );
    assert_eq!((&first["intents"], &first["max_ttl"]), (&json!(["triage"]), &json!(600)));
    let write = &first["verbs"][1];
    assert_eq!((&write["operation"], &write["access"]), (&json!("github/issues.write"), &json!("write")));
    assert_eq!(write["arguments"], "where repo in acme/docs, acme/web, body and title are free");
    assert_eq!((&write["approval"], &write["forbidden"]), (&json!(true), &json!(["forbid:1"])));
    assert_eq!(first["verbs"][0].get("forbidden"), None, "reading is not forbidden");
    let words = first["approval"]["words"].as_str().unwrap();
    assert_eq!(words, "1 of oncall (bob) other than alice for write verbs; late after 5m; over after 15m");
}

#[tokio::test]
async fn what_stops_a_workflow_is_told_and_its_tokens_count_as_revoked() {
    let world = World::start().await;
    assert_eq!(world.demo("github:issues.read").await.status, 200);
    assert_eq!(
        world.exchange("workflow:other", "other", &[("scope", "github:issues.read")]).await.status,
        200
    );
    assert_eq!(world.revoke("workflow", "demo").await.status, 200);
    let list = world.admin_read("policy.read", PATH).await;
    assert_eq!((list.status, &list.body["policy"]), (200, &json!(1)));
    let (demo, other) = (&list.body["workflows"][0], &list.body["workflows"][1]);
    assert_eq!((&demo["workflow"], &other["workflow"]), (&json!("demo"), &json!("other")));
    assert_eq!(demo["tokens"], json!({ "living": 0, "revoked": 1, "exact": true }));
    assert_eq!(other["tokens"], json!({ "living": 1, "revoked": 0, "exact": true }));
    let stop = &demo["stopped"][0];
    assert_eq!(
        (&stop["what"], &stop["operator"], &stop["holds"]),
        (&json!("workflow/demo"), &json!("alice"), &json!(true))
    );
    assert_eq!(stop["reason"], "a test");
    assert_eq!(other["stopped"], json!([]));
    world.revoke_with(json!({ "all": true, "issued_so_far": true })).await;
    let other = show(&world, "other").await;
    assert_eq!(other["workflow"]["tokens"]["living"], 0);
    assert_eq!(other["workflow"]["stopped"][0]["what"], "all");
}

#[tokio::test]
async fn a_workflow_on_trial_shows_what_is_tried_and_the_others_do_not() {
    let world = World::start().await;
    let tried = POLICY.replace("max_ttl = \"10m\"", "max_ttl = \"7m\"");
    std::fs::write(world.path("policy.toml"), tried).unwrap();
    let answer =
        world.admin("policy.activate", "/api/v1/policy/activate", &json!({ "workflows": ["demo"] })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let demo = show(&world, "demo").await;
    assert_eq!((&demo["workflow"]["policy"], &demo["workflow"]["on_trial"]), (&json!(2), &json!(true)));
    assert_eq!(demo["granted"][0]["max_ttl"], 420);
    let other = show(&world, "other").await;
    assert_eq!((&other["workflow"]["policy"], &other["workflow"]["on_trial"]), (&json!(1), &json!(false)));
}

#[tokio::test]
async fn nobody_is_shown_that_the_policy_does_not_know() {
    let world = World::start().await;
    for name in ["nobody", "..%2f", "alice", "UPPER"] {
        let answer = world.admin_read("policy.read", &format!("{PATH}/{name}")).await;
        assert_eq!((answer.status, answer.reason()), (404, "not_found"), "{name}: {answer:?}");
    }
}

/// Signs alice in to the console; gives her cookie.
pub(crate) async fn signed_in(world: &World) -> String {
    let link = world.admin("status.read", "/api/v1/console/links", &json!({})).await;
    assert_eq!(link.status, 200, "{link:?}");
    let request = world.http.post(link.text("/url")).header("origin", &world.issuer);
    let entered = world.send(request).await;
    assert_eq!(entered.status, 303, "{entered:?}");
    entered.header("set-cookie").split(';').next().unwrap().to_owned()
}

/// A page of the console, as whoever has this cookie sees it.
pub(crate) async fn page(world: &World, cookie: &str, path: &str) -> (u16, String) {
    let request = world.http.get(format!("{}{path}", world.issuer)).header("cookie", cookie);
    let answer = world.send(request).await;
    (answer.status, String::from_utf8(answer.bytes).unwrap())
}

#[tokio::test]
async fn the_console_shows_each_workflow_and_its_grants() {
    let world = World::start().await;
    assert_eq!(world.demo("github:issues.read").await.status, 200);
    let cookie = signed_in(&world).await;
    let (status, list) = page(&world, &cookie, "/console/workflows").await;
    assert_eq!(status, 200, "{list}");
    for says in [
        "href=\"/console/workflows/demo\"",
        "1 living token",
        "2 grants of github, payments",
        "0 living tokens",
    ] {
        assert!(list.contains(says), "{says}: {list}");
    }
    let (status, one) = page(&world, &cookie, "/console/workflows/demo").await;
    assert_eq!(status, 200, "{one}");
    for says in [
        "grant:1",
        "github/issues.write",
        "where repo in acme/docs, acme/web",
        "tokens live 10m at most",
        "the key ",
    ] {
        assert!(one.contains(says), "{says}: {one}");
    }
    assert!(one.contains("/console/switch/revoke?kind=workflow&amp;value=demo"), "{one}");
    assert_eq!(page(&world, &cookie, "/console/workflows/nobody").await.0, 404);
    assert_eq!(page(&world, "", "/console/workflows").await.0, 303, "a stranger signs in first");
}

#[tokio::test]
async fn the_console_shows_what_stops_a_workflow_and_no_script_of_a_reason() {
    let world = World::start().await;
    let cookie = signed_in(&world).await;
    let body = json!({
        "selectors": [{ "kind": "workflow", "value": "demo" }], "reason": "<script>alert(1)</script>\u{202e}",
    });
    assert_eq!(world.admin("revocations.revoke", "/api/v1/revocations", &body).await.status, 200);
    let (_, one) = page(&world, &cookie, "/console/workflows/demo").await;
    assert!(one.contains("This workflow is revoked") && one.contains("by alice"), "{one}");
    assert!(
        !one.contains("<script>alert") && !one.contains('\u{202e}') && one.contains("\\u{202e}"),
        "{one}"
    );
    assert!(one.contains("/console/switch/lift?kind=workflow&#38;value=demo"), "{one}");
}
