//! Verifiers say what they enforce, and operators see who does, who is behind, who is silent and who is gone.

pub(crate) mod client;
mod hostile;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shortbread_broker::verifiers::tend;
use shortbread_protocol::clock::{Clock as _, SystemClock};
use shortbread_protocol::verifiers::{REPORT, SILENT_AFTER};
use shortbread_tests::{FakeIssuer, POLICY, World, assertion};

use tokio::task::JoinSet;

use client::{
    Instance, activate, ask, both, change, counts, github, lease, lease_body, policy, send, states, status,
    two, world,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn listed<'s>(status: &'s Value, instance: &Instance) -> &'s Value {
    let rows = status["listed"].as_array().unwrap();
    rows.iter().find(|row| row["instance"] == *instance.id).unwrap()
}

/// Lets time pass in which these say nothing new.
async fn pass(world: &World, seconds: u64, speaking: &[(&Instance, u64)]) {
    let mut left = seconds;
    while left > 0 {
        let step = left.min(15);
        world.clock.advance(Duration::from_secs(step));
        left -= step;
        for (instance, contents) in speaking {
            assert_eq!(instance.report(world, *contents).await.status, 200);
        }
        tend(&world.broker).await.unwrap();
    }
}

#[tokio::test]
async fn a_change_is_behind_until_it_is_reported() {
    let world = world(&policy()).await;
    let one = lease(&world, "github", &github(), 1).await;
    let answer = one.report(&world, 0).await;
    assert_eq!((answer.status, &answer.body["contents"]), (200, &json!(0)));
    assert_eq!(states(&world).await, [1, 0, 0, 0]);
    let seq = change(&world).await;
    world.clock.advance(Duration::from_secs(2));
    let late = status(&world, "").await;
    assert_eq!((counts(&late["instances"]), &late["change"]), ([0, 1, 0, 0], &json!(seq)));
    let row = listed(&late, &one);
    assert_eq!(
        (&row["state"], &row["lacks"], &row["label"]),
        (&json!("behind"), &json!(1), &json!("host-1"))
    );
    assert_eq!(row["since"].as_u64().unwrap() + 2, world.clock.now().seconds());
    assert_eq!(
        late["tools"][0],
        json!({
            "tool": "github", "enforced": false, "instances": { "enforcing": 0, "behind": 1, "silent": 0, "gone": 0 },
        })
    );
    assert_eq!(late["unreported"], json!(["payments"]), "nobody reports for it");
    assert_eq!(one.report(&world, seq).await.body["contents"], seq);
    let done = status(&world, "").await;
    assert_eq!(counts(&done["instances"]), [1, 0, 0, 0]);
    let row = listed(&done, &one);
    assert_eq!(
        (&row["propagation_ms"], &row["step"], &row["age"]),
        (&json!(2000), &json!("stream"), &json!(1))
    );
    assert_eq!((&row["since"], &row["keys_version"]), (&Value::Null, &json!(1)));
    assert_eq!(done["tools"][0]["enforced"], true);
    // Each change is asked for on its own.
    let next = change_again(&world).await;
    assert_eq!(counts(&status(&world, &format!("?seq={seq}")).await["instances"]), [1, 0, 0, 0]);
    assert_eq!(counts(&status(&world, &format!("?seq={next}")).await["instances"]), [0, 1, 0, 0]);
}

async fn change_again(world: &World) -> u64 {
    world.revoke("task", "t-1").await.body["seq"].as_u64().unwrap()
}

#[tokio::test]
async fn the_first_report_counts_no_older_change() {
    let world = world(&policy()).await;
    let seq = change(&world).await;
    world.clock.advance(Duration::from_secs(600));
    let late = lease(&world, "github", &github(), 1).await;
    late.report(&world, seq).await;
    assert_eq!(listed(&status(&world, "").await, &late)["propagation_ms"], Value::Null);
}

