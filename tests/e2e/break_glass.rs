//! The offline root key stops everything, whatever becomes of the broker, and only that key lets anything go on.

use std::time::Duration;

use serde_json::json;
use shortbread_protocol::clock::{Clock as _, FOREVER};
use shortbread_protocol::key_document::{KeyDocument, Rotation};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::revocations::{BreakGlass, origin};
use shortbread_tests::process::Home;
use shortbread_tests::{Answer, Loopback, World};
use shortbread_verifier::list::Refused;

use crate::paged::{paging, told};
use crate::revoked::{ALLOWED, Use, ask};

const READ: &str = "github/issues.read";
const ADDRESS: &str = "/revocations/break-glass";

fn signed(world: &World, seq: u64, global: u64) -> String {
    let head = BreakGlass { seq, issued: world.clock.now().seconds(), global };
    head.sign(&origin(&world.issuer), &world.key("root"))
}

/// Puts a file beside the key document and lets the broker look.
async fn put(world: &World, text: &str) {
    std::fs::write(world.path("keys/break-glass.txt"), text).unwrap();
    world.broker.look_at_break_glass().await;
}

async fn served(world: &World) -> Answer {
    world.get(ADDRESS).await
}

#[tokio::test]
async fn the_broker_stops_and_passes_it_on() {
    let world = World::start().await;
    assert_eq!((served(&world).await.status, served(&world).await.reason()), (404, "not_found"));
    let stop = signed(&world, 100, FOREVER);
    put(&world, &stop).await;
    let answer = served(&world).await;
    assert_eq!((answer.status, answer.bytes.as_slice()), (200, stop.as_bytes()));
    assert_eq!(answer.header("cache-control"), "public, max-age=1");
    let url = format!("{}{ADDRESS}", world.issuer);
    let again = world.send(world.http.get(&url).header("if-none-match", answer.header("etag"))).await;
    assert_eq!((again.status, again.bytes.len()), (304, 0));
    assert_eq!(ask(&world, READ).await.reason(), "revoked.all");
    // The switch stays in the operators' hands; nothing else does.
    assert_eq!(world.admin_read("revocations.read", "/api/v1/revocations").await.status, 200);
    assert_eq!(world.sign_in("alice", "audit.read").await.reason(), "revoked.all");
    // What an operator lifts is not what the root key says.
    assert_eq!(world.revoke_with(json!({ "all": true })).await.status, 200);
    assert_eq!(world.lift_with(json!({ "all": true, "revive": true })).await.status, 200);
    assert_eq!(ask(&world, READ).await.reason(), "revoked.all");
    // It outlives a restart, and the file.
    let world = world
        .restart_after(|folder| std::fs::remove_file(folder.join("keys/break-glass.txt")).unwrap())
        .await;
    assert_eq!(ask(&world, READ).await.reason(), "revoked.all");
    assert_eq!(served(&world).await.bytes, stop.as_bytes());
    // A newer one lifts it, and the old one never comes back.
    let lift = signed(&world, 101, 0);
    put(&world, &lift).await;
    assert_eq!(ask(&world, READ).await.status, 200);
    put(&world, &stop).await;
    assert_eq!(ask(&world, READ).await.status, 200);
    assert_eq!(served(&world).await.bytes, lift.as_bytes());
    let log = world.broker.store.audit_tail(0, 500).await.unwrap();
    let of_root = |kind: &str| {
        let is = |body: &[u8]| {
            let text = String::from_utf8_lossy(body).into_owned();
            text.contains("\"root key\"") && text.contains(kind)
        };
        log.iter().filter(|entry| is(&entry.body)).count()
    };
    assert_eq!((of_root("revocation.set"), of_root("revocation.lifted")), (1, 1));
}

#[tokio::test]
async fn operators_are_told_that_the_root_key_spoke() {
    let server = Loopback::start().await;
    let world = paging(&server, "").start().await;
    put(&world, &signed(&world, 100, FOREVER)).await;
    let notice = told(&server, "revocation.set").await;
    assert_eq!(
        (&notice["data"]["by"], &notice["data"]["what"]),
        (&json!("root key"), &json!(["everything"]))
    );
    put(&world, &signed(&world, 101, 0)).await;
    assert_eq!(told(&server, "revocation.lifted").await["data"]["by"], "root key");
}

#[tokio::test]
async fn tokens_of_before_a_moment_are_stopped_and_new_ones_are_good() {
    let world = World::start().await;
    let held = world.operator("alice", "audit.read").await;
    put(&world, &signed(&world, 7, world.clock.now().seconds() + 1)).await;
    let refused = world.call("get", "/api/v1/audit", Some(&held), None).await;
    assert_eq!((refused.status, refused.reason()), (403, "revoked.all"));
    assert_eq!(ask(&world, READ).await.status, 200);
    let fresh = world.operator("alice", "audit.read").await;
    assert_eq!(world.call("get", "/api/v1/audit", Some(&fresh), None).await.status, 200);
}

