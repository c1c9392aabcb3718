//! Flow 3, the broker's side: an operator's change in one transaction, then a head that carries it, then the answer.

mod bounds;
mod changed;
mod give_back;
mod standing;
mod touched;
mod warnings;

use std::collections::HashMap;

use serde_json::json;
use shortbread_protocol::admin::{ChangeAnswer, LiftBody, RevokeBody, SelectorBody, Touched};
use shortbread_protocol::clock::FOREVER;
use shortbread_protocol::event::{Decision, EventType};
use shortbread_protocol::names::OperatorName;
use shortbread_protocol::revocations::{Cause, Selector, SelectorKind};
use thiserror::Error;

pub use changed::{Change, changed};
pub use give_back::give_back;
pub(crate) use standing::AdminList;
pub use standing::list;

use crate::broker::Broker;
use crate::notices::Notice;
use crate::policy::builtin;
use crate::publish::PublishError;
use crate::store::{
    AuditEntry, ChangeError, Changed, Lift, LiftMode, Revoke, RevokeMode, StoreError, Target,
};

/// How long a dated revocation stays listed past its moment: the longest life of a token, and what clocks differ by.
const DATED: u64 = 3600 + 60;

const MAX_SELECTORS: usize = 100;

/// How many changed entries the log names: what was asked for comes first. Whoever has many tokens made of one must not
/// grow the entry beyond what the log takes, for then the change could not be made.
const MOST_NAMED: usize = 200;

/// Why a change was not made.
#[derive(Debug, Error)]
pub enum RevokeError {
    /// The request says nothing that can be done.
    #[error("{0}")]
    Malformed(String),
    /// It does not fit what is stored.
    #[error("{0}")]
    Conflict(String),
    /// The store failed; nothing changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change is stored; its head is late.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl From<ChangeError> for RevokeError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Store(error) => error.into(),
            ChangeError::Nothing => Self::Malformed(error.to_string()),
            ChangeError::NotRevoked(_) | ChangeError::KeyNotDated(_) => Self::Conflict(error.to_string()),
        }
    }
}

/// Who changes what is revoked.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The operator.
    pub operator: OperatorName,
    /// The id of the token that they show.
    pub token: Option<String>,
    /// The thumbprint of the key that it is bound to.
    pub holder: Option<String>,
    /// What else tells the person from others, as approvals compare it; none where the token's record says it.
    pub marks: Vec<String>,
    /// The session of the console that they act in.
    pub session: Option<String>,
}

/// Revokes for an operator. When this returns, the head that is served carries the change.
///
/// # Errors
/// When the request is not sound or the store fails.
pub async fn revoke(
    broker: &Broker,
    body: &RevokeBody,
    caller: &Caller,
    decision: &Decision,
) -> Result<ChangeAnswer, RevokeError> {
    let targets = targets(&body.selectors, body.all)?;
    let reason = words(&body.reason)?;
    let warnings = warnings::of(broker, &targets, caller);
    if body.dry_run {
        let preview = touched::preview(broker, &targets).await?;
        let touched = touched::named(&preview.all.living);
        let each = touched::each(&targets, &preview, |touched| &touched.living);
        return Ok(ChangeAnswer { each, warnings, ..answer(touched, decision) });
    }
    // Read side by side, so that readers who are all busy hold up the switch once and not twice.
    let (counted, ends) = tokio::join!(
        touched::in_time(touched::preview(broker, &targets)),
        touched::in_time(ends(broker, &targets))
    );
    let touched = counted.map_or_else(touched::uncounted, |preview| touched::counted(&preview.all.living));
    let (now, code) = (broker.clock.now().seconds(), code(body.cause));
    let mode = if body.issued_so_far { RevokeMode::IssuedSoFar } else { RevokeMode::Forever };
    // Without its record a token counts as one that has just been issued.
    let ends = ends.unwrap_or_default();
    let revoke = |target: &Target| {
        let until = listed_until(target, mode, now, &ends);
        Revoke { target: target.clone(), mode, reason: code.clone(), note: reason.clone(), until }
    };
    let revokes = targets.iter().map(revoke).collect();
    let operator = &caller.operator;
    let audit = audited(broker, EventType::RevocationSet, caller, decision, reason, &touched);
    let changed = broker.store.revoke(revokes, operator.to_string(), decision.at, audit).await?;
    broker.notices.tell(&Notice::Revoked {
        what: targets.iter().map(ToString::to_string).collect(),
        by: operator.to_string(),
        seq: changed.seq,
        cause: body.cause,
        tokens: (!touched.uncounted).then_some(touched.tokens),
        decision: decision.id.clone(),
    });
    // Heads without the change were signed before now.
    let stored = broker.clock.now();
    let head = broker.publish().await?;
    let bounds = bounds::of(broker, &targets, stored).await;
    let done = ChangeAnswer { seq: Some(changed.seq), head: Some(head.seq), ..answer(touched, decision) };
    let now = Some(broker.clock.now().seconds());
    Ok(ChangeAnswer { warnings, bounds: Some(bounds), bound: bounds.latest(), now, ..done })
}

