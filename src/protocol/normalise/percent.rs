//! Percent-encoding, as one sees it who decodes once or again and again.

use super::Refused;

/// Nothing honest is encoded more often than this.
const ROUNDS: usize = 4;

/// Decodes until nothing is left to decode. A percent sign that encodes nothing stays.
///
/// # Errors
/// When a byte that comes out, in whichever round, is not one of the `allowed`, or there is no end to it.
pub(super) fn decoded(text: &str, allowed: fn(u8) -> bool) -> Result<Vec<u8>, Refused> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..ROUNDS {
        let Some(next) = once(&bytes, allowed)? else {
            return Ok(bytes);
        };
        bytes = next;
    }
    Err(Refused("is percent-encoded"))
}

// `None` when nothing was encoded.
fn once(bytes: &[u8], allowed: fn(u8) -> bool) -> Result<Option<Vec<u8>>, Refused> {
    let (mut out, mut rest, mut any) = (Vec::with_capacity(bytes.len()), bytes, false);
    while let [first, tail @ ..] = rest {
        let code = match (first, tail) {
            (b'%', [high, low, after @ ..]) => byte(*high, *low).map(|byte| (byte, after)),
            _ => None,
        };
        let Some((byte, after)) = code else {
            out.push(*first);
            rest = tail;
            continue;
        };
        if !allowed(byte) {
            return Err(Refused("is percent-encoded where it must not be"));
        }
        out.push(byte);
        (rest, any) = (after, true);
    }
    Ok(any.then_some(out))
}

/// The byte that two hexadecimal digits encode.
pub(super) fn byte(high: u8, low: u8) -> Option<u8> {
    hex(high).zip(hex(low)).map(|(high, low)| high << 4 | low)
}

/// The value of a hexadecimal digit.
pub(super) fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
