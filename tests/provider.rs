//! A real OpenID Connect provider: `tests/console/provider.mjs`, started and ended with the test that wants it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use shortbread_protocol::clock::Timestamp;

use crate::process::{Running, free_address};

/// The provider. Its people are alice and bob (in the group `sre-oncall`), carol and mallory (outside of it), and dave
/// (inside); everyone's password is their name and `-password`.
pub struct Provider {
    /// Its issuer URL.
    pub url: String,
    running: Running,
}

impl Provider {
    /// The secret of its client `shortbread-console`.
    pub const SECRET: &str = "a secret: of 100%";

    /// An issuer URL for one, at which nobody listens yet: a broker's configuration names it.
    #[must_use]
    pub fn place() -> String {
        format!("http://{}", free_address())
    }

    /// Starts one at such a place that sends browsers back to the broker at this issuer URL. With `now` its clock goes on
    /// from there.
    ///
    /// # Panics
    /// When it cannot be installed or started.
    #[must_use]
    pub fn start(place: &str, broker: &str, now: Option<Timestamp>) -> Self {
        let folder = installed();
        let port = place.rsplit(':').next().expect("a port");
        let mut command = Command::new(folder.join("node"));
        command.arg("provider.mjs").args([port, &format!("{broker}/console/oidc/callback")]);
        command.args(now.map(|now| now.seconds().to_string()));
        // It ends when its input does, even if the test is killed.
        command.current_dir(folder).stdin(Stdio::piped());
        let mut running = Running::follow(command);
        running.wait_for("ready");
        Self { url: place.to_owned(), running }
    }

    /// Takes it away.
    pub fn stop(&mut self) {
        self.running.kill();
    }
}

/// The folder with Node.js and the provider's packages, which `tests/console/install` fills.
pub(crate) fn installed() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        // TARGET/debug/deps/e2e-0123 -> TARGET
        let test = std::env::current_exe().expect("the path of this test");
        let target = test.ancestors().nth(3).expect("a target folder");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("console/install");
        let done = Command::new(script).env("CARGO_TARGET_DIR", target).status();
        assert!(done.expect("tests/console/install runs").success(), "tests/console/install");
        target.join("console")
    })
}
