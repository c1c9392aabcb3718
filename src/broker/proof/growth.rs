//! The tree as it grows over the leaves of a proof, and what checkpoints from outside say of it on the way.

use std::collections::HashMap;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::log;

use super::checkpoint::{CheckpointError, Claim, Held};
use super::file::Head;
use super::lines::Line;
use super::report::{Mark, Named, Outside};
use super::restored::{self, Lost, Restore};
use super::tree::{Hash, Range};
use super::verify::Asked;

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
    pub(super) fn outside(&mut self, held: &[Held], judge: &Judge<'_>, newest: Option<Hash>) -> Outside {
        let Head { origin, size, .. } = judge.head;
        let mut outside = Outside { given: held.len() as u64, ..Outside::default() };
        let mut signed: HashMap<(String, u64), Hash> =
            newest.map(|root| ((origin.clone(), *size), root)).into_iter().collect();
        for one in held {
            let claim = match judge.open(one) {
                Ok(claim) => claim,
                Err(error) => {
                    let (count, _) =
                        outside.unsigned.get_or_insert_with(|| (0, foreign(one, origin, &error)));
                    *count += 1;
                    continue;
                }
            };
            let key = (claim.origin.clone(), claim.size);
            if *signed.entry(key).or_insert(claim.root) != claim.root && !outside.forks.contains(&claim.size)
            {
                outside.forks.push(claim.size);
            }
            self.hold(&mut outside, judge, &claim, one.at);
        }
        outside
    }

    fn hold(&mut self, outside: &mut Outside, judge: &Judge<'_>, claim: &Claim, at: Option<Timestamp>) {
        let place = self.roots.binary_search_by_key(&claim.size, |(size, _)| *size);
        // No tree has another root over nothing, so that one says nothing.
        let root = place.ok().and_then(|place| self.roots.get(place)?.1).filter(|_| claim.size > 0);
        let is_beyond = claim.size > judge.head.size;
        let fits = root == Some(claim.root);
        if (root.is_some() && !fits || is_beyond) && judge.explain(&mut outside.lost, claim) {
            return;
        }
        if is_beyond {
            outside.beyond = outside.beyond.max(Some(claim.size));
        }
        if root.is_none() {
            let count = match (is_beyond, judge.is_asked(claim.size)) {
                (true, _) => return,
                (false, true) => &mut outside.uncompared,
                (false, false) => &mut outside.elsewhere,
            };
            *count += 1;
            return;
        }
        outside.compared += 1;
        let (last, next) = self.marks.get(&claim.size).cloned().unwrap_or_default();
        let mark = Mark { size: claim.size, last, next, at };
        outside.failed += u64::from(!fits);
        if fits {
            outside.first_match = Some(outside.first_match.map_or(claim.size, |size| size.min(claim.size)));
        }
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

/// What a checkpoint from outside is judged by.
pub(super) struct Judge<'a> {
    pub(super) head: &'a Head,
    pub(super) keys: &'a [PublicKey],
    pub(super) restores: &'a [Restore],
    pub(super) asked: &'a Asked,
}

impl Judge<'_> {
    /// Of this log, under whichever of its origins.
    fn open(&self, held: &Held) -> Result<Claim, CheckpointError> {
        let (own, its) = (&self.head.origin, &held.claim.origin);
        let origin = if log::is_origin_of(its, log::first_origin(own)) { its } else { own };
        Claim::open(&held.note, origin, self.keys)
    }

    fn is_asked(&self, size: u64) -> bool {
        let until = self.asked.until.unwrap_or(self.head.size);
        size > 0 && (self.asked.from..=until).contains(&size)
    }

    /// Whether a restore took away what a checkpoint covers and this log does not have.
    fn explain(&self, lost: &mut Vec<Lost>, claim: &Claim) -> bool {
        let own = &self.head.origin;
        let Some(restore) = restored::explains(self.restores, own, &claim.origin, claim.size) else {
            return false;
        };
        match lost.iter_mut().find(|lost| lost.restore == restore) {
            Some(lost) => {
                lost.checkpoints += 1;
                lost.size = lost.size.max(claim.size);
            }
            None => {
                let known = self.asked.restored.contains(&restore);
                lost.push(Lost { restore, checkpoints: 1, size: claim.size, known });
            }
        }
        true
    }
}

fn foreign(held: &Held, log: &str, error: &CheckpointError) -> String {
    if held.claim.origin == log {
        return format!("{error} (over {} entries)", held.claim.size);
    }
    let origin: String = held.claim.origin.chars().take(100).collect();
    format!("it is of another log, {origin}")
}
