//! An auditor's view of the audit log: roots from leaves, and proofs checked as RFC 9162 says (sections 2.1.3.2 and
//! 2.1.4.2). Shares nothing with the broker.

use sha2::{Digest as _, Sha256};

/// A hash of the tree.
pub type Hash = [u8; 32];

/// The leaf of an entry.
#[must_use]
pub fn leaf(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// A log that is read leaf by leaf: the roots of its perfect trees, the largest first.
#[derive(Clone, Debug, Default)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// One more leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut root = leaf;
        let mut trees = self.size;
        while trees & 1 == 1 {
            root = node(&self.roots.pop().expect("a tree for each bit"), &root);
            trees >>= 1;
        }
        self.roots.push(root);
        self.size += 1;
    }

    /// How many leaves were read.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root over them.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(first) = roots.next() else { return Sha256::digest([]).into() };
        roots.fold(*first, |right, left| node(left, &right))
    }
}

/// The root over leaves.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    frontier.root()
}

/// Whether a proof shows that `leaf` stands at `index` in the tree of this size and root.
#[must_use]
pub fn is_included(leaf: Hash, index: u64, size: u64, proof: &[Hash], root: Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for beside in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node(beside, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, beside);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == root
}

/// Whether a proof shows that one tree is the beginning of another; each is a size and a root.
#[must_use]
pub fn is_continued((from, old): (u64, Hash), (to, new): (u64, Hash), proof: &[Hash]) -> bool {
    if from == 0 || from == to {
        return proof.is_empty() && (from == 0 || old == new);
    }
    if from > to {
        return false;
    }
    let mut path = proof.to_vec();
    if from.is_power_of_two() {
        path.insert(0, old);
    }
    let Some((first, rest)) = path.split_first() else { return false };
    let (mut at, mut last) = (from - 1, to - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut before, mut after) = (*first, *first);
    for beside in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            before = node(beside, &before);
            after = node(beside, &after);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            after = node(&after, beside);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && before == old && after == new
}
