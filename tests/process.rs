//! The real program, in folders of its own, ended with the test that started it.

use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::Value;
use shortbread_protocol::clock::{Clock as _, SystemClock};
use tempfile::TempDir;

/// How long a process may take to say what is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(10);

/// The program `shortbread`, built once for all tests of this process.
///
/// # Panics
/// When it cannot be built.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // TARGET/debug/deps/e2e-0123 -> TARGET/debug
        let test = std::env::current_exe().expect("the path of this test");
        let folder = test.parent().and_then(Path::parent).expect("a folder of programs");
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--locked", "--quiet", "-p", "shortbread", "--profile", profile]);
        build.arg("--target-dir").arg(folder.parent().expect("a target folder"));
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
        assert!(built.success(), "the program is built");
        folder.join(format!("shortbread{}", std::env::consts::EXE_SUFFIX))
    })
}

/// A loopback address that nobody listens on, and that no other test of this process is given.
///
/// # Panics
/// When there is none.
pub fn free_address() -> String {
    // Below the ports that systems hand out by themselves, so that no outgoing connection takes it meanwhile.
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let start = || AtomicU16::new(u16::try_from(std::process::id() % 300).unwrap_or(0) * 40);
    for _ in 0..1000 {
        let port = 15_000 + NEXT.get_or_init(start).fetch_add(1, Ordering::Relaxed) % 15_000;
        let address = format!("127.0.0.1:{port}");
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
    panic!("no port is free");
}

/// A folder with its own settings, in which the program runs.
pub struct Home(TempDir);

/// What a command that ended said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Home {
    /// An empty one.
    ///
    /// # Panics
    /// When there is no room for it.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// A path in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file is written");
    }

    /// Reads a file.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file is read")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(args).env_clear().env("HOME", self.0.path()).current_dir(self.0.path());
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Said {
        let output = self.command(args).output().expect("the program runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// Runs a command that must work, and gives what it printed.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert_eq!(said.code, 0, "shortbread {}: {}{}", args.join(" "), said.out, said.err);
        said.out
    }

    /// Runs a command that must work, and reads its JSON.
    ///
    /// # Panics
    /// When it fails or prints no JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Runs a command that must end with 1 and say all of this; gives what it said.
    ///
    /// # Panics
    /// When it works, ends otherwise, or leaves something out.
    #[track_caller]
    pub fn refused(&self, args: &[&str], parts: &[&str]) -> String {
        let said = self.run(args);
        let text = format!("{}{}", said.out, said.err);
        assert_eq!(said.code, 1, "shortbread {}: {text}", args.join(" "));
        for part in parts {
            assert!(text.contains(part), "shortbread {}: {part:?} is missing: {text}", args.join(" "));
        }
        text
    }

    /// Starts a shell that makes surroundings and then becomes the program, whose path is `$PROGRAM`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_in(&self, shell: &[&str], script: &str) -> Running {
        let (first, rest) = shell.split_first().expect("a shell");
        let mut command = Command::new(first);
        command.args(rest).arg(script).env_clear().env("HOME", self.0.path()).env("PROGRAM", program());
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir(self.0.path()).stdin(Stdio::null());
        Running::follow(command)
    }

    /// Starts a command that goes on until it is ended.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(&self, args: &[&str]) -> Running {
        Running::follow(self.command(args))
    }
}

// Read all the time: a full pipe would stop the child.
fn follow(from: impl Read + Send + 'static, to: &Arc<Mutex<String>>) {
    let to = Arc::clone(to);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut all = to.lock().unwrap_or_else(PoisonError::into_inner);
            all.push_str(&line);
            all.push('\n');
        }
    });
}

/// A process of the program. Dropping it ends it.
pub struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
    clock: SystemClock,
}

impl Running {
    pub(crate) fn follow(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let said = Arc::new(Mutex::new(String::new()));
        follow(child.stdout.take().expect("output"), &said);
        follow(child.stderr.take().expect("errors"), &said);
        Self { child, said, clock: SystemClock::start() }
    }

    /// The number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All it printed so far.
    #[must_use]
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it printed this.
    ///
    /// # Panics
    /// When it ends before, or does not in time.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        let until = self.clock.monotonic() + PATIENCE;
        while !self.said().contains(text) {
            let ended = self.child.try_wait().expect("its state");
            assert!(ended.is_none(), "it ended ({ended:?}) before {text:?}: {}", self.said());
            assert!(self.clock.monotonic() < until, "no {text:?} in time: {}", self.said());
            std::thread::sleep(TICK);
        }
    }

    /// Sends a signal by its name, such as `TERM`.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("a shell");
        assert!(sent.success(), "{kill}");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let until = self.clock.monotonic() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                return status;
            }
            assert!(self.clock.monotonic() < until, "it does not end: {}", self.said());
            std::thread::sleep(TICK);
        }
    }

    /// Ends it as a power cut would: at once, wherever it is.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it is gone");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
