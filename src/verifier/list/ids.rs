//! The revoked tokens and blocks: the many, so they are held as closely as they can be looked up.

/// Hashes in ascending order, and where the ones that begin alike begin: 16 bytes for each, and at most two for the
/// index.
///
/// They are already a hash, spread evenly, so a lookup goes straight to a handful of neighbours; a table would hash
/// them once more and leave room. Holders have a say in what their blocks hash to, so they may crowd one place: it is
/// then halved until found, about twenty steps for a million, and needs no secret for that. A list comes in this order
/// already, so a new one is in place without any hashing.
#[derive(Debug, Default)]
pub(super) struct Ids {
    sorted: Box<[[u8; 16]]>,
    /// How many bits of a hash choose its place in `starts`.
    bits: u32,
    starts: Box<[u32]>,
}

/// How many neighbours share a place, at most twice as many as that.
const CROWD: usize = 2;

impl Ids {
    pub(super) fn new(mut ids: Vec<[u8; 16]>) -> Self {
        if !ids.is_sorted() {
            ids.sort_unstable();
        }
        ids.dedup();
        let sorted = ids.into_boxed_slice();
        let places = (sorted.len() / (2 * CROWD)).next_power_of_two().max(2);
        let bits = places.ilog2();
        let starts = index(&sorted, bits, places).unwrap_or_default();
        Self { sorted, bits, starts }
    }

    pub(super) const fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// These with so many changes: added where `true`, left out where `false`.
    pub(super) fn with(&self, changes: &Changes) -> Self {
        let mut ids = Vec::with_capacity(self.len().saturating_add(changes.added()));
        let mut changes = changes.0.iter().peekable();
        for id in &self.sorted {
            while let Some((new, added)) = changes.next_if(|(new, _)| new < id) {
                ids.extend(added.then_some(*new));
            }
            match changes.next_if(|(new, _)| new == id) {
                Some((_, false)) => {}
                Some((_, true)) | None => ids.push(*id),
            }
        }
        ids.extend(changes.filter(|(_, added)| *added).map(|(id, _)| *id));
        Self::new(ids)
    }

    pub(super) fn contains(&self, id: &[u8; 16]) -> bool {
        let near = self.neighbours(id).unwrap_or(&self.sorted);
        near.binary_search(id).is_ok()
    }

    fn neighbours(&self, id: &[u8; 16]) -> Option<&[[u8; 16]]> {
        let place = place(id, self.bits)?;
        let (from, to) = (self.starts.get(place)?, self.starts.get(place + 1)?);
        self.sorted.get(*from as usize..*to as usize)
    }

    /// The bytes that were asked of the allocator.
    #[cfg(test)]
    fn weight(&self) -> usize {
        size_of_val(&*self.sorted) + size_of_val(&*self.starts)
    }
}

/// Ids that came and went since others were put in order: few, and copied with every change.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes(Vec<([u8; 16], bool)>);

impl Changes {
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether an id came (`true`) or went; `None` when it stayed as it was.
    pub(super) fn get(&self, id: &[u8; 16]) -> Option<bool> {
        let at = self.0.binary_search_by(|(known, _)| known.cmp(id)).ok()?;
        self.0.get(at).map(|(_, added)| *added)
    }

    /// Takes later changes in, which override these. They may come in any order, each id once.
    pub(super) fn extend(&mut self, mut later: Vec<([u8; 16], bool)>) {
        later.sort_unstable();
        let mut all = Vec::with_capacity(self.len().saturating_add(later.len()));
        let mut later = later.into_iter().peekable();
        for change in &self.0 {
            while let Some(new) = later.next_if(|(id, _)| *id < change.0) {
                all.push(new);
            }
            all.push(later.next_if(|(id, _)| *id == change.0).unwrap_or(*change));
        }
        all.extend(later);
        self.0 = all;
    }

    fn added(&self) -> usize {
        self.0.iter().filter(|(_, added)| *added).count()
    }
}

