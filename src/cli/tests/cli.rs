//! The program as its users meet it: help, exit codes, output, and how it talks to a broker.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "helpers of tests fail as tests do"
)]

mod approvals;
mod fake;
mod home;
mod runbook;

use std::path::Path;

use fake::FakeBroker;
use home::{Home, err, ok, out};
use serde_json::{Value, json};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schema/vectors/sb1.json");

#[test]
fn help_goes_to_stdout_and_shows_examples() {
    let home = Home::new();
    for command in ["login", "exchange", "inspect", "verify", "revoke", "lift", "doctor", "explain"] {
        let help = ok(&home.run(&[command, "--help"]));
        assert!(help.contains("Examples:") && help.contains(&format!("shortbread {command}")), "{help}");
    }
    assert!(ok(&home.run(&["--help"])).contains("Exit codes: 0 done, 1 refused or failed, 2 wrong usage."));
    assert!(ok(&home.run(&["--version"])).starts_with("shortbread "));
}

#[test]
fn wrong_usage_ends_with_2() {
    let home = Home::new();
    for args in [
        &[][..],
        &["bake"],
        &["revoke", "--reason", "x"],
        &["revoke", "--workflow", "demo"],
        &["revoke", "--workflow", "demo", "--reason", " "],
        &["revoke", "--all", "--workflow", "demo", "--reason", "x"],
        &["revoke", "--workflow", "demo", "--reason", "x", "--wait", "--dry-run"],
        &["revoke", "--tool", "a", "--access", "b/write", "--reason", "x"],
        &["explain", "no.such.code"],
        &["explain", "--markdown"],
        &["verify"],
        &["keys", "generate", "--purpose", "cake", "--out", "x.pem"],
        &["audit", "show", "../../etc"],
        &["audit", "show", "tok_x"],
        &["audit", "export", "--since", "soon"],
        &["audit", "export", "--since", "1h", "--until", "2h"],
        &["audit", "verify", "audit.jsonl"],
        &["audit", "verify", "audit.jsonl", "--root", "a", "--audit-key", "b"],
        &["exchange", "--scope", "github:issues.read"],
        &["exchange", "--jwt", "x", "--scope", "a:b", "--token", "--json"],
    ] {
        assert_eq!(home.code(args), 2, "{args:?}");
    }
}

