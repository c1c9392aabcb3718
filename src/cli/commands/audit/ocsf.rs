//! Entries in the Open Cybersecurity Schema Framework, for those who collect security events of all kinds.
//!
//! | entry | class | activity |
//! |---|---|---|
//! | `call.decision`, `decision` (admin API) | 6003 API Activity | 1 Create, 2 Read, 3 Update, 4 Delete, by the verb and its access; else 99 Other |
//! | `token.minted`, `token.refused` | 3003 Authorize Session | 1 Assign Privileges |
//! | `revocation.set`, `policy.added`, `verifier.leased`, `approval.requested` | 3004 Entity Management | 1 Create |
//! | `policy.activated`, `key.rotated`, `breaker.*`, `approval.voted`, `.escalated`, `.decided`, `call.claimed`, `budget.returned` | 3004 Entity Management | 3 Update |
//! | `revocation.lifted`, `verifier.forgotten`, `approval.expired`, `approval.cancelled` | 3004 Entity Management | 4 Delete |
//! | whatever else | 3004 Entity Management | 99 Other |
//!
//! `type_uid` is the class times 100 plus the activity; `metadata.correlation_uid` the trace, `metadata.uid` the decision;
//! `status_id` and `action_id` are 1 for what was allowed or done, 2 for what was denied; `status_code` is the reason code.
//! Severity: 1 for what was allowed, 2 for what was denied and for changes of policy and keys, 3 for a revocation. All
//! that has no place of its own in the schema stands under `unmapped`.

use serde_json::{Map, Value, json};
use shortbread_protocol::clock::Timestamp;

use shortbread_broker::story::{decider, kind, outcome, reasons, what};

/// The version of the schema.
const SCHEMA: &str = "1.3.0";
const OTHER: u64 = 99;

/// The entry as an event of the schema; `None` when it is no entry, having no type or time.
pub(super) fn event(entry: &Value) -> Option<Value> {
    let time: Timestamp = text(entry, "/time")?.parse().ok()?;
    text(entry, "/type")?;
    let mut event = match kind(entry) {
        "call.decision" | "decision" => call(entry),
        "token.minted" | "token.refused" => session(entry),
        _ => change(entry),
    };
    let class = event.get("class_uid").and_then(Value::as_u64).unwrap_or_default();
    let activity = event.get("activity_id").and_then(Value::as_u64).unwrap_or_default();
    let denied = outcome(entry) == "deny";
    let profiles = if class == 6003 { json!(["security_control"]) } else { json!([]) };
    for (name, value) in [
        ("category_uid", json!(class / 1000)),
        ("type_uid", json!(class * 100 + activity)),
        ("time", json!(time.millis())),
        ("severity_id", json!(severity(entry, denied))),
        ("status_id", json!(if denied { 2 } else { 1 })),
        ("status_code", json!(reasons(entry))),
        ("status_detail", json!(text(entry, "/data/detail"))),
        ("message", json!(message(entry))),
        ("metadata", metadata(entry, &profiles)),
        ("unmapped", entry.get("data").cloned().unwrap_or_default()),
    ] {
        event.insert(name.to_owned(), value);
    }
    event.retain(|_, value| !value.is_null() && value != "");
    Some(Value::Object(event))
}

fn metadata(entry: &Value, profiles: &Value) -> Value {
    json!({
        "version": SCHEMA,
        "product": { "name": "Shortbread", "vendor_name": "Shortbread", "version": env!("CARGO_PKG_VERSION") },
        "uid": text(entry, "/id"),
        "event_code": text(entry, "/type"),
        "correlation_uid": text(entry, "/traceparent").and_then(|parent| parent.split('-').nth(1)),
        "log_provider": text(entry, "/source"),
        "log_name": "audit",
        "original_time": text(entry, "/time"),
        "profiles": profiles,
    })
}

