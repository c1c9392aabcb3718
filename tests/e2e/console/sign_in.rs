//! Into the console and out of it.

use std::time::Duration;

use serde_json::json;
use shortbread_tests::{Answer, Browser, Desk};

use super::plain::{Plain, cookie, press, text};
use super::{at, by_name, foreign, page_of, waiting};

const HOME: &str = "/console/approvals";

/// That nobody is signed in: a page leads to the sign-in, or says why the session is over.
fn out(answer: &Answer) {
    let led = answer.status == 303 && answer.header("location").starts_with("/console/sign-in");
    assert!(led || answer.status == 401, "{answer:?}");
}

#[tokio::test]
async fn a_link_signs_in_by_its_button_and_once() {
    let desk = Desk::start().await;
    let browser = Browser::start().await;
    let link = desk.world.console_link("alice").await;
    // Whatever looks at links before people do uses none up.
    for _ in 0..2 {
        browser.go(&link).await;
        browser.wait_for("h1", "Sign in as alice?").await;
    }
    browser.press("Sign in as alice").await;
    at(&browser, HOME).await;
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.go(&link).await;
    browser.wait_for("h1", "This link is used up").await;
}

#[tokio::test]
async fn a_link_is_used_up_by_one_press_and_gone_after_a_minute() {
    let desk = Desk::start().await;
    let world = &desk.world;
    let link = world.console_link("alice").await;
    for _ in 0..3 {
        assert_eq!(world.send(world.http.get(&link)).await.status, 200);
    }
    let elsewhere = world.send(world.http.post(&link).header("origin", "http://evil.example")).await;
    let bare = world.send(world.http.post(&link)).await;
    assert_eq!((elsewhere.status, bare.status), (403, 403), "no page of ours sent it");
    let (one, two) = tokio::join!(press(world, &link), press(world, &link));
    let mut both = [one.status, two.status];
    both.sort_unstable();
    assert_eq!(both, [303, 410], "{one:?} {two:?}");
    for again in [press(world, &link).await, world.send(world.http.get(&link)).await] {
        assert!(again.status == 410 && text(&again).contains("console.link_spent"), "{again:?}");
    }
    let link = world.console_link("alice").await;
    world.clock.advance(Duration::from_secs(60));
    for late in [press(world, &link).await, world.send(world.http.get(&link)).await] {
        assert!(late.status == 410 && late.header("set-cookie").is_empty(), "{late:?}");
    }
}

#[tokio::test]
async fn scripts_and_other_sites_do_not_get_the_cookie() {
    let desk = Desk::start().await;
    let pressed = press(&desk.world, &desk.world.console_link("alice").await).await;
    let set = pressed.header("set-cookie");
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age="] {
        assert!(set.contains(part), "{part} in {set}");
    }
    let browser = Browser::start().await;
    browser.sign_in(&desk.world, "alice").await;
    assert_eq!(browser.script("return document.cookie", &[]).await, "");
    let cookies = browser.cookies().await;
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    assert_eq!((&cookies[0]["httpOnly"], &cookies[0]["sameSite"]), (&json!(true), &json!("Strict")));
}

#[tokio::test]
async fn a_session_ends_when_its_operator_says_so_here_or_elsewhere() {
    let desk = Desk::start().await;
    let browser = Browser::start().await;
    browser.sign_in(&desk.world, "bob").await;
    browser.press("Sign out").await;
    browser.wait_for("h1", "Sign in").await;
    assert!(browser.cookies().await.is_empty());
    browser.open(&desk.world, HOME).await;
    assert!(browser.url().await.contains("/console/sign-in?to="), "{}", browser.url().await);

    browser.sign_in(&desk.world, "bob").await;
    let list = "/api/v1/console/sessions";
    let call = async |name, what| desk.call_with((name, name), what, "approvals.decide", None).await;
    let listed = call("bob", ("GET", list)).await;
    let id = listed.text("/sessions/0/session").to_owned();
    let one = format!("{list}/{id}");
    assert_eq!(call("alice", ("DELETE", &one)).await.status, 404, "another's");
    assert_eq!(call("bob", ("DELETE", &one)).await.status, 204);
    // The page looks by itself and finds out.
    browser.wait_for("h1", "Sign in").await;
    assert_eq!(call("bob", ("GET", list)).await.body["sessions"], json!([]));
}