fn place(id: &[u8; 16], bits: u32) -> Option<usize> {
    let head = u64::from_be_bytes(*id.first_chunk()?);
    usize::try_from(head.checked_shr(64 - bits)?).ok()
}

// `None` for more than 2^32 of them: then every lookup halves the whole.
fn index(sorted: &[[u8; 16]], bits: u32, places: usize) -> Option<Box<[u32]>> {
    let mut starts = Vec::with_capacity(places + 1);
    for (at, id) in sorted.iter().enumerate() {
        let at = u32::try_from(at).ok()?;
        let place = place(id, bits)?;
        while starts.len() <= place {
            starts.push(at);
        }
    }
    starts.resize(places + 1, u32::try_from(sorted.len()).ok()?);
    Some(starts.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use shortbread_protocol::revocations::RevokedId;

    use super::*;

    fn hashes(count: u32) -> Vec<[u8; 16]> {
        (0..count).map(|n| RevokedId::hash(&n.to_be_bytes())).collect()
    }

    #[test]
    fn what_is_listed_is_found_and_nothing_else() {
        for count in [0, 1, 2, 3, 7, 8, 9, 1000] {
            let all = hashes(count + 1000);
            let ids = Ids::new(all.iter().take(count as usize).copied().collect());
            let found = all.iter().take_while(|id| ids.contains(id)).count();
            let others = all.iter().skip(count as usize).filter(|id| ids.contains(id)).count();
            assert_eq!((found, others, ids.len()), (count as usize, 0, count as usize));
        }
    }

    #[test]
    fn an_id_takes_at_most_twenty_bytes() {
        for count in [1000, 8191, 8193, 10_000, 65_535, 65_537, 100_000, 131_073] {
            let ids = Ids::new(hashes(count));
            let each = ids.weight() / ids.len();
            assert!(each <= 20, "{count}: {each} bytes");
        }
    }

    #[test]
    fn hashes_that_were_made_to_crowd_are_found_all_the_same() {
        let crowd = |n: u32| {
            let mut id = [7; 16];
            id.last_chunk_mut::<4>().unwrap().copy_from_slice(&n.to_be_bytes());
            id
        };
        let ids = Ids::new((0..5000).rev().map(crowd).collect());
        assert!((0..5000).all(|n| ids.contains(&crowd(n))) && !ids.contains(&crowd(5000)));
    }

    proptest! {
        #[test]
        fn it_is_a_set(
            ids in prop::collection::vec(prop::array::uniform16(0..3_u8).prop_map(|mut id| { id[0] *= 100; id }), 0..200),
            asked in prop::collection::vec(prop::array::uniform16(0..3_u8).prop_map(|mut id| { id[0] *= 100; id }), 0..50),
        ) {
            let set: HashSet<_> = ids.iter().copied().collect();
            let ids = Ids::new(ids);
            prop_assert!(set.iter().all(|id| ids.contains(id)));
            prop_assert!(asked.iter().all(|id| set.contains(id) == ids.contains(id)));
        }

        #[test]
        fn changes_add_up_and_the_last_one_counts(
            first in prop::collection::btree_set(0..40_u8, 0..40),
            rounds in prop::collection::vec(prop::collection::btree_map(0..40_u8, any::<bool>(), 0..20), 0..5),
        ) {
            let mut set: HashSet<[u8; 16]> = first.into_iter().map(|n| [n; 16]).collect();
            let ids = Ids::new(set.iter().copied().collect());
            let mut changes = Changes::default();
            for round in rounds {
                changes.extend(round.iter().rev().map(|(n, added)| ([*n; 16], *added)).collect());
                for (n, added) in round {
                    if added { set.insert([n; 16]) } else { set.remove(&[n; 16]) };
                }
            }
            let merged = ids.with(&changes);
            for n in 0..40 {
                let id = [n; 16];
                prop_assert_eq!(merged.contains(&id), set.contains(&id));
                prop_assert_eq!(changes.get(&id).unwrap_or_else(|| ids.contains(&id)), set.contains(&id));
            }
            prop_assert_eq!(merged.len(), set.len());
        }
    }
}
