//! A backup is whole, whatever is written meanwhile, and a restore brings nothing revoked back to life.

mod origins;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use shortbread_broker::audit::{Scribe, begin};
use shortbread_broker::store::{
    Backup, Former, Restore, RestoreError, Restored, Restoring, Settle, StoreError, back_up,
};
use shortbread_protocol::clock::{Clock as _, ManualClock};
use shortbread_protocol::random::SystemRandom;
use shortbread_tests::process::{Home, Running, free_address};
use shortbread_tests::{Answer, World};

use crate::revoked::{ALLOWED, Use, ask};

const CONFIG: [&str; 2] = ["--config", ".shortbread/broker.toml"];

fn dev() -> (Home, Running) {
    let home = Home::new();
    home.write("address", &free_address());
    let broker = start(&home);
    (home, broker)
}

fn start(home: &Home) -> Running {
    let mut broker = home.start(&["dev", "--listen", &home.read("address")]);
    broker.wait_for("Stop it with Ctrl-C");
    broker
}

/// `shortbread COMMAND --config … ARGS`.
fn with<'a>(command: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    [&[command], &CONFIG[..], args].concat()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn count(path: &Path, sql: &str) -> u64 {
    let conn = rusqlite::Connection::open(path).unwrap();
    let number: i64 = conn.query_row(sql, [], |row| row.get(0)).unwrap();
    u64::try_from(number).unwrap()
}

fn copy(world: &World, name: &str) -> Backup {
    back_up(&world.path("shortbread.db"), &world.issuer, &world.path(name), true, &mut |_| true).unwrap()
}

