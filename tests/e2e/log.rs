//! Every decision can be proved: the audit log is a tree whose root is signed within a second, and nothing that was signed
//! is ever taken back. What is checked here is checked as an auditor would, who believes the root key and nothing else.

mod pruned;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shortbread_broker::log::LogError;
use shortbread_broker::store::AuditEntry;
use shortbread_protocol::clock::{Clock as _, SystemClock};
use shortbread_protocol::key_document::{KeyDocument, KeyPurpose};
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::log::{Checkpoint, Proof, origin};
use shortbread_tests::merkle::{self, Hash, is_continued, is_included};
use shortbread_tests::{Answer, Loopback, World};

use crate::paged::{paging, told};
use crate::rotation::{activate, next, pass};

const DAY: u64 = 86_400;

fn text(answer: &Answer) -> &str {
    std::str::from_utf8(&answer.bytes).expect("text")
}

/// The audit keys of the newest key document, which the root key signed.
async fn audit_keys(world: &World) -> Vec<PublicKey> {
    let head = world.head().await;
    let version = text(&head).lines().find_map(|line| line.strip_prefix("keys ")).expect("keys");
    let version = version.split(' ').next().expect("a version");
    let document = world.get(&format!("/revocations/keys/{version}")).await;
    let document = KeyDocument::open(&document.bytes, &world.issuer, &world.root()).expect("a document");
    document.of(KeyPurpose::Audit).map(|key| key.key).collect()
}

async fn opened(world: &World, note: &[u8]) -> Checkpoint {
    Checkpoint::open(note, &origin(&world.issuer), &audit_keys(world).await).expect("a checkpoint")
}

async fn checkpoint(world: &World) -> Checkpoint {
    let answer = world.get("/log/checkpoint").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "text/plain; charset=utf-8"),
        "{answer:?}"
    );
    opened(world, &answer.bytes).await
}

fn hashes(answer: &Answer) -> Vec<Hash> {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.bytes.chunks_exact(32).map(|hash| hash.try_into().unwrap()).collect()
}

/// Entries past every exchange: a log fills faster so.
async fn fill(world: &World, count: usize) {
    let entry = |n: usize| AuditEntry {
        at: world.clock.now(),
        decision: format!("dec_filled_{n}"),
        trace: None,
        parent: None,
        about: None,
        input: None,
        body: format!("{{\"id\":\"dec_filled_{n}\",\"traceparent\":\"\"}}").into_bytes(),
    };
    for part in (0..count).collect::<Vec<_>>().chunks(200) {
        let entries = part.iter().map(|n| entry(*n)).collect();
        world.broker.store.record_calls(entries, |_| false).await.unwrap();
    }
}