fn message(entry: &Value) -> String {
    let parts = [outcome(entry).to_owned(), kind(entry).replace('.', " "), what(entry), reasons(entry)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn severity(entry: &Value, denied: bool) -> u64 {
    match kind(entry) {
        "revocation.set" | "revocation.lifted" => 3,
        "policy.added" | "policy.activated" | "key.rotated" | "breaker.opened" => 2,
        _ if denied => 2,
        _ => 1,
    }
}

/// A call of a tool, or of the admin API.
fn call(entry: &Value) -> Map<String, Value> {
    let asked = text(entry, "/data/requested/0").and_then(|operation| operation.split_once('/'));
    let tool = text(entry, "/data/tool").or_else(|| asked.map(|(tool, _)| tool)).unwrap_or("unknown");
    let verb = text(entry, "/data/verb").or_else(|| asked.map(|(_, verb)| verb)).unwrap_or("unknown");
    let (denied, activity) = (outcome(entry) == "deny", activity(verb, text(entry, "/data/access")));
    let decision = if denied { "denied" } else { "allowed" };
    let mut event = of(6003, activity);
    if activity == OTHER {
        event.insert("activity_name".to_owned(), json!(verb));
    }
    event.extend(members([
        ("actor", actor(entry)),
        ("api", json!({ "operation": verb, "service": { "name": tool } })),
        ("src_endpoint", json!({ "svc_name": subject(entry).1 })),
        ("dst_endpoint", json!({ "svc_name": tool, "instance_uid": text(entry, "/data/instance") })),
        ("action_id", json!(if denied { 2 } else { 1 })),
        ("authorizations", json!([{ "decision": decision, "policy": policy(entry) }])),
        ("resources", json!([{ "name": format!("{tool}/{verb}"), "type": "verb" }])),
    ]));
    event
}

/// A token that was issued or refused.
fn session(entry: &Value) -> Map<String, Value> {
    let verbs = ["/data/granted", "/data/requested"].into_iter().filter_map(|pointer| {
        entry.pointer(pointer).and_then(Value::as_array).filter(|verbs| !verbs.is_empty())
    });
    // One of these is required, and of a stranger nothing may be known.
    let privileges = verbs.map(|verbs| json!(verbs)).next().unwrap_or_else(|| json!(["unknown"]));
    let mut event = of(3003, 1);
    event.extend(members([
        ("user", user(entry)),
        ("actor", actor(entry)),
        ("privileges", privileges),
        ("session", opened(entry)),
    ]));
    event
}

/// A change of what the broker goes by.
fn change(entry: &Value) -> Map<String, Value> {
    let kind = kind(entry);
    let (what_kind, activity) = match kind {
        "revocation.set" => ("revocation", 1),
        "revocation.lifted" => ("revocation", 4),
        "policy.added" => ("policy", 1),
        "policy.activated" => ("policy", 3),
        "key.rotated" => ("key document", 3),
        "verifier.leased" => ("verifier", 1),
        "verifier.forgotten" => ("verifier", 4),
        "breaker.opened" | "breaker.closed" => ("circuit breaker", 3),
        "approval.requested" => ("approval", 1),
        "approval.voted" | "approval.escalated" | "approval.decided" => ("approval", 3),
        "approval.expired" | "approval.cancelled" => ("approval", 4),
        "call.claimed" | "budget.returned" => ("token", 3),
        other => (other, OTHER),
    };
    let version = entry.pointer("/data/version").filter(|version| !version.is_null());
    let version = version.map(|version| version.as_str().map_or_else(|| version.to_string(), str::to_owned));
    let name = what(entry);
    let own = match what_kind {
        "approval" => text(entry, "/data/approval"),
        "token" => text(entry, "/data/token"),
        _ => None,
    };
    let uid = own.or_else(|| text(entry, "/data/policy")).or_else(|| text(entry, "/id"));
    let mut event = of(3004, activity);
    if activity == OTHER {
        event.insert("activity_name".to_owned(), json!(kind));
    }
    event.extend(members([
        ("entity", json!({ "type": what_kind, "name": if name.is_empty() { what_kind.to_owned() } else { name }, "uid": uid, "version": version })),
        ("actor", actor(entry)),
        ("comment", json!(text(entry, "/data/reason"))),
    ]));
    event
}

fn of(class: u64, activity: u64) -> Map<String, Value> {
    members([("class_uid", json!(class)), ("activity_id", json!(activity))])
}

fn members<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), bare(value))).collect()
}

