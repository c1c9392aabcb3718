//! An export, line by line: hashed as it is read, whatever it holds, in memory that is bounded.

use std::io::{BufRead, Read as _};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use shortbread_protocol::event::MAX_ENTRY;

use super::report::Named;
use super::tree::Hash;

/// One line.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    /// Its hash as a leaf, without the end of the line.
    pub(super) hash: Hash,
    /// Its beginning, so much of it as an entry may have.
    pub(super) text: Vec<u8>,
    /// From 1.
    pub(super) number: u64,
}

impl Line {
    /// The entry's id and time, where it is one.
    pub(super) fn named(&self) -> Option<Named> {
        named(&self.text)
    }
}

/// The id and time of an entry.
pub(super) fn named(text: &[u8]) -> Option<Named> {
    #[derive(Deserialize)]
    struct Entry {
        id: String,
        time: String,
    }
    let Entry { id, time } = serde_json::from_slice(text).ok()?;
    let short = |text: String| text.chars().take(64).collect();
    Some(Named { id: short(id), time: short(time) })
}

/// Reads lines.
pub(super) struct Lines<R> {
    from: R,
    count: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, count: 0 }
    }

    /// The next line, in the buffer of an old one.
    pub(super) fn next(&mut self, mut old: Vec<u8>) -> std::io::Result<Option<Line>> {
        old.clear();
        // One more byte than an entry has, for the end of the line.
        let read = self.from.by_ref().take(MAX_ENTRY as u64 + 1).read_until(b'\n', &mut old)?;
        if read == 0 {
            return Ok(None);
        }
        let over = old.last() == Some(&b'\n');
        if over {
            old.pop();
        }
        let mut hash = Sha256::new().chain_update([0]).chain_update(&old);
        if !over {
            self.rest(&mut hash)?;
        }
        self.count += 1;
        Ok(Some(Line { hash: hash.finalize().into(), text: old, number: self.count }))
    }

    // What is longer than an entry may be is hashed and not kept.
    fn rest(&mut self, hash: &mut Sha256) -> std::io::Result<()> {
        let mut part = Vec::new();
        loop {
            part.clear();
            let read = self.from.by_ref().take(MAX_ENTRY as u64).read_until(b'\n', &mut part)?;
            let over = part.last() == Some(&b'\n');
            if over {
                part.pop();
            }
            hash.update(&part);
            if read == 0 || over {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::leaf;
    use super::*;

    #[test]
    fn lines_of_any_length_are_hashed_whole_and_kept_in_part() {
        for length in [0, 1, MAX_ENTRY - 1, MAX_ENTRY, MAX_ENTRY + 1, 3 * MAX_ENTRY, 300_000] {
            let long = vec![b'x'; length];
            let text = [&long[..], b"\nnext\n\nhalf"].concat();
            let mut lines = Lines::new(&text[..]);
            let first = lines.next(Vec::new()).unwrap().unwrap();
            assert_eq!((first.hash, first.number), (leaf(&long), 1), "{length}");
            assert!(first.text.len() <= MAX_ENTRY + 1);
            for (number, body) in [(2, &b"next"[..]), (3, b""), (4, b"half")] {
                let line = lines.next(Vec::new()).unwrap().unwrap();
                assert_eq!((line.hash, line.number), (leaf(body), number));
            }
            assert!(lines.next(Vec::new()).unwrap().is_none());
        }
    }
}
