use serde_json::{Value, json};

use super::*;
use crate::policy::fixture::{EXAMPLE, policy};

const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// A line as it is recorded: of release-notes, for these verbs.
fn line(id: &str, verbs: &[&str], more: &Value) -> String {
    let request: Vec<Value> = verbs.iter().map(|verb| json!({ "verb": verb })).collect();
    let claims = json!({ "repository_id": "456789", "environment": "prod", "repository": "acme/web" });
    let identity = json!({ "principal": "workflow:release-notes", "issuer": GITHUB, "claims": claims });
    let mut case = json!({
        "v": 1, "id": id, "at": "2026-11-20T12:00:00Z", "segment": { "workflow": "release-notes" },
        "input": { "identity": identity, "intent": "triage", "possession": "proved", "request": request },
        "recorded": { "outcome": "allow", "granted": ["github/issues.read"] },
    });
    case.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    case.to_string()
}

fn replay(new: &str, old: &str, lines: &[String]) -> Report {
    let mut replay = Replay::new(policy(new), Before::Policy(policy(old)));
    lines.iter().for_each(|line| replay.line(line.as_bytes()).unwrap());
    replay.finish()
}

fn swap(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "{from}");
    EXAMPLE.replace(from, to)
}

const DEMAND: &str = "approval = { access = [\"write\"], approvers = \"oncall\", quorum = 1, sla = \"5m\", expires = \"15m\" }";

#[test]
fn the_same_policy_changes_nothing() {
    let lines = [
        line("a", &["github/issues.read", "github/issues.write"], &json!({})),
        line("b", &["github/repo.delete"], &json!({})),
    ];
    let report = replay(&format!("{EXAMPLE}\n# a comment\n"), EXAMPLE, &lines);
    assert_eq!((report.changes.len(), report.cases, report.inputs), (0, 2, 2));
    assert_ne!(report.policy, report.against.unwrap());
    let decisions: u64 = report.segments.iter().map(|one| one.decisions).sum();
    assert_eq!(decisions, 3, "verb by verb");
}

#[test]
fn changes_are_counted_by_segment_with_their_first_cases() {
    let read = ["github/issues.read"];
    let lines: Vec<String> = (0..9).map(|n| line(&format!("r{n}"), &read, &json!({}))).collect();
    let many = line("many", &read, &json!({ "weight": 100 }));
    let lines = [lines, vec![many]].concat();
    let report = replay(
        &swap("verbs = [\"issues.read\", \"issues.write\"]", "verbs = [\"issues.write\"]"),
        EXAMPLE,
        &lines,
    );
    let [change] = report.changes.as_slice() else { panic!("{:?}", report.changes) };
    assert_eq!((change.words().as_str(), change.decisions), ("allow -> deny", 109));
    assert_eq!(change.cases, ["r0", "r1", "r2", "r3", "r4"]);
    assert_eq!(change.segment.words(), "workflow:release-notes, intent triage, github, read");
    assert_eq!((report.inputs, report.cases), (1, 10), "one input, decided once");
    assert!(change.is_newly_withheld() && !change.is_newly_allowed());
    assert_eq!((report.segments[0].allowed, report.segments[0].compared), (109, 109));
}

#[test]
fn a_verb_that_needs_nobody_any_more_is_newly_allowed() {
    let both = ["github/issues.read", "github/issues.write"];
    let report = replay(&swap(DEMAND, ""), EXAMPLE, &[line("a", &both, &json!({}))]);
    let [change] = report.changes.as_slice() else { panic!("{:?}", report.changes) };
    // The read was good by itself all the time.
    assert_eq!(
        (change.verb.as_str(), change.words().as_str()),
        ("github/issues.write", "needs_approval -> allow")
    );
    assert!(change.is_newly_allowed());
}

#[test]
fn other_conditions_are_a_change_and_other_numbers_of_grants_are_none() {
    let lines = [line("a", &["github/issues.read"], &json!({ "weight": 3 }))];
    let shorter = replay(&swap("max_ttl = \"10m\"", "max_ttl = \"1m\""), EXAMPLE, &lines);
    assert_eq!(shorter.changes[0].words(), "allow, on other conditions");
    let first = "[[grants]]                                       # what";
    let before = format!(
        "[[grants]]\nworkflow = \"demo\"\ntool = \"github\"\nintents = [\"x\"]\nverbs = [\"issues.read\"]\n{first}"
    );
    assert_eq!(replay(&swap(first, &before), EXAMPLE, &lines).changes, []);
}

#[test]
fn a_change_has_one_name_until_its_conditions_change() {
    let lines = [line("a", &["github/issues.write"], &json!({}))];
    let name = |new: &str| replay(new, EXAMPLE, &lines).changes[0].id.clone();
    let open = swap(DEMAND, "");
    assert!(name(&open).starts_with("chg_") && name(&open).len() == 16);
    assert_eq!(name(&open), name(&format!("{open}\n# comment")));
    assert_ne!(
        name(&open),
        name(&open.replace("repo = { claim = \"repository\" }", "repo = { any = true }"))
    );
}

