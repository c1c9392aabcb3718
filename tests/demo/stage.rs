//! The processes of the demo: the broker and the tool service (a mirror runs in this one), each the real program, each ended when the story is over.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use shortbread_protocol::dpop::ProofKey;
use shortbread_protocol::keys::PrivateKey;
use tempfile::TempDir;

use crate::{Outcome, mirror};

/// The audience that the example policy of `dev` gives its tool.
const AUDIENCE: &str = "http://127.0.0.1:8801";

/// Everything the story plays on.
pub(crate) struct Stage {
    /// The folder of the programs.
    pub(crate) programs: PathBuf,
    folder: TempDir,
    /// The broker first.
    children: Mutex<Vec<Child>>,
    /// The broker's public URL.
    pub(crate) issuer: String,
    /// The tool service's address.
    pub(crate) tool: String,
    /// The address of a mirror of the revocation list; its folder is empty at first.
    pub(crate) mirror: String,
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
            children: Mutex::default(),
            issuer: String::new(),
            tool: String::new(),
            mirror: String::new(),
            told: Value::Null,
            http: reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?,
        };
        stage.mirror = mirror::serve(stage.path("mirror")).await?;
        stage.told = serde_json::from_str(&stage.start_broker("127.0.0.1:0")?)?;
        stage.issuer = stage.at("issuer");
        stage.register()?;
        stage.start_tool()?;
        // Proofs from the second in which a service started are refused: it cannot know whether they were used before.
        tokio::time::sleep(Duration::from_secs(1)).await;
        stage.wait_for_list().await?;
        Ok(stage)
    }

    fn start_broker(&self, listen: &str) -> Outcome<String> {
        let mut dev = self.program("shortbread");
        dev.args(["--json", "dev", "--listen", listen, "--data"]).arg(self.path("data"));
        self.start(dev, |line| line.starts_with('{') && line.contains("workflow_key"))
    }

    // Two verifiers with a key each, one for each tool. `dev` puts the policy in force when it is saved.
    fn register(&self) -> Outcome {
        let mut policy = std::fs::read_to_string(self.at("policy"))?;
        for tool in ["github", "payments"] {
            let file = self.verifier_key(tool).display().to_string();
            self.shortbread(&["keys", "generate", "--purpose", "verifier", "--out", &file])?;
            policy.push_str(&format!(
                "\n[[identities]]\nverifier = \"{tool}\"\ntools = [\"{tool}\"]\nkey = \"keys/verifier-{tool}.pub.pem\"\n"
            ));
        }
        Ok(std::fs::write(self.at("policy"), policy)?)
    }

    fn start_tool(&mut self) -> Outcome {
        let mut tool = Command::new(self.programs.join("examples").join("tool_server"));
        self.tool = free_address()?;
        let listen = self.tool.trim_start_matches("http://").to_owned();
        tool.args([
            "--broker",
            &self.issuer,
            "--audience",
            AUDIENCE,
            "--listen",
            &listen,
            "--url",
            &self.tool,
            "--mirror",
            &self.mirror,
            "--verifier",
            "github",
        ]);
        tool.arg("--verifier-key").arg(self.verifier_key("github"));
        tool.arg("--root").arg(self.at("root")).arg("--state").arg(self.path("tool"));
        self.start(tool, |line| line.starts_with("listening on ")).map(drop)
    }

    /// The file of a verifier's private key.
    pub(crate) fn verifier_key(&self, tool: &str) -> PathBuf {
        self.path("data").join("keys").join(format!("verifier-{tool}.pem"))
    }

    /// The file of the private root key, which would be kept elsewhere.
    pub(crate) fn root_key(&self) -> String {
        self.path("data").join("keys").join("root.pem").display().to_string()
    }

    /// Where the mirror has its break-glass file.
    pub(crate) fn glass(&self) -> PathBuf {
        self.path("mirror").join("revocations").join("break-glass")
    }

    /// Kills the broker.
    pub(crate) fn end_broker(&self) {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(broker) = children.first_mut() {
            end(broker);
        }
    }

    /// Lifts what the root key stopped and starts the broker again, at the same address.
    pub(crate) fn bring_back(&self) -> Outcome {
        let out = self.glass();
        std::fs::remove_file(&out)?;
        let (out, root) = (out.display().to_string(), self.root_key());
        self.shortbread(&[
            "break-glass",
            "--lift",
            "--root",
            &root,
            "--issuer",
            &self.issuer,
            "--out",
            &out,
        ])?;
        self.start_broker(self.issuer.trim_start_matches("http://")).map(drop)
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
        said(args, &self.program("shortbread").args(args).output()?)
    }

    /// The same, while other things go on.
    pub(crate) async fn shortbread_beside(&self, args: &[&str]) -> Outcome<String> {
        let mut command = self.program("shortbread");
        command.args(args);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        said(args, &output)
    }

    fn start(&self, mut command: Command, ready: impl Fn(&str) -> bool) -> Outcome<String> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null()).spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        self.children.lock().unwrap_or_else(PoisonError::into_inner).push(child);
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
        let children = self.children.get_mut().unwrap_or_else(PoisonError::into_inner);
        children.iter_mut().for_each(end);
        children.clear();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.clear();
    }
}

fn end(child: &mut Child) {
    // Ended already is as good.
    let _ = child.kill();
    let _ = child.wait();
}

fn said(args: &[&str], output: &Output) -> Outcome<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("shortbread {} failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr)).into())
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
