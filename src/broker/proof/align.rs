//! Where lines and leaves go on together after a damage.

use std::collections::HashMap;

use super::tree::Hash;

/// How far ahead is looked.
pub(super) const AHEAD: usize = 256;
/// How many that follow each other have to fit.
const SURE: usize = 3;

/// How many lines and how many leaves do not belong together before both go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) lines: usize,
    pub(super) leaves: usize,
}

/// Looks for the least damage that explains what comes. `over`: whether lines and leaves end with what is shown.
pub(super) fn gap(lines: &[Hash], leaves: &[Hash], over: (bool, bool)) -> Gap {
    let mut places = HashMap::with_capacity(leaves.len());
    for (at, leaf) in leaves.iter().enumerate() {
        places.entry(*leaf).or_insert(at);
    }
    let meet = lines.iter().enumerate().filter_map(|(at, line)| Some((at, *places.get(line)?)));
    let end = (lines.len(), leaves.len());
    let candidates = meet.chain((over == (true, true)).then_some(end));
    let rated = candidates.filter_map(|(line, leaf)| {
        let sure = fits(lines.get(line..)?, leaves.get(leaf..)?, over)?;
        Some(((!sure, line + leaf, line.abs_diff(leaf)), Gap { lines: line, leaves: leaf }))
    });
    let best = rated.min_by_key(|(rate, _)| *rate).map(|(_, gap)| gap);
    best.unwrap_or_else(|| {
        // Nothing fits as far as can be seen: line for line, until one side ends.
        let both = lines.len().min(leaves.len());
        Gap { lines: both, leaves: both }
    })
}

/// Whether both go on together: surely, as far as one side can be seen, or not.
fn fits(lines: &[Hash], leaves: &[Hash], over: (bool, bool)) -> Option<bool> {
    let shared = lines.len().min(leaves.len()).min(SURE);
    let (these, those) = (lines.get(..shared)?, leaves.get(..shared)?);
    if these != those {
        return None;
    }
    if shared == SURE {
        return Some(true);
    }
    match (lines.len() == shared, leaves.len() == shared, over) {
        (true, true, (true, true)) => Some(true),
        // One side ends here and the other goes on, or nothing more can be seen.
        _ if shared > 0 => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Hash> {
        text.bytes().map(|byte| [byte; 32]).collect()
    }

    #[test]
    fn the_least_damage_is_found() {
        for (lines, leaves, gap_lines, gap_leaves) in [
            ("Xbcdef", "abcdef", 1, 1),
            ("bcdef", "abcdef", 0, 1),
            ("cdef", "abcdef", 0, 2),
            ("Xabcdef", "abcdef", 1, 0),
            ("XYabcdef", "abcdef", 2, 0),
            ("bacdef", "abcdef", 2, 2),
            ("ba", "ab", 2, 2),
            ("X", "a", 1, 1),
            ("XYcdef", "abcdef", 2, 2),
            ("XYZdef", "adef", 3, 1),
        ] {
            let gap = gap(&of(lines), &of(leaves), (true, true));
            assert_eq!((gap.lines, gap.leaves), (gap_lines, gap_leaves), "{lines} {leaves}");
        }
        let cut = gap(&of("Xb"), &of("abcdef"), (true, false));
        assert_eq!((cut.lines, cut.leaves), (1, 1), "what is seen is enough where one side ends");
        let nothing = gap(&of("XYZ"), &of("abcdef"), (true, false));
        assert_eq!((nothing.lines, nothing.leaves), (3, 3));
    }
}