#[test]
fn without_another_policy_the_record_is_compared() {
    let mut replay = Replay::new(policy(&swap(DEMAND, "")), Before::Recorded);
    let both = ["github/issues.read", "github/issues.write"];
    replay.line(line("a", &both, &json!({})).as_bytes()).unwrap();
    let waited = json!({ "recorded": { "outcome": "needs_approval", "reasons": ["approval.required"] } });
    replay.line(line("b", &both[1..], &waited).as_bytes()).unwrap();
    replay.line(line("c", &both[..1], &json!({ "recorded": null })).as_bytes()).unwrap();
    let report = replay.finish();
    let words: Vec<String> =
        report.changes.iter().map(|one| format!("{} {}", one.verb, one.words())).collect();
    assert_eq!(words, ["github/issues.write deny -> allow", "github/issues.write needs_approval -> allow"]);
    assert_eq!((report.against, report.segments[0].compared, report.segments[0].decisions), (None, 1, 2));
}

#[test]
fn labelled_cases_are_held_against_their_labels_alone() {
    let label = json!({ "label": { "expect": "deny" } });
    let lines =
        [line("kept", &["github/repo.delete"], &label), line("broken", &["github/issues.read"], &label)];
    let report = replay(
        &swap("verbs = [\"issues.read\", \"issues.write\"]", "verbs = [\"issues.write\"]"),
        EXAMPLE,
        &lines,
    );
    assert_eq!(report.labels.iter().map(|one| one.passed).collect::<Vec<_>>(), [true, true]);
    assert_eq!((report.changes.len(), report.segments[0].decisions, report.segments[0].labelled), (0, 0, 1));
    let same = replay(EXAMPLE, EXAMPLE, &lines);
    assert_eq!(
        same.labels.iter().filter(|one| !one.passed).map(|one| one.id.as_str()).collect::<Vec<_>>(),
        ["broken"]
    );
}

#[test]
fn lines_and_cases_come_to_the_same() {
    let lines = [
        line("a", &["github/issues.read"], &json!({})),
        line("b", &["github/issues.write"], &json!({ "weight": 2 })),
    ];
    let (mut by_line, mut by_case) = (
        Replay::new(policy(&swap(DEMAND, "")), Before::Policy(policy(EXAMPLE))),
        Replay::new(policy(&swap(DEMAND, "")), Before::Policy(policy(EXAMPLE))),
    );
    for line in &lines {
        let case: Case = serde_json::from_str(line).unwrap();
        by_line.line(serde_json::to_string(&case).unwrap().as_bytes()).unwrap();
        by_case.case(&case).unwrap();
    }
    let json = |report: Report| serde_json::to_value(report).unwrap();
    assert_eq!(json(by_line.finish()), json(by_case.finish()));
}

#[test]
fn what_is_no_case_is_refused() {
    let mut replay = Replay::new(policy(EXAMPLE), Before::Recorded);
    let sound = line("a", &["github/issues.read"], &json!({}));
    replay.line(sound.as_bytes()).unwrap();
    assert!(replay.line(sound.as_bytes()).unwrap_err().message.contains("second time"));
    for (from, to) in [
        ("\"id\":\"a\"", "\"id\":\"b\",\"colour\":1"),
        ("\"id\":\"a\"", "\"id\":\"c\",\"v\":2"),
        ("workflow:release-notes", "release-notes"),
        ("github/issues.read\"}", "issues\"}"),
    ] {
        let text = sound.replacen(from, to, 1).replace("\"id\":\"a\"", "\"id\":\"z\"");
        assert_ne!(text, sound);
        assert!(replay.line(text.as_bytes()).is_err(), "{text}");
    }
    assert!(replay.line(b"").is_err());
}

#[test]
fn a_label_hides_no_record_and_its_weight_is_no_evidence() {
    let read = ["github/issues.read"];
    let label = json!({ "label": { "expect": "allow" }, "weight": 900_000 });
    let labelled: Case = serde_json::from_str(&line("dec_1", &read, &label)).unwrap();
    let mut replay = Replay::new(policy(EXAMPLE), Before::Policy(policy(EXAMPLE)));
    replay.case(&labelled).unwrap();
    assert!(replay.case(&labelled).is_err(), "once");
    replay.line(line("dec_1", &read, &json!({})).as_bytes()).unwrap();
    let report = replay.finish();
    assert_eq!((report.segments[0].decisions, report.segments[0].labelled, report.labels.len()), (1, 1, 1));
}

#[test]
fn verbs_that_no_policy_knows_take_no_room_unless_they_were_given() {
    let invented = |n: u32| format!("tool-{n}/verb-{n}");
    let of = |n: u32, more: Value| line(&format!("dec_{n}"), &[&invented(n), "github/issues.read"], &more);
    let mut replay = Replay::new(policy(EXAMPLE), Before::Policy(policy(EXAMPLE)));
    (0..100).for_each(|n| replay.line(of(n, json!({})).as_bytes()).unwrap());
    let report = replay.finish();
    assert_eq!((report.cases, report.inputs, report.segments.len()), (100, 100, 1));
    let mut replay = Replay::new(policy(EXAMPLE), Before::Recorded);
    let given = json!({ "recorded": { "outcome": "allow", "granted": [invented(7)] } });
    for n in 0..100 {
        replay.line(of(n, if n == 7 { given.clone() } else { json!({}) }).as_bytes()).unwrap();
    }
    let report = replay.finish();
    let gone: Vec<_> = report.changes.iter().filter(|one| one.verb == invented(7)).collect();
    assert_eq!((report.segments.len(), gone.len()), (2, 1), "a verb that was taken out is told");
    assert_eq!(gone[0].words(), "allow -> deny");
}
