//! The clock on a request: the next group is asked, and its end is final.

use std::time::Duration;

use serde_json::json;
use shortbread_broker::approvals::tend;
use shortbread_broker::store::{Ask, AuditEntry};
use shortbread_protocol::approval::Shown;
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

#[tokio::test]
async fn ten_thousand_requests_wait_and_are_listed_a_page_at_a_time_and_decided() {
    let desk = Desk::start().await;
    let asked = desk.ask(&refund(1, "ch_1")).await;
    let store = desk.world.broker.store.clone();
    let one = store.approval(asked.text("/shortbread/approval_id")).await.unwrap().unwrap().record;
    for group in 0..50_u32 {
        let asks = (0..200_u32).map(|n| {
            let number = group * 200 + n;
            let mut record = one.clone();
            record.id = format!("apr_{number:05}");
            record.same[..4].copy_from_slice(&number.to_be_bytes());
            let mut shown: serde_json::Value = serde_json::from_slice(&record.shown).unwrap();
            shown["approval_id"] = record.id.clone().into();
            let shown: Shown = serde_json::from_value(shown).unwrap();
            record.digest = shown.digest();
            record.shown = serde_json::to_vec(&shown).unwrap();
            let ask = Ask { record, replay: None, task: shown.task.to_string(), most: u64::MAX };
            let store = store.clone();
            tokio::spawn(async move { store.ask_approval(ask, |_| entry()).await })
        });
        for ask in asks.collect::<Vec<_>>() {
            ask.await.unwrap().unwrap();
        }
    }
    let (mut after, mut seen) = (String::new(), 0);
    loop {
        let path = format!("/api/v1/approvals?limit=500{after}");
        let page = desk.call_with(("alice", "alice"), ("GET", &path), "approvals.read", None).await;
        assert_eq!((page.status, &page.body["open"]), (200, &json!(10_001)), "{page:?}");
        seen += page.body["approvals"].as_array().unwrap().len();
        let Some(next) = page.body["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, 10_001, "each once");
    let last = json!({ "shortbread": { "approval_id": "apr_09999" } });
    let last = shortbread_tests::Answer { body: last, ..asked };
    assert_eq!(desk.approve("bob", &last).await.text("/approval/state"), "approved");
}

fn entry() -> AuditEntry {
    let at = shortbread_protocol::clock::Timestamp::from_seconds(1_795_176_000);
    let (decision, body) = ("dec_seeded".to_owned(), b"{}".to_vec());
    AuditEntry { at, decision, trace: None, parent: None, body, about: None, input: None }
}
