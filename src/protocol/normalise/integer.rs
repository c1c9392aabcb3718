//! Integers, also those that are sent as a text, as far as every reader of JSON keeps them exact.

use super::Refused;
use crate::constraint::Scalar;

/// Beyond it readers that keep numbers as floats disagree.
const LIMIT: u64 = 1 << 53;

pub(super) fn read(value: &Scalar) -> Result<i64, Refused> {
    let number = match value {
        Scalar::Int(number) => *number,
        Scalar::Text(text) => written(text).ok_or(Refused("is no integer in plain digits"))?,
        Scalar::Bool(_) => return Err(Refused("is no integer")),
    };
    if number.unsigned_abs() <= LIMIT { Ok(number) } else { Err(Refused("is beyond 2^53")) }
}

// The one way to write it: no plus, no zeros in front, no minus zero, no space.
fn written(text: &str) -> Option<i64> {
    // Longer than any, so that no long run of zeros is read through.
    if text.len() > 20 {
        return None;
    }
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
