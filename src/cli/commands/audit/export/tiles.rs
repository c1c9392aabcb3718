//! The log's public tiles (C2SP tlog-tiles): hashes, 256 to a tile.

use std::time::Duration;

use shortbread_broker::proof::{Hash, Range};
use shortbread_protocol::log::{TilePlace, WIDTH};

use crate::client::{Answer, Broker};
use crate::failure::Failure;

/// How often a tile is asked for again where there were too many requests, a second apart.
const PATIENCE: usize = 60;
const PAUSE: Duration = Duration::from_secs(1);

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
    pub(super) async fn tile(&self, level: u8, n: u64) -> Result<Vec<Hash>, Failure> {
        let place = TilePlace { level, n, width: TilePlace::width_in(level, n, self.size) };
        let mut answer = self.fetch(place).await?;
        // Once a tile is full, its parts need not be kept.
        if answer.status == 404 && place.width < WIDTH {
            answer = self.fetch(TilePlace { width: WIDTH, ..place }).await?;
        }
        answer.success()?;
        let wanted = usize::try_from(place.width).unwrap_or(usize::MAX);
        let (hashes, rest) = answer.body.as_chunks::<32>();
        let whole = rest.is_empty() && (hashes.len() == wanted || hashes.len() as u64 == WIDTH);
        hashes.get(..wanted).filter(|_| whole).map(<[Hash]>::to_vec).ok_or_else(|| {
            let what =
                format!("tile {place} of the log has {} bytes, not {}", answer.body.len(), 32 * wanted);
            Failure::new(what, "Check that this is a Shortbread broker of this version, and try again.")
        })
    }

    /// The root of a whole subtree: of two to the `level` leaves, number `n` of that size.
    ///
    /// # Errors
    /// As [`Tiles::tile`].
    pub(super) async fn root(&self, level: u32, n: u64) -> Result<Hash, Failure> {
        let (tile, above) = (u8::try_from(level / 8).unwrap_or(u8::MAX), level % 8);
        let first = n << above;
        let hashes = self.tile(tile, first / WIDTH).await?;
        let mut range = Range::default();
        let skip = usize::try_from(first % WIDTH).unwrap_or(usize::MAX);
        hashes.iter().skip(skip).take(1 << above).for_each(|hash| range.push(*hash));
        Ok(range.root())
    }

    async fn fetch(&self, place: TilePlace) -> Result<Answer, Failure> {
        let path = format!("/log/tile/{place}");
        for _ in 0..PATIENCE {
            let answer = self.broker.get(&path).await?;
            if answer.status != 429 {
                return Ok(answer);
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.broker.get(&path).await
    }
}
