//! The DPoP proof of an exchange: read before anything costs much, checked once the identity is proved, used up last.

use shortbread_protocol::dpop::{Expected, Proof, ProofError, Unproved};
use shortbread_protocol::reason::Reason;

use super::refusal::Refusal;
use crate::broker::Broker;
use crate::identity::Verified;
use crate::policy::Possession;
use crate::policy::model::Principal;
use crate::proofs::{FULL, ReplayError, Use};
use crate::store::Replay;

/// Where tokens are asked for.
pub(super) const TOKEN: &str = "/oauth/token";
/// Where requests that wait are taken back.
pub(super) const CANCEL: &str = "/oauth/deferral/cancel";

/// Reads the text of the `DPoP` header, if there is one.
///
/// # Errors
/// When it cannot be read, or there are several.
pub(super) fn read(header: Result<Option<&str>, ProofError>) -> Result<Option<Unproved<'_>>, Refusal> {
    Ok(header?.map(Unproved::read).transpose()?)
}

/// Whether it was made for this endpoint, now, by its key. An operator must have one.
///
/// # Errors
/// When it does not hold, or is missing where it must be there.
pub(super) fn check(
    broker: &Broker,
    shown: Option<Unproved<'_>>,
    principal: &Principal,
) -> Result<Option<Proof>, Refusal> {
    let Some(shown) = shown else {
        if principal.must_prove() {
            let detail = "an operator's token is bound to a key: send a DPoP proof with the request";
            return Err(Refusal::new(Reason::ProofRequired, detail));
        }
        return Ok(None);
    };
    here(broker, shown, None, None).map(Some)
}

/// Whether a proof was made for this endpoint, now; over this token and by this key, where they are given.
///
/// # Errors
/// With the first thing that does not fit.
pub(super) fn here(
    broker: &Broker,
    shown: Unproved<'_>,
    token: Option<[u8; 32]>,
    holder: Option<&str>,
) -> Result<Proof, Refusal> {
    at(broker, TOKEN, shown, token, holder)
}

/// The same for another endpoint.
///
/// # Errors
/// With the first thing that does not fit.
pub(super) fn at(
    broker: &Broker,
    path: &str,
    shown: Unproved<'_>,
    token: Option<[u8; 32]>,
    holder: Option<&str>,
) -> Result<Proof, Refusal> {
    let url = format!("{}{path}", broker.issuer.trim_end_matches('/'));
    let (now, since) = (broker.clock.now(), broker.proofs.since);
    Ok(shown.check(&Expected { method: "POST", url: &url, token, holder, now, since })?)
}

/// Whether the client holds a key, and what without one an identity that can be presented again is good for.
pub(super) const fn possession(identity: &Verified, proof: Option<&Proof>) -> Possession {
    match (proof, identity.reuse) {
        (Some(_), _) => Possession::Proved,
        (None, true) => Possession::Reusable,
        (None, false) => Possession::Unproved,
    }
}

/// What to remember of the identity: that it is used up, or who may present it again. A bad proof says neither of what
/// a platform hands out but once an hour.
pub(super) fn replay(identity: &Verified, proof: &Result<Option<Proof>, Refusal>) -> Option<Replay> {
    let holder = match proof {
        Err(_) if identity.reuse => return None,
        Ok(Some(proof)) if identity.reuse => Some(proof.thumbprint().to_owned()),
        _ => None,
    };
    let replay = &identity.replay;
    let (keep_until, made) = (replay.keep_until.seconds(), replay.made.seconds());
    Some(Replay { hash: replay.hash, keep_until, made, holder })
}

/// Lets the proof be used this once.
///
/// # Errors
/// When it was used before, or no more can be remembered.
pub(super) fn use_up(broker: &Broker, proof: Option<&Proof>, by: &Principal) -> Result<(), Refusal> {
    let Some(proof) = proof else { return Ok(()) };
    let by = if matches!(by, Principal::Operator(_)) { Use::Operator } else { Use::Exchange };
    let used = broker.proofs.first_use(by, proof, broker.clock.now());
    used.map_err(|error| {
        let refusal = Refusal::plain(error.reason());
        if error == ReplayError::Full { refusal.after(FULL) } else { refusal }
    })
}
