//! Observe mode: for so long as the broker says so, calls of a tool pass that would be denied, and the decision says why.
//!
//! Two must want it. The service hands one [`Observe`] to its [`Verifier`](crate::Verifier) and to its reporter; without
//! that nothing a broker says opens anything. And the broker says it in a statement for this instance, signed by the key
//! of its revocation lists, in the answer to the message that was just sent. Whatever is missing, old, or not exactly so
//! enforces. Nothing that is revoked passes, nor anything with a token that is good once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::jws::{self, JwsError};
use shortbread_protocol::key_document::{DocumentKey, KeyPurpose};
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::names::ToolName;
use shortbread_protocol::observe::{HOLDS, MAX_OBSERVE, MAX_SKEW, OBSERVE_TYPE, Statement};
use shortbread_protocol::reason::Reason;
use thiserror::Error;

use crate::cache::Believed;
use crate::decision::Call;
use crate::list::{MAX_DRIFT, Seen, State, Trust};
use crate::scope::unheld_standing;

/// Why a statement is not believed. What it says counts for nothing then, and neither does the one before.
#[derive(Debug, Error)]
pub enum ObserveError {
    /// There is no key document yet, or none of its keys for revocation lists that is valid now has this name.
    #[error("no key that may sign it is known by that name")]
    Key,
    /// Not a statement that this key signed.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// Another broker, verifier, instance or message is meant.
    #[error("it answers something else: its {0} is another")]
    Other(&'static str),
    /// Signed too long ago, or in the future.
    #[error("it was not signed within the last 60 seconds; check the clocks")]
    Time,
    /// A tool would not be enforced for longer than may be.
    #[error("it does not enforce {0} for more than 90 days")]
    TooLong(ToolName),
}

impl ObserveError {
    /// A stable code, for logs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Jws(_) => "signature",
            Self::Other(_) => "other",
            Self::Time => "time",
            Self::TooLong(_) => "too_long",
        }
    }
}

/// Counts a call that passed though it would be denied.
pub(crate) fn count(reason: Reason) {
    #[cfg(any(feature = "feed", feature = "report"))]
    metrics::counter!("shortbread_verifier_observed_total", "reason" => reason.code()).increment(1);
    #[cfg(not(any(feature = "feed", feature = "report")))]
    let _ = reason;
}

/// The message that a statement has to answer.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The verifier, as the lease has it.
    pub verifier: &'a str,
    /// The instance that sent it.
    pub instance: &'a str,
    /// Its number; 0 for the lease.
    pub n: u64,
}

/// This service takes part in observe mode. One for each instance.
#[derive(Default)]
pub struct Observe {
    said: ArcSwapOption<Said>,
}

/// A statement that was believed.
struct Said {
    key: PublicKey,
    iat: Timestamp,
    seen: Seen,
    tools: BTreeMap<ToolName, u64>,
}

impl Observe {
    /// Observes nothing until the broker says so.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what came with the answer to a message: from now on this counts and nothing before it. `None` is an answer
    /// without a statement, after which everything is enforced.
    ///
    /// # Errors
    /// When it is not believed; everything is enforced then.
    pub fn take(
        &self,
        statement: Option<&str>,
        answered: &Answered<'_>,
        trust: &Trust,
    ) -> Result<(), ObserveError> {
        let read = statement.map(|text| Said::read(text, answered, &trust.state(), Seen::now(trust.clock())));
        let (said, result) = match read.transpose() {
            Ok(said) => (said, Ok(())),
            Err(error) => (None, Err(error)),
        };
        self.said.store(said.map(Arc::new));
        result
    }

    /// Enforces everything from now on, until the broker says otherwise.
    pub fn end(&self) {
        self.said.store(None);
    }

    /// The tools whose would-be denials pass now, by name.
    #[must_use]
    pub fn tools(&self, trust: &Trust) -> Vec<ToolName> {
        let (state, now) = (trust.state(), Seen::now(trust.clock()));
        let said = self.said.load();
        let Some(said) = said.as_deref().filter(|said| said.counts(&state, now)) else { return Vec::new() };
        said.tools
            .iter()
            .filter(|(_, until)| now.wall.seconds() < **until)
            .map(|(tool, _)| tool.clone())
            .collect()
    }

    /// Whether would-be denials of this tool pass now.
    fn covers(&self, tool: &str, state: &State, now: Seen) -> bool {
        let said = self.said.load();
        said.as_deref().is_some_and(|said| {
            let until = said.tools.iter().find(|(name, _)| name.as_str() == tool).map(|(_, until)| *until);
            until.is_some_and(|until| now.wall.seconds() < until) && said.counts(state, now)
        })
    }

