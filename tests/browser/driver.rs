//! chromedriver, and through it Chromium.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::Value;
use tempfile::TempDir;

use super::Look;

const MISSING: &str = "chromedriver is not here: on Debian `apt-get install chromium chromium-driver`";

/// A driver on a port of its own. Dropping it ends it and its browser.
pub(super) struct Driver {
    child: Child,
    port: u16,
    profile: TempDir,
    session: Mutex<Option<String>>,
}

impl Driver {
    pub(super) fn start() -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("chromedriver");
        // What it and Chromium leave behind goes with the folder.
        command.arg("--port=0").env("TMPDIR", profile.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{MISSING} ({error})"));
        let mut lines = BufReader::new(child.stdout.take().expect("output")).lines().map_while(Result::ok);
        // The first line tells the port that it was given: none.
        let port = |line: String| line.rsplit_once("on port ")?.1.trim_end_matches('.').parse().ok();
        let port = lines.by_ref().filter_map(port).find(|port: &u16| *port != 0);
        // Nobody reads what it says from here on, and a full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port: port.expect("chromedriver says its port"), profile, session: Mutex::new(None) }
    }

    pub(super) async fn open(&self, look: &Look) -> Client {
        let profile = self.profile.path().to_str().expect("a path");
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(look.capabilities(profile));
        let opened = builder.connect(&format!("http://127.0.0.1:{}", self.port)).await;
        let client = opened.unwrap_or_else(|error| {
            panic!("Chromium does not start; on Debian `apt-get install chromium chromium-driver`: {error}")
        });
        *self.session.lock().expect("a session") = client.session_id().await.ok().flatten();
        client
    }

    /// Asks something that WebDriver itself does not know.
    pub(super) async fn ask(&self, session: &str, what: &str, body: &Value) -> Value {
        let url = format!("http://127.0.0.1:{}/session/{session}/{what}", self.port);
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = http.post(url).body(body.to_string()).send().await.expect("an answer of the driver");
        let bytes = answer.bytes().await.expect("an answer of the driver");
        let mut said: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert!(said["value"].get("error").is_none(), "{what}: {said}");
        said["value"].take()
    }

    // The browser first, so that nothing of it writes into the profile that is taken away then.
    fn close(&self) -> std::io::Result<()> {
        let session = self.session.lock().ok().and_then(|mut session| session.take()).unwrap_or_default();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let host = format!("127.0.0.1:{}", self.port);
        write!(stream, "DELETE /session/{session} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
        stream.read(&mut [0; 64]).map(drop)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Whatever is left ends with the driver.
        let _ = self.close();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
