//! The log's public tiles (C2SP tlog-tiles): hashes, 256 to a tile.

use shortbread_broker::proof::{Hash, Range};

use crate::client::Broker;
use crate::failure::Failure;

/// How many hashes a whole tile has, as a power of two.
const HEIGHT: u32 = 8;
const WIDTH: u64 = 1 << HEIGHT;

/// The tiles of a log of a certain size.
pub(super) struct Tiles<'b> {
    broker: &'b Broker,
    size: u64,
}

impl<'b> Tiles<'b> {
    pub(super) fn new(broker: &'b Broker, size: u64) -> Self {
        Self { broker, size }
    }

    /// The hashes of a tile, as many as the log's size gives it.
    ///
    /// # Errors
    /// When the broker cannot be reached or serves something else.
    pub(super) async fn tile(&self, level: u32, n: u64) -> Result<Vec<Hash>, Failure> {
        let on_level = self.size.checked_shr(HEIGHT * level).unwrap_or(0);
        let width = on_level.saturating_sub(n * WIDTH).min(WIDTH);
        let mut answer = self.broker.get(&path(level, n, width)).await?;
        // Once a tile is full, its parts need not be kept.
        if answer.status == 404 && width < WIDTH {
            answer = self.broker.get(&path(level, n, WIDTH)).await?;
        }
        answer.success()?;
        let wanted = usize::try_from(width).unwrap_or(usize::MAX) * 32;
        let (hashes, rest) = answer.body.as_chunks::<32>();
        let whole = answer.body.len() == wanted || answer.body.len() == 32 << HEIGHT;
        match hashes.get(..wanted / 32).filter(|_| whole && rest.is_empty()) {
            Some(hashes) => Ok(hashes.to_vec()),
            None => {
                let what = format!("tile {n} on level {level} of the log has {} bytes, not {wanted}", answer.body.len());
                Err(Failure::new(what, "Check that this is a Shortbread broker of this version, and try again."))
            }
        }
    }

    /// The root of a whole subtree: of two to the `level` leaves, number `n` of that size.
    ///
    /// # Errors
    /// As [`Tiles::tile`].
    pub(super) async fn root(&self, level: u32, n: u64) -> Result<Hash, Failure> {
        let (tile, above) = (level / HEIGHT, level % HEIGHT);
        let first = n << above;
        let hashes = self.tile(tile, first / WIDTH).await?;
        let mut range = Range::default();
        let skip = usize::try_from(first % WIDTH).unwrap_or(usize::MAX);
        hashes.iter().skip(skip).take(1 << above).for_each(|hash| range.push(*hash));
        Ok(range.root())
    }
}

/// The address of a tile: its number in groups of three digits, all but the last after an `x`.
fn path(level: u32, n: u64, width: u64) -> String {
    let mut number = format!("{:03}", n % 1000);
    let mut rest = n / 1000;
    while rest > 0 {
        number = format!("x{:03}/{number}", rest % 1000);
        rest /= 1000;
    }
    let part = if width < WIDTH { format!(".p/{width}") } else { String::new() };
    format!("/log/tile/{level}/{number}{part}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_addressed_as_the_specification_says() {
        assert_eq!(path(0, 0, 256), "/log/tile/0/000");
        assert_eq!(path(1, 67, 5), "/log/tile/1/067.p/5");
        assert_eq!(path(0, 1_234_067, 256), "/log/tile/0/x001/x234/067");
        assert_eq!(path(2, 1000, 1), "/log/tile/2/x001/000.p/1");
    }
}