    /// What becomes of a call that is denied for this reason: it passes, or it is denied for this or another one.
    pub(crate) fn judge(
        &self,
        reason: Reason,
        token: Option<&Believed>,
        call: &Call<'_>,
        state: &State,
        now: Seen,
    ) -> Observed {
        // A token that is good once stands for one call, for which nothing else is let through: whatever it lacked, the
        // call would run and its use be left.
        let once = token.is_some_and(|token| token.scope().asks_unused());
        if once || !reason.passes_when_observed() || !self.covers(call.tool, state, now) {
            return Observed::Denied;
        }
        match stopped(token, call, state) {
            Ok(()) => Observed::Passes,
            Err(revoked) => Observed::Stopped(revoked),
        }
    }
}

/// What becomes of a call that would be denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observed {
    /// It is denied, as if nobody observed.
    Denied,
    /// It would pass, but this is revoked.
    Stopped(Reason),
    /// It passes.
    Passes,
}

impl Said {
    fn read(text: &str, answered: &Answered<'_>, state: &State, now: Seen) -> Result<Self, ObserveError> {
        let named = jws::key_id(text, OBSERVE_TYPE).ok_or(JwsError::Form)?;
        let key = keys(state, now.wall).find(|key| key.name.as_str() == named).ok_or(ObserveError::Key)?;
        let said: Statement = jws::open(text, OBSERVE_TYPE, &named, &key.key)?;
        for (same, what) in [
            (said.iss == state.issuer(), "issuer"),
            (said.verifier.as_str() == answered.verifier, "verifier"),
            (said.instance == answered.instance, "instance"),
            (said.n == answered.n, "message"),
        ] {
            if !same {
                return Err(ObserveError::Other(what));
            }
        }
        let second = now.wall.seconds();
        if second.abs_diff(said.iat) > MAX_SKEW.as_secs() {
            return Err(ObserveError::Time);
        }
        let last = second.saturating_add((MAX_OBSERVE + MAX_SKEW).as_secs());
        if let Some((tool, _)) = said.tools.iter().find(|(_, until)| **until > last) {
            return Err(ObserveError::TooLong(tool.clone()));
        }
        Ok(Self { key: key.key, iat: Timestamp::from_seconds(said.iat), seen: now, tools: said.tools })
    }

    /// Whether it is still to be relied on: the key may still sign, it was renewed in time, and by a clock that runs.
    fn counts(&self, state: &State, now: Seen) -> bool {
        // A statement from the future is as old as it was seen.
        let (elapsed, drift) = now.since(self.seen);
        drift <= MAX_DRIFT
            && now.wall.since(self.iat).max(elapsed) <= HOLDS
            && keys(state, now.wall).any(|key| key.key == self.key)
    }
}

/// The keys that heads are believed by.
fn keys(state: &State, now: Timestamp) -> impl Iterator<Item = &DocumentKey> {
    let keys = state.document().into_iter().flat_map(|document| document.of(KeyPurpose::Revocation));
    keys.filter(move |key| key.is_valid(now.seconds()))
}

/// Whether anything that is known to be revoked stops a call that did not come so far as to be asked, or not about all.
///
/// A token that is not believed names nobody and has no moment of issue, so it is older than any revocation that the
/// call itself can meet: of its tool, of its verb, of any access to them, of everything.
fn stopped(token: Option<&Believed>, call: &Call<'_>, state: &State) -> Result<(), Reason> {
    let issued = token.map(|token| token.scope().issued());
    let global =
        state.set().map_or_else(|| state.break_glass().map_or(0, |known| known.global), |set| set.global());
    if issued.unwrap_or(0) < global {
        return Err(Reason::RevokedAll);
    }
    let Some(list) = state.set() else { return Ok(()) };
    if let Some(token) = token {
        token.standing(list)?;
        token.scope().call_standing(list, call.tool, call.verb)?;
        if token.scope().access(call.tool, call.verb).is_some() {
            return Ok(());
        }
    }
    unheld_standing(list, issued, call.tool, call.verb)
}

impl fmt::Debug for Observe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tools = self.said.load().as_ref().map(|said| said.tools.clone());
        f.debug_struct("Observe").field("tools", &tools).finish()
    }
}

#[cfg(test)]
mod tests;
