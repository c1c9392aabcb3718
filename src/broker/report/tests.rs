//! What is fed adds up, wherever it is counted.

use proptest::prelude::*;
use serde_json::{Value, json};
use shortbread_protocol::admin::{FiguresAnswer, FiguresBody, Verdict};
use shortbread_protocol::clock::Timestamp;

use super::*;

/// The period is a day, and so is the period before.
const UNTIL: u64 = 1_795_176_000;
const SINCE: u64 = UNTIL - 86_400;

fn event(kind: &str, at: u64, subject: &str, data: Value) -> Vec<u8> {
    json!({
        "specversion": "1.0", "id": "dec_1", "source": "https://broker.acme.example", "type": format!("dev.shortbread.{kind}.v1"),
        "time": Timestamp::from_seconds(at).to_string(), "subject": subject, "datacontenttype": "application/json",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "data": data,
    })
    .to_string()
    .into_bytes()
}

fn exchange(at: u64, workflow: &str, release: &str, reason: Option<&str>) -> Vec<u8> {
    let kind = if reason.is_some() { "token.refused" } else { "token.minted" };
    let data = json!({
        "outcome": if reason.is_some() { "deny" } else { "allow" }, "reasons": [reason.unwrap_or("grant:1")],
        "token": format!("tok_{workflow}_{release}"), "granted": ["github/issues.read", "github/issues.write"],
        "segment": { "workflow": workflow, "intent": "triage", "tool": "github", "access": "write", "release": release },
        "stage": if reason.is_some() { "policy" } else { "record" }, "latency_us": 400 + at % 100,
    });
    event(kind, at, &format!("workflow/{workflow}"), data)
}

fn call(at: u64, workflow: &str, release: &str, verb: &str, more: Value) -> Vec<u8> {
    let mut data = json!({
        "outcome": "allow", "reasons": [], "token": format!("tok_{workflow}_{release}"), "tool": "github", "verb": verb,
        "segment": { "workflow": workflow, "intent": "triage", "tool": "github", "access": "read" }, "stage": "evaluate",
    });
    let members = data.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    event("call.decision", at, &format!("workflow/{workflow}"), data)
}

fn counted(kind: &str, by: &str, entries: &[Vec<u8>]) -> FiguresAnswer {
    let mut figures = Figures::new(Ask::new(kind, SINCE, UNTIL, Some(by)).unwrap());
    entries.iter().for_each(|entry| figures.feed(entry));
    figures.finish(None)
}

fn of<'r>(report: &'r FiguresAnswer, name: &str) -> &'r FiguresBody {
    &report.segments.iter().find(|one| one.segment.values().any(|value| value == name)).unwrap().now
}

#[test]
fn only_sound_questions_are_asked() {
    assert!(Ask::new("segments", SINCE, UNTIL, None).is_ok());
    for (kind, since, until, by) in [
        ("cake", SINCE, UNTIL, None),
        ("segments", UNTIL, SINCE, None),
        ("segments", SINCE, SINCE, None),
        ("segments", 0, UNTIL, None),
        ("segments", 10, 50, None),
        ("segments", SINCE, u64::MAX, None),
        ("segments", SINCE, UNTIL, Some("workflow,colour")),
    ] {
        assert!(Ask::new(kind, since, until, by).is_err(), "{kind} {since} {until} {by:?}");
    }
}

#[test]
fn only_parts_with_values_restrict_a_question() {
    let ask = |only| Ask::new("segments", SINCE, UNTIL, None).unwrap().only(only);
    for good in [None, Some(""), Some("workflow=a"), Some("workflow=operator:alice,release=v1=2")] {
        assert!(ask(good).is_ok(), "{good:?}");
    }
    let long = format!("tool={}", "a".repeat(513));
    for bad in ["workflow", "workflow=", "=a", "colour=red", "tool=a,tool=b", "tool=a,", "Tool=a", &long] {
        assert!(matches!(ask(Some(bad)), Err(AskError::Only(_))), "{bad}");
    }
}

