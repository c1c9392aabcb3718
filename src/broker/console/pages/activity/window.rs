//! Which entries of a long trace a page shows. A trace is its callers' word, and may have any number of entries: whatever was
//! asked for is shown with what stands around it, and what is not shown is said.

use std::collections::BTreeMap;

use crate::store::StoredEntry;

/// How many entries are shown at most where there are more.
const SHOWN: usize = 200;
/// How many of the first, of the last, and on either side of what was asked for.
const ENDS: usize = 40;

/// Some entries in the order of the log, and how many more there are.
pub(super) struct Window {
    pub(super) entries: Vec<StoredEntry>,
    pub(super) hidden: usize,
}

/// What is shown of a trace, given what was asked for, which is among it or was cut off.
pub(super) fn window(trace: Vec<StoredEntry>, asked: Vec<StoredEntry>) -> Window {
    let asked_for: Vec<u64> = asked.iter().map(|entry| entry.idx).collect();
    let mut all: BTreeMap<u64, StoredEntry> = trace.into_iter().map(|entry| (entry.idx, entry)).collect();
    all.extend(asked.into_iter().map(|entry| (entry.idx, entry)));
    let count = all.len();
    if count <= SHOWN {
        return Window { entries: all.into_values().collect(), hidden: 0 };
    }
    let places: Vec<usize> =
        all.keys().enumerate().filter(|(_, idx)| asked_for.contains(idx)).map(|(place, _)| place).collect();
    // Where all of it was asked for, as by its trace, both ends are what there is to say.
    let near =
        |place: usize| places.len() < SHOWN && places.iter().any(|asked| asked.abs_diff(place) <= ENDS);
    let kept = all.into_values().enumerate().filter(|(place, _)| {
        let (place, end) = (*place, if places.len() < SHOWN { ENDS } else { SHOWN / 2 });
        place < end || place + end >= count || near(place)
    });
    let entries: Vec<StoredEntry> = kept.map(|(_, entry)| entry).collect();
    let hidden = count - entries.len();
    Window { entries, hidden }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shortbread_protocol::clock::Timestamp;

    fn entry(idx: u64) -> StoredEntry {
        StoredEntry { idx, at: Timestamp::from_seconds(idx), body: Vec::new(), leaf: [0; 32] }
    }

    fn shown(trace: std::ops::Range<u64>, asked: &[u64]) -> (Vec<u64>, usize) {
        let asked = asked.iter().map(|idx| entry(*idx)).collect();
        let window = window(trace.map(entry).collect(), asked);
        (window.entries.iter().map(|entry| entry.idx).collect(), window.hidden)
    }

    #[test]
    fn a_short_trace_is_shown_whole() {
        assert_eq!(shown(0..150, &[3]), ((0..150).collect(), 0));
    }

    #[test]
    fn what_was_asked_for_is_always_shown_with_what_is_around_it() {
        for asked in [0, 100, 4000, 8999, 20_000] {
            let (entries, hidden) = shown(0..9000, &[asked]);
            assert!(entries.contains(&asked) && entries.len() <= SHOWN, "{asked}: {}", entries.len());
            assert_eq!(hidden, 9000 + usize::from(asked >= 9000) - entries.len());
            assert!(entries.contains(&0) && entries.is_sorted());
        }
        let (entries, _) = shown(0..9000, &[4000]);
        assert!(entries.contains(&3960) && entries.contains(&4040) && !entries.contains(&3900));
    }

    #[test]
    fn of_a_long_trace_both_ends_are_shown() {
        let all: Vec<u64> = (0..9000).collect();
        let (entries, hidden) = shown(0..9000, &all);
        assert_eq!((entries.len(), hidden), (SHOWN, 8800));
        assert!(entries.contains(&0) && entries.contains(&8999));
    }
}
