//! What proves an export: from the public tiles, not from the export itself, so that they are two witnesses.

use std::time::Duration;

use shortbread_broker::proof::{Claim, Head, Range, Tail, subtrees, write_leaf};
use shortbread_protocol::log::WIDTH;

use super::tiles::Tiles;
use crate::client::Broker;
use crate::context::Context;
use crate::failure::Failure;
use crate::files::Fresh;
use crate::published;
use crate::text::grouped;

/// How many of the newest key documents go along.
const DOCUMENTS: u64 = 64;

/// How often it is looked for a checkpoint, and how long it is waited in between.
const LOOKS: usize = 12;
const PAUSE: Duration = Duration::from_millis(250);

/// A checkpoint to prove with.
pub(super) struct Proof {
    claim: Claim,
    note: String,
}

impl Proof {
    /// Takes the first checkpoint that covers `end` entries, which is signed within a second; should none come, the newest.
    ///
    /// # Errors
    /// When the broker cannot be reached or serves none.
    pub(super) async fn begin(broker: &Broker, end: u64) -> Result<Self, Failure> {
        let mut proof = Self::newest(broker).await?;
        for _ in 0..LOOKS {
            if proof.size() >= end {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            proof = Self::newest(broker).await?;
        }
        Ok(proof)
    }

    async fn newest(broker: &Broker) -> Result<Self, Failure> {
        let note = text(broker, "/log/checkpoint").await.map_err(|failure| {
            failure.also("Without --out the entries alone are exported, with no proof.")
        })?;
        let claim = Claim::read(&note).map_err(|error| {
            Failure::new(
                format!("what the broker serves as its checkpoint: {error}"),
                "Check that it is a Shortbread broker.",
            )
        })?;
        Ok(Self { claim, note })
    }

    /// How many entries it covers.
    pub(super) fn size(&self) -> u64 {
        self.claim.size
    }

    /// Writes the proof of the entries from one place up to another. Answers whether what the broker serves fits together.
    ///
    /// # Errors
    /// When the broker cannot be reached, serves something else, or the file cannot be written.
    pub(super) async fn write(
        self,
        context: &Context,
        broker: &Broker,
        (first, next): (u64, u64),
        file: &mut Fresh,
    ) -> Result<bool, Failure> {
        let (size, tiles) = (self.claim.size, Tiles::new(broker, self.claim.size));
        let mut around = [Vec::new(), Vec::new()];
        for (roots, parts) in around.iter_mut().zip([subtrees(0, first), subtrees(next, size)]) {
            for (level, n) in parts {
                roots.push(tiles.root(level, n).await?);
            }
        }
        let [prefix, suffix] = around;
        let head = Head::new(&self.claim.origin, [first, next, size], &prefix, &suffix);
        file.with(|file| head.write(file))?;
        let mut tree = Range::new(first, prefix).unwrap_or_default();
        let mut at = first;
        while at < next {
            let begin = at - at % WIDTH;
            let hashes = tiles.tile(0, at / WIDTH).await?;
            let wanted = (begin..).zip(&hashes).filter(|(place, _)| (first..next).contains(place));
            for (_, hash) in wanted {
                file.with(|file| write_leaf(file, hash))?;
                tree.push(*hash);
            }
            at = begin + WIDTH;
            if context.ui.has_progress() {
                let done = at.min(next) - first;
                context.ui.progress(&format!("proof: {} of {} leaves", grouped(done), grouped(next - first)));
            }
        }
        let joined =
            subtrees(next, size).into_iter().zip(suffix).all(|((level, _), root)| tree.join(level, root));
        let sound = joined && tree.root() == self.claim.root;
        let tail = Tail { checkpoint: self.note, keys: documents(broker).await? };
        file.with(|file| tail.write(file))?;
        Ok(sound)
    }
}

/// The key documents that the broker published, the newest last.
async fn documents(broker: &Broker) -> Result<Vec<String>, Failure> {
    let newest = published::head(broker, None).await?.keys;
    let mut documents = Vec::new();
    for version in newest.saturating_sub(DOCUMENTS).max(1)..=newest {
        let answer = broker.get(&format!("/revocations/keys/{version}")).await?;
        // An old one may be gone; the one in force is served.
        if answer.status == 404 && version < newest {
            continue;
        }
        answer.success()?;
        documents.push(utf8(answer.body)?);
    }
    Ok(documents)
}

async fn text(broker: &Broker, path: &str) -> Result<String, Failure> {
    let answer = broker.get(path).await?;
    answer.success()?;
    utf8(answer.body)
}

fn utf8(bytes: Vec<u8>) -> Result<String, Failure> {
    let fix = "Check that the address is that of a Shortbread broker of this version.";
    String::from_utf8(bytes).map_err(|_| Failure::new("what the broker serves is not a signed note", fix))
}
