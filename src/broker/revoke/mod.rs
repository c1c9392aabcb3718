//! Flow 3, the broker's side: an operator's change in one transaction, then a head that carries it, then the answer.

mod give_back;
mod standing;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde_json::json;
use shortbread_protocol::admin::{ChangeAnswer, LiftBody, RevokeBody, SelectorBody, Touched};
use shortbread_protocol::clock::FOREVER;
use shortbread_protocol::event::{Decision, EventType};
use shortbread_protocol::names::OperatorName;
use shortbread_protocol::revocations::{Cause, Selector, SelectorKind};
use thiserror::Error;

pub use give_back::give_back;
pub(crate) use standing::AdminList;
pub use standing::list;

use crate::broker::Broker;
use crate::notices::Notice;
use crate::publish::PublishError;
use crate::store::{
    AuditEntry, ChangeError, Changed, Lift, LiftMode, Revoke, RevokeMode, StoreError, Target,
};

/// How long a dated revocation stays listed past its moment: the longest life of a token, and what clocks differ by.
const DATED: u64 = 3600 + 60;

/// How long after a change a conforming verifier may still allow a write, in seconds.
const WRITE_WINDOW: u64 = 300;

/// How long what is read for people may hold up the switch.
const PATIENCE: Duration = Duration::from_secs(2);

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

/// Revokes for an operator. When this returns, the head that is served carries the change.
///
/// # Errors
/// When the request is not sound or the store fails.
pub async fn revoke(
    broker: &Broker,
    body: &RevokeBody,
    operator: &OperatorName,
    decision: &Decision,
) -> Result<ChangeAnswer, RevokeError> {
    let targets = targets(&body.selectors, body.all)?;
    let reason = words(&body.reason)?;
    if body.dry_run {
        let touched = touched(broker, &targets, false).await?;
        return Ok(answer(None, None, touched, decision, None));
    }
    let touched = counted(broker, &targets, false).await;
    let now = broker.clock.now().seconds();
    let code = code(body.cause);
    let mode = if body.issued_so_far { RevokeMode::IssuedSoFar } else { RevokeMode::Forever };
    // Without its record a token counts as one that has just been issued.
    let ends = in_time(ends(broker, &targets)).await.unwrap_or_default();
    let revoke = |target: Target| {
        let until = listed_until(&target, mode, now, &ends);
        Revoke { target, mode, reason: code.clone(), note: reason.clone(), until }
    };
    let what = targets.iter().map(ToString::to_string).collect();
    let revokes = targets.into_iter().map(revoke).collect();
    let audit = audited(broker, EventType::RevocationSet, operator, decision, reason, &touched);
    let changed = broker.store.revoke(revokes, operator.to_string(), decision.at, audit).await?;
    broker.notices.tell(&Notice::Revoked {
        what,
        by: operator.to_string(),
        seq: changed.seq,
        cause: body.cause,
        tokens: (!touched.uncounted).then_some(touched.tokens),
        decision: decision.id.clone(),
    });
    let head = broker.publish().await?;
    Ok(answer(Some(changed.seq), Some(head.seq), touched, decision, Some(now + WRITE_WINDOW)))
}

/// Lifts for an operator, all that is named or nothing. When this returns, the head that is served carries it.
///
/// # Errors
/// When the request is not sound, something named is not revoked, or the store fails.
pub async fn lift(
    broker: &Broker,
    body: &LiftBody,
    operator: &OperatorName,
    decision: &Decision,
) -> Result<ChangeAnswer, RevokeError> {
    let targets = targets(&body.selectors, body.all)?;
    let reason = words(&body.reason)?;
    if body.dry_run {
        let touched = touched(broker, &targets, true).await?;
        return Ok(answer(None, None, touched, decision, None));
    }
    let touched = counted(broker, &targets, true).await;
    let mode = if body.revive { LiftMode::Revive } else { LiftMode::KeepOldDead };
    let dated = broker.clock.now().seconds() + DATED;
    let lift = |target: Target| Lift { until: (target != Target::All).then_some(dated), target, mode };
    let what = targets.iter().map(ToString::to_string).collect();
    let lifts = targets.into_iter().map(lift).collect();
    let audit = audited(broker, EventType::RevocationLifted, operator, decision, reason, &touched);
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
    Ok(answer(Some(lifted.seq), Some(head.seq), touched, decision, None))
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

// The counts are for people. A store that is slow to read must not keep anyone from pressing the switch.
async fn counted(broker: &Broker, targets: &[Target], lifting: bool) -> Touched {
    let uncounted = Touched { uncounted: true, ..Touched::default() };
    in_time(touched(broker, targets, lifting)).await.unwrap_or(uncounted)
}

async fn in_time<T>(reading: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
    match tokio::time::timeout(PATIENCE, reading).await {
        Ok(Ok(read)) => return Some(read),
        Ok(Err(error)) => tracing::error!(error = %error, "what a change touches could not be read"),
        Err(_) => tracing::warn!("what a change touches could not be read in time"),
    }
    None
}

async fn touched(broker: &Broker, targets: &[Target], lifting: bool) -> Result<Touched, StoreError> {
    let (mut tokens, mut workflows, mut tools) = (0, BTreeSet::new(), BTreeSet::new());
    for target in targets {
        let hit = broker.store.touched(target.clone(), broker.clock.now()).await?;
        tokens += if lifting { hit.revoked } else { hit.living };
        workflows.extend(hit.workflows);
        tools.extend(hit.tools);
    }
    let (workflows, tools) = (workflows.len() as u64, tools.len() as u64);
    Ok(Touched { tokens, workflows, tools, uncounted: false })
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
    operator: &OperatorName,
    decision: &Decision,
    reason: String,
    touched: &Touched,
) -> impl FnMut(&Changed) -> AuditEntry + Send + 'static {
    let (scribe, decision, subject) =
        (broker.scribe.clone(), decision.clone(), format!("operator/{operator}"));
    let (operator, touched) = (operator.clone(), *touched);
    move |changed: &Changed| {
        let entry = |entry: &crate::store::ChangedEntry| json!({ "what": entry.target.to_string(), "before": dated(entry.before), "was": dated(entry.was) });
        // What died with others is counted, and named as far as an entry of the log has room.
        let entries: Vec<_> = changed.entries.iter().take(MOST_NAMED).map(entry).collect();
        let unnamed = changed.entries.len() - entries.len();
        let data = json!({
            "outcome": "done", "operator": operator, "reason": reason, "revocation_seq": changed.seq,
            "entries": entries, "unnamed": unnamed, "touched": touched, "stage": "record", "error_class": null,
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

fn answer(
    seq: Option<u64>,
    head: Option<u64>,
    touched: Touched,
    decision: &Decision,
    bound: Option<u64>,
) -> ChangeAnswer {
    ChangeAnswer { seq, head, touched, decision_id: decision.id.clone(), bound }
}

fn code(cause: Cause) -> String {
    serde_json::to_value(cause).ok().and_then(|code| code.as_str().map(str::to_owned)).unwrap_or_default()
}
