//! The audit log can be taken away and proved with no broker at hand; whatever was changed on the way is named.

use std::time::Duration;

use serde_json::{Value, json};
use shortbread_broker::audit::{Scribe, begin};
use shortbread_broker::config::Config;
use shortbread_broker::store::{Options, Store};
use shortbread_protocol::clock::{Clock as _, SystemClock};
use shortbread_protocol::event::EventType;
use shortbread_protocol::log::origin;
use shortbread_protocol::random::SystemRandom;
use shortbread_tests::process::{Home, Running};
use shortbread_tests::{Answer, World};

use crate::program::{served, served_after};

const EXPORT: &str = "/api/v1/audit/export";

/// The bodies as they are stored.
async fn stored(world: &World) -> Vec<Vec<u8>> {
    let entries = world.broker.store.audit_tail(0, 10_000).await.unwrap();
    entries.into_iter().map(|entry| entry.body).collect()
}

fn places(answer: &Answer) -> [u64; 3] {
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"), "{answer:?}");
    ["from", "next", "end"].map(|name| answer.header(&format!("shortbread-{name}")).parse().unwrap())
}

#[tokio::test]
async fn an_export_holds_the_very_bytes_that_are_stored_page_by_page() {
    let world = World::start().await;
    for _ in 0..5 {
        world.demo("github:issues.read").await;
    }
    let token = world.operator("alice", "audit.read").await;
    let get = |path: String| {
        let (world, token) = (&world, &token);
        async move { world.call("get", &path, Some(token), None).await }
    };
    let all = stored(&world).await;
    let (mut read, mut at) = (Vec::new(), 0);
    loop {
        let page = get(format!("{EXPORT}?from={at}&limit=3")).await;
        let [from, next, end] = places(&page);
        assert!(from == at && end == all.len() as u64 && next - from <= 3);
        read.extend_from_slice(&page.bytes);
        at = next;
        if at >= end {
            break;
        }
    }
    let lines: Vec<u8> = all.iter().flat_map(|body| [body.as_slice(), b"\n"].concat()).collect();
    assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(&lines));
    assert!(all.iter().all(|body| serde_json::from_slice::<Value>(body).is_ok() && !body.contains(&b'\n')));
    let beyond = get(format!("{EXPORT}?from={}", u64::MAX)).await;
    assert!(places(&beyond)[0] == u64::MAX && beyond.bytes.is_empty());
    for bad in ["from=0&since=2026-11-20T12:00:00Z", "since=yesterday", "until=1", "limit=-1", "colour=red"] {
        let refused = get(format!("{EXPORT}?{bad}")).await;
        assert_eq!((refused.status, refused.reason()), (400, "request.malformed"), "{bad}");
    }
    let other = world.operator("bob", "policy.read").await;
    let refused = world.call("get", EXPORT, Some(&other), None).await;
    assert_eq!((refused.status, refused.reason()), (403, "admin.not_permitted"));
}

#[tokio::test]
async fn a_period_is_told_by_when_the_log_was_signed() {
    let world = World::start().await;
    let mark = world.clock.now().plus(Duration::from_secs(60));
    world.demo("github:issues.read").await;
    world.broker.log.sign().await.unwrap();
    let before = stored(&world).await.len() as u64;
    world.clock.advance(Duration::from_secs(3600));
    for _ in 0..3 {
        world.demo("github:issues.read").await;
    }
    world.broker.log.sign().await.unwrap();
    let token = world.operator("alice", "audit.read").await;
    let since = world.call("get", &format!("{EXPORT}?since={mark}"), Some(&token), None).await;
    assert_eq!(places(&since)[0], before);
    let until = world.call("get", &format!("{EXPORT}?until={mark}"), Some(&token), None).await;
    assert_eq!(places(&until), [0, before, before]);
}

/// A broker that has decided this and that, and an export of it.
fn exported() -> (Home, Running, String) {
    let (home, broker, url) = served();
    let ask = ["exchange", "--workflow", "demo", "--key", "keys/demo.pem", "--scope"];
    for _ in 0..3 {
        home.ok(&[&ask[..], &["github:issues.read"]].concat());
    }
    let refused = home.run(&[&ask[..], &["github:repo.delete"]].concat());
    assert_eq!(refused.code, 1);
    home.ok(&["revoke", "--task", "t-1", "--reason", "a test"]);
    let entries = || home.ok(&["audit", "export"]).lines().count();
    let (wanted, mut tries) = (entries(), 0);
    // The newest entries are covered by a checkpoint within a second.
    while {
        home.ok(&["audit", "export", "--out", "a.jsonl"]);
        home.read("a.jsonl").lines().count() < wanted
    } {
        tries += 1;
        assert!(tries < 50, "no checkpoint covers the entries");
        std::thread::sleep(Duration::from_millis(100));
    }
    (home, broker, url)
}

