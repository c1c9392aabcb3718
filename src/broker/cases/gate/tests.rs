use super::super::Outcome;
use super::super::check::Checked;
use super::*;

fn segment(access: Access) -> Segment {
    Segment {
        principal: "workflow:demo".to_owned(),
        intent: Some("triage".to_owned()),
        tool: "github".to_owned(),
        access: Some(access),
    }
}

fn counted(access: Access, allowed: u64, waiting: u64, denied: u64) -> Counted {
    let all = allowed + waiting + denied;
    Counted { segment: segment(access), decisions: all, labelled: 0, compared: all, allowed, waiting }
}

fn change(access: Access, from: Outcome, to: Outcome, decisions: u64) -> Change {
    Change {
        id: format!("chg_{access}_{}_{}", from.as_str(), to.as_str()),
        segment: segment(access),
        verb: "github/x".to_owned(),
        from,
        to,
        decisions,
        cases: vec!["a".to_owned()],
    }
}

fn report(segments: Vec<Counted>, changes: Vec<Change>) -> Report {
    Report {
        policy: "sha256:new".to_owned(),
        against: Some("sha256:old".to_owned()),
        cases: 1,
        inputs: 1,
        digest: "sha256:cases".to_owned(),
        segments,
        changes,
        labels: Vec::new(),
    }
}

fn failed(report: &Report, limits: &Gate, accepted: &[&str]) -> Vec<Rule> {
    let accepted = accepted.iter().map(ToString::to_string).collect();
    let result = judge(report, None, limits, &accepted);
    let failed: Vec<Rule> = result.rules.iter().filter(|rule| !rule.passed).map(|rule| rule.rule).collect();
    assert_eq!(result.passed, failed.is_empty());
    failed
}

use Outcome::{Allow, Deny, NeedsApproval};

#[test]
fn nothing_dangerous_is_newly_allowed_but_by_name() {
    let limits = Gate { max_approval_load: PerMille::of(1.0), ..Gate::default() };
    for access in [Access::Write, Access::Privileged] {
        for from in [Deny, NeedsApproval] {
            let report = report(vec![counted(access, 0, 5, 5)], vec![change(access, from, Allow, 1)]);
            assert_eq!(failed(&report, &limits, &[]), [Rule::NewlyAllowed]);
            let id = report.changes[0].id.clone();
            assert_eq!(failed(&report, &limits, &[&id]), []);
            assert_eq!(failed(&report, &limits, &["chg_other"]), [Rule::NewlyAllowed]);
            let result = judge(&report, None, &limits, &BTreeSet::from([id.clone(), "chg_other".to_owned()]));
            assert_eq!(
                (result.accepted[0].id.as_str(), result.unused.as_slice()),
                (id.as_str(), &["chg_other".to_owned()][..])
            );
        }
    }
    let read = report(vec![counted(Access::Read, 0, 0, 5)], vec![change(Access::Read, Deny, Allow, 1)]);
    assert_eq!(failed(&read, &limits, &[]), []);
    let mut unknown = read.clone();
    unknown.changes[0].segment.access = None;
    assert_eq!(failed(&unknown, &limits, &[]), [Rule::NewlyAllowed], "what is not known is not harmless");
}

#[test]
fn of_little_the_upper_bound_counts_and_of_much_the_share() {
    let limits = Gate { max_approval_load: PerMille::of(1.0), ..Gate::default() };
    let of = |withheld: u64, allowed: u64, to: Outcome| {
        let report = report(
            vec![counted(Access::Read, allowed, 0, 0)],
            vec![change(Access::Read, Allow, to, withheld)],
        );
        failed(&report, &limits, &[])
    };
    assert_eq!(of(1, 10, Deny), [Rule::NewlyWithheld], "one in ten may be four in ten");
    assert_eq!(of(5, 999, Deny), [Rule::NewlyWithheld], "half a percent may be more than one");
    assert_eq!(of(3, 999, NeedsApproval), []);
    assert_eq!(of(10, 1000, Deny), [], "one percent is the limit");
    assert_eq!(of(11, 1000, NeedsApproval), [Rule::NewlyWithheld]);
    let loose = Gate { max_newly_denied: PerMille::of(1.0), ..limits.clone() };
    let all = report(vec![counted(Access::Read, 3, 0, 0)], vec![change(Access::Read, Allow, Deny, 3)]);
    assert_eq!(failed(&all, &loose, &[]), []);
    assert_eq!(failed(&all, &limits, &["chg_read_allow_deny"]), [], "what is meant does not count");
}

