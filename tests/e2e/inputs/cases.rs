//! What was recorded is read as cases, and decided again as it was decided then.

use super::*;

/// All cases, a few at a time.
async fn cases(world: &World, more: &str) -> Vec<Case> {
    let (mut all, mut from) = (Vec::new(), 0);
    for _ in 0..1000 {
        let page = world.admin_read("audit.read", &format!("{CASES}?limit=3&from={from}{more}")).await;
        assert_eq!((page.status, page.header("content-type")), (200, "application/x-ndjson"), "{page:?}");
        let text = String::from_utf8(page.bytes.clone()).unwrap();
        all.extend(text.lines().map(|line| serde_json::from_str::<Case>(line).unwrap()));
        match page.header("shortbread-next") {
            "" => return all,
            next => from = next.parse().unwrap(),
        }
    }
    panic!("the pages have no end")
}

/// What the policy decides of a case: the outcome, the verbs, the reason.
fn decided(policy: &Policy, case: &Case) -> (Outcome, Vec<String>, Vec<String>) {
    let decided = decide(policy, case);
    let granted = decided.granted.iter().map(ToString::to_string).collect();
    let reasons = decided.reason.iter().map(|reason| reason.code().to_owned()).collect();
    (decided.outcome, granted, reasons)
}

#[tokio::test]
async fn what_was_decided_is_decided_again_under_the_same_policy() {
    let (world, issuer) = start().await;
    let done = busy(&world, &issuer).await;
    let policy = world.broker.policy.in_force().unwrap();
    let all = cases(&world, "&operators=true").await;
    for case in &all {
        let recorded = case.recorded.clone().unwrap();
        let (outcome, granted, reasons) = decided(&policy, case);
        assert_eq!(
            (recorded.outcome, &recorded.granted, &recorded.reasons),
            (outcome, &granted, &reasons),
            "{case:?}"
        );
        assert_eq!(recorded.policy.as_deref(), Some(policy.digest()));
        assert!(case.at.is_some() && case.weight == 1 && case.segment.workflow.is_some());
    }
    let known: BTreeMap<&str, &Case> = all.iter().map(|case| (case.id.as_str(), case)).collect();
    assert_eq!(known.len(), all.len(), "each once");
    let elsewhere = ["target.unknown", "revoked.workflow"];
    for (answer, reason) in &done {
        let data = world.audited(answer).await;
        let by_policy = !elsewhere.contains(reason)
            && data["identity"].get("parent").is_none()
            && data["stage"] != "proof";
        assert_eq!(known.contains_key(answer.decision()), by_policy, "{data}");
    }
    let outcomes: std::collections::BTreeSet<Outcome> =
        all.iter().filter_map(|case| Some(case.recorded.as_ref()?.outcome)).collect();
    assert_eq!(outcomes.len(), 3, "allowed, denied and in need of an approval");
    let without = cases(&world, "").await;
    assert!(without.iter().all(|case| !case.input.identity.principal.starts_with("operator:")));
    assert!(without.len() + 5 < all.len() && without.len() >= 13, "{} of {}", without.len(), all.len());
    let order: Vec<&str> = without.iter().map(|case| case.id.as_str()).collect();
    let expected = all.iter().filter(|case| !case.input.identity.principal.starts_with("operator:"));
    assert_eq!(order, expected.map(|case| case.id.as_str()).collect::<Vec<_>>());
    let since = world.clock.now().seconds() + 1;
    assert!(cases(&world, &format!("&since={since}")).await.is_empty());
    assert!(!cases(&world, &format!("&since={}", since - 1)).await.is_empty());
}

#[tokio::test]
async fn a_page_ends_before_its_bytes_are_too_many() {
    let (world, issuer) = start().await;
    let long = "w".repeat(8_000);
    let arguments = json!({ "repo": { "eq": "acme/pay" }, "title": { "eq": long } });
    let wanted = details("issues.write", &arguments);
    for _ in 0..80 {
        let token = job(&world, &issuer, &json!({}));
        exchange(&world, &token, &[("authorization_details", &wanted)], &[]).await;
    }
    let page = world.admin_read("audit.read", &format!("{CASES}?limit=1000")).await;
    assert!((300_000..=600_000).contains(&page.bytes.len()), "{}", page.bytes.len());
    let rest = format!("{CASES}?from={}", page.header("shortbread-next"));
    let rest = world.admin_read("audit.read", &rest).await;
    let lines = |answer: &Answer| answer.bytes.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!((lines(&page) + lines(&rest), rest.header("shortbread-next")), (80, ""));
}

#[tokio::test]
async fn one_decision_is_a_case_or_says_why_not() {
    let (world, issuer) = start().await;
    let denied = issuer_case(&world, &issuer).await;
    let one = |id: String| {
        let world = &world;
        async move { world.admin_read("audit.read", &format!("{CASES}/{id}")).await }
    };
    let answer = one(denied.decision().to_owned()).await;
    let case: Case = serde_json::from_slice(&answer.bytes).unwrap();
    assert_eq!((answer.status, case.id.as_str()), (200, denied.decision()));
    let policy = world.broker.policy.in_force().unwrap();
    assert_eq!(decided(&policy, &case).0, case.recorded.unwrap().outcome);
    let parent = world.bound("workflow:demo", "demo", &[("scope", READ)]).await;
    let child = passed_on(&world, &parent).await;
    // A call that a verifier decided by the child's token.
    let decision = world.broker.decision(None).unwrap();
    let data = json!({ "outcome": "deny", "token": child.text("/shortbread/token_id") });
    let entry = world.broker.scribe.entry(EventType::CallDecision, &decision, "workflow/demo".into(), data);
    world.broker.store.record_calls(vec![entry], |_| true).await.unwrap();
    let elsewhere = [("scope", READ), ("resource", "https://elsewhere.example")];
    let target = world.exchange("workflow:demo", "demo", &elsewhere).await;
    let revoked = world.revoke("workflow", "other").await;
    for (id, status, reason, words) in [
        ("dec_unheard", 404, "not_found", "no entry has this decision id"),
        (child.decision(), 409, "audit.no_case", parent.decision()),
        (decision.id.as_str(), 409, "audit.no_case", parent.decision()),
        (target.decision(), 409, "audit.no_case", "at the step `target`"),
        (revoked.decision(), 409, "audit.no_case", "no exchange"),
    ] {
        let answer = one(id.to_owned()).await;
        assert_eq!((answer.status, answer.reason()), (status, reason), "{answer:?}");
        assert!(answer.text("/detail").contains(words), "{words}: {answer:?}");
    }
    erase(&world, json!({ "subject": "repo:acme/web:environment:prod", "reason": "r" })).await;
    let gone = one(denied.decision().to_owned()).await;
    assert_eq!((gone.status, gone.reason()), (409, "audit.no_case"));
    assert!(gone.text("/detail").contains("was erased"), "{gone:?}");
}
