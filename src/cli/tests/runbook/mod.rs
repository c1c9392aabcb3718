//! Every command of the runbook, run as it stands, against a broker of `shortbread dev`.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::home::{Home, err, out};

const TEXT: &str = include_str!("../../runbook.md");

/// The blocks to be run, the one that sets the names first.
fn blocks() -> Vec<&'static str> {
    TEXT.split("```sh\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect()
}

struct Dev {
    home: Home,
    address: String,
    broker: Option<Child>,
}

impl Dev {
    fn start() -> Self {
        let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = probe.local_addr().unwrap().to_string();
        drop(probe);
        let mut dev = Self { home: Home::new(), address, broker: None };
        dev.serve();
        dev
    }

    fn serve(&mut self) {
        let mut dev = self.home.command(&["dev", "--listen", &self.address]);
        self.broker = Some(dev.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let ready = || self.run("shortbread revocations status").status.success();
        assert!((0..100).any(|_| ready() || pause()), "the broker starts");
    }

    fn stop(&mut self) {
        let mut broker = self.broker.take().unwrap();
        broker.kill().unwrap();
        broker.wait().unwrap();
    }

    /// With the names as the runbook sets them, but for the address.
    fn run(&self, block: &str) -> Output {
        let bin = Path::new(env!("CARGO_BIN_EXE_shortbread")).parent().unwrap().display();
        let names = blocks()[0];
        let script = format!("set -euo pipefail\n{names}\nexport ISSUER=http://{}\n{block}", self.address);
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &script])
            .env_clear()
            .env("HOME", self.home.path(""))
            .current_dir(self.home.path(""));
        shell.env("PATH", format!("{bin}:/usr/bin:/bin")).output().unwrap()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            let _ = broker.kill();
            let _ = broker.wait();
        }
    }
}

fn pause() -> bool {
    std::thread::sleep(Duration::from_millis(500));
    false
}

#[test]
fn every_block_of_the_runbook_runs_as_it_stands() {
    let mut dev = Dev::start();
    let mut restored = false;
    for block in blocks().into_iter().skip(1) {
        let restores = block.contains("shortbread restore");
        if restores {
            dev.stop();
        }
        let mut output = dev.run(block);
        // "Wait until the time that the command named."
        let too_early = |output: &Output| {
            let said = out(output) + &err(output);
            ["the identity was not accepted", "issued before a moment"]
                .iter()
                .any(|early| said.contains(early))
        };
        while restored && !output.status.success() && too_early(&output) {
            // Rarely: who fails to sign in all the time is not listened to for a while.
            std::thread::sleep(Duration::from_secs(5));
            output = dev.run(block);
        }
        assert!(output.status.success(), "{block}\n{}{}", out(&output), err(&output));
        if restores {
            dev.serve();
            restored = true;
        }
    }
    assert!(restored);
}
