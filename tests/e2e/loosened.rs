//! What new versions are judged by is loosened by two operators and tightened by one.

use serde_json::json;
use shortbread_tests::{Answer, POLICY, World};

const GATE: &str = "[gate]\nmax_newly_denied = 0.05\ncases = \"cases.jsonl\"\n";
const BACK: &str = "[rollback]\nmax_denied = 0.05\n";
const CASES: &str = r#"{"id":"INC-1","input":{"identity":{"principal":"workflow:other"},"request":[{"verb":"github/issues.write"}]},"label":{"expect":"deny"}}
"#;

async fn guarded() -> World {
    World::builder().policy(&format!("{POLICY}\n{GATE}{BACK}")).file("cases.jsonl", CASES).start().await
}

async fn activate(world: &World, name: &str) -> Answer {
    world.admin_as(name, "policy.activate", "/api/v1/policy/activate", &json!({})).await
}

async fn write(world: &World, guards: &str, cases: &str) {
    std::fs::write(world.path("policy.toml"), format!("{POLICY}\n{guards}")).unwrap();
    std::fs::write(world.path("cases.jsonl"), cases).unwrap();
}

#[tokio::test]
async fn loosening_takes_two() {
    let relabelled = CASES.replace("\"deny\"", "\"allow\"");
    let own = format!("{GATE}[[gate.segments]]\nworkflow = \"demo\"\nmax_newly_denied = 1\n{BACK}");
    for (guards, cases, says) in [
        (BACK.to_owned(), CASES, "takes [gate] out"),
        (format!("{}{BACK}", GATE.replace("0.05", "0.06")), CASES, "raises max_newly_denied of [gate]"),
        (own, CASES, "raises max_newly_denied of [gate] for workflow demo"),
        (GATE.to_owned(), CASES, "raises max_denied of [rollback]"),
        (format!("{GATE}{BACK}min_requests = 21\n"), CASES, "raises min_requests of [rollback]"),
        (format!("{GATE}{BACK}"), "", "no longer withholds what labelled cases do: INC-1"),
        (format!("{GATE}{BACK}"), relabelled.as_str(), "no longer withholds what labelled cases do: INC-1"),
    ] {
        let world = guarded().await;
        write(&world, &guards, cases).await;
        for _ in 0..2 {
            let alone = activate(&world, "alice").await;
            assert_eq!((alone.status, alone.reason()), (409, "admin.second_operator"), "{says}: {alone:?}");
            assert!(alone.text("/detail").contains(says), "{says}: {alone:?}");
        }
        assert_eq!(world.broker.policy.version(), 1);
        let both = activate(&world, "bob").await;
        assert_eq!((both.status, world.broker.policy.version()), (200, 2), "{says}: {both:?}");
    }
}

#[tokio::test]
async fn tightening_takes_one() {
    let world = guarded().await;
    let more = format!("{CASES}{}", CASES.replace("INC-1", "INC-2"));
    for (guards, cases) in [
        (format!("{}{BACK}", GATE.replace("0.05", "0.04")), CASES),
        (format!("{}min_cases = 2\n{BACK}", GATE.replace("0.05", "0.04")), more.as_str()),
        (
            format!(
                "{}min_cases = 2\n{}min_requests = 10\n",
                GATE.replace("0.05", "0.04"),
                BACK.replace("0.05", "0.01")
            ),
            more.as_str(),
        ),
    ] {
        write(&world, &guards, cases).await;
        let alone = activate(&world, "alice").await;
        assert_eq!(alone.status, 200, "{guards}: {alone:?}");
    }
    assert_eq!(world.broker.policy.version(), 4);
    // On trial for a part nothing is judged by the new limits.
    write(&world, "", CASES).await;
    let part = json!({ "workflows": ["demo"] });
    let part = world.admin_as("alice", "policy.activate", "/api/v1/policy/activate", &part).await;
    assert_eq!(part.status, 200, "{part:?}");
}

#[tokio::test]
async fn a_watch_goes_back_to_nothing_looser_unless_two_wish_it() {
    let world = World::start().await;
    write(&world, &format!("{GATE}{BACK}"), CASES).await;
    assert_eq!(activate(&world, "alice").await.status, 200);
    let again = json!({ "version": 2, "watch": 600 });
    let path = "/api/v1/policy/activate";
    let alone = world.admin_as("alice", "policy.activate", path, &again).await;
    assert_eq!((alone.status, alone.reason()), (409, "admin.second_operator"), "{alone:?}");
    assert_eq!(world.admin_as("bob", "policy.activate", path, &again).await.status, 200);
}
