//! How the broker and what hangs on it stands: in memory but for two short reads, so that it answers when the store does not.

mod findings;

use std::time::Duration;

use shortbread_protocol::admin::{
    BreakerBody, HeadHealthBody, HealthAnswer, HealthState, InstanceState, IssuerBody, KeyBody,
    KeyHealthBody, LogHealthBody, PolicyHealthBody, StatusAnswer, StoreHealthBody, WebhookBody,
};
use shortbread_protocol::clock::Timestamp;

use self::findings::{Facts, Stop};
use crate::breaker::Shown;
use crate::broker::Broker;
use crate::identity::IssuerStanding;
use crate::log::Progress;
use crate::publish::PERIOD;
use crate::rollout;
use crate::rotation;
use crate::store::{DROPPED_NOTICES, StoreError};
use crate::verifiers::{LISTED, Question, status};

/// How long a read of the store may hold up the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many heads in a row may be missing before the list counts as late.
const MISSED: u32 = 3;

/// For how long an instance may be behind before that is worth a word, in seconds.
const BEHIND: u64 = 60;

/// What the broker needs to issue tokens.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Whether the store takes records.
    pub store: Result<(), StoreError>,
    /// Whether a policy is in force.
    pub policy: bool,
    /// Whether the newest revocation head is not overdue.
    pub head: bool,
    /// Whether a key signs tokens.
    pub key: bool,
}

impl Ready {
    /// Whether all of it is there.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.store.is_ok() && self.policy && self.head && self.key
    }
}

/// Whether the broker can issue tokens. Reads nothing but memory.
#[must_use]
pub fn ready(broker: &Broker) -> Ready {
    let now = broker.clock.now();
    Ready {
        store: broker.store.healthy(),
        policy: broker.policy.in_force().is_some(),
        head: broker.publisher.current().is_some_and(|head| now.since(head.issued) < PERIOD * MISSED),
        key: broker.keyring.token(&broker.store.mirror()).is_some(),
    }
}

/// Everything. What the store does not say in time is left out.
pub async fn look(broker: &Broker) -> HealthAnswer {
    let now = broker.clock.now();
    let ready = ready(broker);
    let (status, issuers, log) =
        (enforced(broker).await, broker.identities.standings(), broker.log.progress());
    let keys = rotation::describe(broker);
    let mut answer = HealthAnswer {
        now: now.seconds(),
        state: HealthState::Good,
        findings: Vec::new(),
        store: store(&ready),
        policy: policy(broker).await,
        head: head(broker, &ready, now),
        log: self::log(broker, &log),
        keys_version: keys.version,
        keys: keys.keys.into_iter().map(|key| aged(key, now.seconds())).collect(),
        breakers: broker.breakers.shown().into_iter().map(breaker).collect(),
        issuers: issuers.iter().map(issuer).collect(),
        webhook: webhook(broker, now).await,
        verifiers: status.instances,
        unreported: status.unreported.clone(),
    };
    let observed = status.tools.iter().filter_map(|tool| Some((tool.tool.clone(), tool.observed_until?)));
    let facts = Facts {
        unsigned: log.failing.map(|error| error.to_string()),
        observed: observed.collect(),
        behind: behind(&status),
        issuers,
        stop: Stop::of(&broker.store.mirror(), now.seconds()),
        unsound: broker.policy.switch_only().is_some(),
    };
    answer.findings = findings::all(&answer, &facts);
    answer.state = answer.findings.iter().map(|finding| finding.state).max().unwrap_or_default();
    answer
}

async fn enforced(broker: &Broker) -> StatusAnswer {
    let question = Question { seq: None, wait: Duration::ZERO, listed: LISTED };
    // A change that never was is not asked about.
    status(broker, &question).await.unwrap_or_default()
}

fn behind(status: &StatusAnswer) -> u64 {
    let long = |since: Option<u64>| since.is_some_and(|since| status.now.saturating_sub(since) > BEHIND);
    let late = |state: InstanceState, since| state == InstanceState::Behind && long(since);
    status.listed.iter().filter(|body| late(body.state, body.since)).count() as u64
}

fn store(ready: &Ready) -> StoreHealthBody {
    let (state, fault) = match &ready.store {
        Ok(()) => ("healthy", None),
        Err(error @ StoreError::AtReserve { .. }) => ("at reserve", Some(error.to_string())),
        Err(error) => ("failing", Some(error.to_string())),
    };
    StoreHealthBody { state: state.to_owned(), fault }
}

async fn policy(broker: &Broker) -> PolicyHealthBody {
    let ruling = broker.policy.ruling();
    let version = ruling.as_ref().map_or(0, |ruling| ruling.version);
    let history = in_time(broker.store.policy_history()).await.unwrap_or_default();
    let last = history.last().filter(|last| last.version == version);
    PolicyHealthBody {
        version,
        digest: ruling.map(|ruling| ruling.policy.digest().to_owned()),
        since: last.map(|last| last.at.seconds()),
        by: last.map(|last| last.operator.clone()),
        trial: rollout::describe(broker).await,
    }
}

fn head(broker: &Broker, ready: &Ready, now: Timestamp) -> HeadHealthBody {
    let head = broker.publisher.current();
    HeadHealthBody {
        seq: head.as_ref().map_or(0, |head| head.seq),
        age: head.map(|head| now.since(head.issued).as_secs()),
        period: PERIOD.as_secs(),
        late: !ready.head,
    }
}

fn log(broker: &Broker, progress: &Progress) -> LogHealthBody {
    let anchor = if progress.unanchored { HealthState::Degraded } else { HealthState::Good };
    LogHealthBody {
        entries: progress.entries,
        signed: progress.signed,
        at: progress.at.map(Timestamp::seconds),
        anchor: broker.config.log.anchor_file.is_some().then_some(anchor),
    }
}

fn aged(key: KeyBody, now: u64) -> KeyHealthBody {
    let (age, left) = (now.saturating_sub(key.not_before), key.not_after.saturating_sub(now));
    KeyHealthBody { age, days_left: left / 86_400, key }
}

fn breaker(shown: Shown) -> BreakerBody {
    BreakerBody {
        kind: shown.kind.as_str().to_owned(),
        source: shown.source,
        state: shown.state.as_str().to_owned(),
        since: shown.since.map(Timestamp::seconds),
        retry_in: shown.left.map(|left| u64::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)),
    }
}

fn issuer(standing: &IssuerStanding) -> IssuerBody {
    IssuerBody {
        issuer: standing.issuer.clone(),
        keys_age: standing.age.map(|age| age.as_secs()),
        failing: standing.failing,
    }
}

async fn webhook(broker: &Broker, now: Timestamp) -> Option<WebhookBody> {
    const DAY: Duration = Duration::from_secs(86_400);
    let way = broker.notices.way()?;
    let dropped = in_time(broker.store.dropped_notices(DROPPED_NOTICES)).await.unwrap_or_default();
    Some(WebhookBody {
        host: way.host,
        waiting: way.waiting as u64,
        oldest: way.oldest.as_secs(),
        disabled: way.disabled,
        dropped: dropped.iter().filter(|notice| now.since(notice.dropped) < DAY).count() as u64,
    })
}

// A store that hangs must not keep anyone from seeing that it does.
async fn in_time<T>(reading: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
    tokio::time::timeout(PATIENCE, reading).await.ok()?.ok()
}
