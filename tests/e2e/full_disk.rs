//! A real disk that is really full: exchanges end, the switch goes on, and exchanges come back with room.
//!
//! The store lies on a file system of 16 MiB that only the broker sees: as root in a mount namespace, as a user in a user
//! namespace. Where neither may be made, files may not grow beyond 2 MiB instead (RLIMIT_FSIZE): then the reserve has no
//! room from the start, and exchanges do not begin.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use shortbread_tests::process::{Home, Running, free_address};

const ASK: [&str; 7] =
    ["exchange", "--workflow", "demo", "--key", ".shortbread/keys/demo.pem", "--scope", "github:issues.read"];
const MOUNTED: &str =
    "mount -t tmpfs -o size=16m tmpfs .shortbread/store && exec \"$PROGRAM\" dev --listen \"$(cat address)\"";
const LIMITED: &str = "trap '' XFSZ; ulimit -f 4096; exec \"$PROGRAM\" dev --listen \"$(cat address)\"";

/// How this machine lets a disk be full.
enum Way {
    Mount(&'static [&'static str]),
    Limit,
}

impl Way {
    fn of_this_machine() -> Self {
        let may = |shell: &[&str]| {
            let mut command = Command::new(shell[0]);
            command
                .args(&shell[1..])
                .arg("mount -t tmpfs -o size=1m tmpfs /mnt || mount -t tmpfs tmpfs /tmp");
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        let ways: [&[&str]; 2] = [&["unshare", "-m", "sh", "-c"], &["unshare", "-Urm", "sh", "-c"]];
        ways.into_iter().find(|way| may(way)).map_or(Self::Limit, Self::Mount)
    }

    fn start(&self, home: &Home) -> Running {
        match self {
            Self::Mount(shell) => home.start_in(shell, MOUNTED),
            Self::Limit => home.start_in(&["sh", "-c"], LIMITED),
        }
    }
}

fn prepared() -> (Home, String) {
    let (home, address) = (Home::new(), free_address());
    let url = format!("http://{address}");
    std::fs::create_dir_all(home.path(".shortbread/store")).unwrap();
    let config = format!(
        "issuer = \"{url}\"\nlisten = \"{address}\"\n[store]\nsqlite = \"store/shortbread.db\"\nreserve = \"4MiB\"\n[network]\nmetrics = \"127.0.0.1:0\"\n"
    );
    home.write(".shortbread/broker.toml", &config);
    home.write("address", &address);
    (home, url)
}

async fn readiness(url: &str) -> (u16, String) {
    let answer = reqwest::get(format!("{url}/readyz")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn press(home: &Home, round: usize) {
    let task = format!("tsk_{round}");
    home.ok(&["revoke", "--task", &task, "--reason", "the disk is full"]);
}

/// Takes all room that is left, to the last page.
fn fill(file: &PathBuf) {
    let mut file = File::create(file).unwrap();
    for size in [1 << 20, 1 << 16, 1 << 12] {
        let block = vec![1; size];
        while file.write_all(&block).is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_exchanges_and_not_the_switch() {
    let (home, url) = prepared();
    let way = Way::of_this_machine();
    let mut broker = way.start(&home);
    broker.wait_for("Stop it with Ctrl-C");
    let junk = PathBuf::from(format!("/proc/{}/root", broker.id()));
    let junk = junk.join(home.path(".shortbread/store/junk").strip_prefix("/").unwrap());
    if matches!(way, Way::Mount(_)) {
        home.ok(&ASK);
        fill(&junk);
        let ended = (0..200).find(|_| home.run(&ASK).code != 0);
        assert!(ended.is_some(), "exchanges end on a full disk: {}", broker.said());
    }
    home.refused(&ASK, &["store.unavailable"]);
    let (status, said) = readiness(&url).await;
    assert!(status == 503 && said.contains("full but for its reserve"), "{status} {said}");
    for round in 0..12 {
        press(&home, round);
    }
    home.ok(&["lift", "--task", "tsk_0", "--reason", "tried", "--revive"]);
    home.refused(&ASK, &["store.unavailable"]);
    if matches!(way, Way::Mount(_)) {
        std::fs::remove_file(&junk).unwrap();
        let back = (100..160).find(|round| {
            press(&home, *round);
            std::thread::sleep(Duration::from_millis(20));
            home.run(&ASK).code == 0
        });
        assert!(back.is_some(), "exchanges come back: {}", broker.said());
        assert_eq!(readiness(&url).await.0, 200);
    }
}
