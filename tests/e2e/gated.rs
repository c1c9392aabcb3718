//! No version comes into force that breaks a labelled case or a limit of the gate.

use serde_json::{Value, json};
use shortbread_tests::{Answer, POLICY, World};

const GATE: &str = "[gate]\nmax_newly_denied = 0.05\ncases = \"cases.jsonl\"\n";

/// `other` may never write, whoever asks for it: an incident taught so.
const CASES: &str = r#"{"id":"INC-1","input":{"identity":{"principal":"workflow:other"},"request":[{"verb":"github/issues.write"}]},"label":{"expect":"deny","mechanism":"over-broad-grant","note":"INC-1"}}
{"id":"reads","input":{"identity":{"principal":"workflow:demo"},"request":[{"verb":"github/issues.read"}]},"label":{"expect":"allow"}}
"#;

async fn gated() -> World {
    let policy = format!("{POLICY}\n{GATE}");
    World::builder().policy(&policy).file("cases.jsonl", CASES).start().await
}

async fn activate(world: &World, policy: &str, body: Value) -> Answer {
    std::fs::write(world.path("policy.toml"), policy).unwrap();
    world.admin_as("alice", "policy.activate", "/api/v1/policy/activate", &body).await
}

/// `other` may write too.
fn wider() -> String {
    let grant = "workflow = \"other\"\ntool = \"github\"\nverbs = [\"issues.read\"]";
    let wide = "workflow = \"other\"\ntool = \"github\"\nverbs = [\"issues.read\", \"issues.write\"]\nany_arguments = true";
    format!("{}\n{GATE}", POLICY.replacen(grant, wide, 1))
}

/// `demo` may not write any more.
fn narrower() -> String {
    let lines = POLICY.lines().filter(|line| !line.starts_with("constraints.\"issues.write\""));
    let lines = lines.map(|line| line.replace("\"issues.read\", \"issues.write\"", "\"issues.read\""));
    format!("{}\n{GATE}", lines.collect::<Vec<_>>().join("\n"))
}

async fn ask(world: &World, workflow: &str, scope: &str) -> Answer {
    world.exchange(&format!("workflow:{workflow}"), workflow, &[("scope", scope)]).await
}

fn in_force(world: &World) -> u64 {
    world.broker.policy.version()
}

#[tokio::test]
async fn a_version_that_breaks_a_labelled_case_is_refused_and_says_which() {
    let world = gated().await;
    let refused = activate(&world, &wider(), json!({})).await;
    assert_eq!((refused.status, refused.reason()), (409, "admin.gate"), "{refused:?}");
    assert!(refused.text("/detail").contains("INC-1"), "{refused:?}");
    assert_eq!(in_force(&world), 1);
    assert_eq!(ask(&world, "other", "github:issues.write").await.reason(), "policy.not_granted");
    // Nor by a version that labels its cases anew.
    std::fs::write(world.path("cases.jsonl"), CASES.replace("\"deny\"", "\"allow\"")).unwrap();
    let relabelled = activate(&world, &wider(), json!({})).await;
    assert_eq!(relabelled.reason(), "admin.gate", "the version in force says what its cases expect");
}

#[tokio::test]
async fn what_is_newly_allowed_must_be_accepted_by_name_and_that_is_recorded() {
    let gate = GATE.replace("cases = \"cases.jsonl\"\n", "");
    let world = World::builder().policy(&format!("{POLICY}\n{gate}")).start().await;
    assert_eq!(ask(&world, "other", "github:issues.write").await.reason(), "policy.not_granted");
    world.clock.advance(std::time::Duration::from_secs(1));
    let wider = wider().replace("cases = \"cases.jsonl\"\n", "");
    let refused = activate(&world, &wider, json!({})).await;
    assert_eq!(refused.reason(), "admin.gate", "{refused:?}");
    let detail = refused.text("/detail").to_owned();
    let id = detail.split("--accept ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an id");
    let accepted = activate(&world, &wider, json!({ "accept": [id] })).await;
    assert_eq!(accepted.status, 200, "{accepted:?}");
    let entries = world.admin_read("audit.read", &format!("/api/v1/audit/{}", accepted.decision())).await;
    let gate = &entries.body["entries"].as_array().unwrap().last().unwrap()["event"]["data"]["gate"];
    assert_eq!(gate["accepted"], json!([id]), "{gate}");
    assert_eq!(gate["digest"].as_str().map(str::len), Some(71), "{gate}");
}

