//! The tree of RFC 6962 as it grows at its right end: the roots of its whole subtrees, from which its root follows.

use sha2::{Digest as _, Sha256};

/// A SHA-256 hash of a leaf or of a node.
pub type Hash = [u8; 32];

/// The hash of an entry's bytes.
#[must_use]
pub fn leaf(body: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(body).finalize().into()
}

/// The hash of two subtrees side by side.
#[must_use]
pub fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The whole subtrees that the leaves from one place up to another make up, from left to right, each as its level (it has
/// two to the level leaves) and its number on that level.
#[must_use]
pub fn subtrees(from: u64, to: u64) -> Vec<(u32, u64)> {
    let (mut at, mut found) = (from, Vec::new());
    while at < to {
        // A subtree begins at a multiple of its size.
        let level = (to - at).ilog2().min(at.trailing_zeros());
        found.push((level, at >> level));
        at += 1 << level;
    }
    found
}

/// The leftmost leaves of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    size: u64,
    // Of the whole subtrees, the largest first.
    roots: Vec<Hash>,
}

impl Range {
    /// The first `size` leaves, by the roots of their [`subtrees`]; `None` when there are not as many roots as subtrees.
    #[must_use]
    pub fn new(size: u64, roots: Vec<Hash>) -> Option<Self> {
        (roots.len() == size.count_ones() as usize).then_some(Self { size, roots })
    }

    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// One more leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.join(0, leaf);
    }

    /// One more whole subtree. Answers whether it fits at the right end: its size divides the number of leaves.
    pub fn join(&mut self, level: u32, root: Hash) -> bool {
        if self.size.trailing_zeros() < level {
            return false;
        }
        let mut root = root;
        for _ in 0..(self.size >> level).trailing_ones() {
            let Some(left) = self.roots.pop() else { return false };
            root = node(&left, &root);
        }
        self.roots.push(root);
        self.size += 1 << level;
        true
    }

    /// The root of the tree; that of no leaves is the hash of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(last) = roots.next() else { return Sha256::digest([]).into() };
        roots.fold(*last, |right, left| node(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 6962, section 2.1, read aloud.
    fn mth(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [only] => Sha256::digest([&[0], only.as_slice()].concat()).into(),
            many => {
                // The largest power of two smaller than n.
                let k = (many.len() - 1).next_power_of_two()
                    / if (many.len() - 1).is_power_of_two() { 1 } else { 2 };
                Sha256::digest([&[1][..], &mth(&many[..k]), &mth(&many[k..])].concat()).into()
            }
        }
    }

    fn bodies(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|at| format!("entry {at}").into_bytes()).collect()
    }

    fn hex(hash: Hash) -> String {
        hex::encode(hash)
    }

    #[test]
    fn roots_are_those_of_the_published_test_tree() {
        // The inputs that Certificate Transparency's own tests use, and the roots published with them.
        let inputs: [&[u8]; 8] = [
            b"",
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let mut range = Range::default();
        assert_eq!(hex(range.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        inputs.iter().for_each(|input| range.push(leaf(input)));
        assert_eq!(hex(range.root()), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    }

    proptest! {
        #[test]
        fn roots_agree_with_the_definition(size in 0usize..300, cut in 0usize..300) {
            let bodies = bodies(size);
            let mut range = Range::default();
            bodies.iter().for_each(|body| range.push(leaf(body)));
            prop_assert_eq!(range.root(), mth(&bodies));
            // The same in three parts: what is before, and what is after, as whole subtrees alone.
            let cut = cut.min(size);
            let root = |(level, n): (u32, u64)| {
                let from = usize::try_from(n << level).unwrap();
                mth(&bodies[from..from + (1 << level)])
            };
            let before: Vec<Hash> = subtrees(0, cut as u64).into_iter().map(root).collect();
            let mut parts = Range::new(cut as u64, before).unwrap();
            for (level, n) in subtrees(cut as u64, size as u64) {
                prop_assert!(parts.join(level, root((level, n))));
            }
            prop_assert_eq!(parts, range);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Range::new(3, vec![[0; 32]]).is_none());
        let mut range = Range::new(3, vec![[0; 32]; 2]).unwrap();
        assert!(!range.join(1, [0; 32]) && range.size() == 3);
        assert!(range.join(0, [0; 32]) && range.join(2, [0; 32]) && range.size() == 8);
    }
}
