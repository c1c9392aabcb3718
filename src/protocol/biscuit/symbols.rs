//! Biscuit's symbol table: texts are written once and named by number.

/// A text's number: below 1024 one of the format's own words, else one that a block added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sym(pub(super) u32);

const OFFSET: u32 = 1024;

macro_rules! words {
    ($($word:literal),*) => {
        // Their order is their number.
        const WORDS: &[&str] = &[$($word),*];

        // Several times as fast as a search among them, and asked of every text of a token.
        fn is_word(text: &str) -> bool {
            matches!(text, $($word)|*)
        }
    };
}

// The words that every Biscuit knows, by the specification.
words!(
    "read",
    "write",
    "resource",
    "operation",
    "right",
    "time",
    "role",
    "owner",
    "tenant",
    "namespace",
    "user",
    "team",
    "service",
    "admin",
    "email",
    "group",
    "member",
    "ip_address",
    "client",
    "client_ip",
    "domain",
    "path",
    "version",
    "cluster",
    "node",
    "hostname",
    "nonce",
    "query"
);

/// `query`: the head of every check.
pub(super) const QUERY: Sym = Sym(27);

/// The texts of a token, in the order in which its blocks add them.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    text: String,
    ends: Vec<u32>,
}

impl Symbols {
    pub(super) fn with_room_for(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes / 2), ends: Vec::with_capacity(bytes / 24) }
    }

    /// Adds a text that a block brings. [`Symbols::distinct`] must hold once all blocks are read.
    pub(super) fn add(&mut self, text: &str) {
        self.push(text);
    }

    /// Whether every text has one number only; otherwise equal texts would not compare equal.
    #[must_use]
    pub fn distinct(&self) -> bool {
        // Numbers are sorted much faster than texts. Hashes that are alike, by chance or on purpose, cost no more than
        // another sort.
        let mut hashes = Vec::with_capacity(self.ends.len());
        hashes.extend(self.since(0).map(hash));
        let doubled = has_doubles(hashes) && has_doubles(self.since(0).collect());
        !doubled && !self.since(0).any(is_word)
    }

    /// The text of a number; `None` when no block has added it.
    #[must_use]
    pub fn text(&self, sym: Sym) -> Option<&str> {
        match sym.0.checked_sub(OFFSET) {
            Some(at) => self.custom(at),
            None => WORDS.get(sym.0 as usize).copied(),
        }
    }

    /// The size in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>()
    }

    /// How many texts the blocks have added.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    /// The texts added since there were `from`.
    pub(super) fn since(&self, from: u32) -> impl Iterator<Item = &str> {
        (from..self.len()).filter_map(|at| self.custom(at))
    }

    /// Every number that has a text.
    pub(super) fn every(&self) -> impl Iterator<Item = Sym> {
        let own = (0..WORDS.len()).filter_map(|at| u32::try_from(at).ok());
        own.chain((0..self.len()).map(|at| OFFSET + at)).map(Sym)
    }

    /// Adds a text and gives its number.
    pub(super) fn push(&mut self, text: &str) -> Sym {
        self.text.push_str(text);
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
        Sym(OFFSET + self.len() - 1)
    }

    fn custom(&self, at: u32) -> Option<&str> {
        let at = at as usize;
        let end = *self.ends.get(at)? as usize;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        self.text.get(start..end)
    }
}

fn has_doubles<T: Ord>(mut items: Vec<T>) -> bool {
    items.sort_unstable();
    items.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
}

/// Equal texts have equal hashes; quick, and no more than that: whoever wants two texts to have one hash finds them.
pub(super) fn hash(text: &str) -> u64 {
    let (bytes, long) = (text.as_bytes(), text.len() as u64);
    let (eights, rest) = bytes.as_chunks();
    let hash = eights.iter().fold(long, |hash, eight| mix(hash, u64::from_le_bytes(*eight)));
    // The end as a whole: for a text of eight or more it overlaps what came before.
    let end = match (bytes.last_chunk(), bytes.first_chunk(), bytes.last_chunk()) {
        _ if rest.is_empty() => return hash,
        (Some(last), _, _) => u64::from_le_bytes(*last),
        (None, Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        _ => rest.iter().fold(0, |end, byte| end << 8 | u64::from(*byte)),
    };
    mix(hash, end)
}

const fn mix(hash: u64, next: u64) -> u64 {
    let product = (hash ^ next).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn symbols(texts: &[String]) -> Symbols {
        let mut symbols = Symbols::default();
        texts.iter().for_each(|text| symbols.add(text));
        symbols
    }

    #[test]
    fn the_head_of_a_check_has_its_number() {
        assert_eq!(Symbols::default().text(QUERY), Some("query"));
    }

    #[test]
    fn texts_that_were_made_to_hash_alike_are_told_apart() {
        let one = "0123456789abcdef".to_owned();
        let state = |start: &str| mix(16, u64::from_le_bytes(*start.as_bytes().first_chunk().unwrap()));
        let end = u64::from_le_bytes(*one.as_bytes().last_chunk().unwrap());
        let other = (0..100_000).find_map(|number| {
            let start = format!("{number:08}");
            let end = (end ^ state(&one) ^ state(&start)).to_le_bytes().to_vec();
            Some(start + &String::from_utf8(end).ok()?)
        });
        let other = other.unwrap();
        assert!(one != other && hash(&one) == hash(&other));
        assert!(symbols(&[one.clone(), other.clone()]).distinct());
        assert!(!symbols(&[one.clone(), other, one]).distinct());
    }

    proptest! {
        #[test]
        fn texts_are_distinct_when_no_two_are_equal_and_none_is_a_word(
            texts in prop::collection::vec("[ab]{0,4}|[ab]{7,9}|read|query", 0..12),
        ) {
            let set: std::collections::HashSet<_> = texts.iter().collect();
            let words = texts.iter().any(|text| WORDS.contains(&text.as_str()));
            prop_assert_eq!(symbols(&texts).distinct(), set.len() == texts.len() && !words);
        }
    }
}
