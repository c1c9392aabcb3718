//! A head, and the delta that leads to it, as streams send them (the HTML standard, section 9.2).

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::file::DeltaFile;

/// The frames of one head, each made once and shared by all streams.
#[derive(Debug)]
pub(super) struct Frames {
    head: Bytes,
    // Beside each delta: the head and the delta behind it.
    with: Vec<OnceLock<Bytes>>,
}

impl Frames {
    pub(super) fn new(seq: u64, head: &[u8], deltas: usize) -> Self {
        Self { head: event(seq, head).into(), with: (0..deltas).map(|_| OnceLock::new()).collect() }
    }

    pub(super) fn head(&self) -> Bytes {
        self.head.clone()
    }

    /// The head with the delta at this place, or alone when that is too long to be sent.
    pub(super) fn with(&self, place: usize, delta: &Arc<DeltaFile>) -> Bytes {
        let both = || match delta.line() {
            Some(line) => [&self.head[..], b"event: delta\ndata: ", line.as_bytes(), b"\n\n"].concat().into(),
            None => self.head(),
        };
        self.with.get(place).map_or_else(|| self.head(), |with| with.get_or_init(both).clone())
    }
}

// A line of data for each line of the note; what follows its last newline is an empty one.
fn event(seq: u64, head: &[u8]) -> String {
    let mut frame = format!("event: head\nid: {seq}\n");
    for line in String::from_utf8_lossy(head).split('\n') {
        // Writing to a String cannot fail.
        let _ = writeln!(frame, "data: {line}");
    }
    frame.push('\n');
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_the_lines_gives_the_exact_bytes() {
        let note = "origin\nseq 7\n\n\u{2014} origin abc=\n";
        let frame = event(7, note.as_bytes());
        assert!(frame.starts_with("event: head\nid: 7\ndata: origin\n") && frame.ends_with("\ndata: \n\n"));
        let lines: Vec<_> = frame.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(lines.join("\n"), note);
    }
}
