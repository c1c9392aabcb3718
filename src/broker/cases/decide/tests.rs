use serde_json::json;

use super::super::check::check;
use super::super::read::parse;
use super::*;
use crate::policy::fixture::{EXAMPLE, key, policy};

const GITHUB: &str = "https://token.actions.githubusercontent.com";

fn case(input: &Value) -> Case {
    parse(json!({ "id": "x", "input": input, "label": { "expect": "allow" } }).to_string().as_bytes())
        .unwrap()
}

/// A request of release-notes, as its issuer proved it.
fn notes(verbs: &[&str], more: &Value) -> Case {
    let request: Vec<Value> = verbs.iter().map(|verb| json!({ "verb": verb })).collect();
    let mut input = json!({
        "identity": {
            "principal": "workflow:release-notes", "issuer": GITHUB,
            "claims": { "repository_id": "456789", "environment": "prod", "repository": "acme/web" },
        },
        "intent": "triage", "request": request,
    });
    input.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    case(&input)
}

fn unapproved() -> Policy {
    let demand = "approval = { access = [\"write\"], approvers = \"oncall\", quorum = 1, sla = \"5m\", expires = \"15m\" }";
    assert!(EXAMPLE.contains(demand));
    policy(&EXAMPLE.replace(demand, ""))
}

#[test]
fn a_request_is_allowed_denied_or_waits() {
    let example = policy(EXAMPLE);
    let read = decide(&example, &notes(&["github/issues.read"], &json!({})));
    assert_eq!(
        (read.outcome, read.granted.len(), read.grants.as_slice()),
        (Outcome::Allow, 1, &["grant:1".to_owned()][..])
    );
    let (write, delete) = ("github/issues.write", "github/repo.delete");
    let waits = decide(&example, &notes(&["github/issues.read", write], &json!({})));
    assert_eq!((waits.outcome, waits.reason), (Outcome::NeedsApproval, Some(Reason::ApprovalRequired)));
    assert!(waits.granted.is_empty());
    let of = |decided: &Decided, verb: &str| decided.of(&verb.parse().unwrap());
    assert_eq!(of(&waits, "github/issues.read"), Outcome::Allow, "by itself it needs nobody");
    assert_eq!((of(&waits, write), of(&waits, delete)), (Outcome::NeedsApproval, Outcome::Deny));
    let none = decide(&example, &notes(&[delete], &json!({})));
    assert_eq!((none.outcome, none.reason), (Outcome::Deny, Some(Reason::PolicyForbidden)));
    let other = decide(&example, &notes(&[write], &json!({ "intent": "release" })));
    assert_eq!((other.outcome, other.reason), (Outcome::Deny, Some(Reason::IntentRefused)));
    let partly = decide(&unapproved(), &notes(&["github/issues.read", delete], &json!({})));
    assert_eq!((partly.outcome, partly.granted.len()), (Outcome::Allow, 1));
    assert_eq!(partly.dropped, [(delete.parse().unwrap(), Reason::PolicyForbidden)]);
}

#[test]
fn the_identity_is_judged_by_the_policy_at_hand() {
    let example = policy(EXAMPLE);
    let read = notes(&["github/issues.read"], &json!({}));
    let staging = policy(&EXAMPLE.replace("environment = \"prod\"", "environment = \"staging\""));
    let refused = decide(&staging, &read);
    assert_eq!((refused.outcome, refused.reason), (Outcome::Deny, Some(Reason::IdentityUnmatched)));
    assert!(refused.detail.unwrap().contains("no identity entry"));
    let by_key = |thumbprint: &str| {
        let identity = json!({ "principal": "workflow:demo", "key": thumbprint });
        decide(
            &example,
            &case(&json!({ "identity": identity, "request": [{ "verb": "github/issues.read" }] })),
        )
    };
    assert_eq!(by_key("other").reason, Some(Reason::IdentityInvalid));
    assert_eq!(by_key(&key("demo").public().thumbprint()).reason, Some(Reason::PolicyDenied));
    let believed = |name: &str| {
        let identity = json!({ "principal": name });
        decide(
            &example,
            &case(&json!({ "identity": identity, "request": [{ "verb": "shortbread/policy.read" }] })),
        )
    };
    assert_eq!(believed("operator:alice").outcome, Outcome::Allow);
    assert_eq!(believed("operator:mallory").reason, Some(Reason::IdentityInvalid));
}