#[tokio::test]
async fn whoever_is_revoked_or_not_known_any_more_is_out_at_the_next_request() {
    let desk = Desk::start().await;
    let world = &desk.world;
    let (bob, dave) = (Plain::sign_in(world, "bob").await, Plain::sign_in(world, "dave").await);
    let carol = Plain::sign_in(world, "carol").await;
    for session in [&bob, &dave, &carol] {
        assert_eq!(session.get(world, HOME).await.status, 200);
    }
    assert_eq!(world.revoke("operator", "bob").await.status, 200);
    let refused = bob.get(world, HOME).await;
    assert!(refused.status == 401 && text(&refused).contains("console.signed_out"), "{refused:?}");
    assert_eq!(cookie(&refused), "shortbread_console=", "the browser is told to forget it");
    out(&bob.get(world, HOME).await);
    let lifted = json!({ "selectors": [{ "kind": "operator", "value": "bob" }], "revive": true });
    assert_eq!(world.lift_with(lifted).await.status, 200);
    out(&bob.get(world, HOME).await);

    // Dave leaves, and carol is not granted to decide any more.
    desk.activate(|text| {
        let entry = "[[identities]]\noperator = \"dave\"\nkey = \"keys/fourth.pub.pem\"\n";
        let (text, grant) = (text.replace(entry, ""), "[[grants]]\noperator = \"dave\"");
        let (before, after) = text.split_once(grant).unwrap();
        let (_, after) = after.split_once("\n\n").unwrap();
        let text = format!("{before}\n{after}").replace("[\"carol\", \"dave\"]", "[\"alice\"]");
        text.replace("verbs = [\"approvals.decide\"]", "verbs = [\"status.read\"]")
    })
    .await;
    out(&dave.get(world, HOME).await);
    let narrowed = carol.get(world, HOME).await;
    assert!(narrowed.status == 403 && text(&narrowed).contains("shortbread/approvals."), "{narrowed:?}");
}

#[tokio::test]
async fn a_session_is_over_after_eight_hours_whatever_is_done_in_it() {
    let desk = Desk::start().await;
    let world = &desk.world;
    let mut session = Plain::sign_in(world, "alice").await;
    for minute in (10..480).step_by(10) {
        world.clock.advance(Duration::from_secs(600));
        let page = session.get(world, HOME).await;
        assert_eq!(page.status, 200, "after {minute} minutes");
        if !cookie(&page).is_empty() {
            session = Plain { cookie: cookie(&page) };
        }
    }
    world.clock.advance(Duration::from_secs(600));
    out(&session.get(world, HOME).await);
}

#[tokio::test]
async fn a_link_on_another_site_leads_in() {
    let desk = Desk::start().await;
    let asked = waiting(&desk).await;
    let path = page_of(&asked);
    let browser = Browser::start().await;
    browser.sign_in(&desk.world, "bob").await;
    let site = foreign(format!("<a href='{}{path}'>look</a>", desk.world.issuer)).await;
    browser.go(&by_name(&site)).await;
    browser.follow("look").await;
    browser.wait_for("h1", "payments/refunds.create").await;
    assert_eq!(browser.path().await, path);
}

#[tokio::test]
async fn nobody_is_led_away_by_a_sign_in() {
    let desk = Desk::start().await;
    let world = &desk.world;
    for away in [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/console/../../evil",
        "/console//evil.example",
        "javascript:alert(1)",
        "/console/%0d%0aset-cookie:a=b",
        "/consoles",
        "/console@evil.example",
    ] {
        let encoded: String = away.bytes().map(|b| format!("%{b:02x}")).collect();
        let link = format!("{}?to={encoded}", world.console_link("alice").await);
        let to = press(world, &link).await.header("location").to_owned();
        let url = reqwest::Url::parse(&world.issuer).unwrap().join(&to).unwrap();
        let own = url.as_str().strip_prefix(&world.issuer).unwrap_or_else(|| panic!("{away} leads to {url}"));
        assert!(own.starts_with("/console") && !to.contains(['\r', '\n']), "{away} leads to {to}");
        let page = world.get(&format!("/console/sign-in?to={encoded}")).await;
        assert!(page.status == 200 && !text(&page).contains("evil"), "{page:?}");
    }
    let link = format!("{}?to=/console/approvals?state=closed", world.console_link("alice").await);
    assert_eq!(press(world, &link).await.header("location"), "/console/approvals?state=closed");
}