#[test]
fn a_question_is_the_same_whenever_it_is_asked() {
    let of = |by, only| Question::new("segments", 86_400, Some(by), Some(only)).unwrap();
    assert_eq!(of("tool,workflow", "tool=a,workflow=b"), of("workflow,tool", "workflow=b,tool=a"));
    assert_ne!(of("tool", "tool=a"), of("tool", "tool=b"));
    assert!(
        Question::new("segments", 27, None, None).is_err()
            && Question::new("segments", u64::MAX, None, None).is_err()
    );
    let ask = of("tool", "").ask(UNTIL);
    assert_eq!((ask.since, ask.until, ask.begins().seconds()), (SINCE, UNTIL, SINCE - 86_400));
    assert_eq!(of("tool", "").ask(5).begins().seconds(), 0);
}

fn counted_only(only: &str, entries: &[Vec<u8>]) -> FiguresAnswer {
    let ask = Ask::new("review", SINCE, UNTIL, Some("workflow,release")).unwrap().only(Some(only)).unwrap();
    let mut figures = Figures::new(ask);
    entries.iter().for_each(|entry| figures.feed(entry));
    figures.finish(None)
}

#[test]
fn only_what_was_asked_for_counts_anywhere() {
    let approval = |kind: &str, at, workflow: &str| {
        let data = json!({
            "approval": format!("apr_{workflow}"), "sla_seconds": 300, "outcome": "approved",
            "segment": { "workflow": workflow, "intent": "triage", "tool": "github", "access": "write" },
        });
        event(&format!("approval.{kind}"), at, &format!("workflow/{workflow}"), data)
    };
    let entries = [
        exchange(SINCE + 1, "a", "r1", None),
        exchange(SINCE + 2, "a", "r2", Some("rate.limited")),
        exchange(SINCE + 3, "b", "r1", None),
        exchange(SINCE + 4, "b", "r2", None),
        call(SINCE + 5, "a", "r1", "issues.read", json!({ "outcome": "deny", "reasons": ["not_granted"] })),
        call(SINCE + 6, "b", "r2", "issues.read", json!({})),
        approval("requested", SINCE + 7, "a"),
        approval("requested", SINCE + 8, "b"),
        approval("decided", SINCE + 9, "b"),
        event("policy.activated", SINCE + 10, "operator/alice", json!({ "version": 4 })),
    ];
    let a = counted_only("workflow=a", &entries);
    assert_eq!((a.total.now.exchanges, a.total.now.calls, a.entries), (3, 1, 10));
    assert!(
        a.segments.iter().chain([&a.total]).all(|one| one.segment.get("workflow").is_none_or(|w| w == "a"))
    );
    assert!(a.rights.iter().all(|right| right.workflow == "a"));
    let approvals = a.approvals.unwrap();
    assert_eq!((approvals.requested, approvals.decided.len()), (1, 0));
    assert_eq!(a.only["workflow"], "a");
    let what: Vec<_> = a.marks.iter().map(|mark| mark.kind.as_str()).collect();
    assert_eq!(what, ["policy"], "what concerns everyone stays, and no release of another workflow");
    let of = |only: &str| {
        let now = counted_only(only, &entries).total.now;
        (now.exchanges, now.calls)
    };
    assert_eq!(of("workflow=b,release=r2"), (1, 1), "a call is of the release that its token was minted for");
    assert_eq!(of("stage=evaluate,release=r1"), (0, 1), "even where that exchange is not asked for itself");
    assert_eq!((of("tool=github,access=read"), of("workflow=nobody")), ((0, 2), (0, 0)));
}

