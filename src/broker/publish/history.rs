//! Which contents the heads of the last while stood for, so that a stream can be taken up where it broke off.

use std::collections::VecDeque;

/// The most changes of contents that are remembered.
const MOST: usize = 1024;

/// The heads from each number on had these contents, up to the next.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<(u64, u64)>);

impl History {
    pub(super) fn note(&mut self, head: u64, contents: u64) {
        if self.0.back().is_none_or(|(_, last)| *last != contents) {
            self.0.push_back((head, contents));
        }
        if self.0.len() > MOST {
            self.0.pop_front();
        }
    }

    /// The contents of the head with this number; `None` when it is too old.
    pub(super) fn contents(&self, head: u64) -> Option<u64> {
        let after = self.0.partition_point(|(first, _)| *first <= head);
        self.0.get(after.checked_sub(1)?).map(|(_, contents)| *contents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_known_by_what_they_stood_for() {
        let mut history = History::default();
        assert_eq!(history.contents(7), None);
        for (head, contents) in [(5, 3), (6, 3), (9, 8), (12, 8)] {
            history.note(head, contents);
        }
        assert_eq!(
            [4, 5, 7, 9, 99].map(|head| history.contents(head)),
            [None, Some(3), Some(3), Some(8), Some(8)]
        );
        for n in 0..2000 {
            history.note(100 + n, 100 + n);
        }
        assert_eq!((history.0.len(), history.contents(9)), (MOST, None));
    }
}
