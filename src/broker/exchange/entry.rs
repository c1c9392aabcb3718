//! The entries of an exchange in the audit log.

use serde_json::Value;
use shortbread_protocol::event::EventType;
use shortbread_protocol::reason::Reason;

use super::flow::Context;
use super::record::{Moment, Trail};
use super::refusal::Refusal;
use super::watched;
use crate::audit::{Counted, range};
use crate::broker::Broker;
use crate::store::{AuditEntry, Replay};

/// Records a refusal before it is answered; those of strangers are counted, not all written.
pub(super) async fn record_refusal(
    broker: &Broker,
    context: &Context,
    trail: &mut Trail,
    replay: Option<Replay>,
    refusal: Refusal,
) -> Refusal {
    let known = trail.principal.is_some() && !trail.unproved;
    let (count, from) = if known {
        (1, None)
    } else {
        match broker.strangers.count(context.address, refusal.reason, broker.clock.monotonic()) {
            Counted::Write(count) => (count, Some(range(context.address).to_string())),
            Counted::Later => {
                trail.quiet = true;
                return refusal;
            }
        }
    };
    for refused in trail.refusals(refusal.reason, &context.decision) {
        broker.tripwires.note(&refused);
    }
    let data = trail.refused(&refusal, count, from, moment(broker, context));
    // A refusal is recorded even where there is no salt for its input.
    let input = trail.input(&*broker.random).ok().flatten();
    let (kind, subject) = (EventType::TokenRefused, trail.subject());
    let audit = broker.scribe.entry_of(kind, &context.decision, subject, data, input);
    match broker.store.record_denial(replay, audit).await {
        Ok(denial) => {
            // Whoever saw an assertion can send it again.
            if denial.anew {
                watched::refused(broker, trail, refusal.reason, context);
            }
            refusal
        }
        Err(error) => Refusal::from(error),
    }
}

/// The entry of a token that is about to be answered.
///
/// # Errors
/// When there is no randomness.
pub(super) fn minted(
    broker: &Broker,
    context: &Context,
    trail: &Trail,
    data: Value,
) -> Result<AuditEntry, Refusal> {
    let input = trail.input(&*broker.random);
    let input = input.map_err(|error| Refusal::plain(Reason::Internal).because(error))?;
    let (kind, subject) = (EventType::TokenMinted, trail.subject());
    Ok(broker.scribe.entry_of(kind, &context.decision, subject, data, input))
}

pub(super) fn moment(broker: &Broker, context: &Context) -> Moment {
    let revocation_seq = broker.store.mirror().changed_seq();
    Moment { revocation_seq, latency_us: micros(broker, context) }
}

fn micros(broker: &Broker, context: &Context) -> u64 {
    let spent = broker.clock.monotonic().saturating_sub(context.begun);
    u64::try_from(spent.as_micros()).unwrap_or(u64::MAX)
}
