//! From what is granted to the answer: nothing is answered before its record is durable.

use serde_json::Value;
use shortbread_protocol::dpop::Proof;
use shortbread_protocol::names::VerbName;
use shortbread_protocol::oauth::{CallToken, TokenAnswer};

use super::budget::{self, of_call};
use super::draft::{Draft, Minted, Terms};
use super::entry::{minted, moment};
use super::exact::Exact;
use super::flow::Context;
use super::proof;
use super::record::{Moment, Trail};
use super::refusal::Refusal;
use super::retry::RetryKey;
use super::watched;
use crate::broker::Broker;
use crate::policy::charge::{told, totals};
use crate::policy::model::Principal;
use crate::policy::{Granted, Policy};
use crate::store::{Exchange, OneShot, RecordError, Redeem, Replay, Spend, Standing, TokenRecord};

/// The longest that a token may live beyond its issue date, in seconds (profile sb1).
const LONGEST: u64 = 3600;

/// What is granted, and all that is needed to answer it.
pub(super) struct Issue<'a> {
    pub(super) terms: Terms,
    pub(super) principal: &'a Principal,
    /// The thumbprint of the key that it is bound to.
    pub(super) holder: Option<&'a str>,
    pub(super) granted: Granted,
    /// Exact calls, each of which gets a token of its own; without any it is one token of all verbs.
    pub(super) calls: Vec<Exact>,
    pub(super) policy: &'a Policy,
    pub(super) version: u64,
    /// The audience of each tool.
    pub(super) audiences: &'a [(String, String)],
    /// The approval that is spent for it.
    pub(super) redeem: Option<Redeem>,
    /// What the answer is kept under.
    pub(super) retry: Option<RetryKey>,
    /// The assertion that is used up for it.
    pub(super) replay: Option<Replay>,
    /// The proof that is used up for it.
    pub(super) proof: Option<&'a Proof>,
}

/// Why nothing is answered.
pub(super) enum Unissued {
    /// Before it was to be recorded.
    Refused(Refusal),
    /// When it was.
    Unrecorded(RecordError),
}

impl From<Refusal> for Unissued {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// One token of the answer.
struct Part<'a> {
    draft: Draft<'a>,
    granted: Granted,
    standing: Standing,
    window: (u64, u64),
    made: Minted,
}

/// Makes the tokens, records them and puts the answer together. The record checks revocations, replay and approval again,
/// in one transaction: what it lets pass is answered.
pub(super) async fn issue(
    broker: &Broker,
    issue: Issue<'_>,
    trail: &mut Trail,
    context: &Context,
) -> Result<TokenAnswer, Unissued> {
    let parts = parts(broker, &issue, trail, context)?;
    let Issue { principal, granted, policy, version, audiences, redeem, retry, replay, proof, .. } = issue;
    trail.stage = "record";
    let now = moment(broker, context);
    let granted = whole(granted, &parts);
    let expires = parts.iter().map(|part| part.window.1).max().unwrap_or_default();
    let data = said(trail, &granted, &parts, expires, now);
    let audit = minted(broker, context, trail, data)?;
    let one_shots = parts.iter().filter_map(Part::one_shot).collect();
    let spends = parts.iter().flat_map(Part::spends).collect();
    let mut records = parts.iter().map(|part| part.record(policy, version, context));
    let Some((token, standing)) = records.next() else {
        return Err(RecordError::NoToken.into());
    };
    let others = records.collect();
    proof::use_up(broker, proof, principal)?;
    let answered = answer(parts, &granted, audiences, policy, now.revocation_seq, context);
    let Some((mut answer, block, sealed)) = answered else { return Err(RecordError::NoToken.into()) };
    answer.shortbread.degraded = trail.degraded.map(str::to_owned);
    let kept = retry.map(|key| key.keep(block, sealed, &answer, expires, context.decision.at));
    let (ties, retry) = (Vec::new(), kept);
    let exchange =
        Exchange { replay, token, standing, ties, others, one_shots, spends, redeem, retry, audit };
    broker.store.record_exchange(exchange).await.map_err(Unissued::Unrecorded)?;
    watched::granted(broker, trail, &granted, context);
    Ok(answer)
}

impl From<RecordError> for Unissued {
    fn from(error: RecordError) -> Self {
        Self::Unrecorded(error)
    }
}

