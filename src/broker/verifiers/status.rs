//! Who enforces the list already, as operators are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use shortbread_protocol::admin::{
    InstanceBody, InstanceState, StateCounts, StatusAnswer, ToolBody, VerifierBody,
};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::{ToolName, VerifierName};
use thiserror::Error;

use crate::broker::Broker;
use crate::instances::{Changes, Instance, Now};
use crate::policy::{Policy, builtin};

/// The longest that an answer waits.
pub const MAX_WAIT: Duration = Duration::from_secs(8);
/// How many instances are listed unless more are asked for.
pub const LISTED: usize = 1000;

/// How long news gather before those who wait are looked at again.
const GATHER: Duration = Duration::from_millis(10);

/// What an operator wants to know.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// About this change; the last one where none is named.
    pub seq: Option<u64>,
    /// So long the answer may wait until nobody who lives is behind; at most [`MAX_WAIT`].
    pub wait: Duration,
    /// So many instances are listed.
    pub listed: usize,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum StatusError {
    /// No change has the sequence yet.
    #[error("there is no change {0} yet; the last sequence is {1}")]
    NoChange(u64, u64),
}

/// Who enforces the list already.
///
/// # Errors
/// When it is about a change that never was.
pub async fn status(broker: &Broker, question: &Question) -> Result<StatusAnswer, StatusError> {
    let last = broker.store.seq();
    if let Some(seq) = question.seq.filter(|seq| *seq > last) {
        return Err(StatusError::NoChange(seq, last));
    }
    let change = question.seq.unwrap_or_else(|| broker.store.mirror().changed_seq());
    let mut moves = broker.instances.moves();
    let waited = async {
        while behind(broker, change) && moves.changed().await.is_ok() {
            tokio::time::sleep(GATHER).await;
        }
    };
    // Over in time or not: what holds then is the answer.
    let _ = tokio::time::timeout(question.wait.min(MAX_WAIT), waited).await;
    Ok(answer(broker, change, question.listed))
}

fn behind(broker: &Broker, change: u64) -> bool {
    let now = Now::of(&*broker.clock).monotonic;
    broker.policy.in_force().is_some_and(|policy| {
        broker.instances.look(&policy, |instances, _| {
            let mut states = instances.map(|(instance, _)| instance.state(change, now));
            states.any(|state| state == InstanceState::Behind)
        })
    })
}

fn answer(broker: &Broker, change: u64, listed: usize) -> StatusAnswer {
    let now = Now::of(&*broker.clock);
    let head = broker.publisher.current();
    let mut answer = StatusAnswer {
        now: now.wall.seconds(),
        head: head.as_ref().map_or(0, |head| head.seq),
        issued: head.as_ref().map_or(0, |head| head.issued.seconds()),
        contents: broker.store.mirror().changed_seq(),
        keys_version: broker.keyring.current().document.version,
        change,
        instances: StateCounts::default(),
        tools: Vec::new(),
        unreported: Vec::new(),
        verifiers: Vec::new(),
        listed: Vec::new(),
        left_off: 0,
    };
    let Some(policy) = broker.policy.in_force() else { return answer };
    let mut counts = Counts::of(&policy);
    // Copied, and put into words when nobody waits for it.
    let mut seen = broker.instances.look(&policy, |instances, changes| {
        let row = |(instance, tools): (&Instance, Arc<[ToolName]>)| {
            let state = instance.state(change, now.monotonic);
            counts.add(&instance.lease.verifier, &tools, state);
            Row::of(instance, state, changes)
        };
        instances.map(row).collect::<Vec<_>>()
    });
    seen.sort_by(|one, other| one.order().cmp(&other.order()));
    answer.left_off = seen.len().saturating_sub(listed) as u64;
    answer.listed = seen.into_iter().take(listed).map(|row| row.body(now)).collect();
    counts.tell(&policy, broker, &mut answer);
    answer
}

/// An instance at the moment of the answer.
struct Row {
    instance: Instance,
    state: InstanceState,
    lacks: u64,
    since: Option<Timestamp>,
}

