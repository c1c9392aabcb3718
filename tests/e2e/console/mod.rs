//! The console as people meet it, in a real browser: nobody gets in who may not, and who may gets things done.

mod accessible;
mod approvals;
mod forms;
mod held;
mod pages;
mod plain;
mod scene;
mod sign_in;
mod stored;
mod switch;
mod tour;

use serde_json::json;
use shortbread_tests::{Answer, Browser, Desk, Loopback, refund};

/// The path of a request's page.
fn page_of(asked: &Answer) -> String {
    format!("/console/approvals/{}", asked.text("/shortbread/approval_id"))
}

/// A refund that waits.
async fn waiting(desk: &Desk) -> Answer {
    let asked = desk.ask(&refund(4200, "ch_1")).await;
    assert_eq!(asked.reason(), "approval.pending", "{asked:?}");
    asked
}

/// A site of somebody else's with one page.
async fn foreign(page: String) -> Loopback {
    let site = Loopback::start().await;
    site.answers(move |_| Some((200, "content-type: text/html\r\n".to_owned(), page.clone())));
    site
}

/// The same site by a name that browsers take for another site than 127.0.0.1.
fn by_name(site: &Loopback) -> String {
    site.url().replace("127.0.0.1", "localhost")
}

/// Waits until the browser is at a path.
async fn at(browser: &Browser, path: &str) {
    browser.wait_until("return location.pathname === arguments[0]", &[json!(path)]).await;
}
