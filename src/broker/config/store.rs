//! `[store]`: where the record is kept.

use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

/// Where the record is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorePlace {
    /// An SQLite file.
    pub sqlite: PathBuf,
    /// How much space is kept for revocations, lifts, heads and operators' sign-ins when nothing else fits.
    pub reserve: Size,
}

impl Default for StorePlace {
    fn default() -> Self {
        Self { sqlite: PathBuf::from("shortbread.db"), reserve: Size(64 << 20) }
    }
}

/// A number of bytes, as `64MiB` or `1GiB`; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text.strip_prefix(digits).unwrap_or_default() {
            "" if digits == "0" => Some(1),
            "KiB" => Some(1 << 10),
            "MiB" => Some(1 << 20),
            "GiB" => Some(1 << 30),
            _ => None,
        };
        let whole = digits.bytes().all(|b| b.is_ascii_digit());
        let bytes = unit.filter(|_| whole).and_then(|unit| digits.parse::<u64>().ok()?.checked_mul(unit));
        bytes.map(Self).ok_or_else(|| format!("{text:?} is no size such as 64MiB, 1GiB or 0"))
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
