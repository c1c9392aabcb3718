//! One part of the cache, behind one lock.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::{Believed, FAMILY_BYTES, FAMILY_TOKENS};

/// A bounded set of tokens, each under a trace: a keyed hash that was computed outside.
pub(super) struct Shard {
    room: usize,
    epoch: u64,
    weight: usize,
    slots: Vec<Slot>,
    places: HashMap<u64, usize, BuildHasherDefault<Traced>>,
    // By authority block, the traces of its copies, oldest first.
    families: HashMap<u64, VecDeque<u64>, BuildHasherDefault<Traced>>,
    hand: usize,
}

struct Slot {
    trace: u64,
    // Beside the token and not asked of it: what goes has often not been looked at for long.
    family: u64,
    weight: usize,
    used: bool,
    believed: Arc<Believed>,
}

impl Shard {
    pub(super) fn new(room: usize, epoch: u64) -> Self {
        Self {
            room,
            epoch,
            weight: 0,
            slots: Vec::new(),
            places: HashMap::default(),
            families: HashMap::default(),
            hand: 0,
        }
    }

    pub(super) fn find(&mut self, trace: u64, epoch: u64) -> Option<Arc<Believed>> {
        if self.epoch != epoch {
            return None;
        }
        let slot = self.slots.get_mut(*self.places.get(&trace)?)?;
        slot.used = true;
        Some(Arc::clone(&slot.believed))
    }

    /// Keeps a token and hands back what had to go for it. A state from before the epoch that the shard has reached
    /// adds nothing to it.
    pub(super) fn keep(&mut self, trace: u64, believed: &Arc<Believed>, epoch: u64) -> Vec<Arc<Believed>> {
        let (weight, family) = (believed.weight(), believed.family());
        let mut gone = Vec::new();
        if self.epoch != epoch || weight > self.room {
            return gone;
        }
        gone.extend(self.remove(trace));
        self.make_room_in_family(family, weight, &mut gone);
        while self.weight + weight > self.room {
            let Some(evicted) = self.evict() else { break };
            gone.push(evicted);
        }
        self.families.entry(family).or_default().push_back(trace);
        self.places.insert(trace, self.slots.len());
        self.slots.push(Slot { trace, family, weight, used: false, believed: Arc::clone(believed) });
        self.weight += weight;
        gone
    }

    /// Empties the shard when a key was lost since; hands back what it held, for someone to drop.
    pub(super) fn advance(&mut self, epoch: u64) -> Option<Self> {
        (self.epoch < epoch).then(|| std::mem::replace(self, Self::new(self.room, epoch)))
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.room, self.epoch);
    }

    fn make_room_in_family(&mut self, family: u64, weight: usize, gone: &mut Vec<Arc<Believed>>) {
        while let Some(oldest) = self.oldest_beyond(family, weight) {
            gone.extend(self.remove(oldest));
        }
    }

    // Which copy of an authority block has to go before another of this weight comes.
    fn oldest_beyond(&self, family: u64, weight: usize) -> Option<u64> {
        let traces = self.families.get(&family)?;
        let held = traces.iter().filter_map(|trace| self.slots.get(*self.places.get(trace)?));
        let held: usize = held.map(|slot| slot.weight).sum();
        let full = traces.len() >= FAMILY_TOKENS || held + weight > FAMILY_BYTES.min(self.room / 8);
        traces.front().copied().filter(|_| full)
    }

    // The hand goes round: what was used since it last came by is spared once. The newest is last and moves into the
    // place that falls free behind the hand, so that its turn comes after all that are older.
    fn evict(&mut self) -> Option<Arc<Believed>> {
        loop {
            if self.hand + 1 >= self.slots.len() {
                self.hand = 0;
            }
            let slot = self.slots.get_mut(self.hand)?;
            self.hand += 1;
            if !std::mem::take(&mut slot.used) {
                let trace = slot.trace;
                return self.remove(trace);
            }
        }
    }

    fn remove(&mut self, trace: u64) -> Option<Arc<Believed>> {
        let place = self.places.remove(&trace)?;
        let slot = self.slots.swap_remove(place);
        if let Some(moved) = self.slots.get(place) {
            self.places.insert(moved.trace, place);
        }
        self.weight -= slot.weight;
        if let Some(traces) = self.families.get_mut(&slot.family) {
            traces.retain(|known| *known != trace);
            if traces.is_empty() {
                self.families.remove(&slot.family);
            }
        }
        Some(slot.believed)
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        let sum: usize = self.slots.iter().map(|slot| slot.weight).sum();
        assert_eq!((sum, self.slots.len()), (self.weight, self.places.len()));
        assert_eq!(self.families.values().map(VecDeque::len).sum::<usize>(), self.slots.len());
        (self.weight, self.slots.len())
    }
}

/// Passes a trace or a family on as it is: both are hashes already, and nobody chooses them.
#[derive(Default)]
struct Traced(u64);

impl Hasher for Traced {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |sum, byte| sum.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, trace: u64) {
        self.0 = trace;
    }
}
