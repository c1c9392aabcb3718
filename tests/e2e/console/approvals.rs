//! The approval story: asked, refused to its owner, approved or denied by who is asked, and what came of it.

use std::time::Duration;

use serde_json::json;
use shortbread_tests::{Browser, Desk, Look, refund};

use super::plain::{Plain, text};
use super::{at, page_of, waiting};

const APPROVE: &str = "form[action$='/approve'] button";

#[tokio::test]
async fn bob_approves_on_a_phone_what_alice_may_not() {
    let desk = Desk::start().await;
    let world = &desk.world;
    let (alice, bob) = tokio::join!(Browser::start(), Browser::with(Look::phone(390)));
    alice.sign_in(world, "alice").await;
    bob.sign_in(world, "bob").await;
    bob.wait_for(".empty", "Nothing waits").await;
    let asked = waiting(&desk).await;

    // Both queues look by themselves.
    alice.wait_for(".card", "payments/refunds.create").await;
    alice.follow("payments/refunds.create").await;
    alice.wait_for("#votes", "Not alice").await;
    alice.fill("#note", "mine").await;
    alice.click(APPROVE).await;
    alice.wait_for("#approve-wrong", "approval.own_request").await;
    assert_eq!(alice.script("return document.querySelector('#note').value", &[]).await, "mine");
    assert_eq!(desk.fetch(&asked).await.reason(), "approval.pending");

    bob.wait_for(".card", "for workflow desk").await;
    bob.follow("payments/refunds.create").await;
    bob.wait_for(".call", "4200").await;
    bob.wait_for(".call", "\"ch_1\"").await;
    bob.fill("#note", "checked with finance").await;
    bob.press("Approve").await;
    bob.wait_for(".note.good", "Your vote counts.").await;
    bob.wait_for("#standing", "approved").await;
    bob.wait_for("#votes", "checked with finance").await;

    crate::approvals::pause(&desk);
    let token = desk.fetch(&asked).await;
    assert_eq!(token.status, 200, "{token:?}");
    // Alice's page follows.
    alice.open(world, &page_of(&asked)).await;
    alice.wait_for("#standing", "redeemed").await;
    alice.wait_for("#votes", "bob").await;
    assert!(!alice.text().await.contains("does not count"));
    let id = token.text("/shortbread/calls/0/token_id").to_owned();
    alice.wait_for("#standing", &id).await;
    for browser in [&alice, &bob] {
        let said = browser.complaints().await.into_iter().filter(|line| !line.contains("403 (Forbidden)"));
        assert_eq!(said.collect::<Vec<_>>(), [""; 0]);
    }
}

