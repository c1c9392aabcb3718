//! Many of a kind, one after the other, over and over.

use std::cell::Cell;

pub struct Ring<T> {
    items: Vec<T>,
    at: Cell<usize>,
}

impl<T> Ring<T> {
    pub fn of(items: Vec<T>) -> Self {
        Self { items, at: Cell::new(0) }
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn next(&self) -> Option<&T> {
        let at = self.at.get();
        self.at.set(if at + 1 >= self.items.len() { 0 } else { at + 1 });
        self.items.get(at)
    }
}