// What is not known is left out.
fn bare(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let known = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(known.map(|(name, value)| (name, bare(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(bare).collect()),
        other => other,
    }
}

/// What a verb does, by its last word, else by its access.
fn activity(verb: &str, access: Option<&str>) -> u64 {
    match (verb.rsplit('.').next().unwrap_or_default(), access) {
        ("create" | "add" | "new" | "post" | "send", _) => 1,
        ("read" | "get" | "list" | "search" | "view" | "status", _) => 2,
        ("write" | "update" | "edit" | "set" | "patch" | "change", _) => 3,
        ("delete" | "remove" | "drop", _) => 4,
        (_, Some("read")) => 2,
        (_, Some("write")) => 3,
        _ => OTHER,
    }
}

/// `workflow` or `operator`, and the name.
fn subject(entry: &Value) -> (&str, &str) {
    let subject = text(entry, "/subject").unwrap_or("unknown");
    subject.split_once('/').unwrap_or(("unknown", subject))
}

fn actor(entry: &Value) -> Value {
    let (kind, name) = subject(entry);
    let decider = decider(entry).map(|name| json!({ "name": name, "type_id": 2, "type": "operator" }));
    let user = (kind == "operator").then(|| user(entry)).or(decider);
    let idp = text(entry, "/data/identity/iss").map(|issuer| json!({ "name": issuer }));
    let authorizations = policy(entry).is_object().then(|| json!([{ "policy": policy(entry) }]));
    json!({
        "app_uid": name, "app_name": text(entry, "/data/identity/entry"), "user": user, "session": opened(entry),
        "idp": idp, "authorizations": authorizations,
    })
}

fn user(entry: &Value) -> Value {
    let (kind, name) = subject(entry);
    // 2 is an administrator; a workflow is none of the kinds that the schema has.
    let type_id = if kind == "operator" { 2 } else { OTHER };
    json!({ "name": name, "type_id": type_id, "type": kind, "uid": text(entry, "/data/identity/sub_sha256") })
}

fn opened(entry: &Value) -> Value {
    let Some(token) = text(entry, "/data/token") else { return Value::Null };
    let expires = entry.pointer("/data/expires").and_then(Value::as_u64);
    json!({ "uid": token, "issuer": text(entry, "/source"), "expiration_time": expires.map(|seconds| seconds.saturating_mul(1000)) })
}

fn policy(entry: &Value) -> Value {
    text(entry, "/data/policy").map_or(Value::Null, |digest| json!({ "uid": digest, "name": "policy" }))
}

fn text<'v>(entry: &'v Value, pointer: &str) -> Option<&'v str> {
    entry.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, subject: &str, data: Value) -> Value {
        json!({
            "specversion": "1.0", "id": "dec_1", "source": "https://b.example", "type": format!("dev.shortbread.{kind}.v1"),
            "time": "2026-11-20T12:00:00.123Z", "subject": subject, "datacontenttype": "application/json",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "data": data,
        })
    }

    /// What the schema requires of every event.
    #[track_caller]
    fn sound(event: &Value, class: u64, activity: u64) {
        assert_eq!(
            (&event["class_uid"], &event["activity_id"]),
            (&json!(class), &json!(activity)),
            "{event}"
        );
        assert_eq!(event["category_uid"], json!(class / 1000));
        assert_eq!(event["type_uid"], json!(class * 100 + activity));
        assert_eq!(event["time"], json!(1_795_176_000_123u64));
        assert!((1..=6).contains(&event["severity_id"].as_u64().unwrap()));
        assert_eq!(event["metadata"]["version"], SCHEMA);
        assert_eq!(event["metadata"]["product"]["name"], "Shortbread");
        assert_eq!(event["metadata"]["correlation_uid"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(event["metadata"]["uid"], "dec_1");
        assert!(activity != OTHER || event["activity_name"].is_string());
        assert!(!event.to_string().contains(":null"), "{event}");
    }

    #[test]
    fn calls_are_api_activity() {
        let data = json!({
            "outcome": "deny", "reasons": ["argument_refused"], "tool": "github", "verb": "issues.write", "access": "write",
            "token": "tok_1", "instance": "i-1", "policy": "sha256:ab", "workflow": "demo",
        });
        let event = event(&entry("call.decision", "workflow/demo", data)).unwrap();
        sound(&event, 6003, 3);
        assert_eq!(event["actor"]["app_uid"], "demo");
        assert_eq!(event["api"], json!({"operation": "issues.write", "service": {"name": "github"}}));
        assert_eq!(event["src_endpoint"]["svc_name"], "demo");
        assert_eq!((&event["action_id"], &event["status_id"]), (&json!(2), &json!(2)));
        assert_eq!(event["authorizations"][0]["decision"], "denied");
        assert_eq!(event["authorizations"][0]["policy"]["uid"], "sha256:ab");
        assert_eq!(event["status_code"], "argument_refused");
        assert_eq!(event["metadata"]["profiles"], json!(["security_control"]));
    }

    #[test]
    fn a_refusal_of_the_admin_api_is_api_activity() {
        let data = json!({"outcome": "deny", "reasons": ["admin.not_permitted"], "requested": ["shortbread/audit.read"]});
        let event = event(&entry("decision", "operator/bob", data)).unwrap();
        sound(&event, 6003, 2);
        assert_eq!(event["actor"]["user"], json!({"name": "bob", "type_id": 2, "type": "operator"}));
    }

    #[test]
    fn what_a_verb_does_is_told_by_its_last_word_or_its_access() {
        for (verb, access, id) in [
            ("issues.create", None, 1),
            ("issues.read", Some("write"), 2),
            ("issues.close", Some("write"), 3),
            ("repo.delete", Some("privileged"), 4),
            ("repo.transfer", Some("privileged"), OTHER),
        ] {
            assert_eq!(activity(verb, access), id, "{verb}");
        }
    }

    #[test]
    fn tokens_are_sessions() {
        let data = json!({
            "outcome": "allow", "token": "tok_1", "expires": 1_795_176_600u64, "granted": ["github/issues.read"],
            "requested": ["github/issues.read"], "identity": {"iss": "https://i.example", "entry": "demo", "sub_sha256": "ab"},
            "policy": "sha256:ab",
        });
        let minted = event(&entry("token.minted", "workflow/demo", data)).unwrap();
        sound(&minted, 3003, 1);
        assert_eq!(minted["user"], json!({"name": "demo", "type_id": 99, "type": "workflow", "uid": "ab"}));
        assert_eq!(minted["session"]["expiration_time"], json!(1_795_176_600_000u64));
        assert_eq!(
            (&minted["privileges"][0], &minted["status_id"]),
            (&json!("github/issues.read"), &json!(1))
        );
        let stranger = json!({"outcome": "deny", "reasons": ["identity.invalid"], "requested": []});
        let refused = event(&entry("token.refused", "unknown", stranger)).unwrap();
        sound(&refused, 3003, 1);
        assert_eq!((&refused["privileges"], &refused["status_id"]), (&json!(["unknown"]), &json!(2)));
        assert_eq!(refused["user"]["name"], "unknown");
    }

    #[test]
    fn changes_are_entity_management() {
        for (kind, activity, what) in [
            ("revocation.set", 1, "revocation"),
            ("revocation.lifted", 4, "revocation"),
            ("policy.added", 1, "policy"),
            ("policy.activated", 3, "policy"),
            ("key.rotated", 3, "key document"),
            ("verifier.leased", 1, "verifier"),
            ("verifier.forgotten", 4, "verifier"),
            ("breaker.opened", 3, "circuit breaker"),
            ("something.new", OTHER, "something.new"),
        ] {
            let data = json!({"outcome": "done", "version": 3, "reason": "INC-1", "entries": [{"what": "workflow demo"}]});
            let event = event(&entry(kind, "operator/alice", data)).unwrap();
            sound(&event, 3004, activity);
            assert_eq!(event["entity"]["type"], what);
            assert_eq!((&event["entity"]["version"], &event["comment"]), (&json!("3"), &json!("INC-1")));
            assert_eq!(event["actor"]["user"]["name"], "alice");
        }
    }

    #[test]
    fn who_decides_is_the_actor_and_the_approval_what_changes() {
        for (kind, activity, what, uid) in [
            ("approval.requested", 1, "approval", "apr_1"),
            ("approval.voted", 3, "approval", "apr_1"),
            ("approval.escalated", 3, "approval", "apr_1"),
            ("approval.decided", 3, "approval", "apr_1"),
            ("approval.expired", 4, "approval", "apr_1"),
            ("approval.cancelled", 4, "approval", "apr_1"),
            ("call.claimed", 3, "token", "tok_1"),
            ("budget.returned", 3, "token", "tok_1"),
        ] {
            let data = json!({
                "outcome": "denied", "approval": "apr_1", "by": "bob", "token": "tok_1", "policy": "sha256:ab",
                "verbs": ["payments/refunds.create"], "reason": "wrong customer",
            });
            let event = event(&entry(kind, "workflow/desk", data)).unwrap();
            sound(&event, 3004, activity);
            assert_eq!((&event["entity"]["type"], &event["entity"]["uid"]), (&json!(what), &json!(uid)));
            assert_eq!(
                (&event["entity"]["name"], &event["status_id"]),
                (&json!("payments/refunds.create"), &json!(2))
            );
            if what == "approval" {
                assert_eq!(
                    (&event["actor"]["user"]["name"], &event["actor"]["app_uid"]),
                    (&json!("bob"), &json!("desk"))
                );
            }
        }
    }

    #[test]
    fn what_is_no_entry_is_no_event() {
        for bad in [json!(null), json!({}), json!({"type": "x"}), json!({"type": "x", "time": "now"})] {
            assert!(event(&bad).is_none(), "{bad}");
        }
    }
}
