//! The last part of a check: the one use of a token that is good once, for a call that is allowed in everything else.

use std::sync::Arc;

use shortbread_protocol::access::Access;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::SelectorKind;

use super::Verifier;
use crate::cache::Believed;
use crate::decision::{Call, Decision, Outcome, Presented};
use crate::observe;
use crate::scope::{Demand, Refusal, Scope};
#[cfg(feature = "report")]
use crate::uses::BrokerUses;
use crate::uses::{Unclaimed, Use};

/// A check as it was asked for.
pub(super) struct Asked<'a> {
    pub(super) presented: &'a Presented<'a>,
    pub(super) call: &'a Call<'a>,
    /// Whether whoever asks waits for an answer from elsewhere.
    pub(super) waits: bool,
}

/// A call that is allowed, but perhaps for its use.
pub(super) struct Granted {
    pub(super) access: Access,
    /// Whether the token is good for it once, so that its use has to be claimed.
    pub(super) claims: bool,
}

/// What everything but the use came to.
pub(super) struct Judged {
    decision: Decision,
    believed: Option<Arc<Believed>>,
    result: Result<Granted, Refusal>,
}

/// Whether a call that is allowed as if its use were claimed needs that.
pub(super) fn lacks_use(scope: &Scope, demand: &Demand<'_>) -> bool {
    scope.asks_unused() && scope.evaluate(&Demand { unused: None, ..*demand }).is_err()
}

impl Judged {
    pub(super) fn claims(&self) -> bool {
        matches!(self.result, Ok(Granted { claims: true, .. }))
    }

    /// The use to claim, if the call needs one.
    #[cfg_attr(not(feature = "report"), expect(unused_variables, reason = "only a broker hears of the call"))]
    fn wanted<'a>(&'a self, call: &'a Call<'a>) -> Option<Use<'a>> {
        let scope = self.believed.as_ref().filter(|_| self.claims())?.scope();
        Some(Use {
            // No token is believed that names none.
            token: scope.id(SelectorKind::Token)?,
            expires: scope.window().1,
            #[cfg(feature = "report")]
            call,
        })
    }

    fn claimed(&mut self, claimed: Result<(), Unclaimed>) {
        if let Err(unclaimed) = claimed {
            self.result = Err(unclaimed.into());
        }
    }
}

impl Verifier {
    /// Refuses a call that needs a claim which cannot be made, before its proof is used up.
    pub(super) fn can_be_claimed(
        &self,
        asked: &Asked<'_>,
        scope: &Scope,
        demand: &Demand<'_>,
    ) -> Result<(), Refusal> {
        if !scope.asks_unused() {
            return Ok(());
        }
        match scope.evaluate(&Demand { unused: None, ..*demand }) {
            Ok(_) => Ok(()),
            // A proof may make it a call that needs none.
            Err(refusal) if refusal.reason == Reason::ProofRequired => Ok(()),
            Err(_) => self.keep.ready(asked.waits).map_err(Refusal::from),
        }
    }

    /// All of a check but the claim.
    pub(super) fn offline(&self, asked: &Asked<'_>) -> Judged {
        let mut decision = self.begin(Reason::Internal, asked.presented.trace);
        let mut believed = None;
        let result = self.decide(asked, &mut decision, &mut believed);
        Judged { decision, believed, result }
    }

    /// The rest of a check that needs no answer from elsewhere.
    pub(super) fn here(&self, mut judged: Judged, call: &Call<'_>) -> Decision {
        if let Some(wanted) = judged.wanted(call) {
            let claimed = self.keep.claim(&wanted, self.trust.clock().now());
            judged.claimed(claimed);
        }
        self.conclude(judged, call)
    }

    /// The rest of a check whose use the broker keeps.
    #[cfg(feature = "report")]
    pub(super) async fn there(&self, judged: Judged, uses: &BrokerUses, call: &Call<'_>) -> Decision {
        let mut waiting = Waiting { verifier: self, judged: Some(judged), call };
        let claimed = match waiting.judged.as_ref().and_then(|judged| judged.wanted(call)) {
            Some(wanted) => uses.claim(&wanted).await,
            None => Ok(()),
        };
        match waiting.judged.take() {
            Some(mut judged) => {
                judged.claimed(claimed);
                self.conclude(judged, call)
            }
            None => Decision::denied(None, Reason::Internal),
        }
    }

    fn conclude(&self, judged: Judged, call: &Call<'_>) -> Decision {
        let Judged { mut decision, believed, result } = judged;
        match result {
            Ok(granted) => {
                decision.outcome = Outcome::Allow;
                decision.reason = None;
                decision.access = Some(granted.access);
            }
            Err(refusal) => self.deny(refusal, believed.as_deref(), call, &mut decision),
        }
        let decision = self.settle(decision, call);
        if let Some(reason) = decision.observed {
            observe::count(reason);
        }
        decision
    }
}

/// A check that waits for the broker. Where the caller goes away meanwhile the call does not run, and that is on record.
#[cfg(feature = "report")]
struct Waiting<'a> {
    verifier: &'a Verifier,
    judged: Option<Judged>,
    call: &'a Call<'a>,
}

#[cfg(feature = "report")]
impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(mut judged) = self.judged.take() {
            judged.claimed(Err(Unclaimed::Unavailable("the caller went away before the broker answered")));
            self.verifier.conclude(judged, self.call);
        }
    }
}

#[cfg(test)]
mod tests;
