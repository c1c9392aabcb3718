//! Protocol Buffers, strictly: shortest varints, fields in ascending order, nothing unknown.

use super::Flaw;

/// One field's value.
#[derive(Clone, Copy)]
pub(super) enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], Flaw> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) => Err(Flaw::Malformed("a number stands where bytes belong")),
        }
    }

    pub(super) fn number(self) -> Result<u64, Flaw> {
        match self {
            Self::Varint(number) => Ok(number),
            Self::Bytes(_) => Err(Flaw::Malformed("bytes stand where a number belongs")),
        }
    }

    pub(super) fn number32(self) -> Result<u32, Flaw> {
        u32::try_from(self.number()?).map_err(|_| Flaw::Malformed("a number is too large for its field"))
    }

    pub(super) fn text(self) -> Result<&'a str, Flaw> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Flaw::Malformed("a text is not UTF-8"))
    }
}

/// Calls `each` with every field of a message, in order.
pub(super) fn message<'a>(
    mut bytes: &'a [u8],
    mut each: impl FnMut(u32, Field<'a>) -> Result<(), Flaw>,
) -> Result<(), Flaw> {
    let mut last = 0;
    while !bytes.is_empty() {
        let key =
            u32::try_from(varint(&mut bytes)?).map_err(|_| Flaw::Malformed("a field number is too large"))?;
        let (tag, kind) = (key >> 3, key & 7);
        if tag == 0 || tag < last {
            return Err(Flaw::Malformed("fields are out of order"));
        }
        last = tag;
        let value = varint(&mut bytes)?;
        match kind {
            0 => each(tag, Field::Varint(value))?,
            2 => {
                let length = usize::try_from(value).map_err(|_| Flaw::Malformed("a length is too large"))?;
                let (field, rest) =
                    bytes.split_at_checked(length).ok_or(Flaw::Malformed("it ends too early"))?;
                bytes = rest;
                each(tag, Field::Bytes(field))?;
            }
            _ => return Err(Flaw::Malformed("a field has an unknown wire type")),
        }
    }
    Ok(())
}

/// Fills an empty slot; a field given twice is refused.
pub(super) fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Flaw> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Flaw::Malformed("a field is given twice")),
    }
}

pub(super) const fn unknown() -> Flaw {
    Flaw::Malformed("it has an unknown field")
}

pub(super) const fn missing() -> Flaw {
    Flaw::Malformed("a field is missing")
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Flaw> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Flaw::Malformed("it ends too early"))?;
        *bytes = rest;
        let low = u64::from(byte & 0x7f);
        if shift == 63 && low > 1 {
            break;
        }
        value |= low << shift;
        if byte & 0x80 == 0 {
            let shortest = byte != 0 || shift == 0;
            return if shortest {
                Ok(value)
            } else {
                Err(Flaw::Malformed("a number is not in its shortest form"))
            };
        }
    }
    Err(Flaw::Malformed("a number is too long"))
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub(super) fn put_number(out: &mut Vec<u8>, tag: u32, value: u64) {
    put_varint(out, u64::from(tag << 3));
    put_varint(out, value);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, tag: u32, bytes: &[u8]) {
    put_varint(out, u64::from(tag << 3 | 2));
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a nested message in place; its length, known only then, goes before it.
pub(super) fn put_message(out: &mut Vec<u8>, tag: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_varint(out, u64::from(tag << 3 | 2));
    let start = out.len();
    // Most messages are short: one byte is kept for the length, and only a longer one moves what was written.
    out.push(0);
    write(out);
    let (mut at, mut length) = (start, out.len() - start - 1);
    while length >= 0x80 {
        out.insert(at, length.to_le_bytes()[0] | 0x80);
        (at, length) = (at + 1, length >> 7);
    }
    if let Some(slot) = out.get_mut(at) {
        *slot = length.to_le_bytes()[0];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The fields of a message, written again.
    fn again(bytes: &[u8]) -> Result<Vec<u8>, Flaw> {
        let mut out = Vec::new();
        message(bytes, |tag, field| {
            match field {
                Field::Varint(number) => put_number(&mut out, tag, number),
                Field::Bytes(bytes) => put_bytes(&mut out, tag, bytes),
            }
            Ok(())
        })?;
        Ok(out)
    }

    fn field() -> impl Strategy<Value = Vec<u8>> {
        let number = (1..9u32, any::<u64>()).prop_map(|(tag, number)| {
            let mut out = Vec::new();
            put_number(&mut out, tag, number >> (number % 64));
            out
        });
        let bytes = (1..9u32, prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(tag, bytes)| {
            let mut out = Vec::new();
            put_bytes(&mut out, tag, &bytes);
            out
        });
        prop_oneof![number, bytes, prop::collection::vec(any::<u8>(), 0..4)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_is_read_is_written_to_the_very_same_bytes(fields in prop::collection::vec(field(), 0..5)) {
            let bytes = fields.concat();
            if let Ok(written) = again(&bytes) {
                prop_assert_eq!(written, bytes);
            }
        }

        #[test]
        fn every_number_has_one_spelling(bytes in prop::collection::vec(prop_oneof![Just(0x80u8), Just(0xff), any::<u8>()], 0..12)) {
            let mut rest = &bytes[..];
            if let Ok(number) = varint(&mut rest) {
                let mut written = Vec::new();
                put_varint(&mut written, number);
                prop_assert_eq!(&written[..], &bytes[..bytes.len() - rest.len()]);
            }
        }

        #[test]
        fn a_message_in_a_message_has_the_length_that_is_written(length in 0usize..40_000) {
            let mut out = Vec::new();
            put_message(&mut out, 3, |out| out.resize(out.len() + length, 7));
            prop_assert_eq!(again(&out), Ok(out));
        }
    }
}
