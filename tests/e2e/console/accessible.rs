//! For everyone: on a phone, in the dark, with a keyboard alone, without scripts.

use shortbread_tests::{Browser, Key, Look};

use super::plain::Plain;
use super::scene::Scene;
use super::tour::tour;
use super::{at, foreign, page_of};

/// What stands out to the right of the page, where that makes it scroll.
const TOO_WIDE: &str = "const page = document.documentElement;
    if (page.scrollWidth <= page.clientWidth) return [];
    const wide = [...document.body.querySelectorAll('*')].filter((one) =>
        one.getBoundingClientRect().right > page.clientWidth || one.scrollWidth > one.clientWidth + 1);
    return [`${page.scrollWidth} of ${page.clientWidth}`, ...wide.map((one) => one.outerHTML.slice(0, 200))]";

/// That axe-core finds nothing serious on any page, in either scheme, and that nothing has to be moved sideways.
async fn good_for_all(look: Look) {
    let scene = Scene::set().await;
    let world = &scene.desk.world;
    let session = Plain::sign_in(world, "alice").await;
    let browser = Browser::with(look).await;
    browser.open(world, "/console/sign-in").await;
    let mut wrong = browser.barriers().await;
    browser.go(&world.console_link("alice").await).await;
    wrong.extend(browser.barriers().await);
    browser.sign_in(world, "alice").await;
    for path in tour(world, &session).await {
        browser.open(world, &path).await;
        // What is folded has to be good too.
        browser.script("for (const one of document.querySelectorAll('details')) one.open = true", &[]).await;
        browser.prefer_dark(false).await;
        let mut found = browser.barriers().await;
        browser.prefer_dark(true).await;
        found.extend(browser.faint().await.into_iter().map(|found| format!("in the dark, {found}")));
        wrong.extend(found.into_iter().map(|found| format!("{path}: {found}")));
        let wide = browser.script(TOO_WIDE, &[]).await;
        if wide != serde_json::json!([]) {
            wrong.push(format!("{path} has to be moved sideways: {wide}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_would_be_wrong_is_found() {
    let bad =
        "<meta name=viewport content='width=device-width'><p style='color:#aaa;background:#999'>faint</p>
        <img src=x><input><div style='width:2000px'>wide</div>";
    let site = foreign(bad.to_owned()).await;
    let browser = Browser::with(Look::phone(360)).await;
    browser.go(&site.url()).await;
    let found = browser.barriers().await.join("\n");
    for rule in ["color-contrast", "image-alt", "label", "html-has-lang"] {
        assert!(found.contains(&format!(" {rule}: ")), "{rule} in {found}");
    }
    assert_eq!(browser.faint().await.len(), 1);
    assert_ne!(browser.script(TOO_WIDE, &[]).await, serde_json::json!([]));
}

#[tokio::test]
async fn every_page_is_good_for_all_on_a_desk() {
    good_for_all(Look::default()).await;
}

#[tokio::test]
async fn every_page_is_good_for_all_on_a_phone() {
    good_for_all(Look::phone(360)).await;
}

/// Presses Tab until what has the focus is this, as a script says.
async fn tab_to(browser: &Browser, script: &str) {
    for _ in 0..60 {
        browser.key(Key::Tab).await;
        if browser.script(&format!("const it = document.activeElement; return {script}"), &[]).await == true {
            return;
        }
    }
    panic!("no way by Tab to {script}: {}", browser.text().await);
}

#[tokio::test]
async fn a_keyboard_is_enough_to_approve() {
    let scene = Scene::set().await;
    let world = &scene.desk.world;
    let browser = Browser::start().await;
    browser.go(&world.console_link("bob").await).await;
    // The button has the focus already.
    browser.key(Key::Enter).await;
    at(&browser, "/console/approvals").await;
    browser.key(Key::Tab).await;
    assert_eq!(browser.script("return document.activeElement.className", &[]).await, "skip");
    let path = page_of(&scene.asked);
    tab_to(&browser, &format!("it.matches('.card a') && it.pathname === '{path}'")).await;
    let seen = "return getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(browser.script(seen, &[]).await, "solid");
    browser.key(Key::Enter).await;
    at(&browser, &path).await;
    tab_to(&browser, "it.matches('#note')").await;
    browser.keys("by keyboard").await;
    tab_to(&browser, "it.matches('button') && it.innerText === 'Approve'").await;
    browser.key(Key::Enter).await;
    browser.wait_for(".note.good", "Your vote counts.").await;
    browser.wait_for("#votes", "by keyboard").await;
}

#[tokio::test]
async fn no_script_is_needed() {
    let scene = Scene::set().await;
    let world = &scene.desk.world;
    let browser = Browser::with(Look::default().no_script()).await;
    browser.sign_in(world, "bob").await;
    browser.open(world, &page_of(&scene.asked)).await;
    browser.press("Approve").await;
    browser.wait_for(".note.good", "Your vote counts.").await;
    browser.press("Sign out").await;
    browser.sign_in(world, "alice").await;
    browser.open(world, "/console/switch/revoke?kind=workflow&value=other").await;
    browser.fill("#reason", "no script").await;
    browser.fill("#confirm", "othe").await;
    browser.press("Revoke workflow other").await;
    browser.wait_for("#confirm-wrong", "type \"other\" to confirm").await;
    browser.fill("#confirm", "other").await;
    browser.press("Revoke workflow other").await;
    browser.wait_for("h1", "Revoked: workflow other").await;
    // A page that goes on by itself does so all the same.
    browser.open(world, "/console/approvals").await;
    let again = "return document.querySelector('noscript meta[http-equiv=refresh]') !== null";
    assert_eq!(browser.script(again, &[]).await, true);
}
