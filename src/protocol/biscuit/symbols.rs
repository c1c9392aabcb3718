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
        let mut texts = Vec::with_capacity(self.ends.len());
        texts.extend(self.since(0));
        texts.sort_unstable();
        let doubled = texts.windows(2).any(|pair| matches!(pair, [a, b] if a == b));
        !doubled && !texts.into_iter().any(is_word)
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
