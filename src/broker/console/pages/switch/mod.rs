//! The switch: what is revoked, the way to revoke and to lift, and who enforces it already.

pub(in crate::console) mod change;
pub(in crate::console) mod lift;
pub(in crate::console) mod list;
pub(in crate::console) mod revoke;

use axum::http::StatusCode;
use serde::Deserialize;
use shortbread_protocol::admin::{InstanceState, SelectorBody, StateCounts, StatusAnswer};
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::{Selector, SelectorKind};

use crate::console::show::When;
use crate::console::trouble::Trouble;
use crate::revoke::RevokeError;
use crate::text::escape;

/// The word for everything, as a kind.
const ALL: &str = "all";
/// What is typed to confirm that everything is meant.
const EVERYTHING: &str = "everything";

/// What is to be revoked or lifted.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
pub(in crate::console) struct Named {
    /// A kind of selector, or `all`.
    #[serde(default)]
    kind: String,
    /// What of it; nothing for `all`.
    #[serde(default)]
    value: String,
}

/// The same, checked.
#[derive(Clone, Debug)]
struct What {
    selectors: Vec<SelectorBody>,
    all: bool,
    /// In words, such as `workflow release-notes`.
    words: String,
    /// What is typed to confirm it.
    name: String,
}

impl Named {
    /// # Errors
    /// What is wrong with it, for the field.
    fn check(&self) -> Result<What, String> {
        if self.kind == ALL {
            let (words, name) = (EVERYTHING.to_owned(), EVERYTHING.to_owned());
            return Ok(What { selectors: Vec::new(), all: true, words, name });
        }
        let kind = SelectorKind::ALL.into_iter().find(|kind| kind.as_str() == self.kind);
        let kind = kind.ok_or_else(|| "choose what to revoke by".to_owned())?;
        let value = self.value.trim();
        let selector = Selector::new(kind, value).map_err(|error| error.to_string())?;
        let value = selector.value().to_owned();
        let words = format!("{kind} {}", escape(&value));
        Ok(What {
            selectors: vec![SelectorBody { kind, value: value.clone() }],
            all: false,
            words,
            name: value,
        })
    }
}

/// How far a change got: who enforces it.
struct Reached {
    enforcing: u64,
    running: u64,
    behind: u64,
    silent: u64,
    /// Nobody who lives is behind or silent.
    done: bool,
    unreported: String,
    waits: Vec<Waits>,
}

/// An instance that does not enforce a change yet, as far as is known.
struct Waits {
    verifier: String,
    label: String,
    state: &'static str,
    seen: When,
    step: String,
}

/// How many of them are named.
const WAITING: usize = 50;

impl Reached {
    fn of(status: &StatusAnswer) -> Self {
        let StateCounts { enforcing, behind, silent, .. } = status.instances;
        let lacks = |state: InstanceState| matches!(state, InstanceState::Behind | InstanceState::Silent);
        let waits = status.listed.iter().filter(|one| lacks(one.state)).take(WAITING).map(|one| Waits {
            verifier: one.verifier.clone(),
            label: escape(one.label.as_deref().unwrap_or(&one.instance)).into_owned(),
            state: one.state.as_str(),
            seen: When::new(one.seen, status.now),
            step: one.step.map(|step| step.as_str().to_owned()).unwrap_or_default(),
        });
        Self {
            enforcing,
            running: status.instances.running(),
            behind,
            silent,
            done: status.instances.all_enforce(),
            unreported: status.unreported.join(", "),
            waits: waits.collect(),
        }
    }
}

impl From<RevokeError> for Trouble {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::Malformed(detail) => Trouble::malformed(detail),
            RevokeError::Conflict(detail) => Self::new(StatusCode::CONFLICT, Reason::Conflict, detail),
            RevokeError::Store(error) => error.into(),
            RevokeError::Publish(error) => {
                tracing::error!(error = %error, "a change is stored but its head is not published yet");
                let detail =
                    "the change is stored, but no head could be published yet; the broker keeps trying";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, Reason::StoreUnavailable, detail)
                    .next("/console/switch", "Look at the switch")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_checked() {
        let named =
            |kind: &str, value: &str| Named { kind: kind.to_owned(), value: value.to_owned() }.check();
        let all = named("all", "whatever").unwrap();
        assert!(all.all && all.selectors.is_empty() && all.name == "everything");
        let one = named("access", " payments/write ").unwrap();
        assert_eq!((one.words.as_str(), one.name.as_str()), ("access payments/write", "payments/write"));
        for (kind, value) in
            [("", "x"), ("nonsense", "x"), ("workflow", ""), ("verb", "no slash"), ("access", "all")]
        {
            assert!(named(kind, value).is_err(), "{kind} {value}");
        }
    }
}