#[tokio::test]
async fn a_checkpoint_follows_every_change_within_a_second() {
    let world = World::start().await;
    let chores = tokio::spawn(Arc::clone(&world.broker).chores());
    let mut took = Vec::new();
    for _ in 0..3 {
        assert_eq!(world.demo("github:issues.read").await.status, 200);
        let (size, clock) = (world.broker.store.audit_size(), SystemClock::start());
        while checkpoint(&world).await.size < size {
            assert!(clock.monotonic() < Duration::from_secs(10), "no checkpoint came");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        took.push(clock.monotonic());
    }
    // The best of three: other programs may want the machine.
    assert!(took.iter().min().unwrap() <= &Duration::from_secs(1), "{took:?}");
    let answer = world.get("/log/checkpoint").await;
    let etag = answer.header("etag").to_owned();
    let request = world.http.get(format!("{}/log/checkpoint", world.issuer)).header("if-none-match", etag);
    assert_eq!(world.send(request).await.status, 304);
    let metadata = world.get("/.well-known/oauth-authorization-server").await;
    let uri = metadata.text("/shortbread/audit_checkpoint_uri");
    assert_eq!(uri, format!("{}/log/checkpoint", world.issuer));
    chores.abort();
}

#[tokio::test]
async fn every_decision_is_proved_by_its_id() {
    let world = World::start().await;
    let mut decisions = Vec::new();
    for scope in ["github:issues.read", "github:repo.delete", "github:issues.read"] {
        decisions.push(world.demo(scope).await.decision().to_owned());
    }
    decisions.push(world.revoke("task", "nightly").await.decision().to_owned());
    fill(&world, 300).await;
    decisions.push(world.demo("github:issues.read").await.decision().to_owned());
    for id in decisions {
        // Nobody signed a checkpoint meanwhile: it is signed when it is asked for.
        let answer = world.get(&format!("/log/proof/{id}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let proof = Proof::read(text(&answer)).unwrap();
        let Checkpoint { size, root } = opened(&world, proof.checkpoint.as_bytes()).await;
        let entry = &world.broker.store.audit_by_decision(&id).await.unwrap()[0];
        let holds =
            |body: &[u8], index, hashes: &[Hash]| is_included(merkle::leaf(body), index, size, hashes, root);
        assert!(holds(&entry.body, proof.index, &proof.hashes), "{answer:?}");
        let mut changed = entry.body.clone();
        changed[20] ^= 1;
        assert!(!holds(&changed, proof.index, &proof.hashes), "another entry");
        assert!(!holds(&entry.body, proof.index ^ 1, &proof.hashes), "another place");
        let mut hashes = proof.hashes.clone();
        hashes[0][0] ^= 1;
        assert!(!holds(&entry.body, proof.index, &hashes), "another way");
        let same = world.get(&format!("/log/proof/{id}?index={}", proof.index)).await;
        assert_eq!(same.bytes, answer.bytes);
        let other = world.get(&format!("/log/proof/{id}?index={}", proof.index + 1)).await;
        assert_eq!((other.status, other.reason()), (404, "not_found"), "{other:?}");
    }
}

#[tokio::test]
async fn every_checkpoint_continues_those_before_it() {
    let world = World::start().await;
    let mut earlier: Vec<Checkpoint> = vec![checkpoint(&world).await];
    for more in [1, 2, 60, 200, 255, 256, 1] {
        fill(&world, more).await;
        assert_eq!(world.demo("github:issues.read").await.status, 200);
        world.broker.log.sign().await.unwrap();
        let newest = checkpoint(&world).await;
        assert!(newest.size > earlier.last().unwrap().size);
        for one in &earlier {
            let answer = world.get(&format!("/log/consistency/{}", one.size)).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let proof: Vec<Hash> = answer.body["hashes"].as_array().unwrap().iter().map(hash).collect();
            assert_eq!(opened(&world, answer.text("/checkpoint").as_bytes()).await, newest);
            assert_eq!(
                (answer.body["from"].as_u64(), answer.body["to"].as_u64()),
                (Some(one.size), Some(newest.size))
            );
            assert!(
                is_continued((one.size, one.root), (newest.size, newest.root), &proof),
                "{one:?} {newest:?}"
            );
            assert!(!is_continued((one.size, [7; 32]), (newest.size, newest.root), &proof), "another past");
        }
        earlier.push(newest);
    }
    let newest = earlier.last().unwrap();
    let empty = world.get("/log/consistency/0").await;
    assert_eq!((empty.status, empty.body["hashes"].as_array().unwrap().len()), (200, 0));
    let same = world.get(&format!("/log/consistency/{}", newest.size)).await;
    assert_eq!((same.status, same.body["hashes"].as_array().unwrap().len()), (200, 0));
    let world = world.restart().await;
    assert_eq!(checkpoint(&world).await.root, newest.root, "what was signed is signed");
}

fn hash(text: &Value) -> Hash {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap();
    bytes.try_into().unwrap()
}

#[tokio::test]
async fn tiles_give_the_root_and_bundles_the_tiles() {
    let world = World::start().await;
    fill(&world, 700).await;
    world.broker.log.sign().await.unwrap();
    let Checkpoint { size, root } = checkpoint(&world).await;
    let width = size % 256;
    assert!(width > 0 && size / 256 == 2, "{size}");
    let token = world.operator("alice", "audit.read").await;
    let (mut leaves, mut roots) = (Vec::new(), Vec::new());
    for name in ["000".to_owned(), "001".to_owned(), format!("002.p/{width}")] {
        let answer = world.get(&format!("/log/tile/0/{name}")).await;
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert!(answer.header("cache-control").contains("immutable"), "{answer:?}");
        let tile = hashes(&answer);
        let path = format!("/api/v1/log/tile/entries/{name}");
        let bundle = world.call("get", &path, Some(&token), None).await;
        assert_eq!((bundle.status, bundle.header("cache-control")), (200, "no-store"), "{bundle:?}");
        assert_eq!(entries(&bundle.bytes).iter().map(|entry| merkle::leaf(entry)).collect::<Vec<_>>(), tile);
        roots.push(merkle::root(&tile));
        leaves.extend(tile);
    }
    assert_eq!(merkle::root(&leaves), root);
    assert_eq!(hashes(&world.get("/log/tile/1/000.p/2").await), roots[..2]);
    assert_eq!(hashes(&world.get("/log/tile/1/000.p/1").await), roots[..1]);
    assert_eq!(hashes(&world.get("/log/tile/0/000.p/9").await), leaves[..9], "a part of a full tile");
}

/// What stands in a bundle: each entry behind its length in two bytes.
fn entries(mut bundle: &[u8]) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at(u16::from_be_bytes(*length).into());
        entries.push(entry.to_vec());
        bundle = rest;
    }
    entries
}

#[tokio::test]
async fn strangers_are_told_hashes_and_nothing_else() {
    let world = World::start().await;
    let issued = world.demo("github:issues.read").await;
    fill(&world, 600).await;
    world.broker.log.sign().await.unwrap();
    let size = checkpoint(&world).await.size;
    for path in [
        "/log/checkpoint".to_owned(),
        "/log/tile/0/000".to_owned(),
        format!("/log/tile/0/002.p/{}", size % 256),
        "/log/tile/1/000.p/2".to_owned(),
        format!("/log/proof/{}", issued.decision()),
        "/log/consistency/1".to_owned(),
    ] {
        let answer = world.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let told = String::from_utf8_lossy(&answer.bytes);
        for hidden in ["dec_", "demo", "github", "specversion", "traceparent"] {
            assert!(!told.contains(hidden), "{path} tells {hidden}: {told}");
        }
    }
    let stranger = world.call("get", "/api/v1/log/tile/entries/000", None, None).await;
    assert_eq!((stranger.status, stranger.reason()), (401, "admin.unauthenticated"));
    let other = world.operator("alice", "status.read").await;
    let other = world.call("get", "/api/v1/log/tile/entries/000", Some(&other), None).await;
    assert_eq!((other.status, other.reason()), (403, "admin.not_permitted"), "{other:?}");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let world = World::start().await;
    fill(&world, 300).await;
    world.broker.log.sign().await.unwrap();
    let size = checkpoint(&world).await.size;
    let width = size % 256;
    for path in [
        "/log/tile/0/x1/067".to_owned(),
        "/log/tile/0/000.p/0".to_owned(),
        "/log/tile/0/000.p/256".to_owned(),
        "/log/tile/0/000.p/257".to_owned(),
        "/log/tile/0/001".to_owned(),
        format!("/log/tile/0/001.p/{}", width + 1),
        "/log/tile/0/002.p/1".to_owned(),
        "/log/tile/1/000.p/2".to_owned(),
        "/log/tile/1/000".to_owned(),
        "/log/tile/2/000.p/1".to_owned(),
        "/log/tile/63/000.p/1".to_owned(),
        "/log/tile/64/000".to_owned(),
        "/log/tile/0/x999/x999/x999/x999/x999/999".to_owned(),
        "/log/tile/0/x999/x999/x999/x999/x999/x999/x999/x999/999".to_owned(),
        "/log/tile/99999999999999999999/000".to_owned(),
        "/log/tile/-1/000".to_owned(),
        "/log/tile/0/%ff".to_owned(),
        "/log/tile/0/..%2f000".to_owned(),
        "/log/tile/entries/000".to_owned(),
        "/log/tile/0".to_owned(),
        "/log/tile/".to_owned(),
        "/log/tile".to_owned(),
        "/log/proof/dec_none".to_owned(),
        "/log/proof/%ff".to_owned(),
        "/log/proof/0af7651916cd43dd8448eb211c80319c".to_owned(),
        format!("/log/consistency/{}", size + 1),
        format!("/log/consistency/{}", u64::MAX),
        "/log/consistency/18446744073709551616".to_owned(),
        "/log/consistency/01".to_owned(),
        "/log/consistency/-1".to_owned(),
        "/log/consistency/x".to_owned(),
        "/log".to_owned(),
    ] {
        let answer = world.get(&path).await;
        assert_eq!((answer.status, answer.reason()), (404, "not_found"), "{path}: {answer:?}");
    }
    for path in ["/log/proof/dec_none?index=x", "/log/proof/dec_none?at=1"] {
        let answer = world.get(path).await;
        assert_eq!((answer.status, answer.reason()), (400, "request.malformed"), "{path}: {answer:?}");
    }
    let token = world.operator("alice", "audit.read").await;
    for name in ["002.p/1", "x1/000", "000.p/256", "999", "0/000"] {
        let path = format!("/api/v1/log/tile/entries/{name}");
        let answer = world.call("get", &path, Some(&token), None).await;
        assert_eq!((answer.status, answer.reason()), (404, "not_found"), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn who_asks_too_much_waits_and_the_checkpoint_does_not() {
    let world = World::start().await;
    for _ in 0..500 {
        assert_eq!(world.get("/log/tile/0/999").await.status, 404);
    }
    let refused = world.get("/log/tile/0/999").await;
    assert_eq!((refused.status, refused.reason()), (429, "rate.limited"), "{refused:?}");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(world.get("/log/checkpoint").await.status, 200);
}

#[derive(Clone, Default)]
struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn checkpoints_are_anchored_in_a_file_the_log_and_over_the_webhook() {
    let lines = Lines::default();
    let writer = lines.clone();
    let logs = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let _logs = tracing::subscriber::set_default(logs);
    let server = Loopback::start().await;
    let more = "[log]\nanchor_file = \"anchors.jsonl\"\nanchor_stdout = true\nanchor_webhook = true\n\
                anchor_every = \"5m\"\n";
    let world = paging(&server, more).start().await;
    let anchored = || -> Vec<Value> {
        let text = std::fs::read_to_string(world.path("anchors.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let round = async |passed: u64| {
        world.clock.advance(Duration::from_secs(passed));
        assert_eq!(world.demo("github:issues.read").await.status, 200);
        world.broker.log.round().await.unwrap();
        anchored().len()
    };
    assert_eq!(round(0).await, 1);
    let first = checkpoint(&world).await;
    assert_eq!(
        [round(100).await, round(199).await, round(1).await],
        [1, 1, 2],
        "at most one in five minutes"
    );
    world.clock.advance(Duration::from_secs(600));
    world.broker.log.round().await.unwrap();
    assert_eq!(anchored().len(), 2, "nothing changed");
    let known = anchored();
    assert_eq!(opened(&world, known[0]["note"].as_str().unwrap().as_bytes()).await, first);
    assert_eq!((known[0]["size"].as_u64(), hash(&known[0]["root"])), (Some(first.size), first.root));
    assert!(known[1]["time"].as_str().unwrap().ends_with('Z'));
    let notice = told(&server, "log.checkpoint").await;
    assert_eq!((&notice["data"]["size"], &notice["data"]["note"]), (&known[0]["size"], &known[0]["note"]));
    let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let logged: Vec<Value> = logged
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["fields"]["message"] == "audit checkpoint")
        .collect();
    assert_eq!(logged.len(), 2);
    assert_eq!(
        (&logged[0]["fields"]["size"], &logged[0]["fields"]["note"]),
        (&known[0]["size"], &known[0]["note"])
    );
}

#[tokio::test]
async fn an_anchor_that_cannot_be_written_is_tried_again() {
    let world = World::builder().config("[log]\nanchor_file = \"away/anchors.jsonl\"\n").start().await;
    world.broker.log.round().await.unwrap();
    std::fs::create_dir(world.path("away")).unwrap();
    world.broker.log.round().await.unwrap();
    let text = std::fs::read_to_string(world.path("away/anchors.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 1, "at once, not after a minute: {text}");
}

#[tokio::test]
async fn a_new_audit_key_signs_the_next_checkpoint() {
    let world = World::start().await;
    let signed_by =
        |note: &[u8], key: &PublicKey| Checkpoint::open(note, &origin(&world.issuer), &[*key]).ok();
    let keys = [audit_keys(&world).await[0]];
    let before = world.broker.log.sign().await.unwrap();
    assert!(signed_by(&before.note, &keys[0]).is_some());
    let done = activate(&world, &next(&world, KeyPurpose::Audit, "audit-2", &[])).await;
    assert_eq!(done.status, 200, "{done:?}");
    pass(&world, 3600).await;
    assert_eq!(world.demo("github:issues.read").await.status, 200);
    let after = world.broker.log.sign().await.unwrap();
    let new = world.key("audit-2").public();
    assert!(signed_by(&after.note, &new).is_some() && signed_by(&after.note, &keys[0]).is_none());
    assert!(audit_keys(&world).await.contains(&new), "readers learn it from the key document");
    let proof = world.get(&format!("/log/consistency/{}", before.checkpoint.size)).await;
    let hashes: Vec<Hash> = proof.body["hashes"].as_array().unwrap().iter().map(hash).collect();
    let [before, after] = [before, after].map(|signed| (signed.checkpoint.size, signed.checkpoint.root));
    assert!(is_continued(before, after, &hashes));
}

#[tokio::test]
async fn a_log_that_was_changed_behind_the_brokers_back_is_signed_no_more() {
    let world = World::start().await;
    fill(&world, 20).await;
    let last = world.broker.log.sign().await.unwrap();
    let raw = rusqlite::Connection::open(&world.broker.config.store.sqlite).unwrap();
    raw.execute("UPDATE audit_entry SET leaf = zeroblob(32) WHERE idx = 3", []).unwrap();
    let fresh = world.demo("github:issues.read").await;
    assert_eq!(fresh.status, 200);
    let refused = world.broker.log.round().await.unwrap_err();
    assert!(matches!(refused, LogError::Changed(size) if size == last.checkpoint.size), "{refused}");
    assert_eq!(checkpoint(&world).await, last.checkpoint);
    let proof = world.get(&format!("/log/proof/{}", fresh.decision())).await;
    assert_eq!((proof.status, proof.reason()), (503, "store.unavailable"), "{proof:?}");
    let sizes: BTreeMap<u64, Vec<u8>> = world
        .broker
        .store
        .checkpoints(0, 100)
        .await
        .unwrap()
        .into_iter()
        .map(|kept| (kept.size, kept.note))
        .collect();
    assert_eq!(sizes.last_key_value().unwrap().0, &last.checkpoint.size);
}
