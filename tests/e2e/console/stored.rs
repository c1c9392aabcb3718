//! Texts that others chose are shown as texts, on every page, and no page has anything inline that could run.

use shortbread_tests::Browser;

use super::page_of;
use super::plain::{Plain, text};
use super::scene::{EVIL, Scene};
use super::tour::tour;

/// What a page says back that is asked for with it.
fn asked_for() -> Vec<String> {
    let encode = |text: &str| text.bytes().map(|b| format!("%{b:02x}")).collect::<String>();
    let mut all = Vec::new();
    for text in EVIL.map(encode) {
        all.push(format!("/console/activity?workflow={text}&tool={text}&reason={text}&release={text}"));
        all.push(format!("/console/activity/{text}"));
        all.push(format!("/console/approvals?state={text}"));
        all.push(format!("/console/approvals/{text}"));
        all.push(format!("/console/switch?kind=user&value={text}"));
        all.push(format!("/console/switch/revoke?kind=user&value={text}"));
        all.push(format!("/console/switch/lift?kind=user&value={text}"));
        all.push(format!("/console/sign-in?to=/console/{text}"));
        all.push(format!("/console/link/{text}"));
    }
    all
}

#[tokio::test]
async fn what_others_wrote_is_shown_and_never_runs() {
    let scene = Scene::set().await;
    let world = &scene.desk.world;
    let session = Plain::sign_in(world, "alice").await;
    let browser = Browser::start().await;
    browser.sign_in(world, "alice").await;
    let mut paths = tour(world, &session).await;
    assert!(paths.len() > 15, "{paths:#?}");
    paths.extend(asked_for());
    browser.complaints().await;
    for path in paths {
        browser.open(world, &path).await;
        let ran =
            "return [window.ran, document.querySelectorAll('[onerror], [onload], img, main script').length]";
        assert_eq!(browser.script(ran, &[]).await, serde_json::json!([null, 0]), "{path}");
        let said = browser.complaints().await;
        let stopped: Vec<_> = said.iter().filter(|line| line.contains("Content Security Policy")).collect();
        assert!(stopped.is_empty(), "{path}: {stopped:?}");
    }
    browser.open(world, &page_of(&scene.asked)).await;
    browser.script("for (const one of document.querySelectorAll('details')) one.open = true", &[]).await;
    let text = browser.text().await;
    for evil in EVIL {
        let shown = evil.replace('"', "\\\"");
        assert!(text.contains(&shown), "{shown} in {text}");
    }
}

#[tokio::test]
async fn no_page_has_anything_inline() {
    let scene = Scene::set().await;
    let world = &scene.desk.world;
    let session = Plain::sign_in(world, "alice").await;
    let mut paths = tour(world, &session).await;
    paths.extend(["/console/sign-in", "/console/nothing", "/console/approvals/apr_none"].map(str::to_owned));
    for path in paths {
        let answer = session.get(world, &path).await;
        let page = text(&answer).to_lowercase();
        let tags = page.split('<').filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag);
        for tag in tags {
            let inline = tag.contains(" style=")
                || tag.starts_with("style")
                || tag.contains(" on")
                || tag.contains("javascript:")
                || (tag.starts_with("script") && !tag.contains(" src=\"/console/assets/"));
            assert!(!inline, "{path}: <{tag}>");
        }
        assert!(!page.contains("bearer ") && !page.contains("access_token"), "{path} shows a token");
        assert!(
            answer.header("content-security-policy").contains("default-src 'none'"),
            "{path}: {answer:?}"
        );
        assert!(!answer.header("x-content-type-options").is_empty(), "{path}: {answer:?}");
    }
}