#[test]
fn the_course_says_why_and_how_long() {
    let of = |kind: &str, at, data| event(&format!("approval.{kind}"), at, "workflow/a", data);
    let step = 2 * 86_400 / 56 + 1;
    let mut entries: Vec<Vec<u8>> =
        (0..100_u64).map(|n| exchange(SINCE + n, "a", "r1", Some(&format!("made.up{}", n % 80)))).collect();
    entries.extend((0..40).map(|n| exchange(SINCE + n, "a", "r1", Some("rate.limited"))));
    entries.push(call(
        SINCE + 50,
        "a",
        "r1",
        "issues.read",
        json!({ "outcome": "deny", "reasons": ["not_granted"] }),
    ));
    entries.push(call(SINCE + 51, "a", "r1", "issues.read", json!({ "observed": "not_granted" })));
    entries.push(of("requested", SINCE + 60, json!({ "approval": "apr_1", "sla_seconds": 300 })));
    entries.push(of("requested", SINCE + 61, json!({ "approval": "apr_2", "sla_seconds": 120 })));
    entries.push(of("decided", SINCE + 90, json!({ "approval": "apr_1", "outcome": "approved" })));
    entries.push(of("decided", SINCE + step, json!({ "approval": "apr_2", "outcome": "denied" })));
    // Asked for before anything that is looked at.
    entries.push(of(
        "decided",
        SINCE + step + 1,
        json!({ "approval": "apr_0", "sla_seconds": 60, "waited_seconds": 50 }),
    ));
    entries.push(of("expired", SINCE + step + 2, json!({ "approval": "apr_3", "sla_seconds": 90 })));
    let series = counted("segments", "workflow", &entries).series;
    let [first, second] = &series[28..30] else { panic!("{series:?}") };
    assert_eq!((first.reasons["rate.limited"], first.reasons.len()), (40, 13));
    assert_eq!(first.reasons.values().sum::<u64>(), first.refused + first.denied);
    assert_eq!(
        (first.decided, first.in_time, first.approval_p50, first.sla_seconds),
        (1, 1, Some(30), Some(120))
    );
    assert_eq!((second.decided, second.in_time, second.expired, second.sla_seconds), (2, 1, 1, Some(60)));
    assert!(second.approval_p50 == Some(50) && second.approval_p90 > Some(3000), "{second:?}");
    assert!(series[30..].iter().all(|one| one.reasons.is_empty() && one.sla_seconds.is_none()));
}

#[test]
fn what_happened_is_counted_where_it_belongs() {
    let entries = [
        exchange(SINCE + 10, "a", "r1", None),
        exchange(SINCE + 11, "a", "r1", Some("policy.not_granted")),
        exchange(SINCE + 12, "a", "r1", Some("approval.required")),
        call(
            SINCE + 13,
            "a",
            "r1",
            "issues.read",
            json!({ "cost_micros": 250_000, "task_outcome": "completed" }),
        ),
        call(SINCE + 14, "a", "r1", "issues.read", json!({ "observed": "not_granted" })),
        call(
            SINCE + 15,
            "a",
            "r1",
            "issues.write",
            json!({ "outcome": "deny", "reasons": ["not_granted"], "task_outcome": "corrected" }),
        ),
        event(
            "token.refused",
            SINCE + 16,
            "unknown",
            json!({ "outcome": "deny", "reasons": ["identity.invalid"], "count": 40 }),
        ),
        event("token.minted", SINCE + 17, "workflow/a", json!({ "outcome": "allow", "repeated": true })),
        exchange(SINCE - 10, "a", "r1", None),
        exchange(UNTIL, "a", "r1", None),
        exchange(SINCE - 86_401, "a", "r1", None),
        b"not an entry".to_vec(),
    ];
    let report = counted("segments", "workflow", &entries);
    let a = of(&report, "a");
    assert_eq!((a.exchanges, a.granted, a.needs_approval, a.calls, a.allowed), (3, 1, 1, 3, 2));
    assert_eq!((a.completed, a.corrected, a.cost_micros, a.costed), (1, 1, 250_000, 1));
    assert_eq!(
        (a.denied["not_granted"], a.observed["not_granted"], a.refused["approval.required"]),
        (1, 1, 1)
    );
    assert_eq!(a.latency.unwrap().n, 3);
    let unknown = of(&report, "unknown");
    assert_eq!((unknown.exchanges, unknown.refused["identity.invalid"]), (40, 40));
    assert_eq!(report.total.before.exchanges, 1);
    assert_eq!((report.entries, report.unread), (12, 1));
    let by_release = counted("segments", "release", &entries);
    assert_eq!(of(&by_release, "r1").calls, 3, "a call is of the release that its token was minted for");
}

