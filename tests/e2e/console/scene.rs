//! A desk on which much has happened, and on which whoever could choose a text chose one that would run if it were no text.

use serde_json::{Value, json};
use shortbread_tests::{Answer, DESK, Desk, verifier};

use crate::acknowledged::client::{Instance, ask, instance_key, lease_body};

/// Texts that do something where they are taken for HTML: each says so in `window.ran`.
pub(super) const EVIL: [&str; 3] = [
    "<script>window.ran=1</script>",
    "\"><img src=x onerror=\"window.ran=1\">",
    "'}</pre></details><svg onload=window.ran=1>{{ 7*7 }}",
];

/// The desk, and a request that waits on it.
pub(super) struct Scene {
    pub(super) desk: Desk,
    pub(super) asked: Answer,
}

fn policy(text: &str) -> String {
    let text =
        text.replace("\"status.read\", \"approvals.*\"]", "\"status.read\", \"approvals.*\", \"keys.read\"]");
    format!("# {} {}\n{text}", EVIL[0], EVIL[1])
}

/// A refund whose charge is a text of these.
fn charge(amount: i64, text: &str) -> Value {
    json!([{
        "type": "shortbread_tool_call", "tool": "payments",
        "call": { "verb": "refunds.create", "args": { "amount": amount, "charge": text } },
    }])
}

impl Scene {
    /// Sets it up: requests that wait, are granted and denied; tokens, refusals, revocations, a change of the policy, an
    /// instance that reports.
    pub(super) async fn set() -> Self {
        let desk = Desk { world: Desk::builder(|text| policy(&text)).start().await };
        let world = &desk.world;
        let answer = desk.ask_scope("payments:refunds.read").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(desk.ask_scope("github:repo.delete").await.reason(), "scope.unknown");
        report(&desk).await;
        let approved = desk.ask(&charge(1, EVIL[0])).await;
        let noted = desk.approve_with("bob", &approved, json!({ "note": EVIL[1] })).await;
        assert_eq!(noted.status, 200, "{noted:?}");
        let denied = desk.ask(&charge(2, EVIL[1])).await;
        assert_eq!(desk.deny("bob", &denied, EVIL[2]).await.status, 200);
        let revoked = json!({ "selectors": [{ "kind": "user", "value": EVIL[0] }], "reason": EVIL[1] });
        let token = world.operator("alice", "revocations.revoke").await;
        let path = "/api/v1/revocations";
        let stop = world.call("post", path, Some(&token), Some(&revoked)).await;
        assert_eq!(stop.status, 200, "{stop:?}");
        let version = policy(DESK).replace("max = 10000", "max = 5000");
        std::fs::write(world.path("policy.toml"), version).unwrap();
        for name in ["alice", "bob"] {
            let path = ("POST", "/api/v1/policy/activate");
            desk.call_with((name, name), path, "policy.activate", Some(&json!({}))).await;
        }
        let plan = json!([{ "type": "shortbread_tool_call", "tool": "payments", "calls": [
            { "verb": "refunds.create", "args": { "amount": 3, "charge": EVIL[0] } },
            { "verb": "refunds.create", "args": { "amount": 4, "charge": EVIL.join("\n").repeat(20) } },
        ] }]);
        let asked = desk.ask(&plan).await;
        assert_eq!(asked.reason(), "approval.pending", "{asked:?}");
        let wide = desk.ask_scope("github:issues.write github:issues.read").await;
        assert_eq!(wide.reason(), "approval.pending", "{wide:?}");
        Self { desk, asked }
    }
}

// An instance whose label is one of these texts.
async fn report(desk: &Desk) {
    let world = &desk.world;
    let proof = shortbread_tests::assertion(&verifier("payments"), &world.claims("verifier:payments"));
    let lease = ask(world, &lease_body(&proof, 1, EVIL[1])).await;
    assert_eq!(lease.status, 200, "{lease:?}");
    let key = instance_key(1);
    let instance = Instance { id: key.public().thumbprint(), key, n: 0.into() };
    assert_eq!(instance.report(world, 0).await.status, 200);
}