#[tokio::test]
async fn nobody_else_breaks_the_glass_and_no_old_file_counts() {
    let world = World::start().await;
    let head = BreakGlass { seq: 9, issued: 1, global: FOREVER };
    let stranger = PrivateKey::from_seed(&[3; 32]);
    let elsewhere = head.sign("other.example/revocations", &world.key("root"));
    let forged = head.sign(&origin(&world.issuer), &stranger);
    let by_broker = head.sign(&origin(&world.issuer), &world.key("revocation"));
    for text in [String::new(), "x".repeat(100_000), elsewhere, forged, by_broker] {
        put(&world, &text).await;
        assert_eq!((served(&world).await.status, ask(&world, READ).await.status), (404, 200));
    }
    // The key document says from which number on they count.
    let rotation = Rotation { break_glass: Some(50), ..Rotation::default() };
    let now = world.clock.now().seconds();
    let next = world.broker.keyring.current().document.next(&rotation, now).unwrap();
    let body = json!({ "document": next.sign(&world.key("root")) });
    assert_eq!(world.admin("keys.rotate", "/api/v1/keys/document", &body).await.status, 200);
    put(&world, &signed(&world, 49, FOREVER)).await;
    assert_eq!(served(&world).await.status, 404);
    put(&world, &signed(&world, 50, FOREVER)).await;
    assert_eq!(ask(&world, READ).await.reason(), "revoked.all");
}

#[tokio::test]
async fn no_head_of_a_surviving_broker_undoes_it() {
    let world = World::start().await;
    let mut used = Use::of(&world, READ).await;
    let stop = signed(&world, 100, FOREVER);
    // It comes by a mirror; the broker itself goes on as if nothing were.
    used.tool.trust().offer_break_glass(stop.as_bytes()).unwrap();
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(1));
        world.broker.publish().await.unwrap();
        let fresh = ask(&world, READ).await.token().to_owned();
        assert_eq!(used.now(&fresh).await, "revoked.all");
    }
    let older = signed(&world, 99, 0);
    assert!(matches!(used.tool.trust().offer_break_glass(older.as_bytes()), Err(Refused::Older { .. })));
    assert_eq!(used.token_now().await, "revoked.all");
    used.tool.trust().offer_break_glass(signed(&world, 101, 0).as_bytes()).unwrap();
    assert_eq!(used.token_now().await, ALLOWED);
}

#[tokio::test]
async fn an_old_one_is_not_replayed_at_a_fresh_verifier() {
    let world = World::start().await;
    let stop = signed(&world, 100, FOREVER);
    let now = world.clock.now().seconds();
    let rotation = Rotation { break_glass: Some(101), ..Rotation::default() };
    let next: KeyDocument = world.broker.keyring.current().document.next(&rotation, now).unwrap();
    let body = json!({ "document": next.sign(&world.key("root")) });
    assert_eq!(world.admin("keys.rotate", "/api/v1/keys/document", &body).await.status, 200);
    let mut fresh = Use::of(&world, READ).await;
    assert!(matches!(fresh.tool.trust().offer_break_glass(stop.as_bytes()), Err(Refused::Older { .. })));
    assert_eq!(fresh.token_now().await, ALLOWED);
}

#[test]
fn a_laptop_with_the_root_key_is_enough() {
    let home = Home::new();
    let issuer = "https://broker.acme.example";
    home.ok(&["keys", "generate", "--purpose", "root", "--out", "root.pem"]);
    let with = |more: &[&'static str]| {
        [&["break-glass", "--root", "root.pem", "--issuer", issuer][..], more].concat()
    };
    let said = home.ok(&with(&["--out", "stop.txt"]));
    for part in ["does not", "every mirror", "/revocations/break-glass", "--lift", "every token is refused"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let root = shortbread_protocol::keys::PublicKey::from_pem(&home.read("root.pub.pem")).unwrap();
    let open = |name: &str| BreakGlass::open(home.read(name).as_bytes(), &origin(issuer), &root).unwrap();
    let stop = open("stop.txt");
    assert_eq!((stop.seq, stop.global), (stop.issued, FOREVER));
    home.refused(&with(&["--out", "stop.txt"]), &["is there already"]);
    let lift = home.json(&with(&["--out", "lift.txt", "--lift", "--seq", "7"]));
    assert_eq!((&lift["seq"], &lift["global"], open("lift.txt").global), (&json!(7), &json!(0), 0));
    home.ok(&with(&["--out", "dated.txt", "--issued-so-far"]));
    assert_eq!(open("dated.txt").global, open("dated.txt").issued + 1);
    for bad in [
        with(&["--out", "x.txt", "--lift", "--issued-so-far"]),
        with(&["--out", "x.txt", "--seq", "0"]),
        vec!["break-glass", "--root", "root.pem", "--issuer", "broker", "--out", "x.txt"],
        vec!["drill"],
    ] {
        assert_eq!(home.run(&bad).code, 2, "{bad:?}");
    }
    // Without a broker a drill says, step by step, what could not be done.
    let said = home.run(&["drill", "--dry-run", "--broker", "http://127.0.0.1:1", "--root", "root.pem"]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.out.contains("not done") && said.out.contains("nothing was changed"), "{}", said.out);
    assert!(
        said.out.contains("signed by the root key"),
        "the glass can be broken all the same: {}",
        said.out
    );
}
