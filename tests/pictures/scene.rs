//! Two days of three workflows, and what waits at their end.

use std::time::Duration;

use serde_json::{Value, json};
use shortbread_broker::verifiers::tend;
use shortbread_protocol::oauth::{CLIENT_ASSERTION, CLIENT_CREDENTIALS};
use shortbread_tests::{Answer, Desk, Tool, World, verifier, with_verifiers};

use crate::client::{Instance, lease};

const POLICY: &str = include_str!("policy.toml");
/// Half an hour each.
const STEPS: u32 = 96;
/// How many tokens are asked for in each half hour of a day, from midnight on, by twos.
const DAY: [u32; 12] = [0, 0, 1, 1, 3, 5, 6, 4, 5, 3, 2, 1];

/// The broker, and the ids of what is shown of it.
pub(crate) struct Scene {
    pub(crate) world: World,
    asked: Answer,
    minted: Answer,
    change: u64,
}

impl Scene {
    /// Lets two days pass.
    pub(crate) async fn set() -> Self {
        let world = with_verifiers(World::builder()).policy(POLICY).start().await;
        let mut minted = None;
        for step in 0..STEPS {
            world.clock.advance(Duration::from_secs(1800));
            if step == 58 {
                widened(&world).await;
            }
            let count = DAY.get((step / 4 % 12) as usize).copied().unwrap_or_default();
            let mut tokens = Vec::new();
            for n in 0..count {
                tokens.push(half_hour(&world, step, n).await);
            }
            if step % 8 == 5 {
                decided(&world, step).await;
            }
            world.broker.publish().await.expect("a head");
            let mut tool = world.tool("payments");
            tool.poll().await;
            called(&world, &tool, &tokens).await;
            let instance = lease(&world, "payments", &verifier("payments"), 100 + u64::from(step)).await;
            report(&world, &instance).await;
            world.clock.advance(Duration::from_secs(u64::from(step * 7 % 40)));
            tend(&world.broker).await.expect("the store works");
            instance.goodbye(&world).await;
            minted = tokens.into_iter().find(|answer| answer.status == 200).or(minted);
        }
        let asked = waiting(&world).await;
        let change = stopped(&world).await;
        Self { world, asked, minted: minted.expect("a token"), change }
    }

    /// The path of the request that waits.
    pub(crate) fn approval(&self) -> String {
        format!("/console/approvals/{}", self.asked.text("/shortbread/approval_id"))
    }

    /// What is shown on a desk: the name of a picture, and a path.
    pub(crate) fn pages(&self) -> Vec<(&'static str, String)> {
        let page = |name, path: &str| (name, format!("/console/{path}"));
        vec![
            page("approvals", "approvals"),
            ("approval", self.approval()),
            page("switch", "switch"),
            page("revoke", "switch/revoke?kind=workflow&value=issue-triage"),
            page("change", &format!("switch/changes/{}", self.change)),
            page("activity", "activity"),
            page("story", &format!("activity/{}", self.minted.decision())),
            page("workflows", "workflows"),
            page("workflow", "workflows/refund-desk"),
            page("policy", "policy"),
            page("version", "policy/2"),
            page("signals", "signals"),
            page("health", "health"),
            page("sessions", "sessions"),
        ]
    }
}

// What workflows ask for in half an hour; now and then too much.
async fn half_hour(world: &World, step: u32, n: u32) -> Answer {
    let strange = step % 11 == 4 && n == 0;
    let triage = if strange { "github:repo.delete" } else { "github:issues.read github:issues.write" };
    let task = format!("INC-{}", 400 + step);
    let more =
        [("scope", triage), ("task", task.as_str()), ("release", if step < 60 { "1.8.0" } else { "1.9.0" })];
    world.exchange("workflow:issue-triage", "other", &more).await;
    let more = [("scope", "crm:contacts.read"), ("intent", "enrichment")];
    world.exchange("workflow:crm-enrich", "third", &more).await;
    let scope = if strange { "payments:payouts.create" } else { "payments:refunds.read" };
    let task = format!("ticket-{}", 7000 + step * 8 + n);
    let more = [("scope", scope), ("intent", "customer-refund"), ("task", task.as_str())];
    world.exchange("workflow:refund-desk", "demo", &more).await
}

async fn ask(world: &World, (name, key): (&str, &str), more: &[(&str, &str)]) -> Answer {
    let assertion = world.assertion(&format!("workflow:{name}"), key);
    let own = [
        ("grant_type", CLIENT_CREDENTIALS),
        ("client_assertion_type", CLIENT_ASSERTION),
        ("client_assertion", assertion.as_str()),
        ("completion_mode", "deferred"),
    ];
    let proof = world.proof_by(&Desk::key(name), "/oauth/token");
    let answer = world.form_with("/oauth/token", &[&own, more].concat(), &[&proof]).await;
    assert_eq!(answer.reason(), "approval.pending", "{answer:?}");
    answer
}

