//! A policy is tested, compared and replayed on a machine of one's own, by the functions that decide live.

use serde_json::Value;
use shortbread_tests::process::Home;

const EXAMPLE: &str = include_str!("../../src/broker/policy/example.toml");
const NOTES: &str = include_str!("../cases/release-notes.toml");
const OPERATORS: &str = include_str!("../cases/operators.jsonl");

/// A folder with the example policy, the keys that it names and the example cases.
fn home() -> Home {
    let home = Home::new();
    home.write("policy.toml", EXAMPLE);
    home.write("notes.toml", NOTES);
    home.write("operators.jsonl", OPERATORS);
    for name in ["demo", "alice", "bob", "carol", "github-tool"] {
        let out = format!("keys/{name}.pem");
        home.ok(&["keys", "generate", "--purpose", "operator", "--out", &out]);
    }
    home
}

/// What a command that ends with this code printed.
#[track_caller]
fn ends(home: &Home, code: i32, args: &[&str]) -> String {
    let said = home.run(args);
    assert_eq!(said.code, code, "shortbread {}: {}{}", args.join(" "), said.out, said.err);
    format!("{}{}", said.out, said.err)
}

#[track_caller]
fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

#[test]
fn the_example_cases_hold_for_the_example_policy() {
    let home = home();
    let said = home.ok(&["policy", "test", "notes.toml", "operators.jsonl"]);
    assert!(said.contains("8 cases passed, 0 failed") && !said.contains("failed  "), "{said}");
    let body = home.json(&["policy", "test", "notes.toml", "operators.jsonl", "--policy", "policy.toml"]);
    assert_eq!((&body["passed"], &body["failed"]), (&Value::from(8), &Value::from(0)));
    assert_eq!(body["cases"][0]["grants"][0], "grant:1");
}

#[test]
fn a_case_that_fails_says_what_differs_and_why() {
    let home = home();
    let wider = changed(EXAMPLE, "repo = { claim = \"repository\" }", "repo = { any = true }");
    home.write("wider.toml", &wider);
    let args = ["policy", "test", "notes.toml", "--policy", "wider.toml", "--junit", "results.xml"];
    let said = ends(&home, 1, &args);
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("failed  triage never writes to another repository"));
    assert_eq!(lines.next(), Some("        outcome: expected deny, got needs_approval"));
    for part in ["argument-escape, INC-482", "grant:1", "why: ", "4 cases passed, 1 failed"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let junit = home.read("results.xml");
    assert!(junit.contains("tests=\"5\" failures=\"1\""), "{junit}");
    assert!(junit.contains("<failure message=\"outcome: expected deny, got needs_approval\">"), "{junit}");
}

#[test]
fn nothing_to_test_is_wrong_usage_and_a_bad_file_is_named() {
    let home = home();
    home.write("none.toml", "");
    home.write("bare.jsonl", &changed(OPERATORS, ",\"label\":{\"expect\":\"allow\"}", ""));
    home.write("broken.jsonl", "{\"id\":\"x\"}\n");
    home.write("twice.jsonl", OPERATORS);
    assert!(ends(&home, 2, &["policy", "test", "none.toml"]).contains("no case"));
    assert!(
        ends(&home, 2, &["policy", "test", "bare.jsonl"]).contains("alice presses the switch has no label")
    );
    let broken = ends(&home, 1, &["policy", "test", "broken.jsonl"]);
    assert!(broken.contains("broken.jsonl:1: missing field `input`"), "{broken}");
    let twice = ends(&home, 1, &["policy", "test", "operators.jsonl", "twice.jsonl"]);
    assert!(twice.contains("twice.jsonl:1: ") && twice.contains("second time"), "{twice}");
    ends(&home, 1, &["policy", "test", "absent.toml"]);
    ends(&home, 2, &["policy", "test"]);
}
