//! The budget of a grant: no more of an argument is given out within a period than the policy says.

use std::time::Duration;

use serde_json::{Value, json};
use shortbread_broker::approvals::tend;
use shortbread_protocol::jws;
use shortbread_protocol::verifiers::{CLAIM_TYPE, CLAIMS, Claim, REPORT, REPORT_TYPE, Report, Uses};
use shortbread_tests::{Answer, Desk, refund, verifier};

use crate::acknowledged::client::{Instance, lease, send};
use crate::approvals::pause;
use crate::retries::ask_with;

/// How long a token lives, and a period more.
const FREE: u64 = 300 + 3600;

/// Credits without an approval, 1000 an hour; refunds with one, 10000 a day.
fn policy(text: String) -> String {
    let verb = "verbs.\"refunds.read\" = { access = \"read\" }";
    let credits = format!("{verb}\nverbs.\"credits.add\" = {{ access = \"write\", args = [\"amount\"] }}");
    let refunds =
        "verbs = [\"refunds.create\"]\nbudget = { argument = \"amount\", limit = 10000, per = \"24h\" }";
    let text = text.replacen(verb, &credits, 1);
    let text = text.replacen("verbs = [\"refunds.create\", \"refunds.read\"]", refunds, 1);
    let grant = |workflow: &str| {
        format!(
            "[[grants]]\nworkflow = \"{workflow}\"\ntool = \"payments\"\nverbs = [\"credits.add\"]\n\
             constraints.\"credits.add\" = {{ amount = {{ max = 500 }} }}\n\
             budget = {{ argument = \"amount\", limit = 1000, per = \"1h\" }}\n"
        )
    };
    format!("{text}\n{}{}", grant("desk"), grant("other"))
}

async fn start() -> Desk {
    Desk::changed(policy).await
}

async fn mint(desk: &Desk, workflow: &str) -> Answer {
    let key = if workflow == "desk" { "demo" } else { "other" };
    desk.world.exchange(&format!("workflow:{workflow}"), key, &[("scope", "payments:credits.add")]).await
}

async fn details(desk: &Desk, mut own: Value) -> Answer {
    own["type"] = "shortbread_tool_call".into();
    own["tool"] = "payments".into();
    let details = json!([own]).to_string();
    desk.world.bound("workflow:desk", "demo", &[("authorization_details", &details)]).await
}

fn call(amount: i64) -> Value {
    json!({ "verb": "credits.add", "args": { "amount": amount } })
}

fn spent(answer: &Answer) {
    assert_eq!(answer.refusal(), (400, "access_denied", "policy.budget"), "{answer:?}");
}

fn advance(desk: &Desk, seconds: u64) {
    desk.world.clock.advance(Duration::from_secs(seconds));
}

async fn report(desk: &Desk, instance: &Instance, uses: Uses) {
    let contents = desk.world.broker.store.mirror().changed_seq();
    let said = instance.message(&desk.world, Report { uses, ..instance.at(&desk.world, contents) });
    let sent = send(&desk.world, REPORT, jws::sign(REPORT_TYPE, &instance.id, &said, &instance.key));
    assert!(sent.await.status < 300);
}

async fn log(desk: &Desk, kind: &str) -> Vec<Value> {
    let entries = desk.world.broker.store.audit_tail(0, 10_000).await.unwrap();
    let events = entries.iter().map(|entry| serde_json::from_slice::<Value>(&entry.body).unwrap());
    events.filter(|event| event["type"] == format!("dev.shortbread.{kind}.v1")).collect()
}

#[tokio::test]
async fn what_is_over_the_budget_is_refused_until_the_period_is_over() {
    let desk = start().await;
    let first = mint(&desk, "desk").await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(
        first.body["authorization_details"][0]["delegation"], "none",
        "it is good once, so it is sealed"
    );
    assert_eq!(
        desk.world.audited(&first).await["charges"],
        json!([{ "grant": "grant:8", "argument": "amount", "amount": 500, "limit": 1000, "per_seconds": 3600 }])
    );
    advance(&desk, 10);
    assert_eq!(mint(&desk, "desk").await.status, 200);
    let third = mint(&desk, "desk").await;
    spent(&third);
    assert_eq!(third.header("retry-after"), (FREE - 10).to_string());
    assert!(third.text("/error_description").contains("has 0 of 1000 left for amount"), "{third:?}");
    assert_eq!(mint(&desk, "other").await.status, 200, "others have a budget of their own");
    advance(&desk, FREE - 11);
    spent(&mint(&desk, "desk").await);
    advance(&desk, 1);
    assert_eq!(mint(&desk, "desk").await.status, 200);
    spent(&mint(&desk, "desk").await);
}