impl Row {
    fn of(instance: &Instance, state: InstanceState, changes: &Changes) -> Self {
        let lag = (state == InstanceState::Behind).then(|| changes.lag(instance.progress.contents)).flatten();
        let since = match state {
            InstanceState::Behind => lag.map(|lag| lag.since),
            InstanceState::Silent => Some(instance.progress.seen),
            InstanceState::Gone => instance.progress.gone,
            InstanceState::Enforcing => None,
        };
        Self { instance: instance.clone(), state, lacks: lag.map_or(0, |lag| lag.changes), since }
    }

    fn order(&self) -> (InstanceState, &VerifierName, &Option<String>, &str) {
        let lease = &self.instance.lease;
        (self.state, &lease.verifier, &lease.label, &lease.instance)
    }

    fn body(self, now: Now) -> InstanceBody {
        let age = self.instance.age(now.monotonic);
        let Instance { lease, progress, report, propagation, .. } = self.instance;
        let (step, uses) = report.as_ref().map(|report| (report.step, report.uses)).unzip();
        let said = report.unwrap_or_default();
        InstanceBody {
            verifier: lease.verifier.to_string(),
            label: lease.label,
            instance: lease.instance,
            state: self.state,
            since: self.since.map(Timestamp::seconds),
            lacks: self.lacks,
            leased: lease.since.seconds(),
            seen: progress.seen.seconds(),
            seq: progress.seq,
            contents: progress.contents,
            keys_version: progress.keys_version,
            break_glass: said.break_glass,
            step,
            age,
            propagation_ms: propagation.map(|spent| u64::try_from(spent.as_millis()).unwrap_or(u64::MAX)),
            waiting: said.waiting,
            lost: said.lost,
            uses,
            observing: said.observing.iter().map(ToString::to_string).collect(),
        }
    }
}

/// How many are in which state: in all, by verifier, by tool.
struct Counts {
    all: StateCounts,
    verifiers: BTreeMap<VerifierName, StateCounts>,
    tools: BTreeMap<ToolName, StateCounts>,
}

impl Counts {
    fn of(policy: &Policy) -> Self {
        // The calls of the built-in tool are decided here.
        let tools = policy.catalogue().tools.keys().filter(|tool| !builtin::is(tool));
        let tools = tools.map(|tool| (tool.clone(), StateCounts::default())).collect();
        Self { all: StateCounts::default(), verifiers: BTreeMap::new(), tools }
    }

    fn add(&mut self, verifier: &VerifierName, tools: &[ToolName], state: InstanceState) {
        self.all.add(state);
        self.verifiers.entry(verifier.clone()).or_default().add(state);
        for tool in tools {
            if let Some(counts) = self.tools.get_mut(tool) {
                counts.add(state);
            }
        }
    }

    fn tell(self, policy: &Policy, broker: &Broker, answer: &mut StatusAnswer) {
        answer.instances = self.all;
        let roster = broker.instances.roster(policy);
        let runs = |name: &VerifierName| self.verifiers.get(name).is_some_and(|counts| counts.running() > 0);
        // Of a tool that two verifiers serve, what one says tells nothing of the other's calls.
        let mute: BTreeSet<&ToolName> = roster
            .verifiers()
            .into_iter()
            .filter(|(name, _)| !runs(name))
            .flat_map(|(_, tools)| tools)
            .collect();
        let unreported = |tool: &ToolName, counts: &StateCounts| counts.running() == 0 || mute.contains(tool);
        answer.unreported = self
            .tools
            .iter()
            .filter(|(tool, counts)| unreported(tool, counts))
            .map(|(tool, _)| tool.to_string())
            .collect();
        let observed = policy.observed(broker.clock.now());
        let tool = |(tool, instances): (&ToolName, &StateCounts)| ToolBody {
            observed_until: observed.get(tool).map(|until| until.seconds()),
            tool: tool.to_string(),
            enforced: instances.all_enforce() && !unreported(tool, instances),
            instances: *instances,
        };
        answer.tools = self.tools.iter().map(tool).collect();
        let verifiers = roster.verifiers().into_iter().map(|(name, tools)| VerifierBody {
            verifier: name.to_string(),
            tools: tools.into_iter().map(ToString::to_string).collect(),
            instances: self.verifiers.get(name).copied().unwrap_or_default(),
        });
        answer.verifiers = verifiers.collect();
    }
}
