//! The examples for CI do what they say: run as they stand, with the real program, in a repository of their own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use shortbread_tests::POLICY;
use shortbread_tests::process::{free_address, program};
use tempfile::TempDir;

const CASES: &str = r#"{"id":"INC-1","input":{"identity":{"principal":"workflow:other"},"request":[{"verb":"github/issues.write"}]},"label":{"expect":"deny"}}
{"id":"reads","input":{"identity":{"principal":"workflow:demo"},"request":[{"verb":"github/issues.read"}]},"label":{"expect":"allow"}}
"#;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/examples/ci").join(name)
}

/// A repository with a sound policy on `main`, and a branch on which it can be changed.
struct Repository(TempDir);

impl Repository {
    fn new() -> Self {
        let own = Self(tempfile::tempdir().expect("a folder"));
        std::fs::create_dir(own.path("keys")).expect("a folder");
        for (n, name) in (1..).zip(["demo", "other", "operator", "second"]) {
            let key = shortbread_protocol::keys::PrivateKey::from_seed(&[n; 32]).public().to_pem();
            std::fs::write(own.path(&format!("keys/{name}.pub.pem")), key).expect("a file");
        }
        own.write("policy.toml", POLICY);
        own.write("cases.jsonl", CASES);
        for args in [
            &["init", "--quiet", "--initial-branch=main"][..],
            &["add", "."],
            &["commit", "--quiet", "-m", "Begin"],
        ] {
            own.git(args);
        }
        own.git(&["checkout", "--quiet", "-b", "change"]);
        own
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    fn git(&self, args: &[&str]) {
        let who = ["-c", "user.name=t", "-c", "user.email=t@t.example", "-c", "commit.gpgsign=false"];
        let done =
            Command::new("git").args(who).args(args).current_dir(self.0.path()).output().expect("git runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn run(&self, script: &str, args: &[&str], env: &[(&str, &str)]) -> Output {
        let programs = program().parent().expect("a folder").display().to_string();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new(example(script));
        command.args(args).current_dir(self.0.path()).env("PATH", path).env("BASE", "main");
        command.env("HOME", self.0.path()).env("REPORT", self.path("report"));
        command.envs(env.iter().copied()).output().expect("the script runs")
    }

    fn checked(&self) -> (bool, String) {
        let done = self.run("check-policy", &[], &[]);
        let said = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8(said).expect("text"))
    }
}

#[test]
fn a_change_of_the_policy_is_checked_tested_compared_and_replayed() {
    let repository = Repository::new();
    let (passed, said) = repository.checked();
    assert!(passed, "{said}");
    repository.write("policy.toml", &POLICY.replace("max_ttl = \"10m\"", "max_ttl = \"5m\""));
    let (passed, said) = repository.checked();
    assert!(passed && said.contains("5m"), "a shorter life breaks nothing, and the diff says it: {said}");
    for report in ["junit-test.xml", "junit-replay.xml", "replay.md"] {
        assert!(repository.path("report").join(report).exists(), "{report}");
    }
    let grant = "workflow = \"other\"\ntool = \"github\"\nverbs = [\"issues.read\"]";
    let wide = "workflow = \"other\"\ntool = \"github\"\nverbs = [\"issues.*\"]\nany_arguments = true";
    repository.write("policy.toml", &POLICY.replacen(grant, wide, 1));
    let (passed, said) = repository.checked();
    assert!(!passed && said.contains("INC-1"), "a labelled case breaks: {said}");
    repository.write("policy.toml", &POLICY.replace("access = \"read\"", "access = \"reading\""));
    let (passed, said) = repository.checked();
    assert!(!passed && said.contains("policy.toml:"), "the line is named: {said}");
    let left = Command::new("git").args(["worktree", "list"]).current_dir(repository.0.path()).output();
    assert_eq!(
        String::from_utf8_lossy(&left.expect("git runs").stdout).lines().count(),
        1,
        "nothing is left over"
    );
}

#[test]
fn evaluations_are_held_against_a_baseline_segment_by_segment() {
    let repository = Repository::new();
    repository.write(
        "evaluate.sh",
        "set -eu\nkey=$(dirname \"$SHORTBREAD_CONFIG\")/keys/demo.pem\n\
         for _ in $(seq 30); do shortbread exchange --workflow demo --key \"$key\" --scope \"$SCOPE\" --token >/dev/null 2>&1 || true; done\n",
    );
    let evaluate = |save: &str, scope: &str| {
        let listen = free_address();
        let env =
            [("LISTEN", listen.as_str()), ("SAVE", save), ("SCOPE", scope), ("BASELINE", "baseline.json")];
        let done = repository.run("evaluate", &["bash", "evaluate.sh"], &env);
        (done.status.code(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    };
    let (saved, said) = evaluate("1", "github:issues.read");
    assert_eq!(saved, Some(0), "{said}");
    let (same, said) = evaluate("0", "github:issues.read");
    assert_eq!(same, Some(0), "{said}");
    let (wider, said) = evaluate("0", "github:repo.delete");
    assert_eq!(wider, Some(1), "an agent that now attempts what it is denied: {said}");
}
