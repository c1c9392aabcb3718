//! The console's page of figures: plots with their data below, of all segments or some, at once and without a script.

use std::time::Duration;

use serde_json::json;
use shortbread_broker::verifiers::tend;
use shortbread_tests::{Answer, World};

use crate::acknowledged::client::{github, lease, policy, world};

const PAGE: &str = "/console/signals";

/// The cookie of a session that an operator opened with a link.
async fn cookie(world: &World, operator: &str, verb: &str) -> String {
    let token = world.operator(operator, verb).await;
    let link = world.call("post", "/api/v1/console/links", Some(&token), Some(&json!({}))).await;
    assert_eq!(link.status, 200, "{link:?}");
    let request = world.http.post(link.text("/url")).header("origin", &world.issuer);
    let entered = world.send(request.header("content-type", "application/x-www-form-urlencoded")).await;
    assert_eq!(entered.status, 303, "{entered:?}");
    entered.header("set-cookie").split(';').next().unwrap().to_owned()
}

async fn look(world: &World, cookie: &str, query: &str) -> (Answer, String) {
    let request = world.http.get(format!("{}{PAGE}{query}", world.issuer)).header("cookie", cookie);
    let answer = world.send(request).await;
    let text = String::from_utf8(answer.bytes.clone()).unwrap();
    (answer, text)
}

/// The page once its figures are made.
async fn figures(world: &World, cookie: &str, query: &str) -> String {
    for _ in 0..200 {
        let (answer, text) = look(world, cookie, query).await;
        assert_eq!(answer.status, 200, "{text}");
        if !text.contains("are being made") {
            return text;
        }
        assert!(
            text.contains("http-equiv=\"refresh\" content=\"2\""),
            "it is looked at again without a script"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the figures were never made");
}

async fn exchange(world: &World, name: &str, granted: usize, refused: usize) {
    let principal = format!("workflow:{name}");
    for (scope, count) in [("github:issues.read", granted), ("github:repo.delete", refused)] {
        for _ in 0..count {
            world.exchange(&principal, name, &[("scope", scope), ("intent", "triage")]).await;
        }
    }
}

#[tokio::test]
async fn the_console_shows_signals_as_plots_with_their_figures_below() {
    let world = world(&policy()).await;
    exchange(&world, "demo", 5, 3).await;
    exchange(&world, "other", 2, 0).await;
    let verifier = lease(&world, "github", &github(), 1).await;
    assert_eq!(verifier.report(&world, 0).await.status, 200);
    tend(&world.broker).await.unwrap();
    let cookie = cookie(&world, "alice", "audit.read").await;
    let page = figures(&world, &cookie, "").await;
    let plots =
        ["Decisions", "Refusals and denials by reason", "Latency of exchanges", "Age of verifiers' lists"];
    for title in plots {
        let shown = title.replace('\'', "&#39;");
        assert!(page.contains(&format!(">{shown}</h2>")), "{title} in {page}");
        assert_eq!(page.matches(&format!("<title>{title}: ")).count(), 2, "{title}: wide and narrow");
    }
    assert_eq!((page.matches("role=\"img\"").count(), page.matches("<summary>").count()), (8, 4));
    assert!(page.contains("No approval was asked for"), "what is not there is said not to be");
    assert!(page.contains("<th scope=\"col\" class=\"number\">policy.not_granted</th>"), "{page}");
    assert!(page.contains("?period=1d&#38;workflow=demo&#38;tool=github"), "a segment leads to its own page");
    for bad in [" style=", "<style", "javascript:", " onclick", " onload", "NaN"] {
        assert!(!page.contains(bad), "{bad} in {page}");
    }
    assert_eq!(page.matches("<script").count(), 1, "the script of ours alone");
    let (answer, _) = look(&world, &cookie, "").await;
    assert!(answer.header("content-security-policy").contains("style-src 'self'; script-src 'self'"));
}

#[tokio::test]
async fn the_console_shows_signals_of_the_segments_that_were_asked_for() {
    let world = world(&policy()).await;
    exchange(&world, "demo", 5, 3).await;
    exchange(&world, "other", 2, 0).await;
    let cookie = cookie(&world, "alice", "audit.read").await;
    let other =
        figures(&world, &cookie, "?period=1h&workflow=other&tool=github&intent=&access=&release=").await;
    assert!(other.contains("other / github") && !other.contains("demo / github"), "{other}");
    assert!(other.contains("Nothing was refused or denied in this time."), "{other}");
    assert!(other.contains("value=\"other\"") && other.contains("<option value=\"1h\" selected>"));
    let none = figures(&world, &cookie, "?workflow=nobody").await;
    assert!(none.contains("Nothing was asked for in this time") && !none.contains("<svg"), "{none}");
    let (wrong, text) = look(&world, &cookie, "?workflow=a%2Cb%22%3E%3Cscript%3E&tool=github").await;
    assert_eq!(wrong.status, 400);
    assert!(
        text.contains("aria-describedby=\"wrong-workflow\"") && text.contains("without a comma"),
        "{text}"
    );
    assert!(text.contains("value=\"a,b&#34;&#62;&#60;script&#62;\"") && !text.contains("<script>"), "{text}");
}

#[tokio::test]
async fn the_console_shows_signals_to_those_alone_who_may_see_them() {
    let world = world(&policy()).await;
    let (stranger, _) = look(&world, "", "").await;
    assert_eq!(stranger.status, 303);
    assert!(stranger.header("location").starts_with("/console/sign-in"), "{stranger:?}");
    let bob = cookie(&world, "bob", "policy.read").await;
    let (refused, text) = look(&world, &bob, "").await;
    assert_eq!(refused.status, 403, "{text}");
    assert!(text.contains("shortbread/audit.read") && !text.contains("<svg"), "{text}");
}