#[tokio::test]
async fn whoever_asks_for_less_takes_less_and_a_call_as_much_as_it_says() {
    let desk = start().await;
    let less =
        json!({ "actions": ["credits.add"], "constraints": { "credits.add": { "amount": { "max": 100 } } } });
    assert_eq!(details(&desk, less).await.status, 200);
    let exact = details(&desk, json!({ "call": call(120) })).await;
    assert_eq!((exact.status, &desk.world.audited(&exact).await["charges"][0]["amount"]), (200, &json!(120)));
    let plan = details(&desk, json!({ "calls": [call(300), call(400)] })).await;
    assert_eq!((plan.status, &desk.world.audited(&plan).await["charges"][0]["amount"]), (200, &json!(700)));
    spent(&details(&desk, json!({ "calls": [call(40), call(41)] })).await);
    assert_eq!(details(&desk, json!({ "calls": [call(40), call(40)] })).await.status, 200);
    spent(&details(&desk, json!({ "call": call(1) })).await);
    let negative = details(&desk, json!({ "call": call(-1) })).await;
    assert_eq!(negative.reason(), "policy.constraint", "{negative:?}");
    assert!(negative.text("/error_description").contains("an integer of at least 0"), "{negative:?}");
}

#[tokio::test]
async fn of_many_at_once_no_more_than_the_budget_is_given() {
    let desk = start().await;
    let (a, b, c, d) =
        tokio::join!(mint(&desk, "desk"), mint(&desk, "desk"), mint(&desk, "desk"), mint(&desk, "desk"));
    let statuses = [a, b, c, d].map(|answer| answer.status);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 2, "{statuses:?}");
}

#[tokio::test]
async fn an_answer_that_is_given_again_takes_nothing() {
    let desk = start().await;
    let ask = async || ask_with(&desk.world, "other", &["k1"], "payments:credits.add", None).await;
    let (first, again) = (ask().await, ask().await);
    assert_eq!(first.token(), again.token());
    assert_eq!(mint(&desk, "other").await.status, 200);
    spent(&mint(&desk, "other").await);
    assert_eq!(ask().await.token(), first.token(), "it is the answer of a minute ago");
}

#[tokio::test]
async fn verbs_of_two_tools_under_budgets_are_two_tokens() {
    let desk = Desk::changed(|text| {
        let old = "verbs = [\"issues.read\", \"issues.write\"]";
        let text = text.replacen("\"title\", \"body\"]", "\"title\", \"body\", \"amount\"]", 1);
        assert!(text.contains(old));
        let own = "[[grants]]\nworkflow = \"desk\"\ntool = \"github\"\nverbs = [\"issues.write\"]\n\
             constraints.\"issues.write\" = { amount = { max = 5 } }\n\
             budget = { argument = \"amount\", limit = 50, per = \"1h\" }\n";
        let free = "approval = { access = [\"write\"], approvers = \"oncall\", quorum = 1, sla = \"5m\", expires = \"15m\" }";
        format!("{}\n{own}", policy(text.replacen(free, "", 1)))
    })
    .await;
    let both =
        desk.world.bound("workflow:desk", "demo", &[("scope", "payments:credits.add github:issues.write")]);
    let both = both.await;
    assert_eq!(both.reason(), "target.unknown", "{both:?}");
    assert!(both.text("/error_description").contains("ask once for each tool"), "{both:?}");
}

#[tokio::test]
async fn a_budget_is_remembered_across_a_restart() {
    let desk = start().await;
    assert_eq!(mint(&desk, "desk").await.status, 200);
    assert_eq!(mint(&desk, "desk").await.status, 200);
    let desk = Desk { world: desk.world.restart().await };
    spent(&mint(&desk, "desk").await);
}

