//! The clock on a request: the next group is asked, and its end is final.

use std::time::Duration;

use serde_json::json;
use shortbread_broker::approvals::tend;
use shortbread_tests::{DESK, Desk, Loopback, refund, with_verifiers};

use crate::paged::{paging, told};

#[tokio::test]
async fn a_breached_sla_asks_the_next_group_and_is_logged_once() {
    let desk = Desk::start().await;
    let asked = desk.ask(&refund(1, "ch_1")).await;
    desk.world.clock.advance(Duration::from_secs(299));
    tend(&desk.world.broker).await.unwrap();
    assert_eq!(desk.log().await.len(), 1);
    desk.world.clock.advance(Duration::from_secs(1));
    for _ in 0..3 {
        tend(&desk.world.broker).await.unwrap();
    }
    let log = desk.log().await;
    assert_eq!(log.len(), 2, "{log:?}");
    assert_eq!(
        (log[1].0.as_str(), &log[1].1["approvers"]),
        ("approval.escalated", &json!(["oncall", "leads"]))
    );
    assert_eq!(log[1].1["nobody_else"], false);
    let shown = desk.show("carol", &asked).await;
    assert_eq!(shown.body["approval"]["late"], true);
    desk.world.clock.advance(Duration::from_secs(300));
    tend(&desk.world.broker).await.unwrap();
    assert_eq!(desk.log().await[2].1["nobody_else"], true);
}

#[tokio::test]
async fn an_expiry_during_a_vote_is_final() {
    let desk = Desk::start().await;
    let asked = desk.ask(&refund(1, "ch_1")).await;
    let digest = desk.show("bob", &asked).await.text("/digest").to_owned();
    desk.world.clock.advance(Duration::from_secs(900));
    let late = desk.approve_digest("bob", &asked, &digest, json!({})).await;
    assert_eq!(
        (late.status, late.reason()),
        (409, "approval.closed"),
        "before anyone looked after it: {late:?}"
    );
    tend(&desk.world.broker).await.unwrap();
    assert_eq!(desk.show("bob", &asked).await.text("/approval/state"), "expired");
    assert_eq!(desk.fetch(&asked).await.refusal().1, "expired_token");
    let anew = desk.ask(&refund(1, "ch_1")).await;
    assert_ne!(anew.text("/deferral_code"), asked.text("/deferral_code"));
}

#[tokio::test]
async fn an_approval_that_is_not_fetched_in_time_is_over() {
    let desk = Desk::start().await;
    let asked = desk.ask(&refund(1, "ch_1")).await;
    assert_eq!(desk.approve("bob", &asked).await.status, 200);
    desk.world.clock.advance(Duration::from_secs(900));
    assert_eq!(desk.fetch(&asked).await.refusal(), (400, "expired_token", "approval.expired"));
}

#[tokio::test]
async fn approvers_are_told_where_to_look() {
    let server = Loopback::start().await;
    let desk = Desk { world: with_verifiers(paging(&server, "")).policy(DESK).start().await };
    let asked = desk.ask(&refund(4242, "ch_private")).await;
    let notice = told(&server, "approval.requested").await;
    assert_eq!(notice["data"]["url"], asked.body["shortbread"]["status_uri"]);
    assert_eq!(notice["data"]["approvers"], json!(["oncall"]));
    let text = notice.to_string();
    assert!(
        text.contains("shortbread approvals show apr_")
            && !text.contains("ch_private")
            && !text.contains("4242")
    );
    desk.world.clock.advance(Duration::from_secs(300));
    tend(&desk.world.broker).await.unwrap();
    assert_eq!(told(&server, "approval.escalated").await["data"]["approvers"], json!(["oncall", "leads"]));
    assert_eq!(desk.approve("carol", &asked).await.status, 200);
    assert_eq!(told(&server, "approval.decided").await["data"]["by"], "carol");
}
