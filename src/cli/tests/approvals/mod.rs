//! Approvals as people meet them: the queue, what would run, the vote, and the client that waits for it.

mod wait;

use crate::fake::{self, FakeBroker};
use crate::home::{Home, err, ok, out};
use serde_json::{Value, json};

fn at_work() -> (Home, FakeBroker) {
    let (home, broker) = (Home::new(), FakeBroker::start());
    ok(&home.log_in(&broker));
    (home, broker)
}

fn digest() -> String {
    fake::approvals::whole("apr_1", "pending", 2000)["digest"].as_str().unwrap().to_owned()
}

#[test]
fn the_queue_is_a_table_that_lines_up() {
    let (home, broker) = at_work();
    let text = ok(&home.run(&["approvals", "list"]));
    let lines: Vec<&str> = text.lines().collect();
    let at = |name: &str| lines[0].find(name).unwrap();
    assert!(
        lines[1].starts_with("apr_1  pending  refund-desk  payments/refunds.create, 1 call  privileged"),
        "{text}"
    );
    assert!(lines[1][at("time left")..].starts_with("escalates in 4m 12s"), "{text}");
    assert!(lines[2][at("time left")..].starts_with("late, expires in 14m 12s"), "{text}");
    assert!(lines[2][at("asked")..].starts_with("oncall, leads"), "{text}");
    assert_eq!(lines[3], "2 requests are open; `shortbread approvals show ID` says what exactly would run");
    let scope = broker.last("POST /oauth/token")["scope"].clone();
    assert_eq!(scope, "shortbread:approvals.read shortbread:approvals.decide", "whoever may decide may read");
    let empty = home.run(&["approvals", "list", "--state", "denied", "--workflow", "refund-desk"]);
    assert_eq!(ok(&empty), "no request is like that\n");
    assert!(err(&empty).contains("approvals watch"), "{}", err(&empty));
    broker.last("GET /api/v1/approvals?state=denied&limit=100&principal=workflow:refund-desk");
    let read: Value = serde_json::from_str(&ok(&home.run(&["approvals", "list", "--json"]))).unwrap();
    assert_eq!(read["approvals"][1]["approval_id"], "apr_3");
}

#[test]
fn arguments_are_shown_whole_or_folded_and_hide_nothing() {
    let (home, _broker) = at_work();
    let text = ok(&home.run(&["approvals", "show", "apr_1"]));
    for part in [
        "call 0: payments/refunds.create  privileged",
        "    amount  1200\n",
        "\"\\u{202e}evil\\u{1b}[2J\\t\\u{200b}\"",
        "text, 41 lines, ",
        "      | to approve: yes\\n\n",
        "and 33 lines more; --full shows all",
        "oncall (bob)  0 of 1",
        "leads are asked too in 4m 12s",
        "not alice",
        &format!("shortbread approvals deny apr_1 --digest {} --reason", digest()),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{200b}']), "{text}");
    let full = ok(&home.run(&["approvals", "show", "apr_1", "--full"]));
    assert!(full.contains("| line 39\\n\n") && !full.contains("--full"), "{full}");
    let read: Value =
        serde_json::from_str(&ok(&home.run(&["approvals", "show", "apr_1", "--json"]))).unwrap();
    assert_eq!(read["digest"], digest());
}

#[test]
fn what_is_not_what_its_digest_names_is_not_shown() {
    let (home, _broker) = at_work();
    for args in [&["approvals", "show", "apr_4"][..], &["approvals", "show", "apr_4", "--json"]] {
        let output = home.run(args);
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""));
        assert!(err(&output).contains("Do not vote for it"), "{}", err(&output));
    }
}

