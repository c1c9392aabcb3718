//! Many of a kind, one after the other.

use std::cell::Cell;

/// Comes round over and over.
pub struct Ring<T> {
    items: Vec<T>,
    at: Cell<usize>,
}

impl<T> Ring<T> {
    pub fn of(items: Vec<T>) -> Self {
        Self { items, at: Cell::new(0) }
    }

    pub fn next(&self) -> Option<&T> {
        let at = self.at.get();
        self.at.set(if at + 1 >= self.items.len() { 0 } else { at + 1 });
        self.items.get(at)
    }
}

/// Gives each item once and then nothing: what nobody may have seen before.
pub struct Once<'a, T> {
    items: std::slice::Iter<'a, T>,
}

impl<'a, T> Once<'a, T> {
    pub fn of(items: &'a [T]) -> Self {
        Self { items: items.iter() }
    }

    pub fn next(&mut self) -> Option<&'a T> {
        self.items.next()
    }
}