#[test]
fn a_backup_is_one_private_file_and_says_what_is_in_it() {
    let (home, broker) = dev();
    home.ok(&["revoke", "--task", "tsk_1", "--reason", "a test"]);
    fs::create_dir(home.path("kept")).unwrap();
    let said = home.json(&with("backup", &["kept/backup.db"]));
    assert_eq!(names(&home.path("kept")), ["backup.db"], "no log and no half file beside it");
    let meta = fs::metadata(home.path("kept/backup.db")).unwrap();
    assert_eq!((meta.permissions().mode() & 0o777, json!(meta.len())), (0o600, said["bytes"].clone()));
    assert_eq!(said["dev"], json!(true));
    let stored = count(&home.path("kept/backup.db"), "SELECT count(*) FROM audit_entry");
    assert_eq!(said["audit_entries"], json!(stored));
    let seq = count(&home.path("kept/backup.db"), "SELECT seq FROM revocation_state");
    assert_eq!(said["seq"], json!(seq));
    assert_eq!(
        count(&home.path("kept/backup.db"), "SELECT count(*) FROM revocation WHERE value = 'tsk_1'"),
        1
    );

    home.refused(&with("backup", &["kept/backup.db"]), &["is there already", "--force"]);
    let text = home.ok(&with("backup", &["kept/backup.db", "--force"]));
    assert!(text.contains("the copy is sound") && text.contains("the last number in it"), "{text}");
    assert_eq!(names(&home.path("kept")), ["backup.db"]);
    for own in ["shortbread.db", "shortbread.db-wal", "shortbread.db.lock"] {
        let path = format!(".shortbread/{own}");
        home.refused(&with("backup", &[&path, "--force"]), &["is the store itself"]);
    }
    home.refused(&with("backup", &["kept"]), &["it is a folder"]);
    home.refused(&with("backup", &["absent/backup.db"]), &["its folder is not there"]);
    home.write(
        "other.toml",
        "issuer = \"https://other.example\"\n[store]\nsqlite = \".shortbread/shortbread.db\"\n",
    );
    home.refused(
        &["backup", "--config", "other.toml", "x.db"],
        &["belongs to http://", "https://other.example"],
    );
    assert!(!home.path("x.db").exists());
    // It was never in the broker's way.
    home.ok(&["revoke", "--task", "tsk_2", "--reason", "a test"]);
    drop(broker);
    home.ok(&with("backup", &["of-a-stopped-one.db"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_holds_whole_decisions_and_all_that_were_answered_before_it() {
    let world = Arc::new(World::start().await);
    let done = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> = (0..3)
        .map(|_| {
            let (world, done) = (Arc::clone(&world), Arc::clone(&done));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(ask(&world, "github/issues.read").await.status, 200);
                }
            })
        })
        .collect();
    for round in 0..8 {
        let before = ask(&world, "github/issues.read").await;
        let taken = Arc::clone(&world);
        let backup = tokio::task::spawn_blocking(move || copy(&taken, "backup.db")).await.unwrap();
        let path = world.path("backup.db");
        assert_eq!(
            count(&path, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
            0
        );
        let known = format!("SELECT count(*) FROM audit_key WHERE key = '{}'", before.decision());
        assert_eq!(count(&path, &known), 1, "round {round}: {}", before.decision());
        let minted = "SELECT count(*) FROM audit_entry WHERE json_extract(body, '$.type') = 'dev.shortbread.token.minted.v1'";
        assert_eq!(count(&path, "SELECT count(*) FROM token"), count(&path, minted), "round {round}");
        assert_eq!(backup.facts.audit, count(&path, "SELECT count(*) FROM audit_entry"));
    }
    done.store(true, Ordering::Relaxed);
    for asker in asking {
        asker.await.unwrap();
    }
}

/// Restores as the command does, in the time of this world.
fn restore(
    folder: &Path,
    issuer: &str,
    backup: &str,
    floor: u64,
    clock: &ManualClock,
) -> Result<Restored, RestoreError> {
    let (backup, store) = (folder.join(backup), folder.join("shortbread.db"));
    let restore = Restore { backup: &backup, store: &store, issuer, floor };
    let begun = (0..100).find_map(|_| match Restoring::begin(&restore, &mut |_| true) {
        // The last request's task may still hold the store for a moment.
        Err(RestoreError::Store(StoreError::InUse { .. })) => {
            std::thread::sleep(Duration::from_millis(20));
            None
        }
        done => Some(done),
    });
    let begun = begun.expect("the broker has ended")?;
    let (scribe, decision) = (Scribe::new(issuer), begin(clock, &SystemRandom, None).unwrap());
    let settle = Settle { now: clock.now(), id: decision.id.clone(), seen: Vec::new(), unsure: false };
    let entry = move |restored: &Restored| scribe.restored(&decision, restored, Some(1));
    let runtime = tokio::runtime::Handle::current();
    let settled = tokio::task::block_in_place(|| runtime.block_on(begun.settle(settle, entry)));
    let (settled, restored) = settled?;
    settled.put_in_place(clock.now())?;
    Ok(restored)
}

async fn restored(world: World, floor: u64) -> (World, Restored) {
    let (issuer, clock, mut done) = (world.issuer.clone(), Arc::clone(&world.clock), None);
    let world = world
        .restart_after(|folder| done = Some(restore(folder, &issuer, "backup.db", floor, &clock).unwrap()))
        .await;
    (world, done.unwrap())
}

async fn later(world: &World) {
    world.clock.advance(Duration::from_secs(32));
    world.broker.publish().await.unwrap();
}

async fn listed(world: &World, token: &str) -> Answer {
    world.call("GET", "/api/v1/revocations", Some(token), None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_brings_nothing_revoked_back_to_life() {
    let world = World::start().await;
    let mut used = Use::of(&world, "github/issues.write").await;
    let operator = world.operator("alice", "revocations.read").await;
    copy(&world, "backup.db");

    let later_token = ask(&world, used.verb).await.token().to_owned();
    let unlisted = world.operator("alice", "revocations.read").await;
    assert_eq!(listed(&world, &unlisted).await.status, 200);
    let assertion = world.assertion("workflow:demo", "demo");
    let kept = world.assertion("workflow:demo", "demo");
    let early = world.assertion("workflow:demo", "demo");
    let scope = [("scope", "github:issues.read")];
    assert_eq!(world.present(&assertion, &scope).await.status, 200);
    world.revoke("token", &used.id).await;
    world.revoke("workflow", "other").await;
    assert_eq!(used.token_now().await, "revoked.token");
    let seen = used.tool.seq();

    let (world, done) = restored(world, seen).await;
    assert!(matches!(done.former, Former::Read(_)) && done.taken == 2, "{done:?}");
    assert!(done.seq > seen);
    // What was revoked, what was not and is of before, what was used and what was not.
    assert_eq!(used.token_now().await, "revoked.all");
    assert!(used.tool.seq() > seen, "a verifier takes the next head");
    assert_eq!(used.now(&later_token).await, "revoked.all");
    assert_eq!(world.present(&early, &scope).await.reason(), "revoked.all", "as long as clocks may differ");
    for token in [&operator, &unlisted] {
        assert_eq!(listed(&world, token).await.reason(), "revoked.all", "an old operator's token");
    }
    later(&world).await;
    for (what, old) in [("used", &assertion), ("never used", &kept)] {
        let answer = world.present(old, &scope).await;
        assert_eq!(answer.refusal(), (401, "invalid_client", "identity.invalid"), "{what}");
    }
    let fresh = ask(&world, used.verb).await;
    assert_eq!(used.now(fresh.token()).await, ALLOWED, "what is made after it is good");
    assert_eq!(used.now(&later_token).await, "revoked.all");
    let other = world.exchange("workflow:other", "other", &scope).await;
    assert_eq!(other.reason(), "revoked.workflow", "what was revoked for good after the backup");

    let log = world.admin_read("audit.read", "/api/v1/audit?limit=500").await;
    let entries = log.body["entries"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["event"]["type"] == "dev.shortbread.store.restored.v1");
    let data = &entry.expect("an entry of the restore")["event"]["data"];
    assert_eq!(data["backup"]["audit_entries"], json!(done.backup.audit));
    assert_eq!((&data["floor"], &data["not_before"]), (&json!(seen), &json!(done.not_before)));
    // Nor does a later restart of the broker forget it.
    let world = world.restart().await;
    assert_eq!(listed(&world, &unlisted).await.reason(), "revoked.all");
    let lifted = world.lift_with(json!({ "all": true, "revive": true })).await;
    assert_eq!(lifted.status, 200, "{lifted:?}");
    assert_eq!(world.present(&kept, &scope).await.reason(), "identity.invalid");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_where_nothing_is_left_still_ends_all_of_before() {
    let world = World::start().await;
    let mut used = Use::of(&world, "github/issues.read").await;
    copy(&world, "backup.db");
    let token = ask(&world, used.verb).await.token().to_owned();
    let kept = world.assertion("workflow:demo", "demo");
    let seen = used.tool.seq() + 7;
    let (issuer, clock) = (world.issuer.clone(), Arc::clone(&world.clock));
    let world = world
        .restart_after(|folder| {
            for name in ["shortbread.db", "shortbread.db-wal", "shortbread.db-shm"] {
                let _ = fs::remove_file(folder.join(name));
            }
            let done = restore(folder, &issuer, "backup.db", seen, &clock).unwrap();
            assert_eq!((done.former, done.taken, done.seq), (Former::Absent, 0, seen + 1));
        })
        .await;
    assert_eq!(used.now(&token).await, "revoked.all");
    assert_eq!(used.token_now().await, "revoked.all");
    assert!(used.tool.seq() > seen);
    later(&world).await;
    assert_eq!(world.present(&kept, &[("scope", "github:issues.read")]).await.reason(), "identity.invalid");
    assert_eq!(used.now(ask(&world, used.verb).await.token()).await, ALLOWED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_sound_backup_of_this_broker_is_refused_and_the_store_stays() {
    let (world, other) = (World::start().await, World::start().await);
    copy(&world, "backup.db");
    copy(&other, "other.db");
    fs::copy(other.path("other.db"), world.path("other.db")).unwrap();
    world.revoke("workflow", "other").await;
    let (store, backup) = (world.path("shortbread.db"), world.path("backup.db"));
    let attempt = |store: &Path, backup: &Path, floor: u64| {
        let restore = Restore { backup, store, issuer: &world.issuer, floor };
        Restoring::begin(&restore, &mut |_| true).map(drop).unwrap_err().to_string()
    };
    let says = |said: String, part: &str| assert!(said.contains(part), "{part:?} is not in {said:?}");
    says(attempt(&store, &backup, u64::MAX), "another process holds the store");
    let (issuer, clock) = (world.issuer.clone(), Arc::clone(&world.clock));
    let head = world.broker.store.seq();
    let before = names(world.path("").as_path());
    let world = world
        .restart_after(|folder| {
            let refused = |name: &str, floor: u64| {
                restore(folder, &issuer, name, floor, &clock).unwrap_err().to_string()
            };
            let bytes = fs::read(folder.join("backup.db")).unwrap();
            fs::write(folder.join("truncated.db"), &bytes[..bytes.len() - 4096 * 3]).unwrap();
            fs::write(folder.join("half.db"), &bytes[..bytes.len() / 2 + 100]).unwrap();
            fs::write(folder.join("empty.db"), "").unwrap();
            fs::write(folder.join("text.db"), "no database at all".repeat(1000)).unwrap();
            let mut torn = bytes.clone();
            let middle = bytes.len() / 8192 * 4096;
            torn[middle..middle + 4096].fill(0x5a);
            fs::write(folder.join("torn.db"), torn).unwrap();
            says(refused("backup.db", 0), "--seq-floor 0 is too low");
            says(refused("backup.db", head - 1), &format!("{head} is the last number"));
            says(refused("backup.db", u64::MAX), "too high");
            says(refused("shortbread.db", head), "is the store itself");
            says(refused("other.db", head + 1000), "belongs to http://");
            says(refused("absent.db", head), "absent.db");
            for name in ["truncated.db", "half.db", "torn.db", "text.db"] {
                says(refused(name, head), "damaged");
            }
            says(refused("empty.db", head), "not initialised");
            for name in ["truncated.db", "half.db", "torn.db", "text.db", "empty.db"] {
                fs::remove_file(folder.join(name)).unwrap();
            }
            let gone = |name: &String| !name.ends_with("-wal") && !name.ends_with("-shm");
            let left: Vec<String> = names(folder).into_iter().filter(gone).collect();
            assert_eq!(left, before.iter().filter(|name| gone(name)).cloned().collect::<Vec<_>>());
        })
        .await;
    let answer = world.exchange("workflow:other", "other", &[("scope", "github:issues.read")]).await;
    assert_eq!(answer.reason(), "revoked.workflow", "the store is what it was");
}

#[test]
fn the_command_restores_and_says_what_to_do() {
    let (home, broker) = dev();
    home.ok(&with("backup", &["backup.db"]));
    home.ok(&["revoke", "--task", "tsk_1", "--reason", "a test"]);
    home.refused(
        &with("restore", &["backup.db", "--seq-floor", "9999"]),
        &["another process holds", "Stop the broker"],
    );
    drop(broker);
    home.refused(&with("restore", &["backup.db", "--seq-floor", "1"]), &["nothing was restored", "too low"]);
    let text = home.ok(&with("restore", &["backup.db", "--seq-floor", "9999"]));
    for part in [
        "goes on at 10000",
        "before-restore-",
        "and 1 from the former store",
        "NEW ORIGIN",
        "shortbread dev",
        "`audit verify`",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let said = home.json(&with("restore", &["backup.db", "--seq-floor", "20000", "--activate-policy"]));
    assert_eq!((&said["seq"], &said["former_state"]), (&json!(20001), &json!("read")));
    assert_eq!(said["policy"]["is_file"], json!(true));
    let is_former = |name: &&String| name.contains(".before-restore-") && name.ends_with('Z');
    let kept = names(&home.path(".shortbread")).iter().filter(is_former).count();
    assert_eq!(kept, 2, "no store is ever deleted: {:?}", names(&home.path(".shortbread")));
    assert!(!names(&home.path(".shortbread")).iter().any(|name| name.contains(".part")));
    home.refused(&with("serve", &[]), &["made by `shortbread dev`"]);
    let broker = start(&home);
    let listed = count(
        &home.path(".shortbread/shortbread.db"),
        "SELECT count(*) FROM revocation WHERE value = 'tsk_1'",
    );
    assert_eq!(listed, 1);
    drop(broker);
}

#[test]
fn a_torn_page_is_named_and_never_backed_up() {
    let (home, broker) = dev();
    for round in 0..10 {
        home.ok(&["revoke", "--task", &format!("tsk_{round}"), "--reason", "a test"]);
    }
    let doctor = ["doctor", "--broker-config", ".shortbread/broker.toml"];
    assert!(home.ok(&doctor).contains("in its audit log"));
    drop(broker);
    let path = home.path(".shortbread/shortbread.db");
    // All that is in the log is in the database too, before a page of it is torn.
    count(&path, "SELECT count(*) FROM token");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 8192 * 4096;
    bytes[middle..middle + 4096].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let said = home.run(&doctor);
    assert!(said.code == 1 && said.out.contains("damaged"), "{said:?}");
    home.refused(&with("backup", &["backup.db"]), &["damaged"]);
    assert!(!home.path("backup.db").exists());
}

#[test]
fn a_full_disk_leaves_no_half_backup() {
    let (home, broker) = dev();
    drop(broker);
    fs::create_dir(home.path("kept")).unwrap();
    let may = |shell: &[&str]| {
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg("mount -t tmpfs -o size=1m tmpfs /mnt || mount -t tmpfs tmpfs /tmp");
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let ways: [&[&str]; 2] = [&["unshare", "-m", "sh", "-c"], &["unshare", "-Urm", "sh", "-c"]];
    let run = "\"$PROGRAM\" backup --config .shortbread/broker.toml kept/backup.db; echo code:$? left:$(ls -A kept | wc -l).; sleep 2";
    let mut said = match ways.into_iter().find(|way| may(way)) {
        Some(shell) => home.start_in(shell, &format!("mount -t tmpfs -o size=64k tmpfs kept && {run}")),
        None => home.start_in(&["sh", "-c"], &format!("trap '' XFSZ; ulimit -f 64; {run}")),
    };
    said.wait_for("left:");
    let said = said.said();
    assert!(said.contains("code:1 left:0.") && said.contains("free some space"), "{said}");
}
