//! How old the lists of verifiers were over the last day, as operators are told.

use std::collections::{BTreeMap, BTreeSet};

use shortbread_protocol::admin::{AgesAnswer, AgesOfBody};
use shortbread_protocol::names::{ToolName, VerifierName};

use crate::broker::Broker;
use crate::instances::{AGES_EVERY, Now};
use crate::policy::Policy;

/// Notes how old the lists are now. What is silent or gone is not counted: nobody knows what it has.
pub(super) fn sample(broker: &Broker, now: Now) {
    let mut oldest: BTreeMap<VerifierName, u64> = BTreeMap::new();
    if let Some(policy) = broker.policy.in_force() {
        broker.instances.look(&policy, |instances, _| {
            for (instance, _) in instances {
                let away = instance.progress.gone.is_some() || instance.silence(now.monotonic).is_some();
                let Some(age) = instance.age(now.monotonic).filter(|_| !away) else { continue };
                let known = oldest.entry(instance.lease.verifier.clone()).or_default();
                *known = age.max(*known);
            }
        });
    }
    broker.ages.note(now.wall, &oldest);
}

/// How old the lists of verifiers were, minute by minute, as far back as this process knows.
#[must_use]
pub fn ages(broker: &Broker) -> AgesAnswer {
    let policy = broker.policy.in_force();
    let roster = policy.as_ref().map(|policy| broker.instances.roster(policy)).unwrap_or_default();
    let tools = roster.verifiers();
    let mut known = broker.ages.known();
    let names: BTreeSet<VerifierName> =
        tools.keys().map(|name| (*name).clone()).chain(known.of.keys().cloned()).collect();
    let body = |name: VerifierName| {
        let tools: &[&ToolName] = tools.get(&name).map_or(&[], Vec::as_slice);
        AgesOfBody {
            ages: known.of.remove(&name).unwrap_or_default(),
            tools: tools.iter().map(ToString::to_string).collect(),
            window: policy.as_ref().and_then(|policy| window(policy, tools)),
            verifier: name.to_string(),
        }
    };
    let verifiers = names.into_iter().map(body).collect();
    AgesAnswer {
        now: broker.clock.now().seconds(),
        since: known.since,
        every: AGES_EVERY,
        at: known.at,
        verifiers,
        left_off: known.left_off,
    }
}

/// The shortest window that a call of these tools keeps to.
fn window(policy: &Policy, tools: &[&ToolName]) -> Option<u64> {
    let tools = tools.iter().filter_map(|tool| policy.catalogue().tools.get(*tool));
    let windows = tools.flat_map(|tool| tool.verbs.values().flat_map(|verb| tool.windows.of(verb.access)));
    windows.min().map(u64::from)
}