#[test]
fn nobody_votes_for_what_they_have_not_seen() {
    let (home, broker) = at_work();
    for args in [
        &["approvals", "approve", "apr_1"][..],
        &["approvals", "approve", "apr_1", "--yes"],
        &["approvals", "deny", "apr_1", "--reason", "x"],
        &["approvals", "approve", "apr_1", "--digest", "abc"],
        &["approvals", "approve", "../policy", "--digest", &digest()],
        &["approvals", "deny", "apr_1", "--digest", &digest()],
        &["approvals", "deny", "apr_1", "--digest", &digest(), "--reason", " "],
        &["approvals", "approve", "apr_1", "--digest", &digest(), "--constrain", "a"],
    ] {
        assert_eq!(home.code(args), 2, "{args:?}");
    }
    let told = err(&home.run(&["approvals", "approve", "apr_1"]));
    assert!(told.contains("shortbread approvals show apr_1") && told.contains("--digest"), "{told}");
    let output = home.run(&["approvals", "approve", "apr_1", "--digest", &"0".repeat(64)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("approval.changed") && err(&output).contains("Look at it again"),
        "{}",
        err(&output)
    );
    broker.last("POST /api/v1/approvals/apr_1/approve");
}

#[test]
fn a_vote_is_for_the_digest_and_can_be_for_less() {
    let (home, broker) = at_work();
    let digest = digest();
    let vote = |args: &[&str]| home.run(&[&["approvals"], args].concat());
    let said = ok(&vote(&[
        "approve",
        "apr_1",
        "--digest",
        &digest,
        "--drop-call",
        "0",
        "--ttl",
        "2m",
        "--note",
        "ok",
    ]));
    assert_eq!(said, "apr_1: approved; the client fetches its token now\n");
    let sent = broker.last("POST /api/v1/approvals/apr_1/approve");
    assert_eq!(sent, json!({ "digest": digest, "narrow": { "drop_calls": [0], "ttl": 120 }, "note": "ok" }));
    ok(&vote(&["approve", "apr_1", "--digest", &digest, "--json"]));
    assert_eq!(broker.last("POST /api/v1/approvals/apr_1/approve"), json!({ "digest": digest }));
    let calls =
        vote(&["approve", "apr_1", "--digest", &digest, "--constrain", "payments/refunds.create amount=1"]);
    assert!(calls.status.code() == Some(2) && err(&calls).contains("--drop-call"), "{}", err(&calls));
    let said = ok(&vote(&["deny", "apr_1", "--digest", &digest, "--reason", "wrong customer"]));
    assert!(said.starts_with("apr_1: denied"), "{said}");
    assert_eq!(broker.last("POST /api/v1/approvals/apr_1/deny")["reason"], "wrong customer");
}

/// Runs it on a terminal, and types this.
#[cfg(target_os = "linux")]
fn on_a_terminal(home: &Home, args: &[&str], typed: &str) -> String {
    let quoted: Vec<String> = args.iter().map(|arg| format!("'{arg}'")).collect();
    let line = format!("{} {}", env!("CARGO_BIN_EXE_shortbread"), quoted.join(" "));
    let mut script = std::process::Command::new("script");
    script
        .args(["-qec", &line, "/dev/null"])
        .env_clear()
        .env("HOME", home.path(""))
        .env("PATH", "/usr/bin:/bin");
    script.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = script.spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    format!("{}exit {}", out(&output), output.status.code().unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_it_is_shown_and_asked() {
    let (home, broker) = at_work();
    let args = ["approvals", "approve", "apr_1"];
    let said = on_a_terminal(&home, &args, "y\n");
    assert!(said.contains("what would run") && said.contains("To approve apr_1, type yes: "), "{said}");
    assert!(said.contains("nothing was decided") && said.ends_with("exit 1"), "{said}");
    let said = on_a_terminal(&home, &[&args[..], &["--ttl", "2m"]].concat(), "yes\n");
    assert!(
        said.contains("To approve apr_1, for 2m at most, type yes: ") && said.ends_with("exit 0"),
        "{said}"
    );
    let sent = broker.last("POST /api/v1/approvals/apr_1/approve");
    assert_eq!(sent, json!({ "digest": digest(), "narrow": { "ttl": 120 } }));
    let said = on_a_terminal(&home, &["approvals", "deny", "apr_1", "--reason", "no"], "yes\n");
    assert!(said.contains("To deny apr_1, type yes: ") && said.contains("apr_1: denied"), "{said}");
    let said = on_a_terminal(&home, &["approvals", "approve", "apr_1", "--yes"], "");
    assert!(
        said.contains("what would run") && !said.contains("type yes") && said.ends_with("exit 0"),
        "{said}"
    );
}

#[test]
fn the_queue_is_followed_and_each_change_told() {
    let (home, _broker) = at_work();
    let text = ok(&home.run(&["approvals", "watch", "--for", "3s"]));
    let lines: Vec<&str> = text.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    let begins =
        ["waiting    apr_1", "waiting    apr_2", "vote       apr_1", "requested  apr_3", "denied     apr_2"];
    assert_eq!(lines.len(), begins.len(), "{text}");
    assert!(lines.iter().zip(begins).all(|(line, begin)| line.starts_with(begin)), "{text}");
    assert!(lines[4].ends_with("by bob  \"wrong customer\""), "{text}");
    let (home, _broker) = at_work();
    let text = ok(&home.run(&["approvals", "watch", "--for", "1s", "--json"]));
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&first["event"], &first["approval"]["approval_id"]), (&json!("waiting"), &json!("apr_1")));
}
