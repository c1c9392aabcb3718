//! Numbers of texts for a writer, who asks for the same few again and again.

use std::sync::LazyLock;

use super::symbols::{Sym, Symbols, hash};

const FREE: u32 = u32::MAX;

// The index of the format's own words, with room for those of most tokens.
static WORDS: LazyLock<Vec<u32>> = LazyLock::new(|| index(&Symbols::default(), 256));

/// Symbols, and where to find them by their texts.
#[derive(Debug)]
pub(super) struct Interner {
    symbols: Symbols,
    // Numbers by the hash of their texts, in a power of two of slots of which at most half are taken.
    slots: Vec<u32>,
    taken: usize,
}

impl Interner {
    pub(super) fn new(symbols: Symbols) -> Self {
        let taken = symbols.every().count();
        if symbols.len() == 0 {
            return Self { symbols: Symbols::with_room_for(2048), slots: WORDS.clone(), taken };
        }
        let slots = index(&symbols, (taken * 4).next_power_of_two());
        Self { symbols, slots, taken }
    }

    /// The number of a text, added if it is new.
    pub(super) fn intern(&mut self, text: &str) -> Sym {
        find(&self.slots, &self.symbols, text).unwrap_or_else(|slot| {
            let sym = self.symbols.push(text);
            put(&mut self.slots, slot, sym);
            self.taken += 1;
            if self.taken * 2 > self.slots.len() {
                self.slots = index(&self.symbols, self.slots.len() * 2);
            }
            sym
        })
    }

    /// The texts added since there were `from`.
    pub(super) fn since(&self, from: u32) -> impl Iterator<Item = &str> {
        self.symbols.since(from)
    }
}

fn index(symbols: &Symbols, size: usize) -> Vec<u32> {
    let mut slots = vec![FREE; size];
    for sym in symbols.every() {
        if let Err(slot) = find(&slots, symbols, symbols.text(sym).unwrap_or_default()) {
            put(&mut slots, slot, sym);
        }
    }
    slots
}

fn put(slots: &mut [u32], slot: usize, sym: Sym) {
    if let Some(slot) = slots.get_mut(slot) {
        *slot = sym.0;
    }
}

// The number of the text, or the slot where it belongs.
fn find(slots: &[u32], symbols: &Symbols, text: &str) -> Result<Sym, usize> {
    let last = slots.len() - 1;
    // Whoever makes texts collide slows down the writing of their own token.
    let mut slot = usize::try_from(hash(text) & last as u64).unwrap_or_default();
    loop {
        match slots.get(slot) {
            Some(&FREE) | None => return Err(slot),
            Some(&sym) if symbols.text(Sym(sym)) == Some(text) => return Ok(Sym(sym)),
            Some(_) => slot = (slot + 1) & last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_formats_own_words_have_their_numbers() {
        let mut interner = Interner::new(Symbols::default());
        assert_eq!(
            ["read", "query", "own", "operation"].map(|text| interner.intern(text).0),
            [0, 27, 1024, 3]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn a_text_has_one_number_whenever_it_is_asked_for(
            known in proptest::collection::vec("[a-z]{0,3}", 0..40),
            asked in proptest::collection::vec("[a-z]{0,3}|[a-z]{20,40}", 0..300),
        ) {
            let mut symbols = Symbols::default();
            for text in &known {
                symbols.push(text);
            }
            let mut interner = Interner::new(symbols);
            let numbers: Vec<_> = asked.iter().map(|text| interner.intern(text)).collect();
            for (text, sym) in asked.iter().zip(numbers) {
                prop_assert_eq!(interner.intern(text), sym);
                prop_assert_eq!(interner.symbols.text(sym), Some(text.as_str()));
            }
            let mut added: Vec<_> = interner.since(u32::try_from(known.len()).unwrap()).collect();
            let count = added.len();
            added.sort_unstable();
            added.dedup();
            prop_assert_eq!(added.len(), count);
        }
    }
}
