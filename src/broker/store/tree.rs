//! The Merkle tree of RFC 6962 over the audit log, computed from its tiles.
//!
//! What is kept are full tiles of 256 hashes, not every hash of the tree: an entry then costs the writer 32 bytes in memory
//! and a 256th of one row, where a row for each hash would cost two rows an entry, and the rows are served as they are.
//! Whoever wants a root or a proof reads the few tiles that lie on its way and hashes what is inside them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use sha2::{Digest as _, Sha256};
use shortbread_protocol::log::{Hash, TilePlace, WIDTH};
use tlog_tiles::{Error, HashReader, prove_record, prove_tree, split_stored_hash_index, tree_hash};

/// How many levels of the tree a tile spans.
const HEIGHT: u8 = 8;

/// Where tiles are read.
pub(super) trait Tiles {
    /// What can go wrong.
    type Error;
    /// The first hashes of a tile, as many as its place says.
    fn hashes(&self, place: TilePlace) -> Result<Vec<Hash>, Self::Error>;
    /// The root of a full tile.
    fn root(&self, level: u8, n: u64) -> Result<Hash, Self::Error>;
    /// What is said of a tree that cannot be.
    fn impossible(what: String) -> Self::Error;
}

/// The leaf of an entry: SHA-256 of a zero byte and its bytes.
pub(super) fn leaf(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// The root over hashes whose count is a power of two.
pub(super) fn perfect(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.chunks(2).map(node).collect();
    }
    row.pop().unwrap_or_default()
}

fn node(pair: &[Hash]) -> Hash {
    let hash = Sha256::new().chain_update([1]);
    pair.iter().fold(hash, |hash, side| hash.chain_update(side)).finalize().into()
}

/// The root of the tree over the first `size` entries.
pub(super) fn root<T: Tiles>(tiles: &T, size: u64) -> Result<Hash, T::Error> {
    let tree = Tree::new(tiles, size);
    let root = tree_hash(size, &tree);
    tree.told(root).map(|root| root.0)
}

/// The hashes that prove that entry `index` stands in the tree over the first `size` (RFC 6962, section 2.1.1).
pub(super) fn inclusion<T: Tiles>(tiles: &T, size: u64, index: u64) -> Result<Vec<Hash>, T::Error> {
    let tree = Tree::new(tiles, size);
    let proof = prove_record(size, index, &tree);
    tree.told(proof).map(bare)
}

/// The hashes that prove that the tree over the first `from` entries is the beginning of the tree over the first `to`
/// (RFC 6962, section 2.1.2); none for the empty tree, with which every other begins.
pub(super) fn consistency<T: Tiles>(tiles: &T, from: u64, to: u64) -> Result<Vec<Hash>, T::Error> {
    if from == 0 {
        return Ok(Vec::new());
    }
    let tree = Tree::new(tiles, to);
    let proof = prove_tree(to, from, &tree);
    tree.told(proof).map(bare)
}

fn bare(hashes: Vec<tlog_tiles::Hash>) -> Vec<Hash> {
    hashes.into_iter().map(|hash| hash.0).collect()
}

/// A tree of one size over tiles; each is read once.
struct Tree<'a, T: Tiles> {
    tiles: &'a T,
    size: u64,
    read: RefCell<HashMap<(u8, u64), Vec<Hash>>>,
    // What went wrong below, which the errors of the tree have no place for.
    failed: Cell<Option<T::Error>>,
}

impl<'a, T: Tiles> Tree<'a, T> {
    fn new(tiles: &'a T, size: u64) -> Self {
        Self { tiles, size, read: RefCell::default(), failed: Cell::new(None) }
    }

    fn told<V>(&self, done: Result<V, Error>) -> Result<V, T::Error> {
        done.map_err(|error| self.failed.take().unwrap_or_else(|| T::impossible(error.to_string())))
    }

    // The root of the perfect tree of height `height`, the `n`-th from the left.
    fn at(&self, height: u8, n: u64) -> Result<Hash, T::Error> {
        let (level, inside) = (height / HEIGHT, height % HEIGHT);
        if inside == 0 && level > 0 {
            return self.tiles.root(level - 1, n);
        }
        let tile = n >> (HEIGHT - inside);
        let first = usize::try_from((n << inside) % WIDTH).unwrap_or_default();
        let mut read = self.read.borrow_mut();
        let hashes = match read.entry((level, tile)) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let width = TilePlace::width_in(level, tile, self.size);
                new.insert(self.tiles.hashes(TilePlace { level, n: tile, width })?)
            }
        };
        match hashes.get(first..first + (1 << inside)) {
            Some(hashes) => Ok(perfect(hashes)),
            None => Err(T::impossible(format!("tile {level}/{tile} is too short"))),
        }
    }
}

impl<T: Tiles> HashReader for Tree<'_, T> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, Error> {
        let read = |index: &u64| {
            let (height, n) = split_stored_hash_index(*index);
            self.at(height, n).map(tlog_tiles::Hash).map_err(|error| {
                self.failed.set(Some(error));
                Error::IndexesNotInTree
            })
        };
        indexes.iter().map(read).collect()
    }
}