#[test]
fn explain_knows_every_code() {
    let home = Home::new();
    let text = ok(&home.run(&["explain", "policy.not_granted"]));
    assert!(text.contains("policy.not_granted") && text.contains("what to do"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colour without a terminal");
    let all: Vec<Value> = serde_json::from_str(&ok(&home.run(&["explain", "--all", "--json"]))).unwrap();
    assert_eq!(all.len(), shortbread_protocol::reason::Reason::all().len());
    let list = ok(&home.run(&["explain"]));
    assert!(all.iter().all(|one| list.contains(one["reason"].as_str().unwrap())), "{list}");
    assert!(err(&home.run(&["explain", "revoked.workflows"])).contains("perhaps revoked.workflow "));
}

#[test]
fn generated_keys_are_private_and_never_overwritten() {
    let home = Home::new();
    let args = ["keys", "generate", "--purpose", "token", "--out", "token.pem", "--json"];
    let made: Value = serde_json::from_str(&ok(&home.run(&args))).unwrap();
    let private = std::fs::read_to_string(home.path("token.pem")).unwrap();
    let public = std::fs::read_to_string(home.path("token.pub.pem")).unwrap();
    let key = shortbread_protocol::keys::PrivateKey::from_pem(&private).unwrap();
    assert_eq!(key.public(), shortbread_protocol::keys::PublicKey::from_pem(&public).unwrap());
    assert_eq!(made["thumbprint"], key.public().thumbprint());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |name: &str| std::fs::metadata(home.path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("token.pem"), 0o600);
    }
    assert_eq!(home.code(&args), 1);
    std::fs::remove_file(home.path("token.pem")).unwrap();
    assert_eq!(home.code(&args), 1, "a public key alone is not overwritten either");
    assert!(!Path::new(&home.path("token.pem")).exists(), "nor is half a pair left");
}

#[test]
fn the_given_vectors_pass() {
    let home = Home::new();
    assert_eq!(ok(&home.run(&["verify", "--vectors", VECTORS])), "122 passed, 0 failed\n");
    let summary: Value =
        serde_json::from_str(&ok(&home.run(&["verify", "--vectors", VECTORS, "--json"]))).unwrap();
    assert_eq!(summary, json!({"passed": 122, "failed": 0, "failures": []}));
}

#[test]
fn a_failing_vector_is_named_and_ends_with_1() {
    let home = Home::new();
    let text = std::fs::read_to_string(VECTORS).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    file["vectors"][0]["expect"] = "deny".into();
    std::fs::write(home.path("v.json"), file.to_string()).unwrap();
    let output = home.run(&["verify", "--vectors", "v.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(out(&output), "granted verb: expected deny, got allow\n121 passed, 1 failed\n");
    std::fs::write(home.path("v.json"), "{}").unwrap();
    assert_eq!(home.code(&["verify", "--vectors", "v.json"]), 1);
    assert_eq!(home.code(&["verify", "--vectors", "none.json"]), 1);
}

fn vector_token(name: &str) -> String {
    let file: Value = serde_json::from_str(&std::fs::read_to_string(VECTORS).unwrap()).unwrap();
    let cases = file["vectors"].as_array().unwrap();
    let case = cases.iter().find(|case| case["name"] == name).unwrap();
    case["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_token_reads_well_and_its_bytes_are_not_shown() {
    let home = Home::new();
    let token = vector_token("granted verb");
    std::fs::write(home.path("token.txt"), format!("{token}\n")).unwrap();
    let text = ok(&home.run(&["inspect", "@token.txt"]));
    for part in [
        "payroll-nightly",
        "close-stale-issues",
        "https://broker.acme.example",
        "github/issues.write",
        "not checked",
        "https://tools.acme.example/github",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains(&token[token.len() - 24..]));
    let read: Value = serde_json::from_str(&ok(&home.run(&["inspect", &token, "--json"]))).unwrap();
    assert_eq!(read["signature_checked"], false);
    assert_eq!(read["ids"]["workflow"], "payroll-nightly");
    assert_eq!(read["sealed"], false);
}

#[test]
fn inspect_says_whether_a_call_would_pass() {
    let home = Home::new();
    let token = vector_token("granted verb");
    let call = [
        "inspect",
        &token,
        "--call",
        "github/repo.delete",
        "--audience",
        "https://tools.acme.example/github",
    ];
    let output = home.run(&[&call[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let read: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(read["call"]["pass"], false);
    assert!(
        ["not_granted", "token.not_yet_valid"].contains(&read["call"]["reason"].as_str().unwrap()),
        "{read}"
    );
    assert!(out(&home.run(&call)).contains("would be refused"));
    assert_eq!(home.code(&["inspect", &token, "--call", "github/issues.read"]), 2, "several audiences");
    assert_eq!(home.code(&["inspect", "abc"]), 1);
    assert_eq!(home.code(&["inspect", "-"]), 1);
}

#[test]
fn without_a_broker_the_way_out_is_named() {
    let home = Home::new();
    let output = home.run(&["revoke", "--workflow", "demo", "--reason", "x"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("shortbread login"), "{}", err(&output));
    // A port that was just free, where nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    ok(&home.run(&["keys", "generate", "--purpose", "operator", "--out", "alice.pem"]));
    let output = home.run(&["login", "--broker", &url, "--key", "alice.pem", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let said: Value = serde_json::from_str(&err(&output)).unwrap();
    assert!(said["error"]["message"].as_str().unwrap().contains(&url), "{said}");
    assert!(said["error"]["what_to_do"].as_str().unwrap().contains("shortbread dev"), "{said}");
    assert!(!Path::new(&home.path(".config")).exists(), "nothing is remembered of a failed login");
    let output = home.run(&["login", "--broker", "http://broker.acme.example", "--key", "alice.pem"]);
    assert!(err(&output).contains("not encrypted"), "{}", err(&output));
}

#[test]
fn login_is_remembered_and_revoke_needs_no_flags() {
    let (home, broker) = (Home::new(), FakeBroker::start());
    let text = ok(&home.log_in(&broker));
    assert!(text.contains("signed in as operator alice"), "{text}");
    let text =
        ok(&home
            .run(&["revoke", "--tool", "payments", "--access", "write", "--reason", "INC-482", "--wait"]));
    for part in [
        "revoked: access payments/write",
        "12 living tokens",
        "18, in list 19",
        "no conforming verifier",
        "all verifiers enforce it: 2 of 2 enforce it",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let body = broker.last("POST /api/v1/revocations");
    assert_eq!(body["selectors"], json!([{"kind": "access", "value": "payments/write"}]));
    assert_eq!(
        (&body["reason"], &body["cause"], &body["dry_run"]),
        (&json!("INC-482"), &json!("incident"), &json!(false))
    );
    let asked = broker.last("POST /oauth/token");
    assert_eq!(asked["scope"], "shortbread:revocations.read", "to see who enforces it");
    assert_eq!(asked["grant_type"], "client_credentials");
    let lifted = ok(&home.run(&["lift", "--all", "--reason", "over", "--dry-run", "--json"]));
    assert_eq!(serde_json::from_str::<Value>(&lifted).unwrap()["touched"]["tokens"], 12);
    assert_eq!(broker.last("POST /api/v1/revocations/lift")["all"], true);
}

#[test]
fn who_waits_is_told_what_ended_it() {
    let (home, broker) = (Home::new(), FakeBroker::start());
    ok(&home.log_in(&broker));
    let revoke = ["revoke", "--tool", "payments", "--reason"];
    let waited = |more: &[&str]| home.run(&[&revoke, more].concat());
    let output = waited(&["soon over", "--wait"]);
    let last = ok(&output).lines().last().unwrap().to_owned();
    assert!(last.starts_with("the bound has passed: no conforming verifier allows a write"), "{last}");
    for text in [&last, &err(&output)] {
        assert!(
            text.contains("1 of 2 enforce it; silent 1: github/host-1 (Zk3vQ1aB) silent since "),
            "{text}"
        );
    }
    let read = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let said = read(ok(&waited(&["soon over", "--wait", "--json"])));
    assert_eq!((&said["waited"]["ended_by"], &said["seq"]), (&json!("bound"), &json!(17)));
    let said = read(ok(&waited(&["x", "--wait=10s", "--json"])));
    assert_eq!(said["waited"]["ended_by"], "reports");
    assert_eq!(said["waited"]["status"]["instances"]["enforcing"], 2);
    let output = waited(&["far off", "--wait=1s", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(read(out(&output))["decision_id"], "dec_revoked", "the change stands, and is told");
    let told = err(&output);
    assert!(told.contains("not over in the time given") && told.contains("after "), "{told}");
    assert_eq!(home.code(&["revocations", "status", "--check"]), 0);
    assert_eq!(home.code(&["revoke", "--tool", "a", "--reason", "x", "--wait=soon"]), 2);
}

#[test]
fn who_enforces_the_list_is_shown_to_operators_alone() {
    let (home, broker) = (Home::new(), FakeBroker::start());
    let nobody = ok(&home.run(&["revocations", "status", "--broker", &broker.url]));
    assert!(nobody.contains("list") && !nobody.contains("verifier"), "{nobody}");
    ok(&home.log_in(&broker));
    let text = ok(&home.run(&["revocations", "status"]));
    assert!(text.contains("2 of 2 enforce it") && text.contains("github/host-2 (Zk3vQ1aB)"), "{text}");
    assert!(!text.contains('\u{1b}'), "colour is for terminals");
    let read: Value = serde_json::from_str(&ok(&home.run(&["revocations", "status", "--json"]))).unwrap();
    assert_eq!(read["reported"]["listed"][0]["label"], "host-1");
    let output = home.run(&["revocations", "forget", "Zk3vQ1aB"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("more than one instance"), "{}", err(&output));
}

#[test]
fn a_refusal_names_reason_decision_and_way_out() {
    let (home, broker) = (Home::new(), FakeBroker::start());
    ok(&home.log_in(&broker));
    let output = home.run(&["policy", "activate", "7"]);
    assert_eq!(output.status.code(), Some(1));
    let said = err(&output);
    for part in [
        "refused: version 7 is in force already\\u{1b}[2J",
        "admin.conflict",
        "dec_conflict",
        "Look at the current state",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains('\u{1b}'), "what a broker says cannot steer the terminal");
    let output = home.run(&["policy", "rollback", "--json"]);
    let said: Value = serde_json::from_str(&err(&output)).unwrap();
    assert_eq!(said["error"]["reason"], "policy.not_granted");
    assert_eq!(said["error"]["decision_id"], "dec_refused");
    assert_eq!(out(&output), "");
}

#[test]
fn the_audit_log_and_the_lists_are_shown() {
    let (home, broker) = (Home::new(), FakeBroker::start());
    ok(&home.log_in(&broker));
    let text = ok(&home.run(&["audit", "tail", "--limit", "5"]));
    assert!(text.contains("operator/alice") && text.contains("workflow demo"), "{text}");
    let raw = ok(&home.run(&["audit", "tail", "--json"]));
    assert_eq!(serde_json::from_str::<Value>(raw.trim()).unwrap()["id"], "dec_1");
    let text = ok(&home.run(&["revocations", "list"]));
    assert!(text.contains("workflow demo") && text.contains("all, until lifted"), "{text}");
    let status: Value = serde_json::from_str(&ok(&home.run(&["revocations", "status", "--json"]))).unwrap();
    assert_eq!((&status["seq"], &status["signature_checked"]), (&json!(21), &json!(false)));
}

#[test]
fn doctor_names_every_check() {
    let (home, broker) = (Home::new(), FakeBroker::start());
    let output = home.run(&["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(1), "nothing is set up");
    ok(&home.log_in(&broker));
    let findings: Vec<Value> = serde_json::from_str(&ok(&home.run(&["doctor", "--json"]))).unwrap();
    assert_eq!(findings.len(), 9);
    let (last, others) = findings.split_last().unwrap();
    assert!(others.iter().all(|finding| finding["outcome"] == "good"), "{findings:#?}");
    assert_eq!(last["outcome"], "not_checked", "who may not see the broker's health is told so");
    drop(broker);
    let output = home.run(&["doctor"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        out(&output).contains("\u{2717} broker answers") && out(&output).contains("fix: Start it"),
        "{}",
        out(&output)
    );
}

#[test]
fn exchange_shows_what_was_granted_or_the_token_alone() {
    let (home, broker) = (Home::new(), FakeBroker::start());
    ok(&home.run(&["keys", "generate", "--purpose", "workflow", "--out", "demo.pem"]));
    let ask = [
        "exchange",
        "--broker",
        &broker.url,
        "--workflow",
        "demo",
        "--key",
        "demo.pem",
        "--scope",
        "github:issues.read github:repo.delete",
    ];
    let text = ok(&home.run(&ask));
    for part in [
        "granted until",
        "github/issues.read",
        "repo is \"acme/web\"",
        "github:repo.delete",
        "policy.forbidden",
        "EsTOKEN",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(ok(&home.run(&[&ask[..], &["--token"]].concat())), "EsTOKEN==\n");
    std::fs::write(home.path("id.jwt"), "a.b.c\n").unwrap();
    ok(&home.run(&["exchange", "--broker", &broker.url, "--jwt", "id.jwt", "--scope", "github:issues.read"]));
    let asked = broker.last("POST /oauth/token");
    assert_eq!((&asked["subject_token"], &asked["client_id"]), (&json!("a.b.c"), &Value::Null));
}

#[test]
fn the_runbook_needs_no_broker() {
    let home = Home::new();
    let list = ok(&home.run(&["runbook", "--list"]));
    assert!(list.lines().any(|line| line == "leak     A key leaks"), "{list}");
    let text = ok(&home.run(&["runbook", "leak"]));
    assert!(
        text.contains("    shortbread keys activate \"$WORK/keys.txt\"\n") && text.contains("export WORK="),
        "{text}"
    );
    assert!(!text.contains("```") && !text.contains("A restore"), "{text}");
    let whole = ok(&home.run(&["runbook"]));
    assert!(whole.contains("a request that waits") && !whole.contains("|--"), "{whole}");
    let read: Value = serde_json::from_str(&ok(&home.run(&["runbook", "--json"]))).unwrap();
    assert_eq!(read["topics"][4]["topic"], "leak");
    let output = home.run(&["runbook", "lunch"]);
    assert!(output.status.code() == Some(2) && err(&output).contains("who, away, stop"), "{}", err(&output));
}
