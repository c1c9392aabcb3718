//! Copies of checkpoints where whoever owns the store cannot reach them: a tail of the log that was cut off shows only
//! against one of those.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metrics::gauge;
use serde_json::json;

use super::Signed;
use crate::config;
use crate::notices::{Notice, Notices};

/// Where checkpoints go, and which went last.
pub(super) struct Anchors {
    file: Option<PathBuf>,
    stdout: bool,
    webhook: bool,
    every: Duration,
    notices: Arc<Notices>,
    written: Last,
    told: Last,
    failing: bool,
}

/// The size of the last checkpoint that went somewhere, and when.
#[derive(Default)]
struct Last(Option<(u64, Duration)>);

impl Last {
    fn is_due(&self, size: u64, now: Duration, every: Duration) -> bool {
        self.0.is_none_or(|(last, at)| last < size && now >= at + every)
    }
}

impl Anchors {
    pub(super) fn new(config: &config::Log, notices: Arc<Notices>) -> Self {
        Self {
            file: config.anchor_file.clone(),
            stdout: config.anchor_stdout,
            webhook: config.anchor_webhook,
            every: config.anchor_every.0,
            notices,
            written: Last::default(),
            told: Last::default(),
            failing: false,
        }
    }

    /// Anchors a checkpoint unless it went already or one went a moment ago. A file that takes nothing is tried again the
    /// next time, and keeps nobody else from hearing of it.
    pub(super) async fn take(&mut self, signed: &Signed, now: Duration) {
        let size = signed.checkpoint.size;
        if let Some(path) = self.file.clone()
            && self.written.is_due(size, now, self.every)
        {
            let line = line(signed);
            let written = tokio::task::spawn_blocking(move || append(&path, &line)).await;
            if self.went(written.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))) {
                self.written = Last(Some((size, now)));
            }
        }
        if self.told.is_due(size, now, self.every) {
            self.told = Last(Some((size, now)));
            self.tell(signed);
        }
    }

    /// Whether the file took nothing the last time.
    pub(super) const fn is_failing(&self) -> bool {
        self.failing
    }

    fn tell(&self, signed: &Signed) {
        let (size, root) = (signed.checkpoint.size, STANDARD.encode(signed.checkpoint.root));
        let note = String::from_utf8_lossy(&signed.note);
        if self.stdout {
            tracing::info!(size, root, note = %note, "audit checkpoint");
        }
        if self.webhook {
            self.notices.tell(&Notice::LogCheckpoint { size, root, note: note.into_owned() });
        }
    }

    // Whether it went well; the first failure is told, and the end of them.
    fn went(&mut self, done: io::Result<()>) -> bool {
        let file = self.file.as_deref().unwrap_or(Path::new("")).display();
        match &done {
            Ok(()) if self.failing => tracing::info!(file = %file, "checkpoints are anchored again"),
            Ok(()) => {}
            Err(error) if !self.failing => tracing::error!(
                file = %file, error = %error,
                "the checkpoint could not be written to [log] anchor_file; it is tried again"
            ),
            Err(_) => {}
        }
        self.failing = done.is_err();
        gauge!("shortbread_log_anchor_failing").set(f64::from(u8::from(self.failing)));
        !self.failing
    }
}

fn line(signed: &Signed) -> String {
    let note = String::from_utf8_lossy(&signed.note);
    let root = STANDARD.encode(signed.checkpoint.root);
    json!({ "time": signed.at.to_string(), "size": signed.checkpoint.size, "root": root, "note": note })
        .to_string()
}

// A line at a time, on the disk before it counts, and so is the file's name. What a crash left half-written gets an end of its own.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let end = file.seek(SeekFrom::End(0))?;
    let mut text = String::new();
    if end > 0 {
        file.seek(SeekFrom::Start(end - 1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            text.push('\n');
        }
    }
    text.push_str(line);
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    if end > 0 {
        return Ok(());
    }
    // The file is new: without its folder's entry a crash would take it whole.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_appended_and_a_torn_one_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors.jsonl");
        append(&path, "one").unwrap();
        append(&path, "two").unwrap();
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "to").unwrap();
        append(&path, "three").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nto\nthree\n");
        assert!(append(folder.path(), "x").is_err());
    }
}