#[tokio::test]
async fn silence_is_noticed_forgiven_and_in_the_end_forgotten() {
    let world = world(&policy()).await;
    let (one, other) =
        (lease(&world, "github", &github(), 1).await, lease(&world, "github", &github(), 2).await);
    other.report(&world, 0).await;
    pass(&world, SILENT_AFTER, &[(&one, 0)]).await;
    assert_eq!(states(&world).await, [2, 0, 0, 0], "not yet");
    let heard = world.clock.now().seconds() - SILENT_AFTER;
    pass(&world, 1, &[(&one, 0)]).await;
    let seen = status(&world, "").await;
    assert_eq!(counts(&seen["instances"]), [1, 0, 1, 0]);
    assert_eq!(
        (&listed(&seen, &other)["since"], &seen["tools"][0]["enforced"]),
        (&json!(heard), &json!(false))
    );
    assert_eq!(other.report(&world, 0).await.status, 200);
    assert_eq!(states(&world).await, [2, 0, 0, 0], "back");
    // Silent for a week, it is waited for; then no more.
    world.clock.advance(7 * DAY - Duration::from_secs(60));
    one.report(&world, 0).await;
    tend(&world.broker).await.unwrap();
    assert_eq!(states(&world).await, [1, 0, 1, 0]);
    pass(&world, 60, &[(&one, 0)]).await;
    assert_eq!(states(&world).await, [1, 0, 0, 0]);
    assert_eq!(other.report(&world, 0).await.reason(), "verifier.unknown");
}

#[tokio::test]
async fn who_says_goodbye_is_gone_and_not_silent() {
    let world = world(&policy()).await;
    let one = lease(&world, "github", &github(), 1).await;
    assert_eq!(one.goodbye(&world).await.status, 200);
    let seen = status(&world, "").await;
    assert_eq!(
        (counts(&seen["instances"]), &seen["unreported"]),
        ([0, 0, 0, 1], &json!(["github", "payments"]))
    );
    world.clock.advance(DAY - Duration::from_secs(1));
    tend(&world.broker).await.unwrap();
    assert_eq!(states(&world).await, [0, 0, 0, 1], "for a day");
    world.clock.advance(Duration::from_secs(1));
    tend(&world.broker).await.unwrap();
    assert_eq!(states(&world).await, [0; 4]);
    assert_eq!(one.report(&world, 0).await.reason(), "verifier.unknown");
}

#[tokio::test]
async fn an_operator_has_a_dead_one_forgotten_and_no_living_one() {
    let world = world(&policy()).await;
    let one = lease(&world, "github", &github(), 1).await;
    let token = world.operator("alice", "revocations.revoke").await;
    let path = format!("/api/v1/verifiers/{}", one.id);
    let lives = world.call("delete", &path, Some(&token), None).await;
    assert_eq!((lives.status, lives.reason()), (409, "admin.conflict"));
    world.clock.advance(Duration::from_secs(SILENT_AFTER + 1));
    let done = world.call("delete", &path, Some(&token), None).await;
    assert_eq!(done.status, 204, "{done:?}");
    assert_eq!(world.audited(&done).await["instance"], one.id);
    assert_eq!(states(&world).await, [0; 4]);
    assert_eq!(world.call("delete", &path, Some(&token), None).await.status, 404);
    lease(&world, "github", &github(), 1).await.report(&world, 0).await;
    assert_eq!(states(&world).await, [1, 0, 0, 0], "a new lease");
}

#[tokio::test]
async fn a_restart_keeps_leases_and_numbers_and_silences_nobody() {
    let world = world(&policy()).await;
    let (one, dead) =
        (lease(&world, "github", &github(), 1).await, lease(&world, "github", &github(), 2).await);
    let seq = change(&world).await;
    one.report(&world, seq).await;
    pass(&world, SILENT_AFTER + 1, &[(&one, seq)]).await;
    assert_eq!(states(&world).await, [1, 0, 1, 0]);
    let said = one.message(&world, one.at(&world, seq));
    pass(&world, 61, &[(&one, seq)]).await;
    let world = world.restart().await;
    world.clock.advance(Duration::from_secs(SILENT_AFTER));
    let seen = status(&world, "").await;
    assert_eq!(counts(&seen["instances"]), [1, 0, 1, 0], "only who was silent before");
    let row = listed(&seen, &one);
    assert_eq!(
        (&row["contents"], &row["step"], &row["label"]),
        (&json!(seq), &Value::Null, &json!("host-1"))
    );
    let old = shortbread_protocol::verifiers::Message { iat: world.clock.now().seconds(), ..said };
    let again = send(&world, REPORT, one.signed(&old)).await;
    assert_eq!((again.status, again.reason()), (409, "verifier.replayed"));
    assert_eq!(one.report(&world, seq).await.status, 200);
    assert_eq!(dead.report(&world, seq).await.status, 200);
    assert_eq!(states(&world).await, [2, 0, 0, 0]);
    world.clock.advance(Duration::from_secs(SILENT_AFTER + 1));
    assert_eq!(states(&world).await, [0, 0, 2, 0]);
}

