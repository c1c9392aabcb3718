//! What is proposed is a policy, covers what was used, and is never wider unless it says so.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shortbread_broker::cases::Case;
use shortbread_broker::policy::model::{Limit, Principal};
use shortbread_broker::policy::{Options, Policy};
use shortbread_protocol::admin::{FiguresAnswer, FiguresBody, PeriodBody, RightBody, SegmentBody};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::names::WorkflowName;

use super::evidence::Evidence;
use super::propose::{Base, Proposal};
use super::{diff, propose};

const POLICY: &str = r#"[tools.github]
audience = "https://tools.acme.example/github"
verbs."issues.read" = { access = "read" }
verbs."issues.write" = { access = "write", args = ["repo", "title"] }
verbs."pulls.write" = { access = "write", args = ["repo"] }
verbs."repo.delete" = { access = "privileged", args = ["repo"] }
[tools.mail]
audience = "https://tools.acme.example/mail"
verbs."send" = { access = "write" }

[[identities]]
workflow = "demo"
key = "demo.pem"
[[identities]]
operator = "alice"
key = "alice.pem"

# what triage needs
[[grants]]
workflow = "demo"
tool = "github"
verbs = ["issues.*", "pulls.write"]   # broad
constraints."issues.write" = { repo = { prefix = "acme/" }, title = { any = true } }
constraints."pulls.write" = { repo = { any = true } }
max_ttl = "10m"
rate = "30/min"

# nobody knows why
[[grants]]
workflow = "demo"
intents = ["cleanup"]
tool = "github"
verbs = ["repo.delete"]
constraints."repo.delete" = { repo = { any = true } }
approval = "none"

# operators
[[grants]]
operator = "alice"
tool = "shortbread"
verbs = ["*"]
"#;

fn compile(text: &str) -> Policy {
    let files = |name: &str| {
        let seed = if name == "demo.pem" { 1 } else { 2 };
        Ok(PrivateKey::from_seed(&[seed; 32]).public().to_pem())
    };
    let options = Options { issuer: "https://broker.acme.example".to_owned() };
    let compiled = Policy::compile(text, "policy.toml", &files, &options);
    compiled.unwrap_or_else(|problems| panic!("{}\n{text}", problems[0].message))
}

fn right(intent: &str, verb: &str, used: u64, observed: u64) -> RightBody {
    RightBody {
        workflow: "demo".to_owned(),
        intent: intent.to_owned(),
        verb: verb.to_owned(),
        granted: 9,
        used,
        observed: [("not_granted".to_owned(), observed)].into_iter().filter(|(_, n)| *n > 0).collect(),
        reported: true,
        ..RightBody::default()
    }
}

fn report(rights: Vec<RightBody>) -> FiguresAnswer {
    let period = PeriodBody { since: 0, until: 1 };
    let none = || FiguresBody::default();
    let total = SegmentBody { segment: [].into(), now: none(), before: none(), drift: Vec::new() };
    FiguresAnswer {
        kind: "rights".to_owned(),
        by: Vec::new(),
        only: BTreeMap::new(),
        period,
        before: period,
        entries: 1,
        unread: 0,
        cut: None,
        total,
        segments: Vec::new(),
        folded: 0,
        series: Vec::new(),
        marks: Vec::new(),
        rights,
        rights_left_out: 0,
        approvals: None,
        review: None,
    }
}

fn case(constraints: &Value) -> Case {
    let case = json!({
        "id": "dec_1", "input": { "identity": { "principal": "workflow:demo" }, "intent": "triage",
            "request": [{ "verb": "github/issues.write", "constraints": constraints }] },
        "recorded": { "outcome": "allow" },
    });
    serde_json::from_value(case).unwrap()
}

fn propose(text: &str, rights: Vec<RightBody>, cases: &[Case], with_observed: bool) -> Proposal {
    let policy = compile(text);
    let workflow: WorkflowName = "demo".parse().unwrap();
    let evidence = Evidence::of(&report(rights), cases, &workflow);
    let base = Base { text, policy: &policy };
    propose::of(Some(&base), &workflow, None, &evidence, with_observed)
}

fn verbs(text: &str) -> Vec<String> {
    let policy = compile(text);
    let own = policy.grants().iter().filter(|grant| matches!(grant.principal, Principal::Workflow(_)));
    own.flat_map(|grant| grant.verbs.keys().map(ToString::to_string).collect::<Vec<_>>()).collect()
}

fn all_used() -> Vec<RightBody> {
    ["issues.read", "issues.write", "pulls.write"]
        .map(|verb| right("triage", &format!("github/{verb}"), 3, 0))
        .into_iter()
        .chain([right("cleanup", "github/repo.delete", 1, 0)])
        .collect()
}

