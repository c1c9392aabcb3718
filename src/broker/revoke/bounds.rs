//! Until when a verifier that hears nothing may still allow what is revoked.

use std::collections::BTreeMap;
use std::time::Duration;

use shortbread_protocol::access::Access;
use shortbread_protocol::admin::Bounds;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::ToolName;
use shortbread_protocol::revocations::{Selector, SelectorKind};

use super::touched::in_time;
use crate::broker::Broker;
use crate::policy::MAX_TTL;
use crate::policy::builtin;
use crate::policy::model::Windows;
use crate::store::Target;

/// How old the list may be for calls that only read, in seconds: the verifiers' own window, which stands in no token.
const READ: u64 = 900;

/// What clocks differ by, and how long an exchange that is under way may take.
const SLACK: Duration = Duration::from_secs(120);

/// The bounds of a change that was stored by `stored`. Living tokens bear the windows of the policies that were in force
/// when they were made; where these cannot be read, the longest there are.
pub(super) async fn of(broker: &Broker, targets: &[Target], stored: Timestamp) -> Bounds {
    let since = stored.minus(MAX_TTL + SLACK);
    let borne = in_time(broker.policy.windows_borne(since)).await.unwrap_or_default();
    // A part of a second counts whole: the bound is never early.
    let base = stored.millis().div_ceil(1000);
    let mut bounds = Bounds::default();
    for target in targets {
        let reach = Reach::of(target);
        let windows = reach.windows(&borne);
        let later = |known: Option<u64>, window: u64| known.max(Some(base.saturating_add(window)));
        if reach.covers(Access::Read) {
            bounds.read = later(bounds.read, READ);
        }
        if reach.covers(Access::Write) {
            bounds.write = later(bounds.write, windows.write.into());
        }
        if reach.covers(Access::Privileged) {
            bounds.privileged = later(bounds.privileged, windows.privileged.into());
        }
    }
    bounds
}

/// Which calls a selector can stop.
struct Reach {
    tool: Option<ToolName>,
    access: Option<Access>,
}

impl Reach {
    fn of(target: &Target) -> Self {
        let any = Self { tool: None, access: None };
        let Target::Selector(selector) = target else { return any };
        match selector.kind() {
            SelectorKind::Tool => Self { tool: selector.value().parse().ok(), ..any },
            // A verb's access may have been another one when tokens of it were made.
            SelectorKind::Verb => Self { tool: tool_of(selector), ..any },
            SelectorKind::Access => {
                let access = selector.value().rsplit('/').next().and_then(|access| access.parse().ok());
                Self { tool: tool_of(selector), access }
            }
            _ => any,
        }
    }

    fn covers(&self, access: Access) -> bool {
        self.access.is_none_or(|revoked| revoked.covers(access))
    }

    fn windows(&self, borne: &BTreeMap<ToolName, Windows>) -> Windows {
        if let Some(tool) = &self.tool {
            return borne.get(tool).copied().unwrap_or_default();
        }
        let tools = borne.iter().filter(|(tool, _)| !builtin::is(tool));
        tools.map(|(_, windows)| *windows).reduce(Windows::longer).unwrap_or_default()
    }
}

fn tool_of(selector: &Selector) -> Option<ToolName> {
    selector.value().split_once('/').and_then(|(tool, _)| tool.parse().ok())
}
