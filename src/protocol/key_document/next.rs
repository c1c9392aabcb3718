//! The next key document: how one follows from another, and how they differ.

use thiserror::Error;

use super::{DocumentKey, KeyDocument, KeyPurpose};
use crate::names::KeyName;

/// What the next document changes.
#[derive(Clone, Debug, Default)]
pub struct Rotation {
    /// A key that is added. Older keys of its purpose end at `retire`.
    pub add: Option<DocumentKey>,
    /// When older keys of the added one's purpose end, in seconds since the epoch. What ends sooner still does.
    pub retire: u64,
    /// Keys that leave at once, by name.
    pub drop: Vec<KeyName>,
    /// The lowest break-glass sequence that is still valid; `None` leaves it.
    pub break_glass: Option<u64>,
}

/// Why a document cannot follow another.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SuccessionError {
    /// Of another broker.
    #[error("it is for {found}, and this broker is {expected}")]
    Issuer {
        /// Whose it is.
        found: String,
        /// Whose it must be.
        expected: String,
    },
    /// Not the next one.
    #[error(
        "it is version {found}, and the next one is version {expected}; make it anew with `shortbread keys rotate`"
    )]
    Version {
        /// Its version.
        found: u64,
        /// The version it must have.
        expected: u64,
    },
    /// The lowest break-glass sequence went down: heads that are over would be good again.
    #[error("its lowest break-glass sequence is {found}, below {known}; it may only rise")]
    BreakGlass {
        /// What it says.
        found: u64,
        /// What is known.
        known: u64,
    },
    /// Nothing could be signed.
    #[error("it has no {} key that is valid now; without one the broker could not sign", .0.as_str())]
    Purpose(KeyPurpose),
    /// A name that is not in the document.
    #[error("there is no key named {0} in key document {1}; `shortbread keys list` shows its keys")]
    Unknown(KeyName, u64),
    /// The name is taken.
    #[error("a {} key named {name} is in the key document already; choose another name", purpose.as_str())]
    Taken {
        /// What the key is for.
        purpose: KeyPurpose,
        /// Its name.
        name: KeyName,
    },
}

/// One way in which a document differs from the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A key is new.
    Added(DocumentKey),
    /// A key is gone: what it signed is refused at once.
    Dropped(DocumentKey),
    /// The validity of a key is another.
    Validity {
        /// As it was.
        was: Box<DocumentKey>,
        /// As it is.
        is: Box<DocumentKey>,
    },
    /// The lowest break-glass sequence is another.
    BreakGlass {
        /// As it was.
        was: u64,
        /// As it is.
        is: u64,
    },
}

impl KeyDocument {
    /// The document that follows this one, not signed yet. Keys that are over by `now` are left out.
    ///
    /// # Errors
    /// When a dropped key is not there, a name is taken, a purpose would be without a valid key, or the lowest break-glass
    /// sequence would go down.
    pub fn next(&self, rotation: &Rotation, now: u64) -> Result<Self, SuccessionError> {
        if let Some(unknown) =
            rotation.drop.iter().find(|name| !self.keys.iter().any(|key| key.name == **name))
        {
            return Err(SuccessionError::Unknown(unknown.clone(), self.version));
        }
        let stays = |key: &&DocumentKey| now < key.not_after && !rotation.drop.contains(&key.name);
        let mut keys: Vec<DocumentKey> = self.keys.iter().filter(stays).cloned().collect();
        if let Some(added) = &rotation.add {
            for older in keys.iter_mut().filter(|key| key.purpose == added.purpose) {
                if older.name == added.name {
                    return Err(SuccessionError::Taken { purpose: added.purpose, name: added.name.clone() });
                }
                // One that begins later is no older one.
                if older.not_before <= added.not_before {
                    older.not_after = older.not_after.min(rotation.retire.max(older.not_before + 1));
                }
            }
            keys.push(added.clone());
        }
        let break_glass = rotation.break_glass.unwrap_or(self.break_glass);
        let next = Self { version: self.version + 1, issuer: self.issuer.clone(), break_glass, keys };
        next.follows(self)?;
        next.complete(now)?;
        Ok(next)
    }

    /// Whether this document may come right after another.
    ///
    /// # Errors
    /// With the rule that it breaks.
    pub fn follows(&self, before: &Self) -> Result<(), SuccessionError> {
        if self.issuer != before.issuer {
            let (found, expected) = (self.issuer.clone(), before.issuer.clone());
            return Err(SuccessionError::Issuer { found, expected });
        }
        let expected = before.version.saturating_add(1);
        if self.version != expected {
            return Err(SuccessionError::Version { found: self.version, expected });
        }
        if self.break_glass < before.break_glass {
            let (found, known) = (self.break_glass, before.break_glass);
            return Err(SuccessionError::BreakGlass { found, known });
        }
        Ok(())
    }

    /// Whether a broker could sign all that it has to, at this second.
    ///
    /// # Errors
    /// With the purpose that has no valid key.
    pub fn complete(&self, now: u64) -> Result<(), SuccessionError> {
        let lacking =
            KeyPurpose::BROKER.into_iter().find(|purpose| !self.of(*purpose).any(|key| key.is_valid(now)));
        lacking.map_or(Ok(()), |purpose| Err(SuccessionError::Purpose(purpose)))
    }

