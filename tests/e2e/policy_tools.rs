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

const PROD: &str = "claims = { repository_id = \"456789\", environment = \"prod\" }";
const DEMAND: &str = "approval = { access = [\"write\"], approvers = \"oncall\", quorum = 1, sla = \"5m\", expires = \"15m\" }";

#[test]
fn a_diff_speaks_in_effects() {
    let home = home();
    home.write("same.toml", &format!("# in other words\n{EXAMPLE}"));
    home.write("next.toml", &changed(&changed(EXAMPLE, DEMAND, ""), "max_ttl = \"10m\"", "max_ttl = \"5m\""));
    home.write("looser.toml", &changed(EXAMPLE, PROD, "claims = { repository_id = \"456789\" }"));
    let same = home.ok(&["policy", "diff", "policy.toml", "same.toml", "--fail-on", "any"]);
    assert_eq!(same, "no effect: the policies mean the same\n");
    let said = home.ok(&["policy", "diff", "policy.toml", "next.toml"]);
    for line in [
        "widens  release-notes, intent triage: github/issues.write: no longer needs the approval of 1 of oncall other \
         than alice within 15m",
        "narrows release-notes, intent triage: github/issues.read, github/issues.write: life 10m -> 5m",
        "2 effects: 1 widen, 1 narrow, 0 neither",
    ] {
        assert!(said.lines().any(|told| told == line), "{line}: {said}");
    }
    for (way, code) in [("widen", 1), ("narrow", 1), ("any", 1)] {
        ends(&home, code, &["policy", "diff", "policy.toml", "next.toml", "--fail-on", way]);
    }
    ends(&home, 0, &["policy", "diff", "looser.toml", "policy.toml", "--fail-on", "widen"]);
    ends(&home, 1, &["policy", "diff", "policy.toml", "looser.toml", "--fail-on", "widen"]);
    let body = home.json(&["policy", "diff", "policy.toml", "looser.toml"]);
    assert_eq!((&body["widens"], &body["narrows"]), (&Value::Bool(true), &Value::Bool(false)));
    assert_eq!(body["effects"][0]["about"], "workflow:release-notes");
    ends(&home, 2, &["policy", "diff", "policy.toml"]);
    ends(&home, 1, &["policy", "diff", "policy.toml", "absent.toml"]);
}

/// Requests as a broker records them.
fn recorded() -> String {
    let line = |n: usize, verb: &str, granted: &str| {
        let identity = r#"{"principal":"workflow:release-notes","issuer":"https://token.actions.githubusercontent.com","claims":{"repository_id":"456789","environment":"prod","repository":"acme/web"}}"#;
        format!(
            "{{\"v\":1,\"id\":\"dec_{verb}_{n}\",\"at\":\"2026-11-20T12:00:00Z\",\"input\":{{\"identity\":{identity},\
             \"intent\":\"triage\",\"request\":[{{\"verb\":\"github/{verb}\"}}]}},\"recorded\":{granted}}}\n"
        )
    };
    let read = |n| line(n, "issues.read", r#"{"outcome":"allow","granted":["github/issues.read"]}"#);
    let write =
        |n| line(n, "issues.write", r#"{"outcome":"needs_approval","reasons":["approval.required"]}"#);
    (0..50).map(read).chain((0..3).map(write)).collect()
}

#[test]
fn a_replay_shows_what_changes_and_the_gate_judges_it() {
    let home = home();
    home.write("recorded.jsonl", &recorded());
    home.write("open.toml", &changed(EXAMPLE, DEMAND, ""));
    let base = ["policy", "replay", "--cases", "recorded.jsonl", "--policy"];
    let of = |policy: &'static str, more: &[&'static str]| [&base[..], &[policy], more].concat();
    let same = ends(&home, 0, &of("policy.toml", &["--against", "policy.toml"]));
    assert!(same.contains("gate    passed") && same.contains("53"), "{same}");
    ends(&home, 0, &of("policy.toml", &[]));
    let files = ["--against", "policy.toml", "--junit", "gate.xml", "--markdown", "gate.md"];
    let open = ends(&home, 1, &of("open.toml", &files));
    assert!(open.contains("needs_approval -> allow") && open.contains("gate    not passed"), "{open}");
    assert!(open.contains("dec_issues.write_0 dec_issues.write_1 dec_issues.write_2"), "{open}");
    let id = open.split_whitespace().find(|word| word.starts_with("chg_")).unwrap().to_owned();
    assert!(open.contains(&format!("--accept {id}")), "{open}");
    // Recorded or decided again, it is the same change.
    assert!(ends(&home, 1, &of("open.toml", &[])).contains(&id));
    assert!(
        home.read("gate.md").contains("## Policy gate: **not passed**")
            && home.read("gate.md").contains("chg\\_")
    );
    assert!(home.read("gate.xml").contains("tests=\"5\" failures=\"1\""));
    let said = home
        .run(&[&of("open.toml", &["--against", "policy.toml", "--json", "--accept"])[..], &[&id]].concat());
    let body: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (said.code, &body["passed"], &body["gate"]["accepted"][0]["id"]),
        (0, &true.into(), &id.into())
    );
    assert!(body["gate"]["digest"].as_str().unwrap().starts_with("sha256:"));
    // Another version of the change is another change.
    home.write("wider.toml", &changed(&home.read("open.toml"), "max_ttl = \"10m\"", "max_ttl = \"1h\""));
    ends(
        &home,
        1,
        &[
            &of("wider.toml", &["--against", "policy.toml", "--accept"])[..],
            &[body["gate"]["accepted"][0]["id"].as_str().unwrap()],
        ]
        .concat(),
    );
}