#[tokio::test]
async fn an_approver_grants_less_and_the_token_says_so() {
    let desk = Desk::start().await;
    let world = &desk.world;
    let asked = desk.ask_scope("github:issues.read github:issues.write payments:refunds.create").await;
    let browser = Browser::start().await;
    browser.sign_in(world, "bob").await;
    browser.open(world, &page_of(&asked)).await;
    browser.press_by("//summary[contains(., 'Approve less')]").await;
    browser.click("input[name=drop][value='payments/refunds.create']").await;
    browser.fill("input[name='only github/issues.write repo']", "acme/web").await;
    browser.fill("#ttl", "99999").await;
    browser.click(APPROVE).await;
    // What is wrong stands with the form, and what was filled in stays.
    browser.wait_for("#narrow-wrong", "request.malformed").await;
    let kept = "return [document.querySelector(\"input[name='only github/issues.write repo']\").value,
        document.querySelector(\"input[name=drop][value='payments/refunds.create']\").checked]";
    assert_eq!(browser.script(kept, &[]).await, json!(["acme/web", true]));
    browser.fill("#ttl", "60").await;
    browser.click(APPROVE).await;
    browser.wait_for(".note.good", "Your vote counts.").await;
    crate::approvals::pause(&desk);
    let token = desk.fetch(&asked).await;
    assert_eq!((token.status, &token.body["expires_in"]), (200, &json!(60)), "{token:?}");
    assert_eq!(token.text("/scope"), "github:issues.read github:issues.write");
    let rules = &token.body["authorization_details"][0]["constraints"]["issues.write"];
    assert_eq!(rules["repo"], json!({ "eq": "acme/web" }));
}

#[tokio::test]
async fn a_denial_takes_a_reason_and_what_is_wrong_stands_beside_its_field() {
    let desk = Desk::start().await;
    let world = &desk.world;
    let asked = waiting(&desk).await;
    let bob = Plain::sign_in(world, "bob").await;
    let (page, path) = (page_of(&asked), format!("{}/deny", page_of(&asked)));
    let token = bob.field(world, &page, "form_token").await;
    let digest = bob.field(world, &page, "digest").await;
    let empty = bob.post(world, &path, &[("form_token", &token), ("digest", &digest), ("reason", " ")]).await;
    let shown = text(&empty);
    assert_eq!(empty.status, 400, "{empty:?}");
    assert!(
        shown.contains("aria-describedby=\"reason-wrong\"") && shown.contains("id=\"reason-wrong\""),
        "{shown}"
    );

    let browser = Browser::start().await;
    browser.sign_in(world, "bob").await;
    browser.open(world, &page).await;
    browser.press("Deny").await;
    let invalid = "return document.activeElement.id === 'reason' && !document.activeElement.validity.valid";
    browser.wait_until(invalid, &[]).await;
    browser.fill("#reason", "not today").await;
    browser.press("Deny").await;
    browser.wait_for(".note.good", "You denied this request.").await;
    browser.wait_for("#standing .said", "not today").await;
    crate::approvals::pause(&desk);
    assert_eq!(desk.fetch(&asked).await.refusal(), (400, "access_denied", "approval.denied"));
    browser.follow("Approvals").await;
    browser.follow("Closed").await;
    browser.wait_for(".card", "denied").await;
}

#[tokio::test]
async fn whoever_signed_in_long_ago_signs_in_again_before_they_approve() {
    let desk = Desk::start().await;
    let world = &desk.world;
    let (browser, plain) = (Browser::start().await, Plain::sign_in(world, "bob").await);
    browser.sign_in(world, "bob").await;
    world.clock.advance(Duration::from_secs(15 * 60));
    let asked = waiting(&desk).await;
    let page = page_of(&asked);
    browser.open(world, &page).await;
    browser.wait_for(".note.warn", "wants a sign-in of the last 15 minutes").await;
    assert_eq!(
        browser.script("return document.querySelector(arguments[0]).disabled", &[json!(APPROVE)]).await,
        true
    );
    // The button is not what holds it.
    let token = plain.field(world, &page, "form_token").await;
    let digest = plain.field(world, &page, "digest").await;
    let fields = [("form_token", token.as_str()), ("digest", digest.as_str())];
    let refused = plain.post(world, &format!("{page}/approve"), &fields).await;
    assert!(refused.status == 403 && text(&refused).contains("console.sign_in_stale"), "{refused:?}");
    assert_eq!(desk.show("dave", &asked).await.text("/approval/state"), "pending");

    browser.follow("Sign in again").await;
    browser.wait_for("h1", "Sign in").await;
    browser.wait_for("pre", &format!("shortbread console {}", page.trim_start_matches("/console/"))).await;
    browser.go(&format!("{}?to={page}", world.console_link("bob").await)).await;
    browser.press("Sign in as bob").await;
    at(&browser, &page).await;
    browser.press("Approve").await;
    browser.wait_for(".note.good", "Your vote counts.").await;
}

#[tokio::test]
async fn time_goes_by_on_the_page_and_a_breached_sla_shows() {
    let desk = Desk::start().await;
    let browser = Browser::start().await;
    browser.sign_in(&desk.world, "carol").await;
    let asked = desk.ask(&refund(1, "ch_1")).await;
    browser.wait_for(".card", "the next group is asked in").await;
    let first = browser.texts(".card .until").await;
    let other =
        "const now = document.querySelector('.card .until'); return now && now.innerText !== arguments[0]";
    browser.wait_until(other, &[json!(first[0])]).await;
    desk.world.clock.advance(Duration::from_secs(301));
    browser.wait_for(".card.late", "late, expires in").await;
    browser.wait_for(".card", "leads").await;
    desk.world.clock.advance(Duration::from_secs(600));
    browser.wait_for(".empty", "Nothing waits").await;
    browser.open(&desk.world, &page_of(&asked)).await;
    browser.wait_for("#standing", "expired").await;
}
