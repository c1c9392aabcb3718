//! The last changes of the published list, and when each was published.

use std::collections::VecDeque;

use shortbread_protocol::clock::Timestamp;

/// How many are remembered.
const KEPT: usize = 1024;

/// The last published contents of the list, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Changes(VecDeque<(u64, Timestamp)>);

/// How far someone is behind the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// How many changes they lack, as far as they are remembered.
    pub changes: u64,
    /// When the first of those was published, or when this process first saw it.
    pub since: Timestamp,
}

impl Changes {
    /// Notes that contents of this sequence are published; false where that is known.
    pub fn note(&mut self, contents: u64, at: Timestamp) -> bool {
        if self.0.back().is_some_and(|(last, _)| *last >= contents) {
            return false;
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((contents, at));
        true
    }

    /// The sequence of the last one.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.0.back().map_or(0, |(seq, _)| *seq)
    }

    /// When these contents were published. Not for the oldest that is remembered: it may have been earlier.
    #[must_use]
    pub fn published(&self, contents: u64) -> Option<Timestamp> {
        let at = self.0.binary_search_by_key(&contents, |(seq, _)| *seq).ok().filter(|at| *at > 0)?;
        self.0.get(at).map(|(_, at)| *at)
    }

    /// How far someone with these contents is behind; nothing if they are not.
    #[must_use]
    pub fn lag(&self, contents: u64) -> Option<Lag> {
        let first = self.0.partition_point(|(seq, _)| *seq <= contents);
        let (_, since) = *self.0.get(first)?;
        Some(Lag { changes: (self.0.len() - first) as u64, since })
    }
}
