//! The program as an operator meets it: from an empty folder to a served call, and what it says when something is wrong.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use serde_json::json;
use shortbread_tests::process::{Home, Running, free_address};

pub(super) const POLICY: &str = r#"
[tools.github]
audience = "https://tools.acme.example/github"
verbs."issues.read" = { access = "read" }
verbs."issues.write" = { access = "write", args = ["repo", "title"] }

[[identities]]
workflow = "demo"
key = "keys/demo.pub.pem"
[[identities]]
operator = "alice"
key = "keys/alice.pub.pem"

[[grants]]
workflow = "demo"
tool = "github"
verbs = ["issues.read", "issues.write"]
constraints."issues.write" = { repo = { eq = "acme/web" }, title = { any = true } }
[[grants]]
operator = "alice"
tool = "shortbread"
verbs = ["revocations.*", "policy.*", "audit.*", "keys.read", "status.read"]
"#;

const AUDIENCE: &str = "https://tools.acme.example/github";
const SERVE: [&str; 3] = ["serve", "--config", "broker.toml"];
const INIT: [&str; 4] = ["init", "--config", "broker.toml", "--make-keys"];
const ASK: [&str; 5] = ["exchange", "--workflow", "demo", "--key", "keys/demo.pem"];

/// A folder with a configuration, a policy and the keys it names, and the broker's URL.
fn prepared() -> (Home, String) {
    let (home, address) = (Home::new(), free_address());
    let url = format!("http://{address}");
    let config =
        format!("issuer = \"{url}\"\nlisten = \"{address}\"\n[network]\nmetrics = \"127.0.0.1:0\"\n");
    home.write("broker.toml", &config);
    home.write("policy.toml", POLICY);
    for (purpose, out) in [("operator", "keys/alice.pem"), ("workflow", "keys/demo.pem")] {
        home.ok(&["keys", "generate", "--purpose", purpose, "--out", out]);
    }
    (home, url)
}

/// The same, initialised, with the root key taken off the machine.
fn initialised() -> (Home, String) {
    let (home, url) = prepared();
    home.ok(&INIT);
    std::fs::remove_file(home.path("keys/root.pem")).unwrap();
    (home, url)
}

fn serve(home: &Home) -> Running {
    let mut broker = home.start(&SERVE);
    broker.wait_for("the broker listens");
    broker
}

/// The same, serving, with alice logged in.
pub(crate) fn served() -> (Home, Running, String) {
    served_after(|_| {})
}

/// The same, once the folder was changed.
pub(crate) fn served_after(change: impl FnOnce(&Home)) -> (Home, Running, String) {
    let (home, url) = initialised();
    change(&home);
    let broker = serve(&home);
    home.ok(&["login", "--broker", &url, "--key", "keys/alice.pem", "--root", "keys/root.pub.pem"]);
    (home, broker, url)
}

fn token(home: &Home, scope: &str) -> String {
    home.ok(&[&ASK[..], &["--scope", scope, "--token"]].concat()).trim().to_owned()
}

/// How a tool service would decide about a call.
fn verify(home: &Home, token: &str, call: &str, args: &str) -> String {
    let said = home.run(&["verify", token, "--call", call, "--audience", AUDIENCE, "--args", args, "--json"]);
    let body: serde_json::Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    assert_eq!(said.code == 0, body["outcome"] == "allow", "the exit code says the same: {body}");
    assert!(body["list"]["seq"].as_u64().unwrap() > 0 && body["decision_id"].is_string(), "{body}");
    body["reason"].as_str().unwrap_or("allowed").to_owned()
}

