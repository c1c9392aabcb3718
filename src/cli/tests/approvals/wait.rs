//! The client that waits for a person.

use std::process::{Output, Stdio};

use serde_json::Value;

use crate::fake::FakeBroker;
use crate::home::{Home, err, ok, out};

const CALL: [&str; 4] = ["--call", "payments/refunds.create", "--args", r#"{"amount":1200}"#];

struct Asking(Home, FakeBroker);

impl Asking {
    fn new() -> Self {
        let (home, broker) = (Home::new(), FakeBroker::start());
        for name in ["demo.pem", "agent.pem"] {
            ok(&home.run(&["keys", "generate", "--purpose", "workflow", "--out", name]));
        }
        Self(home, broker)
    }

    fn args<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let own = [
            "exchange",
            "--broker",
            &self.1.url,
            "--workflow",
            "demo",
            "--key",
            "demo.pem",
            "--dpop-key",
            "agent.pem",
        ];
        [&own[..], rest].concat()
    }

    fn wait(&self, task: &str, rest: &[&str]) -> Output {
        self.0
            .run(&self.args(&[&["--scope", "github:issues.write", "--wait", "--task", task], rest].concat()))
    }
}

fn refusal(output: &Output) -> Value {
    let said: Value = serde_json::from_str(&err(output)).unwrap();
    assert_eq!(output.status.code(), Some(1));
    said["error"].clone()
}

#[test]
fn a_request_is_waited_for_until_it_is_granted() {
    let asking = Asking::new();
    let output = asking.wait("grant", &["--token"]);
    assert_eq!(ok(&output), "EsTOKEN==\n");
    assert!(err(&output).contains("apr_1 waits for oncall, who should decide within 5m"), "{}", err(&output));
    assert!(err(&output).contains("/a/apr_1"), "{}", err(&output));
    let polled = asking.1.last("POST /oauth/token dfr_grant");
    assert_eq!(polled["grant_type"], "urn:ietf:params:oauth:grant-type:deferred");
    assert!(
        polled["client_assertion"].is_string() && polled["scope"].is_null(),
        "nothing is asked for again"
    );
    let first = asking.1.last("POST /oauth/token");
    assert_eq!(first["completion_mode"], "deferred");
    assert_ne!(first["client_assertion"], polled["client_assertion"], "an assertion is used once");
}

#[test]
fn a_broker_that_is_restarted_is_asked_again() {
    assert_eq!(ok(&Asking::new().wait("restart", &["--token"])), "EsTOKEN==\n");
}

#[test]
fn denied_expired_and_taken_back_are_three_things() {
    let asking = Asking::new();
    for (task, reason, words) in [
        ("deny", "approval.denied", "denied this request"),
        ("expire", "approval.expired", "Nobody approved this"),
        ("cancel", "approval.cancelled", "This request was taken back"),
    ] {
        let told = err(&asking.wait(task, &[]));
        assert!(
            told.contains(words) && told.contains("approval    apr_1") && told.contains(reason),
            "{told}"
        );
        let said = refusal(&asking.wait(task, &["--json"]));
        assert_eq!((said["reason"].as_str(), said["approval_id"].as_str()), (Some(reason), Some("apr_1")));
    }
}

#[test]
fn who_does_not_wait_is_told_how_to() {
    let asking = Asking::new();
    let args = ["--scope", "github:issues.write", "--task", "t-person"];
    let output = asking.0.run(&asking.args(&args));
    assert!(
        output.status.code() == Some(1) && err(&output).contains("again with --wait"),
        "{}",
        err(&output)
    );
}

#[test]
fn a_wait_that_takes_too_long_is_taken_back() {
    let asking = Asking::new();
    let said = refusal(&asking.wait("wait", &["--wait-for", "1s", "--json"]));
    assert_eq!(said["reason"], "approval.cancelled");
    assert!(said["message"].as_str().unwrap().contains("not decided in the time given"), "{said}");
    let sent = asking.1.last("POST /oauth/deferral/cancel dfr_wait");
    assert!(sent["client_assertion"].is_string(), "{sent}");
}

#[cfg(unix)]
#[test]
fn whoever_interrupts_takes_the_request_back() {
    let asking = Asking::new();
    let args = asking.args(&[&CALL[..], &["--wait", "--task", "wait", "--json"]].concat());
    let child = asking.0.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    asking.1.until("POST /oauth/token dfr_wait");
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = refusal(&output);
    assert_eq!((out(&output).as_str(), &said["reason"]), ("", &"approval.cancelled".into()));
    assert!(
        said["message"].as_str().unwrap().contains("apr_1 was taken back, because the wait was interrupted"),
        "{said}"
    );
    asking.1.last("POST /oauth/deferral/cancel dfr_wait");
}

#[test]
fn each_call_of_a_plan_has_its_token() {
    let asking = Asking::new();
    let plan = [&CALL[..], &CALL, &["--task", "plan"]].concat();
    let text = ok(&asking.0.run(&asking.args(&plan)));
    for part in ["0     payments/refunds.create  tok_a", "token of call 1", "EsCALL1=="] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(
        ok(&asking.0.run(&asking.args(&[&plan[..], &["--token"]].concat()))),
        "EsCALL0==\nEsCALL1==\n"
    );
    let details = asking.1.last("POST /oauth/token")["authorization_details"].as_str().unwrap().to_owned();
    let details: Value = serde_json::from_str(&details).unwrap();
    assert_eq!((details[0]["calls"].as_array().unwrap().len(), &details[0]["task"]), (2, &"plan".into()));
}