/// Lifts for an operator, all that is named or nothing. When this returns, the head that is served carries it.
///
/// # Errors
/// When the request is not sound, something named is not revoked, or the store fails.
pub async fn lift(
    broker: &Broker,
    body: &LiftBody,
    caller: &Caller,
    decision: &Decision,
) -> Result<ChangeAnswer, RevokeError> {
    let targets = targets(&body.selectors, body.all)?;
    let reason = words(&body.reason)?;
    if body.dry_run {
        let preview = touched::preview(broker, &targets).await?;
        let lift = touched::lift(&targets, &preview.all);
        let touched = touched::named(&preview.all.revived);
        let each = touched::each(&targets, &preview, |touched| &touched.revived);
        return Ok(ChangeAnswer { each, lift: Some(lift), ..answer(touched, decision) });
    }
    let counted = touched::in_time(touched::preview(broker, &targets)).await;
    let lift = counted.as_ref().map(|preview| touched::lift(&targets, &preview.all));
    let touched = match &counted {
        Some(preview) if body.revive => touched::counted(&preview.all.revived),
        Some(_) => Touched::default(),
        None => touched::uncounted(),
    };
    let mode = if body.revive { LiftMode::Revive } else { LiftMode::KeepOldDead };
    let dated = broker.clock.now().seconds() + DATED;
    let what = targets.iter().map(ToString::to_string).collect();
    let lifting = |target: Target| Lift { until: (target != Target::All).then_some(dated), target, mode };
    let lifts = targets.into_iter().map(lifting).collect();
    let operator = &caller.operator;
    let audit = audited(broker, EventType::RevocationLifted, caller, decision, reason, &touched);
    let lifted = broker.store.lift(lifts, decision.at, audit).await?;
    broker.notices.tell(&Notice::Lifted {
        what,
        by: operator.to_string(),
        seq: lifted.seq,
        revive: body.revive,
        tokens: (!touched.uncounted).then_some(touched.tokens),
        decision: decision.id.clone(),
    });
    let head = broker.publish().await?;
    let done = ChangeAnswer { seq: Some(lifted.seq), head: Some(head.seq), ..answer(touched, decision) };
    Ok(ChangeAnswer { lift, ..done })
}

fn targets(selectors: &[SelectorBody], all: bool) -> Result<Vec<Target>, RevokeError> {
    if selectors.len() > MAX_SELECTORS {
        return Err(RevokeError::Malformed("more than 100 selectors at once".to_owned()));
    }
    let checked = selectors.iter().map(|body| Selector::new(body.kind, &body.value).map(Target::Selector));
    let mut targets =
        checked.collect::<Result<Vec<_>, _>>().map_err(|error| RevokeError::Malformed(error.to_string()))?;
    if all {
        targets.push(Target::All);
    }
    if targets.is_empty() {
        return Err(RevokeError::Malformed("name at least one selector, or all".to_owned()));
    }
    Ok(targets)
}

fn words(reason: &str) -> Result<String, RevokeError> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > 500 {
        return Err(RevokeError::Malformed(
            "give a reason of 1 to 500 characters: others will want to know why".to_owned(),
        ));
    }
    Ok(reason.to_owned())
}

/// When the tokens that are named one by one end.
async fn ends(broker: &Broker, targets: &[Target]) -> Result<HashMap<String, u64>, StoreError> {
    let mut ends = HashMap::new();
    for target in targets {
        if let Target::Selector(selector) = target
            && selector.kind() == SelectorKind::Token
            && let Some(record) = broker.store.token(selector.value()).await?
        {
            ends.insert(record.id, record.expires);
        }
    }
    Ok(ends)
}

// A single token leaves the list when it has ended; a dated revocation when all it reaches has.
fn listed_until(target: &Target, mode: RevokeMode, now: u64, ends: &HashMap<String, u64>) -> Option<u64> {
    match target {
        Target::Selector(selector) if selector.kind() == SelectorKind::Token => {
            Some(ends.get(selector.value()).map_or(now + DATED + 60, |end| end + 60))
        }
        Target::Selector(_) if mode == RevokeMode::IssuedSoFar => Some(now + DATED + 60),
        _ => None,
    }
}

fn audited(
    broker: &Broker,
    kind: EventType,
    caller: &Caller,
    decision: &Decision,
    reason: String,
    touched: &Touched,
) -> impl FnMut(&Changed) -> AuditEntry + Send + 'static {
    let Caller { operator, session, .. } = caller.clone();
    let (scribe, decision, subject) =
        (broker.scribe.clone(), decision.clone(), format!("operator/{operator}"));
    let touched = touched.clone();
    let verb = if kind == EventType::RevocationLifted { builtin::LIFT } else { builtin::REVOKE };
    move |changed: &Changed| {
        let entry = |entry: &crate::store::ChangedEntry| json!({ "what": entry.target.to_string(), "before": dated(entry.before), "was": dated(entry.was) });
        // What died with others is counted, and named as far as an entry of the log has room.
        let entries: Vec<_> = changed.entries.iter().take(MOST_NAMED).map(entry).collect();
        let unnamed = changed.entries.len() - entries.len();
        let data = json!({
            "outcome": "done", "operator": operator, "session": session, "reason": reason, "revocation_seq": changed.seq,
            "segment": builtin::segment(operator.as_str(), verb), "entries": entries, "unnamed": unnamed, "touched": touched, "stage": "record", "error_class": null,
        });
        scribe.entry(kind, &decision, subject.clone(), data)
    }
}

fn dated(before: u64) -> serde_json::Value {
    match before {
        0 => serde_json::Value::Null,
        FOREVER => "until lifted".into(),
        seconds => seconds.into(),
    }
}

// Of a dry run, until more is done.
fn answer(touched: Touched, decision: &Decision) -> ChangeAnswer {
    ChangeAnswer {
        seq: None,
        head: None,
        touched,
        each: Vec::new(),
        warnings: Vec::new(),
        lift: None,
        decision_id: decision.id.clone(),
        bound: None,
        bounds: None,
        now: None,
    }
}

fn code(cause: Cause) -> String {
    serde_json::to_value(cause).ok().and_then(|code| code.as_str().map(str::to_owned)).unwrap_or_default()
}