#[test]
fn from_an_empty_folder_to_a_checked_call() {
    let (home, _broker, url) = served();
    assert!(home.ok(&["policy", "check", "policy.toml"]).contains("policy.toml is sound"));
    home.ok(&["doctor"]);
    let token = token(&home, "github:issues.read github:issues.write");
    let web = r#"{"repo":"acme/web","title":"t"}"#;
    assert_eq!(verify(&home, &token, "github/issues.write", web), "allowed");
    let other = r#"{"repo":"acme/pay","title":"t"}"#;
    assert_eq!(verify(&home, &token, "github/issues.write", other), "argument_refused");
    let copy = home.ok(&["attenuate", &token, "--verb", "github/issues.read", "--ttl", "30s"]);
    assert_eq!(verify(&home, copy.trim(), "github/issues.read", ""), "allowed");
    assert_eq!(verify(&home, copy.trim(), "github/issues.write", web), "narrowed");
    // A second copy gets no end of its own where the first one's comes before the default of a minute.
    let second = home.ok(&["attenuate", copy.trim(), "--verb", "github/issues.read"]);
    assert_eq!(verify(&home, second.trim(), "github/issues.read", ""), "allowed");
    home.refused(&["attenuate", copy.trim(), "--ttl", "1h"], &["cannot be made to end"]);
    assert_eq!(verify(&home, "nonsense", "github/issues.read", ""), "token.malformed");
    let shown = home.ok(&["inspect", copy.trim(), "--root", "keys/root.pub.pem"]);
    for part in ["demo", &url, "signature        good", "check if operation(\"github\", \"issues.read\")"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let said = home.run(&["inspect", copy.trim(), "--call", "github/issues.write", "--args", web]);
    assert_eq!(said.code, 1);
    let check = "which says  check if operation(\"github\", \"issues.read\")";
    assert!(said.out.contains(check), "{}", said.out);
    assert!(home.ok(&["keys", "list"]).contains("revocation"));
}

#[test]
fn a_decision_becomes_a_case_and_what_it_depended_on_is_erased() {
    let (home, _broker, _) = served();
    let ask = [&ASK[..], &["--scope", "github:issues.write"]].concat();
    let granted = home.json(&ask);
    let id = granted["shortbread"]["decision_id"].as_str().unwrap();
    let words = ["--expect", "deny", "--mechanism", "over-broad-grant", "--note", "INC-482"];
    let line = home.ok(&[&["audit", "case", id], &words[..]].concat());
    let case: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((line.lines().count(), &case["id"]), (1, &json!(id)), "{line}");
    let label =
        json!({ "expect": "deny", "mechanism": "over-broad-grant", "note": "INC-482", "by": "alice" });
    assert_eq!(case["label"], label);
    assert_eq!(case["recorded"]["granted"], json!(["github/issues.write"]));
    let table = home.ok(&["audit", "case", id, "--expect", "allow", "--format", "toml"]);
    assert!(table.contains("[[cases]]") && table.contains("workflow:demo"), "{table}");
    home.refused(&["audit", "case", "dec_unheard", "--expect", "deny"], &["no entry has this decision id"]);
    assert_eq!(home.run(&["audit", "case", id, "--expect", "allow", "--reason", "policy.intent"]).code, 2);
    let erase = ["audit", "erase", "--subject", "workflow:demo", "--reason", "request 17"];
    assert!(home.ok(&[&erase[..], &["--dry-run"]].concat()).contains("would erase: 1 input"));
    let said = home.ok(&erase);
    assert!(said.contains("erased: 1 input") && said.contains("backups"), "{said}");
    assert_eq!(home.json(&erase)["inputs"], 0);
    assert_eq!(home.run(&[&erase[..], &["--before", "soon"]].concat()).code, 2);
    home.refused(&["audit", "case", id, "--expect", "deny"], &["was erased", "audit.no_case"]);
    assert!(home.ok(&["audit", "tail"]).contains("audit erased 1 input"));
    assert!(home.ok(&["audit", "show", id, "--json"]).contains("sha256"));
}

#[test]
fn the_switch_is_pulled_and_lifted() {
    let (home, _broker, _) = served();
    let token = token(&home, "github:issues.read");
    assert_eq!(verify(&home, &token, "github/issues.read", ""), "allowed");
    home.ok(&["revoke", "--workflow", "demo", "--reason", "INC-1"]);
    assert_eq!(verify(&home, &token, "github/issues.read", ""), "revoked.workflow");
    let ask = [&ASK[..], &["--scope", "github:issues.read"]].concat();
    home.refused(&ask, &["revoked.workflow", "dec_"]);
    assert!(home.ok(&["revocations", "list"]).contains("INC-1"));
    assert_eq!(home.json(&["revocations", "status"])["signature_checked"], true);
    home.ok(&["lift", "--workflow", "demo", "--reason", "fixed", "--revive"]);
    assert_eq!(verify(&home, &token, "github/issues.read", ""), "allowed");
    let granted = home.json(&ask);
    let id = granted["shortbread"]["decision_id"].as_str().unwrap();
    assert!(home.ok(&["audit", "show", id]).contains("github/issues.read"));
    let tail = home.ok(&["audit", "tail"]);
    for part in ["policy activated", "operator/alice", "workflow demo", "deny", id] {
        assert!(tail.contains(part), "{part}: {tail}");
    }
}

/// Versions of the policy, newest first: number and whether it is in force.
fn versions(home: &Home) -> Vec<(u64, bool)> {
    let history = home.json(&["policy", "history"]);
    let versions = history["versions"].as_array().unwrap().iter();
    versions.map(|v| (v["version"].as_u64().unwrap(), v["active"].as_bool().unwrap())).collect()
}

#[test]
fn a_changed_policy_is_taken_in_and_waits_for_an_operator() {
    let (home, mut broker, _) = served();
    home.write("policy.toml", &format!("{POLICY}\n# changed\n"));
    broker.signal("HUP");
    broker.wait_for("a new policy version waits");
    assert_eq!(versions(&home), [(2, false), (1, true)]);
    assert!(home.ok(&["policy", "activate"]).starts_with("version 2 is in force"));
    assert_eq!(versions(&home), [(2, true), (1, false)]);
    assert!(home.ok(&["policy", "rollback"]).starts_with("version 1 is in force"));
    home.write("policy.toml", "[tools]\nx = 1\n");
    broker.signal("HUP");
    broker.wait_for("the policy file was not taken in");
    home.refused(&["policy", "activate"], &["policy.toml:", "fix:"]);
    assert_eq!(versions(&home), [(2, false), (1, true)]);
}

#[test]
fn on_the_host_a_stopped_broker_is_rolled_back_offline() {
    let (home, mut broker, _) = served();
    home.write("policy.toml", &format!("{POLICY}\n# changed\n"));
    home.ok(&["policy", "activate"]);
    let offline = ["policy", "rollback", "--offline", "--config", "broker.toml"];
    home.refused(&offline, &["shortbread.db", "Stop the broker"]);
    broker.signal("TERM");
    assert_eq!(broker.wait().code(), Some(0), "{}", broker.said());
    assert!(broker.said().contains("the broker stopped"));
    home.refused(&[&offline[..], &["7"]].concat(), &["version 7 was never in force"]);
    let done = home.json(&offline);
    assert_eq!(done["version"], 1);
    let _broker = serve(&home);
    assert_eq!(versions(&home), [(2, false), (1, true)]);
    let tail = home.json(&["audit", "show", done["decision_id"].as_str().unwrap()]);
    assert_eq!((&tail["subject"], &tail["data"]["version"]), (&json!("operator/offline"), &json!(1)));
}

#[test]
fn what_keeps_a_broker_from_starting_is_named_with_its_cure() {
    let (home, _) = prepared();
    home.refused(&["serve", "--config", "none.toml"], &["none.toml", "--config"]);
    home.refused(&SERVE, &["shortbread.db", "shortbread init"]);
    let config = home.read("broker.toml");
    home.write("broker.toml", &format!("lissen = 1\n{config}"));
    home.refused(&SERVE, &["broker.toml:1: unknown field `lissen`", "`listen`"]);
    home.write("broker.toml", &config.replace("http://127", "http://broker.example"));
    home.refused(&SERVE, &["broker.toml", "issuer", "https://"]);
    home.write("broker.toml", &config);
    home.write("policy.toml", &POLICY.replace("\"issues.write\" = { access", "\"issues.write\" = { acess"));
    home.refused(&INIT, &["policy.toml:5: ", "fix:", "shortbread policy check policy.toml"]);
    home.refused(&["policy", "check", "policy.toml"], &["policy.toml:5: ", "fix:", "1 problem"]);
    std::fs::remove_file(home.path("policy.toml")).unwrap();
    home.refused(&INIT, &["policy.toml cannot be read"]);
    home.write("policy.toml", POLICY);
    home.ok(&INIT);
    home.refused(&INIT, &["shortbread.db", "initialised already"]);
}

#[test]
fn keys_that_are_no_secret_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let (home, _) = initialised();
    let token = home.path("keys/token.pem");
    let own = home.read("keys/token.pem");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    home.refused(&SERVE, &["keys/token.pem", "chmod 600"]);
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../keys.example/token.pem");
    home.write("keys/token.pem", &std::fs::read_to_string(sample).unwrap());
    home.refused(&SERVE, &["keys/token.pem", "sample key", "shortbread keys generate"]);
    std::fs::remove_file(&token).unwrap();
    home.refused(&SERVE, &["keys/token.pem", "cannot be read"]);
    home.ok(&["keys", "generate", "--purpose", "token", "--out", "other.pem"]);
    std::fs::copy(home.path("other.pem"), &token).unwrap();
    home.refused(&SERVE, &["keys/token.pem", "not in the key document"]);
    home.write("keys/token.pem", &own);
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let _broker = serve(&home);
}