fn checked(home: &Home, more: &[&str]) -> (i32, Value) {
    let said = home.run(&[&["audit", "verify", "a.jsonl", "--json"], more].concat());
    (said.code, serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}")))
}

#[test]
fn an_export_is_proved_with_no_broker_at_hand_and_every_damage_is_named() {
    let (home, broker, url) = exported();
    let old = public(&format!("{url}/log/checkpoint"));
    home.write("anchors.txt", &old);
    home.ok(&["exchange", "--workflow", "demo", "--key", "keys/demo.pem", "--scope", "github:issues.read"]);
    std::thread::sleep(Duration::from_millis(1500));
    home.ok(&["audit", "export", "--out", "a.jsonl"]);
    drop(broker);

    let text = home.ok(&["audit", "verify", "a.jsonl", "--checkpoint", "anchors.txt"]);
    let log = origin(&url);
    for words in
        ["the log is as it was signed", &log, "key document 1", "1 of 1 fit", "only the log's own checkpoint"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let (code, report) = checked(&home, &["--root", "keys/root.pub.pem"]);
    assert_eq!((code, &report["good"], &report["damages"]), (0, &json!(true), &json!(0)));
    #[cfg(unix)]
    for name in ["a.jsonl", "a.jsonl.proof"] {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(home.path(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }

    let whole = home.read("a.jsonl");
    let lines: Vec<&str> = whole.lines().collect();
    let write = |lines: &[&str]| home.write("a.jsonl", &(lines.join("\n") + "\n"));
    let changed = lines[3].replace("deny", "allow").replace("allow", "grant");
    let mut damaged = lines.clone();
    damaged[3] = &changed;
    write(&damaged);
    let said = home.run(&["audit", "verify", "a.jsonl"]);
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("NOT as it was signed") && said.out.contains("changed: line 4 of the export"),
        "{said:?}"
    );
    write(&[&lines[..2], &lines[3..]].concat());
    let (code, report) = checked(&home, &[]);
    assert_eq!(
        (code, &report["findings"][0]["fault"], &report["findings"][0]["place"]),
        (1, &json!("removed"), &json!(2))
    );
    write(&lines[..lines.len() - 2]);
    let (code, report) = checked(&home, &[]);
    assert_eq!((code, &report["findings"][0]["fault"]), (1, &json!("cut")));
    home.write("a.jsonl", &whole);

    // Another root key vouches for nothing, and another broker's log is not this one.
    home.ok(&["keys", "generate", "--purpose", "root", "--out", "other.pem"]);
    home.refused(&["audit", "verify", "a.jsonl", "--root", "other.pub.pem"], &["root key"]);
    home.refused(&["audit", "verify", "a.jsonl", "--checkpoint", "a.jsonl"], &["holds no checkpoint"]);
    home.refused(&["audit", "verify", "a.jsonl", "--proof", "none.proof"], &["none.proof cannot be read"]);
    // A log that was cut since: the checkpoint kept outside knows more.
    std::fs::rename(home.path("a.jsonl.proof"), home.path("new.proof")).unwrap();
    assert_eq!(home.run(&["audit", "verify", "a.jsonl"]).code, 1, "without a proof nothing is proved");
}

#[test]
fn a_part_of_the_log_is_proved_as_the_whole_is() {
    let (home, _broker, _url) = exported();
    std::thread::sleep(Duration::from_millis(2500));
    home.ok(&["exchange", "--workflow", "demo", "--key", "keys/demo.pem", "--scope", "github:issues.read"]);
    std::thread::sleep(Duration::from_millis(1500));
    let said = home.ok(&["audit", "export", "--since", "3s", "--out", "a.jsonl", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert!(said["first"].as_u64().unwrap() > 0, "{said}");
    let (code, report) = checked(&home, &[]);
    assert_eq!(
        (code, &report["missing"]["before"]),
        (1, &said["first"]),
        "a part is not the whole: {report}"
    );
    let first = said["first"].to_string();
    for part in [&["--partial"][..], &["--from", &first]] {
        let (code, report) = checked(&home, part);
        assert_eq!((code, &report["first"], &report["good"]), (0, &said["first"], &json!(true)), "{report}");
    }
}

#[test]
fn events_of_the_log_are_exported_for_a_security_lake() {
    let (home, _broker, _url) = exported();
    home.ok(&["audit", "export", "--format", "ocsf", "--since", "1h", "--out", "o.jsonl"]);
    let events: Vec<Value> =
        home.read("o.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let classes: std::collections::BTreeSet<u64> =
        events.iter().filter_map(|event| event["class_uid"].as_u64()).collect();
    assert!(classes.contains(&3003) && classes.contains(&3004), "{classes:?}");
    for event in &events {
        for name in ["category_uid", "class_uid", "activity_id", "type_uid", "severity_id", "time"] {
            assert!(event[name].is_u64(), "{name}: {event}");
        }
        assert!(event["metadata"]["correlation_uid"].is_string(), "{event}");
    }
    assert!(!home.path("o.jsonl.proof").exists(), "events are no proof");
    assert_eq!(home.run(&["audit", "export", "--since", "tomorrow"]).code, 2);
}

#[test]
fn a_decision_and_a_token_lead_to_the_whole_story() {
    let (home, _broker, _url) = exported();
    let tail = home.ok(&["audit", "tail", "--type", "token.minted", "--workflow", "demo", "--json"]);
    let minted: Value = serde_json::from_str(tail.lines().last().unwrap()).unwrap();
    let (decision, token) = (minted["id"].as_str().unwrap(), minted["data"]["token"].as_str().unwrap());
    for id in [decision, token] {
        let story = home.ok(&["audit", "show", id]);
        assert!(story.starts_with("trace "), "{story}");
        assert!(story.contains("\u{25b6}") && story.contains("token minted github/issues.read"), "{story}");
    }
    let full = home.ok(&["audit", "show", decision, "--full"]);
    assert!(full.contains("\"revocation_seq\""), "{full}");
    let raw: Value = serde_json::from_str(home.ok(&["audit", "show", decision, "--json"]).trim()).unwrap();
    assert_eq!(raw["id"], minted["id"]);
    let denied = home.ok(&["audit", "tail", "--outcome", "deny"]);
    assert!(denied.lines().count() == 1 && denied.contains("deny   workflow/demo"), "{denied}");
    let plain = home.ok(&["audit", "tail"]);
    assert!(!plain.contains("shortbread/audit.read"), "{plain}");
    assert!(home.ok(&["audit", "tail", "--all"]).contains("shortbread/audit.read"));
}

/// Writes refusals of workflows into the log of a broker that does not run.
fn refusals(home: &Home, of: &[(&str, usize)]) {
    let config = Config::read(&home.path("broker.toml")).unwrap();
    let path = home.path(&config.store.sqlite.display().to_string());
    let store = Store::open(&path, &Options { dev: true, ..Options::default() }).unwrap();
    let scribe = Scribe::new(&config.issuer);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let entries = of.iter().flat_map(|(workflow, times)| std::iter::repeat_n(*workflow, *times));
    let entries = entries.map(|workflow| {
        let decision = begin(&SystemClock::start(), &SystemRandom, None).unwrap();
        let data = json!({ "outcome": "deny", "workflow": workflow, "reasons": ["policy.not_granted"] });
        scribe.entry(EventType::TokenRefused, &decision, format!("workflow/{workflow}"), data)
    });
    runtime.block_on(store.record_calls(entries.collect(), |_| true)).unwrap();
}

#[test]
fn a_rare_entry_is_found_behind_a_thousand_others() {
    let (home, _broker, _url) =
        served_after(|home| refusals(home, &[("rare", 2), ("common", 1100), ("rare", 1)]));
    let tail = |more: &[&str]| home.ok(&[&["audit", "tail", "--workflow"], more].concat());
    assert_eq!(tail(&["rare"]).lines().count(), 3);
    assert_eq!(tail(&["rare", "--limit", "2"]).lines().count(), 2, "the newest");
    assert_eq!(tail(&["common", "--limit", "500"]).lines().count(), 500);
    assert_eq!(tail(&["nobody"]), "");
}

/// What anyone may read.
pub(crate) fn public(url: &str) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { reqwest::get(url).await.unwrap().text().await.unwrap() })
}
