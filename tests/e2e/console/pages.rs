//! What each of the other pages is for, done in a browser.

use std::time::Duration;

use shortbread_tests::{Answer, Browser, Desk, refund, verifier};

const HALF_A_YEAR: u64 = 180 * 86_400;

/// A workflow's token, and the answer that it came with.
async fn token(desk: &Desk) -> Answer {
    let more = [("scope", "payments:refunds.read"), ("intent", "triage"), ("task", "T-1")];
    let answer = desk.world.exchange("workflow:desk", "demo", &more).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

async fn alice(desk: &Desk) -> Browser {
    let browser = Browser::start().await;
    browser.sign_in(&desk.world, "alice").await;
    browser
}

#[tokio::test]
async fn a_story_is_followed_from_the_request_to_the_call() {
    let desk = Desk::start().await;
    let world = &desk.world;
    let asked = token(&desk).await;
    assert_eq!(desk.ask_scope("payments:refunds.steal").await.status, 400);
    let mut tool = world.tool("payments");
    tool.poll().await;
    let call = (asked.token(), "refunds.read", asked.trace());
    let decided = tool.decide(world, verifier("payments"), &[call]).await;
    assert!(decided[0].reason.is_none(), "{decided:?}");
    let browser = alice(&desk).await;
    browser.follow("Activity").await;
    // What was decided since comes by itself.
    assert_eq!(desk.ask_scope("payments:refunds.invent").await.status, 400);
    browser.wait_for(".entries", "scope.unknown").await;
    browser.fill("input[name=workflow]", "desk").await;
    browser.click("select[name=outcome] option:nth-child(2)").await;
    browser.press("Show").await;
    browser.wait_until("return !document.querySelector('.entries').innerText.includes('deny')", &[]).await;
    browser.follow("token minted").await;
    browser.wait_for("h1", "A decision's story").await;
    let steps = browser.texts("#story > li").await;
    assert_eq!(steps.len(), 2, "{steps:?}");
    assert!(steps[0].contains("token minted") && steps[0].contains("workflow desk"), "{steps:?}");
    assert!(steps[1].contains("call payments/refunds.read") && steps[1].contains("allow"), "{steps:?}");
    // And from there to the switch, if it has to be.
    browser.follow("revoke this task").await;
    browser.wait_for("h1", "Revoke task T-1?").await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn a_workflow_says_who_owns_it_and_what_it_may_do() {
    let desk = Desk::start().await;
    token(&desk).await;
    let browser = alice(&desk).await;
    browser.follow("Workflows").await;
    browser.wait_for(".card", "owned by alice").await;
    browser.press_by("//a[contains(@href, '/workflows/desk')]").await;
    browser.wait_for("h1", "desk").await;
    browser.wait_for("#standing", "1 living token").await;
    browser.wait_for(".call", "payments/refunds.create").await;
    browser.wait_for(".call .state.warn", "a person approves").await;
    browser.follow("Revoke it").await;
    browser.wait_for("h1", "Revoke workflow desk?").await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn a_policy_is_rolled_back_and_put_in_force_by_who_sees_what_it_changes() {
    let desk = Desk::start().await;
    desk.activate(|text| text.replace("max = 10000", "max = 20000")).await;
    let browser = alice(&desk).await;
    browser.follow("Policy").await;
    browser.wait_for(".card", "Version 2 in force").await;
    browser.follow("Version 2").await;
    browser.wait_for(".card", "payments/refunds.create: also where amount from 1 to 20000").await;
    browser.wait_for("section", "1 widen").await;
    browser.follow("Policy").await;
    browser.press_by("//summary[contains(., 'Roll back to version 1')]").await;
    browser.fill("#confirm", "roll back").await;
    browser.press("Roll back").await;
    browser.wait_for(".card", "Version 1 in force").await;
    assert_eq!(desk.ask(&refund(15_000, "ch_1")).await.reason(), "policy.constraint");

    browser.follow("Version 2").await;
    browser.wait_for("h2", "Who gains or loses what against version 1, which is in force").await;
    browser.fill("#confirm", "version 2").await;
    browser.press("Activate version 2").await;
    browser.wait_for(".card", "Version 2 in force").await;
    assert_eq!(desk.ask(&refund(15_000, "ch_1")).await.reason(), "approval.pending");
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn signals_are_drawn_with_their_figures_below() {
    let desk = Desk::start().await;
    for _ in 0..5 {
        token(&desk).await;
    }
    assert_eq!(desk.ask_scope("payments:refunds.steal").await.status, 400);
    let browser = alice(&desk).await;
    browser.follow("Signals").await;
    browser.wait_for("h2", "Decisions").await;
    let drawn =
        "const plot = document.querySelector('figure .wide svg'); return plot && plot.clientHeight > 100";
    browser.wait_until(drawn, &[]).await;
    browser.press_by("//summary[normalize-space()='The figures']").await;
    browser.wait_for("details[open] table", "from").await;
    // One segment alone.
    browser.follow("desk / payments").await;
    browser.wait_until("return location.search.includes('workflow=desk')", &[]).await;
    browser.wait_for("h2", "Decisions").await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn health_tells_what_is_not_well_and_what_to_do() {
    let desk = Desk::start().await;
    let browser = alice(&desk).await;
    browser.follow("Health").await;
    browser.wait_for(".standing", "All is well.").await;
    browser.wait_for("table", "revocation").await;
    // A key that ends soon is told of, with what to do.
    desk.world.clock.advance(Duration::from_secs(HALF_A_YEAR));
    browser.sign_in(&desk.world, "alice").await;
    browser.follow("Health").await;
    browser.wait_for(".card", "What to do:").await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn a_session_on_another_device_is_ended_from_here() {
    let desk = Desk::start().await;
    let (here, lost) = tokio::join!(Browser::start(), Browser::start());
    here.sign_in(&desk.world, "alice").await;
    lost.sign_in(&desk.world, "alice").await;
    here.follow("alice").await;
    here.wait_for("h1", "Your sessions").await;
    assert_eq!(here.texts(".card").await.len(), 2);
    here.press_by("//li[not(contains(., 'this one'))]//button").await;
    here.wait_until("return document.querySelectorAll('.card').length === 1", &[]).await;
    lost.wait_for("h1", "Sign in").await;
}
