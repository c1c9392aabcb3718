//! The processes of the demo: the broker and the tool service, each the real program, each ended when the story is over.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use shortbread_protocol::dpop::ProofKey;
use shortbread_protocol::keys::PrivateKey;
use tempfile::TempDir;

use crate::Outcome;

/// The audience that the example policy of `dev` gives its tool.
const AUDIENCE: &str = "http://127.0.0.1:8801";

/// Everything the story plays on.
pub(crate) struct Stage {
    /// The folder of the programs.
    pub(crate) programs: PathBuf,
    folder: TempDir,
    children: Vec<Child>,
    /// The broker's public URL.
    pub(crate) issuer: String,
    /// The tool service's address.
    pub(crate) tool: String,
    /// What `dev` said of itself.
    pub(crate) told: Value,
    /// For requests.
    pub(crate) http: reqwest::Client,
}

impl Stage {
    /// Starts the broker and the tool service.
    pub(crate) async fn set(programs: &Path) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let mut stage = Self {
            programs: programs.to_owned(),
            folder,
            children: Vec::new(),
            issuer: String::new(),
            tool: String::new(),
            told: Value::Null,
            http: reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?,
        };
        let data = stage.path("data");
        let mut dev = stage.program("shortbread");
        dev.args(["--json", "dev", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
        let line = stage.start(dev, |line| line.starts_with('{') && line.contains("workflow_key"))?;
        stage.told = serde_json::from_str(&line)?;
        stage.issuer = stage.at("issuer");
        let mut tool = Command::new(programs.join("examples").join("tool_server"));
        stage.tool = free_address()?;
        let listen = stage.tool.trim_start_matches("http://").to_owned();
        tool.args([
            "--broker",
            &stage.issuer,
            "--audience",
            AUDIENCE,
            "--listen",
            &listen,
            "--url",
            &stage.tool,
        ]);
        tool.arg("--root").arg(stage.at("root")).arg("--state").arg(stage.path("tool"));
        stage.start(tool, |line| line.starts_with("listening on "))?;
        // Proofs from the second in which a service started are refused: it cannot know whether they were used before.
        tokio::time::sleep(Duration::from_secs(1)).await;
        stage.wait_for_list().await?;
        Ok(stage)
    }

    /// Something that `dev` said of itself.
    pub(crate) fn at(&self, name: &str) -> String {
        self.told.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// A path in the demo's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The file of somebody's private key.
    pub(crate) fn pem(&self, name: &str) -> String {
        self.path(&format!("{name}.pem")).display().to_string()
    }

    /// Makes a key for somebody. The public half is beside it, in `NAME.pub.pem`.
    pub(crate) fn key(&self, name: &str) -> Outcome<ProofKey> {
        let file = self.pem(name);
        self.shortbread(&["keys", "generate", "--purpose", "holder", "--out", &file])?;
        Ok(ProofKey::new(PrivateKey::from_pem(&std::fs::read_to_string(file)?)?))
    }

    /// One of our programs, with the operator's settings.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.env("SHORTBREAD_CONFIG", self.path("data").join("client.toml"));
        command
    }

    /// Runs a command of `shortbread` to its end and gives what it printed.
    pub(crate) fn shortbread(&self, args: &[&str]) -> Outcome<String> {
        let output = self.program("shortbread").args(args).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(format!("shortbread {} failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr))
            .into())
    }

    fn start(&mut self, mut command: Command, ready: impl Fn(&str) -> bool) -> Outcome<String> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null()).spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        self.children.push(child);
        let mut lines = BufReader::new(out);
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 {
            if ready(&line) {
                drain(lines);
                return Ok(line.trim().to_owned());
            }
            line.clear();
        }
        Err(format!("{:?} ended before it was ready", command.get_program()).into())
    }

    // Until the tool service has its first revocation list it refuses everything.
    async fn wait_for_list(&self) -> Outcome {
        for _ in 0..200 {
            let answer = self.http.get(format!("{}/repos", self.tool)).bearer_auth("none").send().await?;
            if answer.status() != 503 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("the tool service got no revocation list".into())
    }

    /// Leaves everything up until Ctrl-C.
    pub(crate) async fn stay(&mut self) -> Outcome {
        tokio::signal::ctrl_c().await?;
        Ok(())
    }

    /// Ends what was started.
    pub(crate) fn clear(&mut self) {
        for child in &mut self.children {
            // Ended already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
        self.children.clear();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.clear();
    }
}

// Proofs name the URL of the service, so it must be known before there is a listener.
fn free_address() -> Outcome<String> {
    let probe = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(format!("http://{}", probe.local_addr()?))
}

// A full pipe would stop the child.
fn drain(lines: BufReader<ChildStdout>) {
    std::thread::spawn(move || lines.lines().map_while(Result::ok).for_each(drop));
}
