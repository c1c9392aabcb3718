//! A snapshot: the whole list in one file.

use super::contents::{Entry, Line, ListFileError, RECORD, RevokedId, in_order, pack, read, records};

/// The most bytes of a snapshot that a reader takes: a million single tokens and 100,000 selectors.
pub const MAX_SNAPSHOT: u64 = 48 * 1024 * 1024;

/// A whole list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The sequence of the last change it holds.
    pub seq: u64,
    /// The selectors.
    pub entries: Vec<Entry>,
    /// Single tokens and blocks, in ascending order.
    pub ids: Vec<RevokedId>,
}

impl Snapshot {
    /// The bytes, which the head names by their hash. `ids` are sorted here, and of one given twice the record that
    /// stays longer is kept; entries stay in their order.
    #[must_use]
    pub fn encode(&self, origin: &str) -> Vec<u8> {
        let ids = in_order(&self.ids);
        let mut bytes =
            Line { ids: ids.len(), ..Line::new(origin, self.seq, self.entries.clone()) }.to_bytes();
        pack(&ids, &mut bytes);
        bytes
    }

    /// Reads a snapshot whose hash the caller has compared with the head.
    ///
    /// # Errors
    /// When it is damaged, of another origin or version, or holds a selector that cannot be.
    pub fn decode(bytes: &[u8], origin: &str) -> Result<Self, ListFileError> {
        let view = SnapshotView::open(bytes, origin)?;
        let ids = view.ids().collect();
        Ok(Self { seq: view.seq, entries: view.entries, ids })
    }
}

/// A snapshot whose packed section stays where it is: a million ids are looked at and not copied.
#[derive(Clone, Debug)]
pub struct SnapshotView<'a> {
    /// The sequence of the last change it holds.
    pub seq: u64,
    /// The selectors.
    pub entries: Vec<Entry>,
    pub(super) records: &'a [[u8; RECORD]],
}

impl<'a> SnapshotView<'a> {
    /// As [`Snapshot::decode`], with the same checks.
    ///
    /// # Errors
    /// When it is damaged, of another origin or version, or holds a selector that cannot be.
    pub fn open(bytes: &'a [u8], origin: &str) -> Result<Self, ListFileError> {
        let (line, packed) = Line::read(bytes, origin)?;
        if line.from.is_some() || !line.removed.is_empty() || line.ids_removed != 0 {
            return Err(ListFileError::Damaged("it is a delta, not a snapshot"));
        }
        Ok(Self { seq: line.seq, entries: line.entries, records: records(packed, line.ids)? })
    }

    /// Single tokens and blocks, in ascending order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = RevokedId> + 'a {
        self.records.iter().map(read)
    }
}

#[cfg(test)]
mod tests {
    use super::super::contents::Cause;
    use super::super::selector::SelectorKind;
    use super::*;
    use crate::clock::FOREVER;

    const ORIGIN: &str = "broker.acme.example/revocations";

    fn snapshot() -> Snapshot {
        let entry = Entry {
            kind: SelectorKind::Access,
            value: "payments/write".to_owned(),
            before: FOREVER,
            until: None,
            seq: 9,
            cause: Cause::Incident,
        };
        let ids = [b"tok_a".as_slice(), b"tok_b"].map(|id| RevokedId { id: RevokedId::hash(id), until: 77 });
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        Snapshot { seq: 9, entries: vec![entry], ids }
    }

    #[test]
    fn encoded_is_decoded_again() {
        let bytes = snapshot().encode(ORIGIN);
        assert_eq!(Snapshot::decode(&bytes, ORIGIN).unwrap(), snapshot());
        assert!(bytes.starts_with(br#"{"v":1,"origin":"broker.acme.example/revocations","seq":9,"from":null,"entries":[{"k":"access","v":"payments/write","b":253402300799,"u":null,"s":9,"r":"incident"}],"#));
    }

    #[test]
    fn an_id_that_is_given_twice_leaves_the_list_readable() {
        let mut twice = snapshot();
        let again = twice.ids.iter().map(|record| RevokedId { until: 99, ..*record });
        twice.ids = again.chain(twice.ids.clone()).collect();
        let read = Snapshot::decode(&twice.encode(ORIGIN), ORIGIN).unwrap();
        assert!(read.ids.len() == 2 && read.ids.iter().all(|record| record.until == 99));
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let bytes = snapshot().encode(ORIGIN);
        for cut in 1..bytes.len() {
            assert!(Snapshot::decode(&bytes[..cut], ORIGIN).is_err(), "{cut}");
        }
        assert!(Snapshot::decode(&bytes, "other/revocations").is_err());
        let at = bytes.windows(8).position(|window| window == b"payments").unwrap();
        let forged = [&bytes[..at], b"PAYMENTS", &bytes[at + 8..]].concat();
        assert!(Snapshot::decode(&forged, ORIGIN).is_err());
    }
}
