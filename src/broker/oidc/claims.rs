//! What an ID token must say beside what any token must: that it is of this very sign-in, and how old that is.

use std::time::Duration;

use serde_json::{Map, Value};
use shortbread_protocol::clock::{FOREVER, Timestamp};

use super::error::Fault;
use super::pending::{Pending, same};

/// How long ago the person may have signed in at the provider: as long as a sign-in is good for what wants a fresh one.
pub(super) const MAX_AGE: Duration = Duration::from_secs(15 * 60);
/// How far the clocks of the provider and the broker may differ.
const LEEWAY: Duration = Duration::from_secs(30);

/// When the person signed in at the provider.
pub(super) fn check(
    claims: &Map<String, Value>,
    client_id: &str,
    pending: &Pending,
    now: Timestamp,
) -> Result<Timestamp, Fault> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if !text("nonce").is_some_and(|nonce| same(nonce, pending.nonce())) {
        return Err(Fault::Nonce);
    }
    if claims.contains_key("azp") && text("azp") != Some(client_id) {
        return Err(Fault::OtherParty);
    }
    let seconds = claims.get("auth_time").and_then(Value::as_u64).filter(|seconds| *seconds <= FOREVER);
    let signed_in = seconds.map(Timestamp::from_seconds).ok_or(Fault::AuthTime)?;
    if signed_in > now.plus(LEEWAY) {
        return Err(Fault::AuthTime);
    }
    let anew = !pending.is_fresh() || signed_in.plus(LEEWAY) >= pending.begun();
    if now.since(signed_in) > MAX_AGE + LEEWAY || !anew {
        return Err(Fault::NotFresh);
    }
    // Never fresher than now, whatever the provider's clock says.
    Ok(signed_in.min(now))
}