fn parts<'a>(
    broker: &Broker,
    issue: &Issue<'a>,
    trail: &mut Trail,
    context: &Context,
) -> Result<Vec<Part<'a>>, Refusal> {
    trail.stage = "revocation";
    let calls: Vec<Option<Exact>> = match issue.calls.as_slice() {
        [] => vec![None],
        calls => calls.iter().cloned().map(Some).collect(),
    };
    // One task for all of them.
    let mut terms = issue.terms.clone();
    let mut drafted = Vec::with_capacity(calls.len());
    for call in calls {
        let mut granted = of_call(&issue.granted, call.as_ref())?;
        let mut draft = Draft::new(broker, &terms, call, issue.principal, issue.holder, context)?;
        draft.sealed |= !granted.charges.is_empty();
        if issue.calls.len() > 1 {
            terms.task = Some(draft.task.clone());
        }
        let standing = draft.stand(broker, &mut granted)?;
        trail.segment.task = Some(draft.task.clone());
        drafted.push((draft, granted, standing));
    }
    trail.stage = "mint";
    let made = drafted.into_iter().map(|(draft, granted, standing)| {
        let expires = draft.expires(&granted, context);
        // It bears the date of what it stands for, unless it would not live as long as it may then.
        let window = (standing.issued.max(expires.saturating_sub(LONGEST)), expires);
        let made = draft.mint(broker, &granted, issue.audiences, window, issue.retry.is_some())?;
        Ok(Part { draft, granted, standing, window, made })
    });
    made.collect()
}

// What the log says of them.
fn said(trail: &Trail, granted: &Granted, parts: &[Part<'_>], expires: u64, now: Moment) -> Value {
    let tokens = parts.iter().map(|part| (part.draft.token_id.as_str(), part.draft.call.as_ref()));
    let mut data = trail.granted(granted, &tokens.collect::<Vec<_>>(), expires, now);
    let totals = totals(parts.iter().flat_map(|part| &part.granted.charges));
    if let Some(data) = data.as_object_mut().filter(|_| !totals.is_empty()) {
        data.insert("charges".to_owned(), told(&totals).into());
    }
    data
}

// What is told and logged of all of them together.
fn whole(granted: Granted, parts: &[Part<'_>]) -> Granted {
    match parts {
        [only] if only.draft.call.is_none() => only.granted.clone(),
        _ => granted,
    }
}

impl Part<'_> {
    fn record(&self, policy: &Policy, version: u64, context: &Context) -> (TokenRecord, Standing) {
        let record = self.draft.record(&self.granted, policy, version, self.window, context);
        (record, self.standing.clone())
    }

    fn one_shot(&self) -> Option<OneShot> {
        let Some(call) = &self.draft.call else {
            return budget::one_shot(&self.granted, &self.draft.token_id, self.window.1);
        };
        let verbs: Vec<VerbName> = vec![call.operation.verb.clone()];
        let (token, tool) = (self.draft.token_id.clone(), call.operation.tool.clone());
        Some(OneShot { token, tool, verbs, args_sha256: Some(call.args_sha256), expires: self.window.1 })
    }

    fn spends(&self) -> Vec<Spend> {
        budget::spends(&self.granted, &self.draft.token_id, self.window.1)
    }

    fn call_token(&self) -> Option<CallToken> {
        let call = self.draft.call.as_ref()?;
        Some(CallToken {
            place: call.place,
            operation: call.operation.clone(),
            args_sha256: hex::encode(call.args_sha256),
            token_id: self.draft.token_id.clone(),
            access_token: self.made.token.clone(),
        })
    }
}

// The answer, what was signed of its first token, and whether that is sealed.
fn answer(
    parts: Vec<Part<'_>>,
    granted: &Granted,
    audiences: &[(String, String)],
    policy: &Policy,
    revocation_seq: u64,
    context: &Context,
) -> Option<(TokenAnswer, Vec<u8>, bool)> {
    let calls: Vec<CallToken> = parts.iter().filter_map(Part::call_token).collect();
    let Part { draft, window, made, .. } = parts.into_iter().next()?;
    let (sealed, expires) = (draft.sealed, window.1);
    let mut answer = draft.answer(granted, made.token, expires, audiences, policy, revocation_seq, context);
    answer.shortbread.calls = calls;
    Some((answer, made.block, sealed))
}
