//! What a restored log is signed under: no origin ever has two roots of one size, and both are taken for what they are.

use std::collections::BTreeMap;

use serde_json::Value;
use shortbread_broker::proof::Claim;
use shortbread_protocol::log::origin;

use super::*;
use crate::exported::public;

/// Every root that was signed, by origin and size.
#[derive(Default)]
struct Signed(BTreeMap<(String, u64), [u8; 32]>);

impl Signed {
    /// Decides something, and takes the checkpoint over it.
    async fn grow(&mut self, world: &World) {
        for _ in 0..5 {
            assert_eq!(ask(world, "github/issues.read").await.status, 200);
            let signed = world.broker.log.sign().await.unwrap();
            let claim = Claim::read(&String::from_utf8_lossy(&signed.note)).unwrap();
            assert_eq!(claim.origin, world.broker.log.origin());
            let known = self.0.insert((claim.origin.clone(), claim.size), claim.root);
            assert!(
                known.is_none_or(|root| root == claim.root),
                "two roots: {} {}",
                claim.origin,
                claim.size
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_origin_has_two_roots_of_one_size() {
    let (mut world, mut signed) = (World::start().await, Signed::default());
    let first = origin(&world.issuer);
    signed.grow(&world).await;
    copy(&world, "backup.db");
    signed.grow(&world).await;
    let mut origins = vec![first.clone()];
    for _ in 0..2 {
        let (seq, lost) = (world.broker.store.seq(), world.broker.store.audit_size());
        let done;
        (world, done) = restored(world, seq).await;
        later(&world).await;
        assert!(done.log.is_new() && done.log.kept.origin == first, "{done:?}");
        let last = done.log.last.expect("the former store was read");
        assert_eq!((last.size, Some(&last.origin)), (lost, origins.last()));
        origins.push(world.broker.log.origin().to_owned());
        signed.grow(&world).await;
        let log = world.admin_read("audit.read", "/api/v1/audit?limit=500").await;
        let entries = log.body["entries"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["event"]["type"] == "dev.shortbread.store.restored.v1");
        let entry = &entry.expect("an entry of the restore")["event"];
        let told = &entry["data"]["log"];
        assert_eq!(told["origin"], format!("{first}@{}", entry["id"].as_str().unwrap()));
        assert_eq!(
            (&told["kept"]["size"], &told["last"]["size"]),
            (&json!(done.log.kept.size), &json!(lost))
        );
    }
    origins.sort();
    origins.dedup();
    assert_eq!(origins.len(), 3);
    let world = world.restart().await;
    signed.grow(&world).await;
    // Nothing is lost, so nothing changes.
    copy(&world, "backup.db");
    let seq = world.broker.store.seq();
    let kept = world.broker.log.origin().to_owned();
    let (world, done) = restored(world, seq).await;
    if done.log.last.as_ref().is_some_and(|last| last.size == done.log.kept.size) {
        assert_eq!((done.log.is_new(), world.broker.log.origin()), (false, kept.as_str()));
    }
    later(&world).await;
    signed.grow(&world).await;
}

/// Waits for a checkpoint over more than so many entries, and keeps it.
fn anchored(home: &Home, more_than: u64, name: &str) -> u64 {
    let url = format!("http://{}/log/checkpoint", home.read("address").trim());
    for _ in 0..100 {
        let note = public(&url);
        let size = Claim::read(&note).map_or(0, |claim| claim.size);
        if size > more_than {
            home.write(name, &note);
            return size;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("no checkpoint over more than {more_than} entries");
}

fn checked(home: &Home, more: &[&str]) -> (i32, Value) {
    let said = home.run(&[&["audit", "verify", "a.jsonl", "--json"], more].concat());
    (said.code, serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}")))
}

#[test]
fn checkpoints_from_before_a_restore_are_told_from_forged_ones() {
    let (home, broker) = dev();
    let early = anchored(&home, 0, "early.txt");
    let backup = home.json(&with("backup", &["backup.db"]));
    let kept = backup["audit_entries"].as_u64().unwrap();
    assert!(kept >= early);
    for n in 0..4 {
        home.ok(&["revoke", "--task", &format!("tsk_{n}"), "--reason", "a test"]);
    }
    let late = anchored(&home, kept, "late.txt");
    drop(broker);
    let args = ["backup.db", "--seq-floor", "9999", "--checkpoint", "late.txt"];
    let said = home.json(&with("restore", &args));
    let (id, log) = (said["decision_id"].as_str().unwrap(), &said["log"]);
    assert_eq!((&log["new_origin"], &log["kept"]["size"]), (&json!(true), &json!(kept)));
    assert!(log["last"]["size"].as_u64().unwrap() >= late, "{said}");
    assert!(log["origin"].as_str().unwrap().ends_with(&format!("/log@{id}")), "{said}");

    // Operators would have to wait for half a minute, which is shown elsewhere.
    let raw = rusqlite::Connection::open(home.path(".shortbread/shortbread.db")).unwrap();
    raw.execute_batch("UPDATE writer_state SET made_from = 0; UPDATE revocation_state SET global = 0")
        .unwrap();
    drop(raw);
    let broker = start(&home);
    let now = anchored(&home, kept, "now.txt");
    home.ok(&["audit", "export", "--out", "a.jsonl"]);
    let (code, report) = checked(&home, &["--checkpoint", "early.txt", "--checkpoint", "now.txt"]);
    assert_eq!((code, &report["outside"]["compared"]), (0, &json!(2)), "{now} {report}");
    assert_eq!(report["restores"][0]["id"], id);
    let (code, report) = checked(&home, &["--checkpoint", "early.txt", "--checkpoint", "late.txt"]);
    assert_eq!((code, &report["outside"]["lost"][0]["restore"]), (1, &json!(id)), "{report}");
    assert!(report["complaints"][0].as_str().unwrap().contains("--restored"), "{report}");
    let known = ["--checkpoint", "early.txt", "--checkpoint", "late.txt", "--restored", id];
    assert_eq!(checked(&home, &known).0, 0);
    drop(broker);

    // The store itself was an older copy: only what was kept outside knows of more.
    home.ok(&with("backup", &["last.db"]));
    let said = home.json(&with("restore", &["last.db", "--seq-floor", "19999", "--checkpoint", "now.txt"]));
    assert_eq!(said["log"]["new_origin"], json!(false), "{said}");
    home.write("strange.txt", &home.read("now.txt").replace(&format!("\n{now}\n"), "\n99999\n"));
    let strange = ["last.db", "--seq-floor", "29999", "--checkpoint", "strange.txt"];
    home.refused(&with("restore", &strange), &["Nothing was restored", "not believed"]);

    // This host's own anchors are looked at unasked: those that say more, and those that cannot be read.
    let broker = start(&home);
    anchored(&home, now, "anchors.txt");
    drop(broker);
    let store = home.path(".shortbread/shortbread.db");
    for made in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{made}", store.display()));
    }
    fs::copy(home.path("last.db"), &store).unwrap();
    let config = home.read(".shortbread/broker.toml");
    let anchors = home.path("anchors.txt");
    home.write(".shortbread/broker.toml", &format!("{config}\n[log]\nanchor_file = {anchors:?}\n"));
    let said = home.json(&with("restore", &["last.db", "--seq-floor", "39999"]));
    assert_eq!(said["log"]["new_origin"], json!(true), "{said}");
    home.ok(&with("backup", &["newest.db"]));
    let said = home.json(&with("restore", &["newest.db", "--seq-floor", "49999"]));
    assert_eq!(said["log"]["new_origin"], json!(false), "{said}");
    home.write("anchors.txt", "what is no checkpoint");
    let said = home.json(&with("restore", &["newest.db", "--seq-floor", "59999"]));
    assert_eq!(said["log"]["new_origin"], json!(true), "{said}");
}