#[tokio::test]
async fn a_tool_is_enforced_when_each_of_its_verifiers_says_so() {
    let world = world(&two()).await;
    let enforced = async || {
        let seen = status(&world, "").await;
        let tools = seen["tools"].as_array().unwrap();
        let tool = tools.iter().find(|tool| tool["tool"] == "github").unwrap();
        (tool["enforced"].clone(), seen["unreported"].clone())
    };
    let one = lease(&world, "github", &github(), 1).await;
    let seq = change(&world).await;
    assert_eq!(one.report(&world, seq).await.status, 200);
    let alone = enforced().await;
    assert_eq!(alone, (json!(false), json!(["github", "payments"])), "nothing is known of the other one");
    let other = lease(&world, "both", &both(), 2).await;
    assert_eq!(enforced().await, (json!(false), json!([])), "behind is told by its state");
    assert_eq!(other.report(&world, seq).await.status, 200);
    assert_eq!(enforced().await, (json!(true), json!([])));
}

#[tokio::test]
async fn the_policy_in_force_decides_at_each_message() {
    let world = world(&two()).await;
    let (one, wide) = (lease(&world, "github", &github(), 1).await, lease(&world, "both", &both(), 2).await);
    assert_eq!(status(&world, "").await["unreported"], json!([]));
    // Another set of tools holds at once.
    activate(&world, &two().replace("[\"github\", \"payments\"]", "[\"github\"]")).await;
    assert_eq!(status(&world, "").await["unreported"], json!(["payments"]));
    assert_eq!(wide.report(&world, 0).await.status, 200);
    // Who is taken out is out, and comes back with a new lease only.
    activate(&world, &policy()).await;
    assert_eq!(states(&world).await, [1, 0, 0, 0]);
    let out = wide.report(&world, 0).await;
    assert_eq!((out.status, out.reason()), (401, "verifier.unknown"));
    tend(&world.broker).await.unwrap();
    activate(&world, &two()).await;
    assert_eq!(wide.report(&world, 0).await.reason(), "verifier.unknown");
    // Another key of the verifier ends the leases that the old one got.
    std::fs::write(world.path("keys/github.pub.pem"), both().public().to_pem()).unwrap();
    activate(&world, &policy()).await;
    assert_eq!(one.report(&world, 0).await.reason(), "verifier.unknown");
    lease(&world, "github", &both(), 3).await.report(&world, 0).await;
    assert_eq!(states(&world).await, [1, 0, 0, 0]);
}

#[tokio::test]
async fn an_issuers_token_is_good_for_one_lease_or_one_key() {
    let issuer = FakeIssuer::start();
    for reuse in [false, true] {
        let again = if reuse { "reuse = \"until_expiry\"" } else { "" };
        let policy = format!(
            "{POLICY}\n[[identities]]\nverifier = \"pod\"\ntools = [\"github\"]\nissuer = \"{}\"\naudience = \"broker\"\n\
             claims = {{ namespace = \"agents\" }}\n{again}\n",
            FakeIssuer::URL
        );
        let world = World::builder().policy(&policy).fetch(issuer.clone()).start().await;
        let now = world.clock.now().seconds();
        let token = |namespace: &str| {
            issuer.token(&json!({
                "iss": FakeIssuer::URL, "sub": "pod-1", "aud": "broker", "namespace": namespace, "jti": namespace,
                "iat": now, "exp": now + 600,
            }))
        };
        let first = ask(&world, &lease_body(&token("agents"), 1, "pod-1")).await;
        assert_eq!((first.status, first.text("/verifier")), (200, "pod"), "{first:?}");
        assert_eq!(world.audited(&first).await["label"], "pod-1");
        let same = ask(&world, &lease_body(&token("agents"), 1, "pod-1")).await;
        assert_eq!(same.status, if reuse { 200 } else { 401 }, "{same:?}");
        let other = ask(&world, &lease_body(&token("agents"), 2, "pod-1")).await;
        assert_eq!((other.status, other.reason()), (401, "identity.invalid"), "another key");
        let stranger = ask(&world, &lease_body(&token("others"), 3, "pod-2")).await;
        assert_eq!((stranger.status, stranger.reason()), (403, "identity.unmatched"));
        assert_eq!(states(&world).await, [1, 0, 0, 0]);
    }
}