#[test]
fn what_is_proved_counts_as_it_does_live() {
    let example = policy(EXAMPLE);
    let alice = json!({ "principal": "operator:alice" });
    let ask = |possession: &str| {
        let request = json!([{ "verb": "shortbread/policy.read" }]);
        decide(
            &example,
            &case(&json!({ "identity": alice, "possession": possession, "ttl": 3600, "request": request })),
        )
    };
    assert_eq!(ask("proved").ttl, Some(Duration::from_secs(900)), "an operator's token is short");
    assert_eq!(ask("unproved").reason, Some(Reason::ProofRequired));
    // An identity that comes again reads and no more: as the entry says now, whatever it said then.
    let grant = "[[grants]]\nworkflow = \"enrich\"\ntool = \"github\"\nverbs = [\"issues.*\"]\nany_arguments = true\n\
                 intents = [\"enrich\"]\n";
    let worker =
        json!({ "kubernetes.io": { "namespace": "agents", "serviceaccount": { "name": "worker" } } });
    let input = json!({
        "identity": { "principal": "workflow:enrich", "issuer": "https://kubernetes.default.svc", "claims": worker },
        "intent": "enrich", "possession": "unproved",
        "request": [{ "verb": "github/issues.read" }, { "verb": "github/issues.write" }],
    });
    let reusable = decide(&policy(&format!("{EXAMPLE}{grant}")), &case(&input));
    assert_eq!(reusable.granted, ["github/issues.read".parse().unwrap()]);
    let once = EXAMPLE.replace("reuse = \"until_expiry\"", "");
    let once = decide(&policy(&format!("{once}{grant}")), &case(&input));
    assert_eq!(once.granted.len(), 2);
}

#[test]
fn a_call_is_checked_by_the_verifier_itself() {
    let open = unapproved();
    let call = |verb: &str, args: Value| {
        let more = json!({ "call": { "verb": verb, "args": args } });
        decide(&open, &notes(&["github/issues.read", "github/issues.write"], &more))
    };
    let write = "github/issues.write";
    let sound = json!({ "repo": "acme/web", "title": "t", "body": "b" });
    assert_eq!(call(write, sound.clone()).outcome, Outcome::Allow);
    let other = call(write, json!({ "repo": "acme/pay", "title": "t", "body": "b" }));
    assert_eq!((other.outcome, other.reason), (Outcome::Deny, Some(Reason::ArgumentRefused)));
    assert!(other.detail.unwrap().contains("\"repo\" is not the granted one"));
    let more = call(write, json!({ "repo": "acme/web", "labels": "x" }));
    assert_eq!(more.reason, Some(Reason::ArgumentRefused));
    assert_eq!(call("github/repo.delete", json!({})).reason, Some(Reason::NotGranted));
    assert_eq!(call("elsewhere/x", json!({})).reason, Some(Reason::NotGranted));
    let many: Map<String, Value> = (0..65).map(|n| (format!("a{n}"), json!(n))).collect();
    assert_eq!(call(write, many.into()).reason, Some(Reason::CallMalformed));
    // A bearer token is asked as one.
    let bearer = json!({ "possession": "unproved", "call": { "verb": write, "args": sound } });
    assert_eq!(decide(&open, &notes(&[write], &bearer)).outcome, Outcome::Allow);
    // What waits for an approval waits; what no approval would let pass is denied.
    let example = policy(EXAMPLE);
    let waiting = json!({ "call": { "verb": write, "args": sound } });
    assert_eq!(decide(&example, &notes(&[write], &waiting)).outcome, Outcome::NeedsApproval);
    let never = json!({ "call": { "verb": write, "args": { "repo": "acme/pay" } } });
    assert_eq!(decide(&example, &notes(&[write], &never)).reason, Some(Reason::ArgumentRefused));
}

#[test]
fn several_tools_take_a_key() {
    let tools = "[tools.jira]\naudience = \"https://tools.acme.example/jira\"\nverbs.\"read\" = { access = \"read\" }\n";
    let grant = "[[grants]]\nworkflow = \"release-notes\"\ntool = \"jira\"\nverbs = [\"read\"]\n";
    let policy = policy(&format!("{tools}{EXAMPLE}{grant}"));
    let both = ["github/issues.read", "jira/read"];
    assert_eq!(decide(&policy, &notes(&both, &json!({}))).granted.len(), 2);
    let bearer = decide(&policy, &notes(&both, &json!({ "possession": "unproved" })));
    assert_eq!(bearer.reason, Some(Reason::TargetUnknown));
}

#[test]
fn a_label_is_held_against_all_that_it_says() {
    let open = unapproved();
    let labelled = |label: Value| {
        let mut case = notes(&["github/issues.read", "github/issues.write"], &json!({}));
        case.label = serde_json::from_value(label).unwrap();
        check(&open, &case).unwrap()
    };
    let both = ["github/issues.write", "github/issues.read"];
    assert!(labelled(json!({ "expect": "allow" })).passed);
    assert!(labelled(json!({ "expect": "allow", "granted": both })).passed);
    let less = labelled(json!({ "expect": "allow", "granted": ["github/issues.read"] }));
    assert_eq!(less.differs.len(), 1);
    assert_eq!((less.differs[0].what, less.differs[0].expected.as_str()), ("granted", "github/issues.read"));
    let deny = labelled(json!({ "expect": "deny", "reason": "policy.not_granted" }));
    assert_eq!(deny.differs.iter().map(|one| one.what).collect::<Vec<_>>(), ["outcome", "reason"]);
    let mut bare = notes(&["github/issues.read"], &json!({}));
    bare.label = None;
    assert!(check(&open, &bare).is_none());
}
