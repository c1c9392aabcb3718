//! Forms are taken from pages of the session that sends them alone, and pages are in nobody's frame.

use serde_json::json;
use shortbread_tests::{Answer, Browser, Desk};

use super::plain::{Plain, text};
use super::{by_name, foreign, page_of, waiting};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn waits(desk: &Desk, asked: &Answer) {
    assert_eq!(desk.show("dave", asked).await.text("/approval/state"), "pending");
}

/// Headers, or fields of a form.
type Pairs<'p> = &'p [(&'p str, &'p str)];

#[tokio::test]
async fn a_form_of_no_page_of_this_session_is_not_taken() {
    let desk = Desk::start().await;
    let world = &desk.world;
    let asked = waiting(&desk).await;
    let (page, path) = (page_of(&asked), format!("{}/approve", page_of(&asked)));
    let (bob, other) = (Plain::sign_in(world, "bob").await, Plain::sign_in(world, "bob").await);
    let own = bob.field(world, &page, "form_token").await;
    let others = other.field(world, &page, "form_token").await;
    let digest = bob.field(world, &page, "digest").await;
    let origin = ("origin", world.issuer.as_str());
    let sound = [("form_token", own.as_str()), ("digest", digest.as_str())];
    let json = json!({ "form_token": own, "digest": digest }).to_string();
    let cases: [(&str, Pairs<'_>, Pairs<'_>); 10] = [
        ("no token", &[origin, FORM], &sound[1..]),
        ("an empty token", &[origin, FORM], &[("form_token", ""), sound[1]]),
        ("a token of another session", &[origin, FORM], &[("form_token", &others), sound[1]]),
        ("no origin", &[FORM], &sound),
        ("no origin of a site", &[("origin", "null"), FORM], &sound),
        ("another origin", &[("origin", "http://127.0.0.1:1"), FORM], &sound),
        ("two origins", &[origin, ("origin", "http://evil.example"), FORM], &sound),
        ("from another site", &[origin, FORM, ("sec-fetch-site", "cross-site")], &sound),
        ("as plain text", &[origin, ("content-type", "text/plain")], &sound),
        ("as JSON", &[origin, ("content-type", "application/json")], &[("form_token", &json)]),
    ];
    for (what, headers, fields) in cases {
        let answer = bob.post_with(world, &path, headers, fields).await;
        assert!(answer.status == 403 && text(&answer).contains("console.foreign_form"), "{what}: {answer:?}");
        waits(&desk, &asked).await;
    }
    let nobody = Plain { cookie: "shortbread_console=x".to_owned() };
    assert_eq!(nobody.post(world, &path, &sound).await.status, 401);
    waits(&desk, &asked).await;
    assert_eq!(bob.post(world, &path, &sound).await.status, 303);
    assert_eq!(desk.show("dave", &asked).await.text("/approval/state"), "approved");
}

#[tokio::test]
async fn a_page_of_another_origin_approves_nothing_for_whoever_looks_at_it() {
    let desk = Desk::start().await;
    let asked = waiting(&desk).await;
    let browser = Browser::start().await;
    browser.sign_in(&desk.world, "bob").await;
    let digest = desk.show("bob", &asked).await.text("/digest").to_owned();
    let action = format!("{}{}/approve", desk.world.issuer, page_of(&asked));
    let site = foreign(format!(
        "<form method='post' action='{action}'><input name='digest' value='{digest}'>
         <input name='form_token' value='guessed'><button>A prize</button></form>"
    ))
    .await;
    // Of another site the cookie stays at home; of another port of this host it comes along.
    for (from, said) in [(by_name(&site), "Not signed in"), (site.url(), "This form was not taken")] {
        browser.go(&from).await;
        browser.press("A prize").await;
        browser.wait_for("h1", said).await;
        waits(&desk, &asked).await;
    }
    browser.open(&desk.world, &page_of(&asked)).await;
    browser.wait_for("h2", "Decide").await;
}

#[tokio::test]
async fn a_page_of_the_console_shows_in_nobodys_frame() {
    let desk = Desk::start().await;
    let asked = waiting(&desk).await;
    let browser = Browser::start().await;
    browser.sign_in(&desk.world, "bob").await;
    let page = format!("{}{}", desk.world.issuer, page_of(&asked));
    let site = foreign(format!("<h1>Click here</h1><iframe src='{page}'></iframe>")).await;
    for from in [site.url(), by_name(&site)] {
        browser.complaints().await;
        browser.go(&from).await;
        let said = browser.complaints().await.join("\n");
        assert!(said.contains("frame-ancestors"), "{said}");
        assert!(!browser.in_frame().await.contains("Approve"));
    }
    let answer = Plain::sign_in(&desk.world, "bob").await.get(&desk.world, &page_of(&asked)).await;
    assert_eq!(answer.header("x-frame-options"), "DENY");
    let policy = answer.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "script-src 'self';",
        "style-src 'self';",
        "frame-ancestors 'none'",
        "form-action 'self'",
    ] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    assert!(!policy.contains("unsafe") && answer.header("cache-control") == "no-store", "{answer:?}");
}
