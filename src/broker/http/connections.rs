//! How many connections there may be, in all and from one address: each costs a file, and files are what the store
//! and the next signed head need too.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many places an address may have of the last quarter.
const FEW: usize = 16;

/// The places for connections.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    most_from_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    from: HashMap<IpAddr, usize>,
}

/// A place that is taken until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Connections {
    pub(super) fn new(most: usize, most_from_one: usize) -> Arc<Self> {
        Arc::new(Self { most, most_from_one, taken: Mutex::default() })
    }

    /// A place for a connection from this address, if there is one left.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = machine(address);
        let mut taken = self.taken();
        let from_one = taken.from.get(&address).copied().unwrap_or_default();
        // The last places are for those who have few: no handful of addresses that flood keeps an operator out.
        let scarce = taken.all >= self.most - self.most / 4;
        let enough = if scarce { self.most_from_one.min(FEW) } else { self.most_from_one };
        if taken.all >= self.most || from_one >= enough {
            return None;
        }
        taken.all += 1;
        taken.from.insert(address, from_one + 1);
        Some(Place { connections: Arc::clone(self), address })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.connections.taken();
        taken.all = taken.all.saturating_sub(1);
        match taken.from.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.from.remove(&self.address)),
        }
    }
}

/// A /64 of IPv6 counts as one address: one machine may own it whole.
fn machine(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handful_of_addresses_cannot_take_every_place() {
        let connections = Connections::new(400, 100);
        let at = |last| IpAddr::from([10, 0, 0, last]);
        let flood: Vec<_> = (1..=4).flat_map(|last| (0..100).map(move |_| at(last))).collect();
        let held: Vec<_> = flood.into_iter().filter_map(|address| connections.take(address)).collect();
        assert!(held.len() <= 316, "{} of 400", held.len());
        let others: Vec<_> = (10..15).filter_map(|last| connections.take(at(last))).collect();
        assert_eq!(others.len(), 5);
        assert!(connections.take(at(1)).is_none());
    }

    #[test]
    fn one_address_cannot_take_every_place() {
        let connections = Connections::new(3, 2);
        let at = |last| IpAddr::from([10, 0, 0, last]);
        let (first, second) = (connections.take(at(1)), connections.take(at(1)));
        assert!(first.is_some() && second.is_some() && connections.take(at(1)).is_none());
        let other = connections.take(at(2));
        assert!(other.is_some() && connections.take(at(3)).is_none(), "three in all");
        drop(first);
        assert!(connections.take(at(3)).is_some());
        drop((second, other));
        assert!(connections.taken().from.is_empty(), "addresses that went are forgotten");
    }
}