#[test]
fn limits_decide_how_much_may_be_withheld() {
    let home = home();
    home.write("recorded.jsonl", &recorded());
    home.write("staging.toml", &changed(EXAMPLE, PROD, &PROD.replace("prod", "staging")));
    home.write("limits.toml", "[gate]\nmax_newly_denied = 1.0\nmin_cases = 3\n");
    home.write("strict.toml", "[gate]\nmax_newly_denied = 1.0\nmin_cases = 1000\n");
    home.write("wrong.toml", "[gate]\nmin_cases = -1\n");
    let args = [
        "policy",
        "replay",
        "--cases",
        "recorded.jsonl",
        "--policy",
        "staging.toml",
        "--against",
        "policy.toml",
    ];
    let refused = ends(&home, 1, &args);
    assert!(refused.contains("50 of 50 that were allowed are not any more"), "{refused}");
    ends(&home, 0, &[&args[..], &["--limits", "limits.toml"]].concat());
    let few = ends(&home, 1, &[&args[..], &["--limits", "strict.toml"]].concat());
    assert!(few.contains("not enough evidence: 50 decisions were tried and 1000 are wanted"), "{few}");
    assert!(ends(&home, 1, &[&args[..], &["--limits", "wrong.toml"]].concat()).contains("wrong.toml:2: "));
    home.write("none.jsonl", "");
    ends(&home, 2, &["policy", "replay", "--policy", "policy.toml", "--cases", "none.jsonl"]);
    ends(&home, 2, &["policy", "replay", "--policy", "policy.toml"]);
    home.write("broken.jsonl", &format!("{}{{}}\n", recorded()));
    let broken = ends(&home, 1, &["policy", "replay", "--policy", "policy.toml", "--cases", "broken.jsonl"]);
    assert!(broken.contains("broken.jsonl:54: missing field `id`"), "{broken}");
}

#[test]
fn labelled_cases_that_come_with_a_policy_always_count() {
    let home = home();
    home.write("recorded.jsonl", &recorded());
    let named = format!("{EXAMPLE}\n[gate]\ncases = \"notes.toml\"\n");
    home.write("policy.toml", &named);
    home.write("wider.toml", &changed(&named, "repo = { claim = \"repository\" }", "repo = { any = true }"));
    let args = [
        "policy",
        "replay",
        "--against",
        "policy.toml",
        "--policy",
        "wider.toml",
        "--cases",
        "recorded.jsonl",
    ];
    let said = ends(&home, 1, &args);
    assert!(said.contains("triage never writes to another repository: outcome: expected deny"), "{said}");
    // Named twice they count once.
    let twice = ends(&home, 1, &[&args[..], &["notes.toml"]].concat());
    assert!(twice.contains("triage never writes to another repository"), "{twice}");
    let gone = home.ok(&["policy", "diff", "policy.toml", "wider.toml"]);
    assert!(!gone.contains("labelled cases"), "{gone}");
    home.write("bare.toml", EXAMPLE);
    assert!(home.ok(&["policy", "diff", "policy.toml", "bare.toml"]).contains("the labelled cases are gone"));
}

#[test]
fn what_a_broker_recorded_is_replayed_and_its_versions_are_compared() {
    let (home, _broker, _) = super::program::served();
    let ask = ["exchange", "--workflow", "demo", "--key", "keys/demo.pem", "--scope"];
    home.ok(&[&ask[..], &["github:issues.read"]].concat());
    home.ok(&[&ask[..], &["github:issues.read github:issues.write"]].concat());
    let policy = super::program::POLICY;
    let write = "verbs = [\"issues.read\", \"issues.write\"]\nconstraints.\"issues.write\" = { repo = { eq = \"acme/web\" }, title = { any = true } }";
    home.write("next.toml", &changed(policy, write, "verbs = [\"issues.read\"]"));
    assert_eq!(
        home.ok(&["policy", "diff", "active", "policy.toml"]),
        "no effect: the policies are the same\n"
    );
    let diff = home.ok(&["policy", "diff", "active", "next.toml"]);
    assert!(diff.contains("narrows demo: loses github/issues.write"), "{diff}");
    assert_eq!(home.ok(&["policy", "diff", "1", "active"]), "no effect: the policies are the same\n");
    home.refused(&["policy", "diff", "7", "active"], &["there is no policy version"]);
    let replay = ["policy", "replay", "--since", "1h", "--policy", "next.toml"];
    let said = ends(&home, 1, &replay);
    assert!(
        said.contains("allow -> deny") && said.contains("1 of 1 that were allowed are not any more"),
        "{said}"
    );
    assert!(said.lines().any(|line| line.starts_with("cases ") && line.contains(" 2 in ")), "{said}");
    let id = said.split_whitespace().find(|word| word.starts_with("chg_")).unwrap();
    ends(&home, 0, &[&replay[..], &["--accept", id]].concat());
    // With what was recorded it comes to the same.
    assert!(ends(&home, 1, &[&replay[..], &["--against", "recorded"]].concat()).contains(id));
}