#[tokio::test]
async fn who_asks_with_patience_is_answered_when_nobody_is_behind() {
    let world = world(&policy()).await;
    let (one, other) =
        (lease(&world, "github", &github(), 1).await, lease(&world, "github", &github(), 2).await);
    let seq = change(&world).await;
    one.report(&world, seq).await;
    let query = format!("?seq={seq}&wait=1");
    let begun = SystemClock::start();
    assert_eq!(counts(&status(&world, &query).await["instances"]), [1, 1, 0, 0]);
    assert!(begun.monotonic() >= Duration::from_secs(1), "in vain");
    let (begun, query) = (SystemClock::start(), format!("?seq={seq}&wait=8"));
    let report = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        other.report(&world, seq).await;
    };
    let (done, ()) = tokio::join!(status(&world, &query), report);
    assert_eq!(counts(&done["instances"]), [2, 0, 0, 0]);
    assert!(begun.monotonic() < Duration::from_secs(4), "not in vain");
    for bad in ["?wait=9", "?seq=99999", "?seq=-1", "?sequence=1", "?limit=x"] {
        let path = format!("/api/v1/revocations/status{bad}");
        let answer = world.admin_read("revocations.read", &path).await;
        assert_eq!((answer.status, answer.reason()), (400, "request.malformed"), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_instances_are_seen_at_once() {
    const MANY: u64 = 1000;
    let world = Arc::new(world(&policy()).await);
    let mut leases = JoinSet::new();
    for seed in 0..MANY {
        let world = Arc::clone(&world);
        leases.spawn(async move { Arc::new(lease(&world, "github", &github(), seed).await) });
    }
    let instances = leases.join_all().await;
    let full = assertion(&github(), &world.claims("verifier:github"));
    let full = ask(&world, &lease_body(&full, MANY, "one too many")).await;
    assert_eq!((full.status, full.reason()), (503, "overloaded"), "{full:?}");
    let seq = change(&world).await;
    let mut reports = JoinSet::new();
    for instance in instances.iter().take(900) {
        let (instance, world) = (Arc::clone(instance), Arc::clone(&world));
        reports.spawn(async move { instance.report(&world, seq).await.status });
    }
    assert!(reports.join_all().await.iter().all(|status| *status == 200));
    let begun = SystemClock::start();
    let seen = status(&world, "").await;
    assert!(begun.monotonic() < Duration::from_secs(2), "it is quick");
    assert_eq!(counts(&seen["instances"]), [900, 100, 0, 0]);
    let rows = seen["listed"].as_array().unwrap();
    let states: Vec<&str> = [0, 99, 100].map(|at| rows[at]["state"].as_str().unwrap()).into();
    assert_eq!((rows.len(), states), (1000, vec!["behind", "behind", "enforcing"]));
    assert!(seen.to_string().len() < 512 * 1024, "{}", seen.to_string().len());
    let some = status(&world, "?limit=10").await;
    assert_eq!((some["listed"].as_array().unwrap().len(), &some["left_off"]), (10, &json!(990)));
    // One that is gone makes room.
    instances[0].goodbye(&world).await;
    lease(&world, "github", &github(), MANY).await;
    assert_eq!(instances[0].report(&world, seq).await.reason(), "verifier.unknown");
}

#[tokio::test]
async fn how_old_lists_were_is_told_minute_by_minute() {
    let world = world(&two()).await;
    let ages = async || {
        let answer = world.admin_read("status.read", "/api/v1/verifiers/ages").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    };
    let first = ages().await;
    assert_eq!((&first["since"], &first["at"]), (&first["now"], &json!([])), "it begins with the broker");
    let one = lease(&world, "github", &github(), 1).await;
    assert_eq!(one.report(&world, 0).await.status, 200);
    pass(&world, 120, &[(&one, 0)]).await;
    // From here on nothing is known of it.
    pass(&world, SILENT_AFTER + 120, &[]).await;
    let told = ages().await;
    let [both, github] = &told["verifiers"].as_array().unwrap()[..] else { panic!("{told}") };
    assert_eq!((&both["verifier"], &both["ages"]), (&json!("both"), &json!([])));
    assert_eq!((&github["tools"], &github["window"]), (&json!(["github"]), &json!(60)));
    let known = github["ages"].as_array().unwrap();
    assert_eq!(known.len(), told["at"].as_array().unwrap().len());
    assert!(known[0].as_u64() == Some(1) && known.last().unwrap().is_null(), "{told}");
    assert!(known.iter().filter_map(Value::as_u64).max() > Some(SILENT_AFTER / 2), "{told}");
}
