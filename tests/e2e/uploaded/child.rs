//! A process that decides and uploads, killed at any moment.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use shortbread_protocol::clock::Timestamp;

use super::*;

const ROUNDS: usize = 4;
const SETTINGS: [&str; 4] =
    ["SHORTBREAD_TEST_DIR", "SHORTBREAD_TEST_ISSUER", "SHORTBREAD_TEST_ROOT", "SHORTBREAD_TEST_NOW"];

/// Not a test by itself: what the killed process does. It prints the id of each decision that it let stand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs in a process of its own"]
async fn decides_until_it_is_killed() {
    let [dir, issuer, root, now] = SETTINGS.map(|name| std::env::var(name).expect("started by its parent"));
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(now.parse().unwrap())));
    let root = PublicKey::from_pem(&root).unwrap();
    let service =
        Service::new(&issuer, root, &clock, Backpressure::Required, Some(Path::new(&dir)), 64 << 20);
    let _reporting = service.report(&issuer);
    loop {
        let decision = service.check(None);
        // A denial stands with or without its record; only when it was recorded is it promised.
        assert_eq!(service.recorder.status().lost, 0);
        writeln!(std::io::stdout(), "{}", decision.id.unwrap()).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_decision_is_lost_when_the_process_is_killed() {
    let world = world().await;
    let tmp = tempfile::tempdir().unwrap();
    let values = [
        tmp.path().to_str().unwrap().to_owned(),
        world.issuer.clone(),
        world.root().to_pem(),
        world.clock.now().millis().to_string(),
    ];
    let mut promised = BTreeSet::new();
    for round in 0..ROUNDS {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "uploaded::child::decides_until_it_is_killed", "--ignored", "--nocapture"]);
        command.envs(SETTINGS.iter().zip(&values)).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let read = tokio::task::spawn_blocking(move || {
            let (mut ids, wanted) = (Vec::new(), 60 + 45 * round);
            for line in lines.map_while(Result::ok) {
                // The name of the test stands on the same line as the first.
                if let Some((_, id)) = line.split_once("dec_").filter(|(_, digits)| digits.len() == 32) {
                    ids.push(format!("dec_{id}"));
                }
                if ids.len() == wanted {
                    // All that the pipe still holds was promised too, and is read after the end.
                    child.kill().unwrap();
                }
            }
            child.wait().unwrap();
            ids
        });
        let ids = read.await.unwrap();
        assert!(ids.len() >= 60 + 45 * round, "{}", ids.len());
        promised.extend(ids);
    }
    let service = Service::of(&world, Backpressure::Required, Some(tmp.path()), 64 << 20);
    let reporting = service.report(&world.issuer);
    service.uploaded().await;
    reporting.stop().await;
    assert_eq!(service.recorder.status().damaged, 0, "a killed process leaves no half line");
    let found = recorded(&world).await;
    assert!(found.values().all(|entries| entries.len() == 1), "never twice");
    let lost: Vec<_> = promised.iter().filter(|id| !found.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), promised.len());
    // One decision of each process may have been recorded and not printed.
    assert!(found.len() <= promised.len() + ROUNDS, "{} and {}", found.len(), promised.len());
}
