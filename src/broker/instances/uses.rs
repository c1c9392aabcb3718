//! Where the uses of tokens that are good once are kept.

use std::collections::BTreeMap;
use std::time::Duration;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::ToolName;
use shortbread_protocol::verifiers::Uses;

use super::{Instance, Instances};
use crate::policy::Policy;

/// How long an instance that stopped may have let a call run whose token is still asked about: a token lives an hour, and
/// its use is asked for within another one.
const LATELY: Duration = Duration::from_secs(2 * 3600 + 300);

impl Instances {
    /// The tools of which an instance runs, and every one that runs, or did lately, has each use claimed at the broker.
    #[must_use]
    pub fn claiming(&self, policy: &Policy, now: Timestamp) -> Vec<ToolName> {
        self.look(policy, |instances, _| {
            let mut claiming: BTreeMap<ToolName, (bool, bool)> = BTreeMap::new();
            for (instance, tools) in instances {
                let gone = instance.progress.gone;
                if gone.is_some_and(|gone| now.since(gone) > LATELY) {
                    continue;
                }
                for tool in tools.iter() {
                    let (runs, claim) = claiming.entry(tool.clone()).or_insert((false, true));
                    *runs |= gone.is_none();
                    *claim &= claims(instance, tool);
                }
            }
            let all = claiming.into_iter().filter(|(_, (runs, claim))| *runs && *claim);
            all.map(|(tool, _)| tool).collect()
        })
    }
}

// What is only observed lets calls run whose use nobody got.
fn claims(instance: &Instance, tool: &ToolName) -> bool {
    let said = instance.report.as_ref();
    said.is_some_and(|report| report.uses == Uses::Broker && !report.observing.contains(tool))
}
