//! Every rule of profile sb1, a row each: what just fits is allowed, what breaks the rule by one is refused with the
//! reason and the words that name the rule, by the same `Verifier::check` that a tool service calls.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on must say so")]

mod alternatives;
mod blocks;
mod call;
mod chain;
mod spelling;
mod write;

use std::sync::Arc;

use shortbread_protocol::call::Args;
use shortbread_protocol::clock::{Clock, FOREVER, ManualClock, Timestamp};
use shortbread_protocol::key_document::{DocumentKey, KeyDocument, KeyPurpose};
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::{FileRef, Head, Snapshot, origin};
use shortbread_verifier::chain::encode;
use shortbread_verifier::decision::{Call, Checker as _, Decision, Presented};
use shortbread_verifier::list::{Pin, Trust};
use shortbread_verifier::{Verifier, VerifierConfig};

use write::{AUDIENCE, ISSUER, KEY, NOW, OTHER_KEY, TOOL, VERB, secret};

/// A rule, the most that it lets through and the least that it refuses.
struct Row {
    rule: &'static str,
    fits: Option<Vec<u8>>,
    breaks: Vec<u8>,
    reason: Reason,
    says: &'static str,
}

impl Row {
    /// A rule of the profile that something breaks; the detail of the decision has to say `says`.
    fn broken(rule: &'static str, says: &'static str, breaks: Vec<u8>) -> Self {
        Self { rule, fits: None, breaks, reason: Reason::ProfileViolation, says }
    }

    fn fits(self, fits: Vec<u8>) -> Self {
        Self { fits: Some(fits), ..self }
    }

    fn because(self, reason: Reason) -> Self {
        Self { reason, ..self }
    }
}

fn verifier() -> Verifier {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp::from_seconds(NOW)));
    let named = |purpose, name: &str, seed| DocumentKey {
        purpose,
        name: name.parse().unwrap(),
        key: secret(seed).public(),
        not_before: 1,
        not_after: FOREVER,
    };
    let keys = vec![
        named(KeyPurpose::Token, KEY, 0x11),
        named(KeyPurpose::Token, OTHER_KEY, 0x12),
        named(KeyPurpose::Revocation, "r1", 0x13),
    ];
    let document = KeyDocument { version: 1, issuer: ISSUER.to_owned(), break_glass: 0, keys };
    let document = document.sign(&secret(0x10)).into_bytes();
    let snapshot = Snapshot { seq: 1, ..Snapshot::default() }.encode(&origin(ISSUER));
    let head = Head {
        seq: 2,
        issued: NOW,
        next: NOW + 5,
        expires: NOW + 900,
        global: 0,
        snapshot: FileRef { seq: 1, sha256: KeyDocument::hash(&snapshot), bytes: snapshot.len() as u64 },
        deltas: Vec::new(),
        keys: (1, KeyDocument::hash(&document)),
    };
    let trust =
        Trust::new(Pin { issuer: ISSUER.to_owned(), root: secret(0x10).public() }, clock, None).unwrap();
    trust.offer_keys(&document).unwrap();
    trust.offer_head(head.sign(&origin(ISSUER), &secret(0x13)).as_bytes()).unwrap();
    trust.offer_snapshot(&snapshot).unwrap();
    Verifier::new(Arc::new(trust), VerifierConfig { audience: AUDIENCE.to_owned() }).unwrap()
}

fn decide(verifier: &Verifier, token: &[u8], args: Option<&Args>) -> Decision {
    verifier.check(&Presented::bearer(&encode(token)), &Call { tool: TOOL, verb: VERB, args })
}

/// Asks about every row, and tells all that went wrong at once.
fn hold(rows: Vec<Row>) {
    let verifier = verifier();
    let mut wrong = Vec::new();
    for Row { rule, fits, breaks, reason, says } in rows {
        if let Some(token) = fits {
            let decision = decide(&verifier, &token, None);
            if !decision.is_allowed() {
                wrong.push(format!(
                    "{rule}: what fits is refused: {:?} {:?}",
                    decision.reason, decision.detail
                ));
            }
        }
        let decision = decide(&verifier, &breaks, None);
        let detail = decision.detail.unwrap_or_default();
        if decision.reason != Some(reason) || !detail.contains(says) {
            wrong.push(format!("{rule}: {:?} {detail:?} where {reason:?} {says:?} belongs", decision.reason));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