#[tokio::test]
async fn what_last_week_used_is_not_taken_away_unseen() {
    let world = gated().await;
    for _ in 0..5 {
        assert_eq!(ask(&world, "demo", "github:issues.write").await.status, 200);
    }
    let refused = activate(&world, &narrower(), json!({})).await;
    assert_eq!(refused.reason(), "admin.gate", "{refused:?}");
    assert!(refused.text("/detail").contains("workflow:demo"), "{refused:?}");
    // On a part that has nothing to do with it nothing is taken away.
    let part = activate(&world, &narrower(), json!({ "workflows": ["other"] })).await;
    assert_eq!(part.status, 200, "{part:?}");
}

#[tokio::test]
async fn a_label_of_the_new_version_hides_no_recorded_request() {
    let world = gated().await;
    let mut cases = CASES.to_owned();
    for _ in 0..5 {
        let granted = ask(&world, "demo", "github:issues.write").await;
        cases += &CASES.lines().last().unwrap().replace("reads", granted.decision());
        cases.push('\n');
    }
    std::fs::write(world.path("cases.jsonl"), cases).unwrap();
    let refused = activate(&world, &narrower(), json!({})).await;
    assert_eq!(refused.reason(), "admin.gate", "{refused:?}");
    assert!(refused.text("/detail").contains("5 of 5 that were allowed are not any more"), "{refused:?}");
}

#[tokio::test]
async fn what_is_tried_on_a_part_needs_evidence_for_that_part_alone() {
    let gate = "[gate]\nmin_cases = 5\n";
    let world = World::builder().policy(&format!("{POLICY}\n{gate}")).start().await;
    let narrower = narrower().replace(GATE, gate);
    let whole = activate(&world, &narrower, json!({})).await;
    assert!(whole.text("/detail").contains("not enough evidence"), "{whole:?}");
    let part = activate(&world, &narrower, json!({ "workflows": ["other"] })).await;
    assert_eq!(part.status, 200, "{part:?}");
}

#[tokio::test]
async fn one_version_too_many_is_told_to_come_again() {
    let world = gated().await;
    let turns = world.broker.gates.try_acquire_many(2).unwrap();
    let refused = activate(&world, &narrower(), json!({})).await;
    assert_eq!((refused.status, refused.reason()), (503, "overloaded"), "{refused:?}");
    assert_eq!((refused.header("retry-after"), in_force(&world)), ("3", 1));
    drop(turns);
    assert_eq!(activate(&world, &narrower(), json!({ "workflows": ["other"] })).await.status, 200);
}

#[tokio::test]
async fn a_rollback_lets_no_incident_come_back() {
    let lax = wider().replace("cases = \"cases.jsonl\"\n", "");
    let world = World::builder().policy(&lax).file("cases.jsonl", CASES).start().await;
    assert_eq!(activate(&world, &format!("{POLICY}\n{GATE}"), json!({})).await.status, 200);
    let path = "/api/v1/policy/rollback";
    let refused = world.admin_as("alice", "policy.rollback", path, &json!({})).await;
    assert_eq!((refused.status, refused.reason()), (409, "admin.gate"), "{refused:?}");
    assert!(refused.text("/detail").contains("INC-1"), "{refused:?}");
    let accept = json!({ "accept": ["INC-1", "nothing"] });
    // The version before has no labelled cases: that is looser, and takes two.
    let alone = world.admin_as("alice", "policy.rollback", path, &accept).await;
    assert_eq!((alone.status, alone.reason()), (409, "admin.second_operator"), "{alone:?}");
    let accepted = world.admin_as("bob", "policy.rollback", path, &accept).await;
    assert_eq!(accepted.status, 200, "{accepted:?}");
    assert_eq!(in_force(&world), 1);
    let entries = world.admin_read("audit.read", &format!("/api/v1/audit/{}", accepted.decision())).await;
    assert_eq!(entries.body["entries"][0]["event"]["data"]["gate"]["accepted"], json!(["INC-1"]));
}

#[tokio::test]
async fn cases_that_cannot_be_read_keep_the_version_out() {
    let world = World::start().await;
    for bad in ["{", "{\"id\":\"x\"}\n", "[[cases]]\nid = 1\n"] {
        std::fs::write(world.path("cases.jsonl"), bad).unwrap();
        let refused = activate(&world, &format!("{POLICY}\n{GATE}"), json!({})).await;
        assert_eq!((refused.status, refused.reason()), (409, "admin.conflict"), "{bad}: {refused:?}");
        assert!(refused.text("/detail").contains("cases.jsonl"), "{bad}: {refused:?}");
    }
    std::fs::remove_file(world.path("cases.jsonl")).unwrap();
    let missing = activate(&world, &format!("{POLICY}\n{GATE}"), json!({})).await;
    assert!(missing.text("/detail").contains("cases.jsonl"), "{missing:?}");
    assert_eq!(in_force(&world), 1);
}