#[test]
fn approvals_stay_about_as_many() {
    let limits = Gate { max_newly_denied: PerMille::of(1.0), ..Gate::default() };
    let of = |from: Outcome, to: Outcome, decisions: u64| {
        let report =
            report(vec![counted(Access::Read, 80, 20, 0)], vec![change(Access::Read, from, to, decisions)]);
        failed(&report, &limits, &[])
    };
    assert_eq!(of(Allow, NeedsApproval, 10), []);
    assert_eq!(of(Allow, NeedsApproval, 11), [Rule::ApprovalLoad]);
    assert_eq!(of(NeedsApproval, Deny, 10), []);
    assert_eq!(of(NeedsApproval, Deny, 11), [Rule::ApprovalLoad]);
}

#[test]
fn what_changes_must_have_been_tried_and_what_does_not_need_not() {
    let limits = Gate { min_cases: 10, max_newly_denied: PerMille::of(1.0), ..Gate::default() };
    let mut few = report(
        vec![counted(Access::Read, 9, 0, 0), counted(Access::Write, 1, 0, 0)],
        vec![change(Access::Read, Allow, Allow, 9)],
    );
    let result = judge(&few, None, &limits, &BTreeSet::new());
    let [finding] = result.rules[4].findings.as_slice() else { panic!("{:?}", result.rules) };
    assert!(finding.message.contains("not enough evidence: 9 decisions were tried and 10 are wanted"));
    few.segments[0].labelled = 1;
    assert_eq!(failed(&few, &limits, &[]), [], "a labelled case tries it too");
}

#[test]
fn a_segment_may_have_limits_of_its_own() {
    let strict = report(vec![counted(Access::Write, 10, 0, 0)], vec![change(Access::Write, Allow, Deny, 5)]);
    let own = |own: GateSegment| Gate {
        segments: vec![own],
        max_approval_load: PerMille::of(1.0),
        ..Gate::default()
    };
    let demo = GateSegment {
        workflow: Some("demo".parse().unwrap()),
        intent: None,
        tool: None,
        access: None,
        max_newly_denied: PerMille::of(1.0),
        min_cases: 0,
    };
    assert_eq!(failed(&strict, &own(demo.clone()), &[]), []);
    let other = GateSegment { workflow: Some("other".parse().unwrap()), ..demo.clone() };
    assert_eq!(failed(&strict, &own(other), &[]), [Rule::NewlyWithheld]);
    let write =
        GateSegment { access: Some(Access::Write), tool: Some("github".parse().unwrap()), ..demo.clone() };
    assert_eq!(failed(&strict, &own(write), &[]), []);
    let elsewhere = GateSegment { intent: Some("release".parse().unwrap()), ..demo };
    assert_eq!(failed(&strict, &own(elsewhere), &[]), [Rule::NewlyWithheld]);
}

#[test]
fn a_label_that_is_broken_fails_whatever_is_accepted() {
    let mut broken = report(Vec::new(), Vec::new());
    broken.labels.push(Checked {
        id: "INC-482".to_owned(),
        passed: false,
        expected: Deny,
        got: Allow,
        differs: Vec::new(),
        granted: Vec::new(),
        grants: Vec::new(),
        reason: None,
        detail: None,
        mechanism: None,
        note: None,
    });
    assert_eq!(failed(&broken, &Gate::default(), &["INC-482"]), [Rule::Labels]);
}

#[test]
fn a_change_that_no_case_tried_is_not_proved() {
    use crate::policy::fixture::{EXAMPLE, policy};
    let grant =
        "[[grants]]\nworkflow = \"demo\"\ntool = \"github\"\nintents = [\"x\"]\nverbs = [\"issues.read\"]\n";
    let (old, new) =
        (policy(&format!("{EXAMPLE}\n[gate]\n")), policy(&format!("{EXAMPLE}\n{grant}\n[gate]\n")));
    let limits = old.gate().unwrap().clone();
    let result = gate(&new, &old, [], &limits, &BTreeSet::new()).unwrap();
    let [finding] = result.rules[4].findings.as_slice() else { panic!("{:?}", result.rules) };
    assert!(finding.message.starts_with("demo, intent x: gains github/issues.read"), "{}", finding.message);
    assert!(finding.message.contains("not enough evidence: 0"));
    let text = r#"{"id":"a","input":{"identity":{"principal":"workflow:demo"},"intent":"x","request":[{"verb":"github/issues.read"}]},"label":{"expect":"allow"}}"#;
    let case: Case = serde_json::from_str(text).unwrap();
    assert!(gate(&new, &old, [&case], &limits, &BTreeSet::new()).unwrap().passed);
    // Without a [gate] none is asked for.
    let bare = Gate::default();
    assert!(gate(&new, &old, [], &bare, &BTreeSet::new()).unwrap().passed);
}