async fn refund(world: &World, amount: u32, charge: &str, ticket: u32) -> Answer {
    let note = format!("Ticket {ticket}: charged twice for the same order. Customer confirmed by e-mail.");
    let args = json!({ "amount": amount, "charge": charge, "note": note });
    let details = json!([{
        "type": "shortbread_tool_call", "tool": "payments", "call": { "verb": "refunds.create", "args": args },
        "intent": "customer-refund", "task": format!("ticket-{ticket}"),
    }]);
    let details = details.to_string();
    ask(world, ("refund-desk", "demo"), &[("authorization_details", &details)]).await
}

// A refund that bob approved after a while, or denied.
async fn decided(world: &World, step: u32) {
    let asked = refund(world, 900 + step * 37, &format!("ch_3Nq{step}"), 6800 + step).await;
    world.clock.advance(Duration::from_secs(40 + u64::from(step) * 5));
    let path = format!("/api/v1/approvals/{}", asked.text("/shortbread/approval_id"));
    let call = async |method, path: &str, body: Option<&Value>| {
        world.call_as(("bob", "bob"), (method, path), "approvals.decide", body).await
    };
    let digest = call("GET", &path, None).await.text("/digest").to_owned();
    let (end, body) = match step % 3 {
        0 => ("deny", json!({ "digest": digest, "reason": "this charge was refunded on Monday" })),
        _ => ("approve", json!({ "digest": digest, "note": "checked with finance" })),
    };
    let done = call("POST", &format!("{path}/{end}"), Some(&body)).await;
    assert_eq!(done.status, 200, "{done:?}");
}

async fn report(world: &World, instance: &Instance) {
    let answer = instance.report(world, world.broker.store.mirror().changed_seq()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

// What the tool is called for with these tokens, and what it refuses of that.
async fn called(world: &World, tool: &Tool, tokens: &[Answer]) {
    let good = tokens.iter().filter(|answer| answer.status == 200);
    let calls = good.enumerate().flat_map(|(n, answer)| {
        let strange = n == 3;
        let verbs: &[&str] = if strange { &["refunds.read", "refunds.create"] } else { &["refunds.read"; 2] };
        verbs.iter().map(move |verb| (answer.token(), *verb, answer.trace()))
    });
    let calls: Vec<_> = calls.collect();
    if !calls.is_empty() {
        tool.decide(world, verifier("payments"), &calls).await;
    }
}

// A policy that gives some more and others less.
async fn widened(world: &World) {
    let shorter = ("max_ttl = \"15m\"", "max_ttl = \"10m\"");
    let text = POLICY.replace("max = 50000", "max = 80000").replace(shorter.0, shorter.1);
    std::fs::write(world.path("policy.toml"), text).expect("a file");
    for name in ["alice", "bob"] {
        let path = ("POST", "/api/v1/policy/activate");
        world.call_as((name, name), path, "policy.activate", Some(&json!({}))).await;
    }
}

// A revocation that two of three instances enforce already.
async fn stopped(world: &World) -> u64 {
    let instances = [
        lease(world, "payments", &verifier("payments"), 1).await,
        lease(world, "payments", &verifier("payments"), 2).await,
        lease(world, "github", &verifier("github"), 3).await,
    ];
    for instance in &instances {
        report(world, instance).await;
    }
    world.clock.advance(Duration::from_secs(20));
    let body = json!({
        "selectors": [{ "kind": "workflow", "value": "crm-enrich" }], "cause": "incident",
        "reason": "writes the same address into every contact",
    });
    let path = ("POST", "/api/v1/revocations");
    let done = world.call_as(("alice", "alice"), path, "revocations.revoke", Some(&body)).await;
    assert_eq!(done.status, 200, "{done:?}");
    for instance in instances.iter().take(2) {
        report(world, instance).await;
    }
    world.clock.advance(Duration::from_secs(2));
    done.body.get("seq").and_then(Value::as_u64).expect("a number")
}

async fn waiting(world: &World) -> Answer {
    refund(world, 1250, "ch_3NqA81", 7801).await;
    world.clock.advance(Duration::from_secs(170));
    let asked = refund(world, 4200, "ch_3NqB7f", 7809).await;
    world.clock.advance(Duration::from_secs(25));
    asked
}