#[test]
fn one_broker_at_a_time_has_a_port_and_a_store() {
    let (home, _broker, url) = served();
    home.refused(&SERVE, &["shortbread.db", "another process holds the store"]);
    let (other, _) = initialised();
    let address = url.trim_start_matches("http://");
    let config = other.read("broker.toml");
    let listen = config.lines().find(|line| line.starts_with("listen")).unwrap().to_owned();
    other.write("broker.toml", &config.replace(&listen, &format!("listen = \"{address}\"")));
    other.refused(&SERVE, &[address, "`listen`"]);
}

/// A broker to play with.
fn dev(home: &Home, address: &str) -> Running {
    let mut broker = home.start(&["dev", "--listen", address]);
    broker.wait_for("Stop it with Ctrl-C");
    broker
}

#[test]
fn dev_needs_nothing_and_serve_wants_nothing_of_it() {
    let (home, address) = (Home::new(), free_address());
    home.refused(&["dev", "--listen", "0.0.0.0:0"], &["0.0.0.0:0 is not loopback", "127.0.0.1"]);
    let mut broker = dev(&home, &address);
    let ask = ["exchange", "--workflow", "demo", "--key", ".shortbread/keys/demo.pem"];
    home.ok(&[&ask[..], &["--scope", "github:issues.read"]].concat());
    home.ok(&["doctor"]);
    home.ok(&["login", "--key", ".shortbread/keys/operator.pem", "--operator", "dev"]);
    home.ok(&["keys", "list", "--root", ".shortbread/keys/root.pub.pem"]);
    let config =
        home.read(".shortbread/broker.toml").replacen("\n\n", "\npolicy = \"../policy.toml\"\n\n", 1);
    home.refused(&["dev", "--listen", &address], &["shortbread.db", "another process"]);
    broker.signal("INT");
    assert_eq!(broker.wait().code(), Some(0), "{}", broker.said());
    home.refused(&["serve", "--config", ".shortbread/broker.toml"], &["shortbread.db", "`shortbread dev`"]);
    home.refused(&["dev", "--listen", &free_address()], &[&address, "--data"]);
    // Its keys are refused on their own as well, in a new store and in a policy.
    std::fs::remove_file(home.path(".shortbread/shortbread.db")).unwrap();
    home.refused(
        &["init", "--config", ".shortbread/broker.toml"],
        &["keys/demo.pub.pem", "`shortbread dev`"],
    );
    home.write(".shortbread/broker.toml", &config);
    home.ok(&["keys", "generate", "--purpose", "workflow", "--out", "keys/demo.pem"]);
    home.ok(&["keys", "generate", "--purpose", "operator", "--out", "keys/alice.pem"]);
    home.write("policy.toml", POLICY);
    home.ok(&["init", "--config", ".shortbread/broker.toml"]);
    home.refused(&["serve", "--config", ".shortbread/broker.toml"], &["root.pub.pem", "`shortbread dev`"]);
}

