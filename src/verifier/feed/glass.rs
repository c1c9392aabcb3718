//! Asks the broker and every mirror for a break-glass head, whatever else they give: a broker that was stolen would not
//! serve it.

use std::sync::Arc;

use shortbread_protocol::revocations::BreakGlass;

use super::error::FeedError;
use super::fetch::Fetched;
use super::follow::{Core, refused};
use super::source::Source;
use crate::pace::spread;

/// How many times as long the broker is left alone while its stream lives.
const PUSHED: u32 = 4;

/// Asks one source again and again; `at` is its place among the sources.
pub(super) async fn run(core: Arc<Core>, at: usize) {
    while let Some(source) = core.sources().nth(at) {
        ask(&core, source).await;
        // A broker that pushes is not the one that hides it: that is what mirrors are for. A thousand verifiers that
        // each kept a second connection for this would cost it more than all of their streams.
        let pushed = at == 0 && core.ladder.is_live();
        let interval = core.config.break_glass_interval * if pushed { PUSHED } else { 1 };
        tokio::time::sleep(spread(interval, 0.75, 1.25, &*core.random.0)).await;
    }
}

/// Asks every source once, one after the other.
pub(super) async fn ask_all(core: &Core) {
    for source in core.sources() {
        ask(core, source).await;
    }
}

/// Asks one source once. What fails here takes nothing from the list.
async fn ask(core: &Core, source: &Source) {
    let name = source.gate.name();
    match source.fetch.break_glass(source.break_glass_tag().as_ref()).await {
        Ok(None | Some(Fetched::Unchanged)) => {}
        Ok(Some(Fetched::New { bytes, etag })) if source.is_news(&bytes) => {
            // What was not judged must be served again.
            if offer(core, name, bytes.clone()).await {
                source.served_break_glass(etag, bytes);
            }
        }
        Ok(Some(Fetched::New { bytes, etag })) => source.served_break_glass(etag, bytes),
        Err(error) => {
            tracing::debug!(feed.source = name, error.class = error.code(), "no break-glass head: {error}");
        }
    }
}

/// Whether it was judged.
async fn offer(core: &Core, name: &str, bytes: Vec<u8>) -> bool {
    let before = core.trust.state().break_glass().copied();
    let offered = core.hop(move |trust| Ok(trust.offer_break_glass(&bytes)?)).await.inspect_err(refused);
    let known = core.trust.state().break_glass().copied();
    let judged = matches!(offered, Ok(()) | Err(FeedError::Refused(_)));
    if let Err(error) = offered {
        tracing::warn!(
            feed.source = name,
            error.class = error.code(),
            "a break-glass head is refused: {error}"
        );
    }
    if let Some(known) = spoken(before, known) {
        tracing::error!(
            feed.source = name,
            break_glass.seq = known.seq,
            break_glass.global = known.global,
            "the offline root key has spoken: tokens issued before the second it names are dead"
        );
    }
    judged
}

/// What counts now, when it did not before. Of two with one sequence the one that stops more counts, though it is
/// refused too.
fn spoken(before: Option<BreakGlass>, known: Option<BreakGlass>) -> Option<BreakGlass> {
    known.filter(|known| Some(*known) != before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_with_one_sequence_the_one_that_counts_is_told() {
        let stop = |seq, global| Some(BreakGlass { seq, issued: 5, global });
        for (before, known, told) in [
            (None, stop(7, 10), true),
            (stop(7, 10), stop(7, 10), false),
            (stop(7, 10), stop(7, 20), true),
            (stop(7, 10), stop(8, 0), true),
            (stop(7, 10), None, false),
        ] {
            assert_eq!(spoken(before, known), known.filter(|_| told));
        }
    }
}
