//! Texts as small numbers: each is kept once, and only so many of them.

use std::collections::HashMap;

/// The number of a text.
pub(super) type Id = u32;

/// The most texts that are told apart.
const MOST: usize = 20_000;
/// What all further ones are called.
pub(super) const OTHER: &str = "other";

/// The texts that were seen.
#[derive(Clone, Debug)]
pub(super) struct Names {
    ids: HashMap<String, Id>,
    names: Vec<String>,
}

impl Default for Names {
    fn default() -> Self {
        Self { ids: HashMap::from([(OTHER.to_owned(), 0)]), names: vec![OTHER.to_owned()] }
    }
}

impl Names {
    /// The number of a text; 0, which is `other`, where there are too many.
    pub(super) fn id(&mut self, text: &str) -> Id {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        match Id::try_from(self.names.len()) {
            Ok(id) if self.names.len() < MOST => {
                self.names.push(text.to_owned());
                self.ids.insert(text.to_owned(), id);
                id
            }
            _ => 0,
        }
    }

    /// The text of a number.
    pub(super) fn name(&self, id: Id) -> &str {
        let found = usize::try_from(id).ok().and_then(|id| self.names.get(id));
        found.map_or(OTHER, String::as_str)
    }
}