#[test]
fn saving_the_policy_of_dev_puts_it_in_force_or_tells_why_not() {
    let (home, address) = (Home::new(), free_address());
    let mut broker = dev(&home, &address);
    let policy = home.read(".shortbread/policy.toml");
    home.write(".shortbread/policy.toml", &format!("{policy}\n# saved\n"));
    broker.wait_for("policy version 2 is in force");
    home.write(".shortbread/policy.toml", &policy.replacen("access = \"read\"", "access = \"reed\"", 1));
    broker.wait_for("the saved policy is not in force; the one before stays");
    broker.wait_for("policy.toml:7: ");
    assert_eq!(versions(&home), [(2, true), (1, false)]);
    // Saved while nobody looked.
    broker.kill();
    home.write(".shortbread/policy.toml", &policy);
    let mut broker = dev(&home, &address);
    broker.wait_for("policy version 1 is in force");
}

#[test]
fn a_token_is_bound_to_a_key_by_name() {
    let (home, _broker, _) = served();
    home.ok(&["keys", "generate", "--purpose", "workflow", "--out", "keys/agent.pem"]);
    let ask = [&ASK[..], &["--scope", "github:issues.read", "--dpop-key", "keys/agent.pem"]].concat();
    let answer = home.json(&ask);
    assert_eq!(answer["token_type"], "DPoP");
    let text = home.ok(&ask);
    assert!(text.contains("token type") && text.contains("DPoP"), "{text}");
    home.write("token.txt", answer["access_token"].as_str().unwrap());
    let told = home.ok(&["inspect", "@token.txt"]);
    let holder = told.lines().find(|line| line.contains("bound to key")).unwrap_or_else(|| panic!("{told}"));
    let thumbprint = holder.split_whitespace().last().unwrap().to_owned();
    home.ok(&["keys", "generate", "--purpose", "workflow", "--out", "keys/helper.pem"]);
    let pass_on = [
        "exchange",
        "--parent",
        "@token.txt",
        "--dpop-key",
        "keys/agent.pem",
        "--for-key",
        "keys/helper.pub.pem",
    ];
    let child = home.json(&[&pass_on[..], &["--ttl", "30s"]].concat());
    assert_eq!((child["token_type"].as_str(), child["expires_in"].as_u64()), (Some("DPoP"), Some(30)));
    home.write("child.txt", child["access_token"].as_str().unwrap());
    let verify = |key: &[&str]| {
        let call = ["verify", "@child.txt", "--call", "github/issues.read", "--audience", AUDIENCE];
        home.run(&[&call[..], key].concat())
    };
    assert!(verify(&["--dpop-key", "keys/helper.pem"]).out.contains("allow"));
    assert!(verify(&["--dpop-key", "keys/agent.pem"]).out.contains("proof.wrong_key"));
    assert!(verify(&[]).out.contains("proof.required"));
    home.ok(&["revoke", "--holder", &thumbprint, "--reason", "a laptop was lost"]);
    assert!(home.run(&ask).err.contains("revoked.holder"));
    let dead = verify(&["--dpop-key", "keys/helper.pem"]);
    assert!(dead.out.contains("revoked.token"), "it died with its parent: {} {}", dead.out, dead.err);
    home.ok(&[&ASK[..], &["--scope", "github:issues.read"]].concat());
}