#[test]
fn rights_that_were_granted_and_never_used_are_named() {
    let entries =
        [exchange(SINCE + 1, "a", "r1", None), call(SINCE + 2, "a", "r1", "issues.read", json!({}))];
    let report = counted("review", "workflow", &entries);
    let rows: Vec<_> =
        report.rights.iter().map(|row| (row.verb.as_str(), row.granted, row.used, row.reported)).collect();
    assert_eq!(rows, [("github/issues.write", 1, 0, true), ("github/issues.read", 1, 1, true)]);
    assert_eq!(report.rights[0].grants, ["grant:1"]);
    let next: Vec<_> = report.review.unwrap().next.into_iter().map(|next| next.command).collect();
    assert!(next.contains(&"shortbread policy suggest --workflow a".to_owned()), "{next:?}");
    let unreported = counted("rights", "workflow", &entries[..1]);
    assert!(unreported.rights.iter().all(|row| !row.reported), "without reports nothing is known of use");
}

#[test]
fn a_change_is_named_with_what_it_coincides_with() {
    let mut entries = vec![exchange(SINCE - 86_400, "a", "r0", None)];
    for step in 0..2000_u64 {
        let at = SINCE - 86_000 + step * 86;
        let refused = (at >= SINCE + 20_000 && step % 3 == 0).then_some("policy.not_granted");
        entries.push(exchange(at, "a", "r0", refused));
        entries.push(exchange(at, "b", "r0", (step % 50 == 0).then_some("rate.limited")));
    }
    entries.push(event("policy.activated", SINCE + 20_000, "operator/alice", json!({ "version": 4 })));
    entries.push(event("policy.activated", SINCE - 50_000, "operator/alice", json!({ "version": 3 })));
    let review = counted("review", "workflow", &entries).review.unwrap();
    let [change] = &review.changes[..] else { panic!("{:?}", review.changes) };
    assert_eq!((change.segment["workflow"].as_str(), change.drift.figure.as_str()), ("a", "refused"));
    assert_eq!(change.drift.verdict, Verdict::Up);
    let what: Vec<_> = change.coincides.iter().map(|mark| mark.what.as_str()).collect();
    assert_eq!(what, ["policy version 4 came into force (operator/alice)"]);
    assert_eq!(review.denials[0].reason, "policy.not_granted");
    let cut = Figures::new(Ask::new("review", SINCE, UNTIL, None).unwrap()).finish(Some("x".to_owned()));
    assert!(cut.review.unwrap().changes.is_empty() && cut.total.drift.is_empty());
}

#[test]
fn releases_are_marks_once_a_workflow_had_another() {
    let entries = [
        exchange(SINCE + 1, "a", "r1", None),
        exchange(SINCE + 2, "b", "r7", None),
        exchange(SINCE + 3, "a", "r2", None),
        exchange(SINCE + 4, "a", "r1", None),
    ];
    let marks = counted("segments", "workflow", &entries).marks;
    let what: Vec<_> = marks.iter().map(|mark| (mark.what.as_str(), mark.workflow.as_deref())).collect();
    assert_eq!(what, [("a r2 was seen first", Some("a"))]);
}