    /// How this document differs from an earlier one.
    #[must_use]
    pub fn differences(&self, before: &Self) -> Vec<Difference> {
        let same =
            |a: &DocumentKey, b: &DocumentKey| (a.purpose, &a.name, a.key) == (b.purpose, &b.name, b.key);
        let mut differences = Vec::new();
        for is in &self.keys {
            match before.keys.iter().find(|was| same(was, is)) {
                None => differences.push(Difference::Added(is.clone())),
                Some(was) if was != is => {
                    differences
                        .push(Difference::Validity { was: Box::new(was.clone()), is: Box::new(is.clone()) });
                }
                Some(_) => {}
            }
        }
        let gone = before.keys.iter().filter(|was| !self.keys.iter().any(|is| same(was, is)));
        differences.extend(gone.cloned().map(Difference::Dropped));
        if self.break_glass != before.break_glass {
            differences.push(Difference::BreakGlass { was: before.break_glass, is: self.break_glass });
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FOREVER;
    use crate::keys::PrivateKey;

    const NOW: u64 = 1_000_000;

    fn key(purpose: KeyPurpose, name: &str, seed: u8) -> DocumentKey {
        DocumentKey {
            purpose,
            name: name.parse().unwrap(),
            key: PrivateKey::from_seed(&[seed; 32]).public(),
            not_before: 1,
            not_after: FOREVER,
        }
    }

    fn first() -> KeyDocument {
        KeyDocument {
            version: 1,
            issuer: "https://broker.acme.example".to_owned(),
            break_glass: 7,
            keys: vec![
                key(KeyPurpose::Token, "t1", 1),
                key(KeyPurpose::Revocation, "r1", 2),
                key(KeyPurpose::Audit, "a1", 3),
            ],
        }
    }

    fn fresh() -> DocumentKey {
        DocumentKey { not_before: NOW, ..key(KeyPurpose::Token, "t2", 4) }
    }

    #[test]
    fn the_old_key_ends_after_the_overlap_and_leaves_when_it_is_over() {
        let rotation = Rotation { add: Some(fresh()), retire: NOW + 100, ..Rotation::default() };
        let second = first().next(&rotation, NOW).unwrap();
        assert_eq!((second.version, second.break_glass), (2, 7));
        assert_eq!(second.keys[0].not_after, NOW + 100);
        assert_eq!(second.keys[1].not_after, FOREVER, "of another purpose");
        assert_eq!(
            second.differences(&first()),
            [
                Difference::Validity {
                    was: Box::new(first().keys[0].clone()),
                    is: Box::new(second.keys[0].clone()),
                },
                Difference::Added(fresh()),
            ]
        );
        // An overlap never prolongs what ends sooner.
        let third = Rotation {
            add: Some(DocumentKey { name: "t3".parse().unwrap(), ..key(KeyPurpose::Token, "t3", 5) }),
            retire: NOW + 500,
            ..Rotation::default()
        };
        let third = second.next(&third, NOW + 50).unwrap();
        assert_eq!(third.keys[0].not_after, NOW + 100);
        let later = second.next(&Rotation::default(), NOW + 100).unwrap();
        assert_eq!(later.differences(&second), [Difference::Dropped(second.keys[0].clone())]);
    }

    #[test]
    fn a_leaked_key_leaves_at_once_and_never_without_another() {
        let drop = vec!["t1".parse().unwrap()];
        let alone = Rotation { drop: drop.clone(), ..Rotation::default() };
        assert_eq!(first().next(&alone, NOW), Err(SuccessionError::Purpose(KeyPurpose::Token)));
        let replaced = Rotation { add: Some(fresh()), drop, ..Rotation::default() };
        let second = first().next(&replaced, NOW).unwrap();
        assert!(!second.keys.iter().any(|key| key.name.as_str() == "t1"));
        let unknown = Rotation { drop: vec!["t9".parse().unwrap()], ..Rotation::default() };
        assert_eq!(first().next(&unknown, NOW), Err(SuccessionError::Unknown("t9".parse().unwrap(), 1)));
        let taken = Rotation { add: Some(key(KeyPurpose::Token, "t1", 9)), ..Rotation::default() };
        assert!(matches!(first().next(&taken, NOW), Err(SuccessionError::Taken { .. })));
    }

    #[test]
    fn nothing_goes_back() {
        let lower = Rotation { break_glass: Some(6), ..Rotation::default() };
        assert_eq!(first().next(&lower, NOW), Err(SuccessionError::BreakGlass { found: 6, known: 7 }));
        let higher = first().next(&Rotation { break_glass: Some(9), ..Rotation::default() }, NOW).unwrap();
        assert_eq!(higher.differences(&first()), [Difference::BreakGlass { was: 7, is: 9 }]);
        let skipped = KeyDocument { version: 3, ..first() };
        assert_eq!(skipped.follows(&first()), Err(SuccessionError::Version { found: 3, expected: 2 }));
        assert!(first().follows(&first()).is_err());
        let other = KeyDocument { version: 2, issuer: "https://other.example".to_owned(), ..first() };
        assert!(matches!(other.follows(&first()), Err(SuccessionError::Issuer { .. })));
    }

    #[test]
    fn what_is_written_to_be_signed_is_read_again() {
        let document = first();
        assert_eq!(KeyDocument::parse(&document.text()), Ok(document.clone()));
        let astray = document.text().replace("issuer https://broker", "issuer https://other");
        assert!(KeyDocument::parse(&astray).is_err(), "origin and issuer are one broker's");
        assert!(KeyDocument::parse(&(document.text() + "more\n")).is_err());
    }
}
