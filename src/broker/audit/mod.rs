//! The audit log: what is written for each decision, and how strangers are kept from filling it.

mod strangers;

pub use strangers::{Counted, Strangers, range};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shortbread_protocol::clock::Clock;
use shortbread_protocol::event::{Decision, Event, EventType, MAX_ENTRY};
use shortbread_protocol::random::{Random, RandomError, id};

use crate::store::{AuditEntry, ErasableInput, Former, KnownLog, Restored};

/// Writes events for one broker.
#[derive(Clone, Debug)]
pub struct Scribe {
    issuer: String,
}

impl Scribe {
    /// For the broker of this issuer.
    #[must_use]
    pub fn new(issuer: &str) -> Self {
        Self { issuer: issuer.to_owned() }
    }

    /// An entry, ready for the store. Particulars that would not fit are left out and said to be.
    #[must_use]
    pub fn entry(&self, kind: EventType, decision: &Decision, subject: String, data: Value) -> AuditEntry {
        self.entry_of(kind, decision, subject, data, None)
    }

    /// The same for a decision whose input is kept: the entry bears its hash. Where the particulars are left out, the
    /// input is too.
    #[must_use]
    pub fn entry_of(
        &self,
        kind: EventType,
        decision: &Decision,
        subject: String,
        mut data: Value,
        mut input: Option<ErasableInput>,
    ) -> AuditEntry {
        if let (Some(input), Some(data)) = (&input, data.as_object_mut()) {
            data.insert("input".to_owned(), json!({ "sha256": hex::encode(input.digest()) }));
        }
        let about = data.get("approval").and_then(Value::as_str).map(str::to_owned);
        let event = |data| Event::new(kind, &self.issuer, decision, subject.clone(), data).to_bytes();
        let mut body = event(data);
        if body.len() > MAX_ENTRY {
            input = None;
            body = event(
                json!({ "left_out": "the particulars are longer than an entry may be", "bytes": body.len() }),
            );
        }
        let (at, trace) = (decision.at, Some(decision.trace));
        AuditEntry { at, decision: decision.id.clone(), trace, parent: decision.parent, body, about, input }
    }

    /// The entry of a restore: it explains why the log does not fit checkpoints from between the backup and it.
    #[must_use]
    pub fn restored(&self, decision: &Decision, restored: &Restored, policy: Option<u64>) -> AuditEntry {
        let Restored { backup, former, floor, seq, not_before, made_from, taken, log } = restored;
        let former = match former {
            Former::Absent => json!({ "state": "absent" }),
            Former::Damaged(_) => json!({ "state": "damaged" }),
            Former::Read(facts) => json!({ "state": "read", "audit_entries": facts.audit, "seq": facts.seq }),
        };
        let known = |log: &KnownLog| json!({ "origin": log.origin, "size": log.size, "root": STANDARD.encode(log.root) });
        let log = json!({
            "origin": log.origin, "kept": known(&log.kept), "last": log.last.as_ref().map(known),
        });
        let data = json!({
            "outcome": "done", "floor": floor, "revocation_seq": seq, "not_before": not_before,
            "made_from": made_from, "backup": { "audit_entries": backup.audit, "seq": backup.seq },
            "former": former, "log": log, "taken": taken, "version": policy, "stage": "restore", "error_class": null,
        });
        self.entry(EventType::StoreRestored, decision, "host/restore".to_owned(), data)
    }
}

/// A decision that begins now.
///
/// # Errors
/// When there is no randomness.
pub fn begin(
    clock: &dyn Clock,
    random: &dyn Random,
    trace: Option<([u8; 16], u8)>,
) -> Result<Decision, RandomError> {
    let at = clock.now();
    let (trace, flags) = match trace {
        Some(known) => known,
        None => {
            let mut fresh = [0; 16];
            random.fill(&mut fresh)?;
            // W3C wants the last seven bytes random; with the time in the first six, the log's index grows at its end.
            let time = at.millis().to_be_bytes();
            fresh.iter_mut().zip(time.iter().skip(2)).for_each(|(to, from)| *to = *from);
            (fresh, 1)
        }
    };
    let mut span = [0; 8];
    random.fill(&mut span)?;
    Ok(Decision { id: id("dec_", at, random)?, at, trace, span, parent: None, flags })
}