#[test]
fn approvals_are_timed_where_there_are_any() {
    let of = |kind: &str, at, data| event(&format!("approval.{kind}"), at, "workflow/a", data);
    let entries = [
        of("requested", SINCE - 5, json!({ "approval": "apr_1", "sla_seconds": 300 })),
        of("decided", SINCE + 60, json!({ "approval": "apr_1", "outcome": "approved" })),
        of("requested", SINCE + 100, json!({ "approval": { "id": "apr_2" }, "sla_seconds": 300 })),
        of("decided", SINCE + 1100, json!({ "approval": { "id": "apr_2" }, "outcome": "denied" })),
        of("requested", SINCE + 200, json!({ "approval": "apr_3", "sla_seconds": 300 })),
        of("expired", SINCE + 900, json!({ "approval": "apr_3" })),
    ];
    let told = counted("approvals", "workflow", &entries).approvals.unwrap();
    assert_eq!(
        (told.requested, told.expired, told.decided["approved"], told.decided["denied"]),
        (2, 1, 1, 1)
    );
    let in_time = told.in_time.unwrap();
    assert_eq!((in_time.hits, in_time.of, told.times.unwrap().n), (1, 3, 2));
    assert_eq!(counted("approvals", "workflow", &[]).approvals.unwrap().requested, 0);
}

fn sum(bodies: &[SegmentBody]) -> (u64, u64, u64, u64, u64) {
    let all = bodies.iter().flat_map(|body| [&body.now, &body.before]);
    all.fold((0, 0, 0, 0, 0), |sum, one| {
        let refused: u64 = one.refused.values().sum();
        let denied: u64 = one.denied.values().sum();
        let timed = one.latency.map_or(0, |times| times.n);
        (sum.0 + one.exchanges, sum.1 + one.calls, sum.2 + refused, sum.3 + denied, sum.4 + timed)
    })
}

#[test]
fn more_segments_than_an_answer_names_are_summed_up() {
    let entries: Vec<_> = (0..MAX_CELLS as u64 + 500)
        .map(|n| exchange(SINCE + n, &format!("w{n}"), "r", (n % 2 == 0).then_some("rate.limited")))
        .collect();
    let report = counted("segments", "workflow", &entries);
    assert_eq!(report.segments.len(), MAX_NAMED + 1);
    assert!(report.folded > 0 && report.segments[MAX_NAMED].segment["workflow"] == "other");
    assert_eq!(sum(&report.segments), sum(std::slice::from_ref(&report.total)));
    assert!(serde_json::to_vec(&report).unwrap().len() < 1 << 20, "clients read a mebibyte");
}

proptest! {
    #[test]
    fn segments_add_up_to_all(made in prop::collection::vec((0_u64..180_000, 0..4_u8, 0..3_u8, 0..4_u8), 0..200), by in prop::sample::select(vec!["workflow", "intent", "tool,access", "release,workflow", "stage", "workflow,intent,tool,access,release,stage"])) {
        let entries: Vec<_> = made.iter().map(|(at, workflow, release, what)| {
            let (at, workflow, release) = (SINCE - 90_000 + at, format!("w{workflow}"), format!("r{release}"));
            match what {
                0 => exchange(at, &workflow, &release, None),
                1 => exchange(at, &workflow, &release, Some("policy.not_granted")),
                2 => call(at, &workflow, &release, "issues.read", json!({})),
                _ => call(at, &workflow, &release, "issues.write", json!({ "outcome": "deny", "reasons": ["not_granted"] })),
            }
        }).collect();
        let report = counted("segments", by, &entries);
        prop_assert_eq!(sum(&report.segments), sum(std::slice::from_ref(&report.total)));
        let course = report.series.iter().fold((0, 0, 0, 0), |s, one| (s.0 + one.exchanges, s.1 + one.calls, s.2 + one.refused, s.3 + one.denied));
        let all = sum(std::slice::from_ref(&report.total));
        prop_assert_eq!(course, (all.0, all.1, all.2, all.3));
        prop_assert!(report.series.iter().all(|one| one.reasons.values().sum::<u64>() == one.refused + one.denied));
        let inside = made.iter().filter(|(at, ..)| (3600..176_400).contains(at)).count() as u64;
        prop_assert_eq!(all.0 + all.1, inside);
    }
}
