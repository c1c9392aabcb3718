//! Where a tile lies: `0/x001/x234/067` or, while it is not full, `0/x001/x234/067.p/12`.

use std::fmt;

use crate::note::number;

/// How many hashes a full tile has.
pub const WIDTH: u64 = 256;

/// The last place in a level that this reads: beyond it no log of 2^63 entries has a tile.
const LAST: u64 = u64::MAX >> 9;

/// The place of a tile or, without a level, of a bundle of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TilePlace {
    /// How many tiles above the leaves, each a tree of height 8.
    pub level: u8,
    /// Its number in the level.
    pub n: u64,
    /// How many hashes: 256 when it is full.
    pub width: u64,
}

impl TilePlace {
    /// Reads a path below `tile/`. There is one spelling of each place.
    #[must_use]
    pub fn read(path: &str) -> Option<Self> {
        let (level, rest) = path.split_once('/')?;
        let level = number(level).filter(|level| *level <= 63)?;
        Some(Self { level: u8::try_from(level).ok()?, ..Self::bundle(rest)? })
    }

    /// Reads a path below `tile/entries/`: as that of a tile of level 0.
    #[must_use]
    pub fn bundle(path: &str) -> Option<Self> {
        let (name, width) = match path.split_once(".p/") {
            Some((name, width)) => (name, number(width).filter(|width| (1..WIDTH).contains(width))?),
            None => (path, WIDTH),
        };
        let mut n = 0_u64;
        let mut parts = name.split('/').peekable();
        while let Some(part) = parts.next() {
            let digits = if parts.peek().is_some() { part.strip_prefix('x')? } else { part };
            if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            n = n.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        let place = Self { level: 0, n, width };
        // Only the shortest spelling: no leading `x000`.
        (n <= LAST && place.name() == path).then_some(place)
    }

    // Without the level.
    fn name(&self) -> String {
        let mut name = format!("{:03}", self.n % 1000);
        let mut rest = self.n / 1000;
        while rest > 0 {
            name = format!("x{:03}/{name}", rest % 1000);
            rest /= 1000;
        }
        if self.width < WIDTH { format!("{name}.p/{}", self.width) } else { name }
    }

    /// How many hashes the tile at this place has in a tree of this size.
    #[must_use]
    pub fn width_in(level: u8, n: u64, size: u64) -> u64 {
        let hashes = size.checked_shr(u32::from(level) * 8).unwrap_or(0);
        hashes.saturating_sub(n.saturating_mul(WIDTH)).min(WIDTH)
    }
}

/// As it is named below `tile/`.
impl fmt::Display for TilePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.level, self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_one_spelling() {
        for (path, level, n, width) in [
            ("0/000", 0, 0, 256),
            ("0/067.p/1", 0, 67, 1),
            ("3/x001/x234/067", 3, 1_234_067, 256),
            ("63/x001/000.p/255", 63, 1000, 255),
        ] {
            let place = TilePlace { level, n, width };
            assert_eq!(TilePlace::read(path), Some(place), "{path}");
            assert_eq!(place.to_string(), path);
        }
        for bad in [
            "",
            "0",
            "0/",
            "0/67",
            "0/0067",
            "00/067",
            "64/067",
            "-1/067",
            "+1/067",
            "0/x067",
            "0/x1/067",
            "0/001/067",
            "0/x000/067",
            "0/067.p/0",
            "0/067.p/256",
            "0/067.p/257",
            "0/067.p/01",
            "0/067.p/",
            "0/067.p/1/2",
            "0/067/",
            "0//067",
            "0/06x",
            "0/x999/x999/x999/x999/x999/x999/x999/999",
            "entries/000",
        ] {
            assert_eq!(TilePlace::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn tiles_are_as_wide_as_the_tree_makes_them() {
        // The example of the specification.
        let widths = [(0, 0), (0, 272), (0, 273), (0, 274), (1, 0), (1, 1), (2, 0), (3, 0), (63, 0)];
        let widths = widths.map(|(level, n)| TilePlace::width_in(level, n, 70_000));
        assert_eq!(widths, [256, 256, 112, 0, 256, 17, 1, 0, 0]);
        assert_eq!([(0, 0), (1, 0)].map(|(level, n)| TilePlace::width_in(level, n, 256)), [256, 1]);
    }
}