#[tokio::test]
async fn an_approval_takes_at_the_vote_and_gives_back_when_it_ends() {
    let desk = start().await;
    let (first, second) = (desk.ask(&refund(6000, "ch_1")).await, desk.ask(&refund(6000, "ch_2")).await);
    assert_eq!(desk.approve("bob", &first).await.status, 200);
    let refused = desk.approve("bob", &second).await;
    assert_eq!((refused.status, refused.reason()), (409, "policy.budget"), "{refused:?}");
    assert_eq!(refused.header("retry-after"), "900", "when the one that is approved expires");
    assert_eq!(desk.show("bob", &second).await.text("/approval/state"), "pending");
    // Taken back, denied and over: each gives back at once.
    assert_eq!(desk.cancel(&first).await.status, 200);
    assert_eq!(desk.approve("bob", &second).await.status, 200);
    let third = desk.ask(&refund(6000, "ch_3")).await;
    assert_eq!(desk.approve("bob", &third).await.reason(), "policy.budget");
    assert_eq!(desk.deny("bob", &second, "not this one").await.status, 200);
    assert_eq!(desk.approve("bob", &third).await.status, 200);
    advance(&desk, 900);
    tend(&desk.world.broker).await.unwrap();
    let fourth = desk.ask(&refund(6000, "ch_4")).await;
    assert_eq!(desk.approve("bob", &fourth).await.status, 200);
    // Fetched, it counts for the token, and not twice.
    pause(&desk);
    assert_eq!(desk.fetch(&fourth).await.status, 200);
    let fifth = desk.ask(&refund(4000, "ch_5")).await;
    assert_eq!(desk.approve("bob", &fifth).await.status, 200);
    assert_eq!(desk.fetch(&fifth).await.status, 200);
    let sixth = desk.ask(&refund(1, "ch_6")).await;
    assert_eq!(desk.approve("bob", &sixth).await.reason(), "policy.budget");
}

#[tokio::test]
async fn a_smaller_approval_takes_as_much_as_is_left_of_it() {
    let desk = start().await;
    let call =
        |amount: i64| json!({ "verb": "refunds.create", "args": { "amount": amount, "charge": "ch" } });
    let plan =
        json!([{ "type": "shortbread_tool_call", "tool": "payments", "calls": [call(6000), call(5000)] }]);
    let asked = desk.ask(&plan).await;
    assert_eq!(desk.approve("bob", &asked).await.reason(), "policy.budget");
    let done = desk.approve_with("bob", &asked, json!({ "narrow": { "drop_calls": [1] } })).await;
    assert_eq!(done.status, 200, "{done:?}");
    let charged = log(&desk, "approval.decided").await.remove(0);
    assert_eq!(charged["data"]["charges"][0]["amount"], 6000);
}

#[tokio::test]
async fn an_unused_token_gives_back_where_all_uses_are_claimed_at_the_broker() {
    let desk = start().await;
    let one = lease(&desk.world, "payments", &verifier("payments"), 1).await;
    let two = lease(&desk.world, "payments", &verifier("payments"), 2).await;
    let used = mint(&desk, "desk").await;
    let claim = Claim {
        token: used.text("/shortbread/token_id").to_owned(),
        attempt: format!("{:032x}", 1),
        tool: "payments".parse().unwrap(),
        verb: "credits.add".parse().unwrap(),
        args_sha256: None,
    };
    let message = one.message(&desk.world, claim);
    let claimed = send(&desk.world, CLAIMS, jws::sign(CLAIM_TYPE, &one.id, &message, &one.key)).await;
    assert_eq!(claimed.status, 200, "{claimed:?}");
    let unused = mint(&desk, "desk").await;
    advance(&desk, 361);
    for (first, second) in [(Uses::Broker, Uses::Local), (Uses::Nobody, Uses::Broker)] {
        report(&desk, &one, first).await;
        report(&desk, &two, second).await;
        tend(&desk.world.broker).await.unwrap();
        spent(&mint(&desk, "desk").await);
    }
    report(&desk, &one, Uses::Broker).await;
    tend(&desk.world.broker).await.unwrap();
    let back = log(&desk, "budget.returned").await;
    assert_eq!(back.len(), 1, "{back:?}");
    assert_eq!(
        (&back[0]["subject"], &back[0]["data"]["token"], &back[0]["data"]["amount"]),
        (&json!("workflow/desk"), &unused.body["shortbread"]["token_id"], &json!(500))
    );
    assert_eq!(mint(&desk, "desk").await.status, 200, "what was not used is there again");
    spent(&mint(&desk, "desk").await);
}
