//! An operator in front of a request: whether they may decide it.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::OperatorName;

use super::show::tallied;
use super::{DecideError, load};
use crate::approval::{TOKEN_MARK, Tally, Wait, marks_of, standing_votes, tally};
use crate::broker::Broker;
use crate::cases::decide::Weighed;
use crate::policy::model::Principal;
use crate::policy::{Demand, Policy};
use crate::revoke::Caller;
use crate::store::{Revocations, StoredVote};

/// An operator who may decide a request, and the request as it is.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) wait: Wait,
    pub(super) policy: Policy,
    pub(super) principal: Principal,
    pub(super) demands: Vec<Demand>,
    pub(super) operator: OperatorName,
    /// The session of the console that they act in.
    pub(super) session: Option<String>,
    /// What tells the operator from others, whatever their name.
    pub(super) marks: Vec<String>,
    pub(super) list: Arc<Revocations>,
}

impl Seat {
    /// Whether this operator may decide this request now.
    ///
    /// # Errors
    /// When it is not open, the operator is not asked, or is tied to whoever asks.
    pub(super) async fn take(
        broker: &Broker,
        id: &str,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<Self, DecideError> {
        let wait = load(broker, id).await?;
        open(&wait, now)?;
        let principal = principal(&wait)?;
        let policy = policy(broker, &principal)?;
        let weighed = wait.weigh(&policy).map_err(|(_, detail)| DecideError::Refused(detail))?;
        let Weighed { pending: Some(waits), .. } = weighed else {
            let detail =
                "by the policy in force nobody has to approve this: the client gets it when it asks again";
            return Err(DecideError::NotAsked(detail.to_owned()));
        };
        let operator = caller.operator.clone();
        let marks = marks_under(broker, &policy, caller).await?;
        let (demands, list) = (waits.demands, broker.store.mirror());
        let session = caller.session.clone();
        let seat = Self { wait, policy, principal, demands, operator, session, marks, list };
        seat.is_free(now)?;
        Ok(seat)
    }

    fn is_free(&self, now: Timestamp) -> Result<(), DecideError> {
        let Self { wait, operator, .. } = self;
        let tally = self.tally(&wait.votes, now);
        if tally.owners.contains(operator) {
            let detail =
                format!("{operator} owns {}, and nobody approves requests of what they own", self.principal);
            return Err(DecideError::Own(detail));
        }
        if self.shares(&wait.requested.marks) {
            let detail = format!(
                "{operator} has a key or an identity that made this request, and nobody approves their own"
            );
            return Err(DecideError::Own(detail));
        }
        let living = wait.standing_votes(&self.list);
        let others = living.iter().filter(|vote| vote.operator != operator.as_str());
        if let Some(other) = others.into_iter().find(|vote| self.shares(&vote.marks)) {
            let detail = format!(
                "{operator} and {}, who voted already, are one person by their key or identity",
                other.operator
            );
            return Err(DecideError::Own(detail));
        }
        if tally.asks(operator) {
            return Ok(());
        }
        let asked = tally.asked().join(", ");
        Err(DecideError::NotAsked(match tally.will_ask(operator) {
            Some(since) => format!("{operator} is asked from {since} on; until then {asked} are"),
            None => format!("{operator} is not asked: {asked} are"),
        }))
    }

    fn shares(&self, marks: &[String]) -> bool {
        self.marks.iter().any(|mark| marks.contains(mark))
    }

    /// How far the request is with these votes.
    pub(super) fn tally(&self, votes: &[StoredVote], now: Timestamp) -> Tally {
        let votes = standing_votes(votes, &self.wait.requested.marks, &self.list);
        tally(&self.policy, &self.principal, &self.demands, self.wait.record.asked, &votes, now)
    }
}

/// A request that this operator may deny now: whoever is asked or will be, and whoever owns the workflow. Where the policy in
/// force asks nobody, whoever decides approvals at all: to deny is always safe.
pub(super) async fn refuser(
    broker: &Broker,
    id: &str,
    caller: &Caller,
    now: Timestamp,
) -> Result<(Wait, Tally), DecideError> {
    let wait = load(broker, id).await?;
    open(&wait, now)?;
    let tally = tallied(broker, &wait, now).ok().flatten().unwrap_or_else(Tally::nobody);
    let operator = &caller.operator;
    let concerned = tally.owners.contains(operator) || tally.will_ask(operator).is_some();
    if concerned || tally.demands.is_empty() {
        return Ok((wait, tally));
    }
    let asked = tally.asked().join(", ");
    Err(DecideError::NotAsked(format!("{operator} is not asked and owns nothing of it: {asked} are asked")))
}

pub(super) fn principal(wait: &Wait) -> Result<Principal, DecideError> {
    wait.record.principal.parse().map_err(|_| crate::approval::Broken.into())
}

/// The policy that decides about a principal's requests now.
pub(super) fn policy(broker: &Broker, principal: &Principal) -> Result<Policy, DecideError> {
    broker.policy.ruling_of(principal).map(|ruling| ruling.policy).ok_or(DecideError::NoPolicy)
}

fn open(wait: &Wait, now: Timestamp) -> Result<(), DecideError> {
    let state = wait.record.state;
    if !state.is_open() {
        return Err(DecideError::Closed(format!("this request is {} already", state.as_str())));
    }
    if wait.record.expires <= now {
        return Err(DecideError::Closed(format!("this request expired at {}", wait.record.expires)));
    }
    Ok(())
}

/// What tells an operator from others, whatever their name: the keys and the identity with which they signed in, and every
/// key that the policy in force registers for them.
///
/// # Errors
/// When the store fails, or no policy is in force.
pub async fn marks(broker: &Broker, caller: &Caller) -> Result<Vec<String>, DecideError> {
    let policy = broker.policy.in_force().ok_or(DecideError::NoPolicy)?;
    marks_under(broker, &policy, caller).await
}

/// What the token that a caller shows was proved with: marks of a key or of an identity.
///
/// # Errors
/// When the store fails.
pub async fn proved(broker: &Broker, caller: &Caller) -> Result<BTreeSet<String>, DecideError> {
    #[derive(Default, Deserialize)]
    struct Body {
        #[serde(default)]
        marks: BTreeSet<String>,
    }
    let record = match &caller.token {
        Some(token) => broker.store.token(token).await?,
        None => None,
    };
    let body: Body = record.and_then(|record| serde_json::from_slice(&record.body).ok()).unwrap_or_default();
    Ok(body.marks)
}

async fn marks_under(broker: &Broker, policy: &Policy, caller: &Caller) -> Result<Vec<String>, DecideError> {
    let registered = policy.proofs_of(&caller.operator).into_iter().filter_map(|proof| proof.key);
    let keys = marks_of(registered.chain(caller.holder.clone()), None);
    let token = caller.token.iter().map(|token| format!("{TOKEN_MARK}{token}"));
    let known = caller.marks.iter().cloned().chain(proved(broker, caller).await?);
    Ok(known.chain(keys).chain(token).collect::<BTreeSet<_>>().into_iter().collect())
}
