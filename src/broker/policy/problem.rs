//! What is wrong with a policy, where, and what to do about it.

use std::fmt;
use std::ops::Range;

/// One thing that is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The policy file, as it was named.
    pub file: String,
    /// The line, counted from one.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    fix: {}", self.file, self.line, self.message, self.fix)
    }
}

impl std::error::Error for Problem {}

/// Collects problems of one file and knows where its lines begin.
pub(super) struct Problems {
    file: String,
    starts: Vec<usize>,
    found: Vec<Problem>,
}

/// More than this many are of no use to a reader.
const MAX: usize = 200;
/// A longer message is cut: it may quote the file.
const MAX_TEXT: usize = 600;

impl Problems {
    pub(super) fn new(file: &str, source: &str) -> Self {
        let breaks = source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { file: file.to_owned(), starts: std::iter::once(0).chain(breaks).collect(), found: Vec::new() }
    }

    /// Records a problem at a place in the source, given in bytes.
    pub(super) fn add(&mut self, at: Range<usize>, message: impl AsRef<str>, fix: impl AsRef<str>) {
        if self.found.len() >= MAX {
            return;
        }
        let line = self.starts.partition_point(|start| *start <= at.start).max(1);
        self.found.push(Problem {
            file: self.file.clone(),
            line,
            message: cut(message.as_ref()),
            fix: cut(fix.as_ref()),
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All of them, from the top of the file to its end.
    pub(super) fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|problem| problem.line);
        self.found
    }
}

/// Text on one line, without control characters, no longer than fits a message.
pub(super) fn cut(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = clean.take(MAX_TEXT).collect();
    if text.chars().nth(MAX_TEXT).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_file_line_and_fix() {
        let mut problems = Problems::new("policy.toml", "a\nb\nc");
        problems.add(4..5, "late", "do c");
        problems.add(2..3, "early", "do b");
        let found = problems.into_sorted();
        assert_eq!(found[0].to_string(), "policy.toml:2: early\n    fix: do b");
        assert_eq!(found[1].line, 3);
    }
}
