//! Where the program is run: a folder of its own, no environment.

use std::process::{Command, Output};

use crate::fake::FakeBroker;

pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shortbread"));
        command.args(args).env_clear().env("HOME", self.0.path()).current_dir(self.0.path());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub(crate) fn code(&self, args: &[&str]) -> i32 {
        self.run(args).status.code().unwrap()
    }

    /// Logged in as alice, with a new key.
    pub(crate) fn log_in(&self, broker: &FakeBroker) -> Output {
        let key = self.path("alice.pem");
        ok(&self.run(&["keys", "generate", "--purpose", "operator", "--out", &key]));
        self.run(&["login", "--broker", &broker.url, "--key", "alice.pem"])
    }
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
pub(crate) fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", out(output), err(output));
    out(output)
}
