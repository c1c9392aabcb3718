//! The switch: revoked after a look at what it hits, followed until all enforce it, and lifted.

use serde_json::json;
use shortbread_tests::{Browser, Desk, verifier};

use crate::acknowledged::client::lease;

#[tokio::test]
async fn a_workflow_is_stopped_by_name_followed_on_a_bar_and_lifted() {
    let desk = Desk::start().await;
    let world = &desk.world;
    let first = lease(world, "payments", &verifier("payments"), 1).await;
    let second = lease(world, "github", &verifier("github"), 2).await;
    for instance in [&first, &second] {
        assert_eq!(instance.report(world, 0).await.status, 200);
    }
    let token = desk.ask_scope("payments:refunds.read").await;
    assert_eq!(token.status, 200, "{token:?}");
    let browser = Browser::start().await;
    browser.sign_in(world, "alice").await;
    browser.follow("Switch").await;
    browser.wait_for(".empty", "Nothing is revoked.").await;
    browser.fill("input[name=value]", "desk").await;
    browser.press("See what it hits…").await;
    browser.wait_for("h1", "Revoke workflow desk?").await;
    browser.wait_for("section", "1 living token of 1 workflow").await;
    browser.fill("#reason", "it went wild").await;
    let held = "return document.querySelector('button[data-confirmed]').disabled";
    browser.fill("#confirm", "dest").await;
    assert_eq!(browser.script(held, &[]).await, true);
    browser.fill("#confirm", "desk").await;
    browser.press("Revoke workflow desk").await;
    browser.wait_for("h1", "Revoked: workflow desk").await;
    assert_eq!(desk.ask_scope("payments:refunds.read").await.reason(), "revoked.workflow");

    browser.wait_for("#bar", "0 of 2 verifiers enforce it").await;
    let filled = "return document.querySelector('#bar progress').value === arguments[0]";
    let contents = world.broker.store.mirror().changed_seq();
    for (instance, value) in [(&first, 1), (&second, 2)] {
        assert_eq!(instance.report(world, contents).await.status, 200);
        browser.wait_until(filled, &[json!(value)]).await;
    }
    browser.wait_for("#bar .state.good", "enforced").await;

    browser.follow("Switch").await;
    browser.wait_for("#revoked .card", "it went wild").await;
    browser.follow("Lift").await;
    browser.wait_for("h1", "Lift workflow desk?").await;
    browser.click("input[name=mode][value=keep]").await;
    browser.fill("#reason", "it is mended").await;
    browser.fill("#confirm", "desk").await;
    browser.press("Lift workflow desk").await;
    browser.wait_for("h1", "workflow desk, what was issued before").await;
    world.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(desk.ask_scope("payments:refunds.read").await.status, 200);
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn everything_is_stopped_only_by_typing_it() {
    let desk = Desk::start().await;
    let world = &desk.world;
    let browser = Browser::start().await;
    browser.sign_in(world, "alice").await;
    browser.open(world, "/console/switch").await;
    browser.follow("Stop everything").await;
    browser.wait_for("h1", "Revoke everything?").await;
    browser.fill("#reason", "a drill").await;
    browser.fill("#confirm", "everything").await;
    browser.press("Revoke everything").await;
    browser.wait_for("h1", "Revoked").await;
    assert_eq!(desk.ask_scope("payments:refunds.read").await.reason(), "revoked.all");
    // Whoever pulled it can still look, and lift.
    browser.open(world, "/console/switch").await;
    browser.wait_for(".note.bad", "Everything is stopped.").await;
    browser.follow("Lift it").await;
    browser.fill("#reason", "over").await;
    browser.fill("#confirm", "everything").await;
    browser.press("Lift everything").await;
    // What was issued before stays dead, her own sign-in with it.
    browser.wait_for("h1", "Not signed in").await;
    world.clock.advance(std::time::Duration::from_secs(1));
    browser.sign_in(world, "alice").await;
    browser.open(world, "/console/switch").await;
    browser.wait_for("#revoked", "what was issued before").await;
    assert_eq!(desk.ask_scope("payments:refunds.read").await.status, 200);
}
