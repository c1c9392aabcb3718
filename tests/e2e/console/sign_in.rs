//! Into the console and out of it.

use shortbread_tests::{Browser, Desk};

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
    browser.wait_for("h1", "Approvals").await;
    assert_eq!(browser.path().await, "/console/approvals");
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.go(&link).await;
    browser.wait_for("h1", "This link is used up").await;
}
