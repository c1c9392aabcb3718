//! The tree as it grows over the leaves of a proof, and what checkpoints from outside say of it on the way.

use std::collections::HashMap;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::keys::PublicKey;

use super::checkpoint::{CheckpointError, Claim, Held};
use super::file::Head;
use super::lines::Line;
use super::report::{Mark, Named, Outside};
use super::tree::{Hash, Range};

/// A tree, and its root wherever a checkpoint speaks of one.
pub(super) struct Growth {
    pub(super) range: Range,
    // Over the lines themselves, once they differ from the leaves.
    pub(super) by_lines: Option<Range>,
    // By size and root: whether it fits, where the log was that long.
    roots: Vec<(u64, Option<Hash>)>,
    at: usize,
    marks: HashMap<u64, (Option<Named>, Option<Named>)>,
    open: Option<u64>,
}

impl Growth {
    /// Over what is before the first leaf.
    pub(super) fn new(range: Range, held: &[Held]) -> Self {
        let mut sizes: Vec<u64> = held.iter().map(|held| held.claim.size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let at = sizes.partition_point(|size| *size < range.size());
        let roots = sizes.into_iter().map(|size| (size, None)).collect();
        let mut tree = Self { range, by_lines: None, roots, at, marks: HashMap::new(), open: None };
        tree.note(None);
        tree
    }

    /// One more leaf, and the line that it stands for.
    pub(super) fn push(&mut self, leaf: Hash, line: Option<&Line>) {
        self.range.push(leaf);
        if let Some(size) = self.open.take() {
            let next = line.and_then(Line::named);
            self.marks.entry(size).and_modify(|mark| mark.1 = next);
        }
        self.note(line);
    }

    /// One more whole subtree, after the last leaf.
    pub(super) fn join(&mut self, level: u32, root: Hash) {
        for range in [Some(&mut self.range), self.by_lines.as_mut()].into_iter().flatten() {
            range.join(level, root);
        }
        // Inside of a subtree no size can be told; at its end one can.
        while self.roots.get(self.at).is_some_and(|(size, _)| *size < self.range.size()) {
            self.at += 1;
        }
        self.note(None);
    }

    // The root over as many entries as a checkpoint speaks of.
    fn note(&mut self, line: Option<&Line>) {
        let size = self.range.size();
        if let Some((_, root)) = self.roots.get_mut(self.at).filter(|(wanted, _)| *wanted == size) {
            *root = Some(self.range.root());
            self.at += 1;
            self.marks.insert(size, (line.and_then(Line::named), None));
            self.open = Some(size);
        }
    }

    /// Holds the checkpoints against the roots.
    pub(super) fn outside(
        &mut self,
        held: &[Held],
        head: &Head,
        keys: &[PublicKey],
        newest: Option<Hash>,
    ) -> Outside {
        let mut outside = Outside { given: held.len() as u64, ..Outside::default() };
        let mut signed: HashMap<u64, Hash> = newest.map(|root| (head.size, root)).into_iter().collect();
        for one in held {
            let claim = match Claim::open(&one.note, &head.origin, keys) {
                Ok(claim) => claim,
                Err(error) => {
                    let (count, _) =
                        outside.unsigned.get_or_insert_with(|| (0, foreign(one, &head.origin, &error)));
                    *count += 1;
                    continue;
                }
            };
            if *signed.entry(claim.size).or_insert(claim.root) != claim.root
                && !outside.forks.contains(&claim.size)
            {
                outside.forks.push(claim.size);
            }
            if claim.size > head.size {
                outside.beyond = outside.beyond.max(Some(claim.size));
            }
            self.hold(&mut outside, &claim, one.at);
        }
        outside
    }

    fn hold(&mut self, outside: &mut Outside, claim: &Claim, at: Option<Timestamp>) {
        let place = self.roots.binary_search_by_key(&claim.size, |(size, _)| *size);
        let root = place.ok().and_then(|place| self.roots.get(place)?.1);
        // No tree has another root over nothing, so that one says nothing.
        let Some(root) = root.filter(|_| claim.size > 0) else { return };
        outside.compared += 1;
        let (last, next) = self.marks.get(&claim.size).cloned().unwrap_or_default();
        let mark = Mark { size: claim.size, last, next, at };
        let fits = root == claim.root;
        outside.failed += u64::from(!fits);
        let (slot, better): (_, fn(&Mark, &Mark) -> bool) = if fits {
            (&mut outside.last_match, |new, old| new.size > old.size)
        } else {
            (&mut outside.first_failure, |new, old| new.size < old.size)
        };
        if slot.as_ref().is_none_or(|old| better(&mark, old)) {
            *slot = Some(mark);
        }
    }
}

fn foreign(held: &Held, log: &str, error: &CheckpointError) -> String {
    if held.claim.origin == log {
        return format!("{error} (over {} entries)", held.claim.size);
    }
    let origin: String = held.claim.origin.chars().take(100).collect();
    format!("it is of another log, {origin}")
}
