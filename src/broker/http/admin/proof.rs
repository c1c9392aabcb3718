//! The DPoP proof of a call of the admin API: for this request, this token and, where it can do most harm, this body.

use shortbread_protocol::access::Access;
use shortbread_protocol::call::Args;
use shortbread_protocol::dpop::{Expected, Proof, ProofError, Unproved, token_hash};
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::SelectorKind;
use shortbread_verifier::scope::Scope;

use super::super::dpop;
use super::super::failure::Failure;
use super::{Sent, unread};
use crate::broker::Broker;
use crate::policy::builtin;
use crate::proofs::{FULL, ReplayError, Use};

/// Whether whoever sent this holds the key that their token is bound to, and made the proof for this request.
pub(super) fn check(
    broker: &Broker,
    sent: &Sent,
    token: &str,
    scope: &Scope,
    verb: &str,
) -> Result<Proof, Failure> {
    let required = |detail: &str| Failure::new(Reason::ProofRequired, detail);
    let holder = scope.id(SelectorKind::Holder);
    let holder = holder.ok_or_else(|| required("this token is bound to no key; exchange for one that is"))?;
    let text = dpop(&sent.headers)?;
    let text = text.ok_or_else(|| required("send one DPoP header with a proof for this very request"))?;
    let url = format!("{}{}", broker.issuer.trim_end_matches('/'), sent.path);
    let expected = Expected {
        method: sent.method.as_str(),
        url: &url,
        token: Some(token_hash(token)),
        holder: Some(holder),
        now: broker.clock.now(),
        since: broker.proofs.since,
    };
    let proof = Unproved::read(text)?.check(&expected)?;
    let operation = proof.claims().operation.as_deref();
    let named = operation.is_some_and(|named| named == format!("shortbread/{verb}"));
    if !named && (operation.is_some() || privileged(verb)) {
        return Err(ProofError::Mismatch("sb_op").into());
    }
    Ok(proof)
}

/// Whether the proof speaks of this body, where it must, and was not used before. To be asked last: what is refused
/// takes no room in the memory of used proofs.
pub(super) fn settle(broker: &Broker, sent: &Sent, proof: &Proof, verb: &str) -> Result<(), Failure> {
    let claimed = proof.claims().args;
    if claimed.is_some() || privileged(verb) {
        let empty = sent.body.as_ref().is_ok_and(|body| body.is_empty());
        let args =
            if empty { Args::default() } else { Args::from_json(sent.json()?).map_err(|e| unread(&e))? };
        let digest = args.digest().ok_or_else(|| unread(&"a number is no integer within 2^53"))?;
        if claimed != Some(digest) {
            return Err(ProofError::Mismatch("sb_args").into());
        }
    }
    let used = broker.proofs.first_use(usage(verb), proof, broker.clock.now());
    used.map_err(|error| Failure {
        retry_after: (error == ReplayError::Full).then_some(FULL),
        ..Failure::new(error.reason(), error.to_string())
    })
}

fn usage(verb: &str) -> Use {
    if verb.starts_with("revocations.") { Use::Switch } else { Use::Admin }
}

fn privileged(verb: &str) -> bool {
    builtin::VERBS.iter().any(|(name, access)| *name == verb && *access == Access::Privileged)
}

impl From<ProofError> for Failure {
    fn from(error: ProofError) -> Self {
        Self::new(error.reason(), error.to_string())
    }
}
