//! A map whose copies share what they have in common: a change copies a thousandth of it, not all.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::Arc;

/// A list of a million has a thousand in each shard, which are copied in a few microseconds.
const SHARDS: u16 = 1024;

/// The map.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shards<K: Eq + Hash, V>(Vec<Arc<HashMap<K, V>>>);

impl<K: Eq + Hash, V> Default for Shards<K, V> {
    fn default() -> Self {
        Self(vec![Arc::default(); SHARDS.into()])
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Shards<K, V> {
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(place(key))?.get(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        if let Some(shard) = self.0.get_mut(place(&key)) {
            Arc::make_mut(shard).insert(key, value);
        }
    }

    pub(super) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some(shard) = self.0.get_mut(place(key)).filter(|shard| shard.contains_key(key)) {
            Arc::make_mut(shard).remove(key);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().flat_map(|shard| shard.iter())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|shard| shard.is_empty())
    }
}

// Equal maps must lie equally, so the shard is told by a hash without a secret. Whoever could choose many keys of one
// shard would only make changes to it cost what they would cost without shards.
fn place<Q: Hash + ?Sized>(key: &Q) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
    usize::try_from(hash % u64::from(SHARDS)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_shares_all_but_what_is_changed() {
        let mut old: Shards<Arc<str>, u32> = Shards::default();
        assert!(old.is_empty());
        for n in 0..5000 {
            old.insert(n.to_string().into(), n);
        }
        let mut new = old.clone();
        new.insert("7".into(), 8);
        new.remove("none");
        let apart = old.0.iter().zip(&new.0).filter(|(old, new)| !Arc::ptr_eq(old, new)).count();
        assert_eq!((apart, old.get("7"), new.get("7")), (1, Some(&7), Some(&8)));
        assert!(old != new && new.iter().count() == 5000);
        new.remove("7");
        assert_eq!(new.get("7"), None);
        new.insert("7".into(), 7);
        assert_eq!(old, new);
    }
}