#[test]
fn what_was_never_used_goes_and_the_rest_of_the_text_stays() {
    let rights =
        vec![right("triage", "github/issues.read", 4, 0), right("triage", "github/issues.write", 1, 0)];
    let made = propose(POLICY, rights, &[], false);
    assert_eq!(verbs(&made.text), ["issues.read", "issues.write"]);
    assert!(made.text.contains("verbs = [\"issues.read\", \"issues.write\"]   # broad\n"), "{}", made.text);
    assert!(!made.text.contains("pulls.write\" = { repo") && !made.text.contains("cleanup"), "{}", made.text);
    for kept in
        ["# what triage needs", "max_ttl = \"10m\"", "rate = \"30/min\"", "# operators", "prefix = \"acme/\""]
    {
        assert!(made.text.contains(kept), "{kept}: {}", made.text);
    }
    assert_eq!(made.dropped.len(), 2);
    assert!(made.wider.is_empty());
    let diff = diff::unified("policy.toml", POLICY, &made.text);
    assert!(diff.contains("-verbs = [\"issues.*\", \"pulls.write\"]   # broad\n+verbs = ["), "{diff}");
}

#[test]
fn what_is_used_whole_is_left_alone() {
    let made = propose(POLICY, all_used(), &[], false);
    assert_eq!(made.text, POLICY);
    assert!(made.dropped.is_empty() && made.wider.is_empty());
}

#[test]
fn a_tool_that_nobody_reports_is_not_narrowed() {
    let rights = vec![RightBody { reported: false, ..right("triage", "github/issues.read", 0, 0) }];
    let made = propose(POLICY, rights, &[], false);
    assert_eq!(made.text, POLICY);
    assert!(made.notes[0].contains("nobody reports"), "{:?}", made.notes);
}

#[test]
fn few_values_become_a_constraint_that_lets_them_all_pass() {
    let asked = |repo: &str| case(&json!({ "repo": { "eq": repo }, "title": { "any": true } }));
    let made =
        propose(POLICY, all_used(), &[asked("acme/web"), asked("acme/docs"), asked("acme/web")], false);
    assert!(
        made.text.contains("repo = { in = [\"acme/docs\", \"acme/web\"] }, title = { any = true } }"),
        "{}",
        made.text
    );
    let policy = compile(&made.text);
    let limits = policy.grants()[0].verbs["issues.write"].as_ref().unwrap();
    assert!(matches!(&limits["repo"], Limit::Fixed(one) if one.one_of.as_ref().unwrap().len() == 2));
    let one = propose(POLICY, all_used(), &[asked("acme/web")], false);
    assert!(one.text.contains("repo = { eq = \"acme/web\" }"), "{}", one.text);
    // Outside of today's, left open, too many: nothing follows.
    let many: Vec<Case> = (0..9).map(|n| asked(&format!("acme/{n}"))).collect();
    let open = [asked("acme/web"), case(&Value::Null)];
    for cases in [&[asked("evil/web")][..], &open, &many] {
        assert_eq!(propose(POLICY, all_used(), cases, false).text, POLICY);
    }
}

#[test]
fn what_was_let_pass_is_a_comment_unless_it_is_asked_for() {
    let mut rights = all_used();
    rights.push(right("triage", "mail/send", 0, 7));
    let made = propose(POLICY, rights.clone(), &[], false);
    assert_eq!(verbs(&made.text), verbs(POLICY), "comments grant nothing");
    assert!(
        made.text.contains("# was let pass in observe mode; grant only if meant\n# [[grants]]\n"),
        "{}",
        made.text
    );
    assert!(made.wider[0].contains("mail/send"), "it is said loudly: {:?}", made.wider);
    let live = propose(POLICY, rights, &[], true);
    assert!(verbs(&live.text).contains(&"send".to_owned()) && !live.wider.is_empty());
    let mut risky = all_used();
    risky.push(right("triage", "github/repo.delete", 0, 7));
    let kept = propose(POLICY, risky, &[], true);
    assert_eq!(verbs(&kept.text), verbs(POLICY), "a privileged verb is never granted by a proposal");
}

#[test]
fn a_grant_in_another_spelling_is_left_to_a_person() {
    let inline = POLICY.replacen(
        "constraints.\"issues.write\" = { repo = { prefix = \"acme/\" }, title = { any = true } }\nconstraints.\"pulls.write\" = { repo = { any = true } }\n",
        "constraints = { \"issues.write\" = { repo = { prefix = \"acme/\" }, title = { any = true } }, \"pulls.write\" = { repo = { any = true } } }\n",
        1,
    );
    let rights =
        vec![right("triage", "github/issues.read", 4, 0), right("triage", "github/issues.write", 1, 0)];
    let made = propose(&inline, rights, &[], false);
    assert!(made.notes.iter().any(|note| note.contains("by hand")), "{:?}", made.notes);
    assert!(verbs(&made.text).contains(&"pulls.write".to_owned()));
}

#[test]
fn without_a_policy_there_is_a_grant_to_begin_with() {
    let workflow: WorkflowName = "demo".parse().unwrap();
    let evidence = Evidence::of(&report(vec![right("triage", "github/issues.read", 4, 0)]), &[], &workflow);
    let made = propose::of(None, &workflow, None, &evidence, false);
    let table: toml::Table = made.text.parse().unwrap();
    assert_eq!(table["grants"][0]["verbs"][0].as_str(), Some("issues.read"));
    assert_eq!(table["grants"][0]["intents"][0].as_str(), Some("triage"));
    assert!(!made.wider.is_empty());
}
