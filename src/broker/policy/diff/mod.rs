//! What a change of policy comes to: who gains or loses what. From the compiled policies, so that comments, order and
//! other words for the same say nothing.
//!
//! A right is what its grants give of one verb to one principal for one intent. Of the conditions one is inside another
//! where their meeting point is the first itself; what is not inside for certain counts as wider. So where nothing here
//! widens, nobody gets more.

mod catalogue;
mod guards;
pub(super) mod identities;
mod rights;
mod ways;
pub(super) mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::Serialize;
use shortbread_protocol::names::{Intent, Operation, WorkflowName};

pub use self::ways::loses;
use super::Policy;
use super::model::Principal;

/// What a change comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// The digest of the older policy.
    pub old: String,
    /// The digest of the newer one.
    pub new: String,
    /// Every effect, what widens first; none where the policies mean the same.
    pub effects: Vec<Effect>,
}

/// Which way an effect goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Somebody gets more, or less stands in their way.
    Widens,
    /// Somebody gets less, or more stands in their way.
    Narrows,
    /// Neither of the two.
    Changes,
}

impl Class {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Widens => "widens",
            Self::Narrows => "narrows",
            Self::Changes => "changes",
        }
    }
}

/// One effect; what changes alike for several intents or verbs is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Effect {
    /// Which way it goes.
    pub class: Class,
    /// Whom or what it is about: `workflow:release-notes`, `operator:alice`, `tool github`, `approvers oncall`.
    pub about: String,
    /// For a right: for which intents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intents: Option<Intents>,
    /// For a right: of which verbs, as `github/issues.write`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verbs: Vec<String>,
    /// What changes, in words.
    pub text: String,
    /// All of it in a sentence.
    pub sentence: String,
    /// For a right: whose, and of what.
    #[serde(skip)]
    pub(super) right: Option<(Principal, Vec<Operation>)>,
}

/// For which intents an effect is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Intents {
    /// These.
    pub named: BTreeSet<Intent>,
    /// Where it is for all others too: other than these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_than: Option<BTreeSet<Intent>>,
}

impl Intents {
    /// Whether it is for this intent; `None` is one that no policy names.
    #[must_use]
    pub fn contains(&self, intent: Option<&Intent>) -> bool {
        let other = |intent: &Intent| self.other_than.as_ref().is_some_and(|known| !known.contains(intent));
        match intent {
            None => self.other_than.is_some(),
            Some(intent) => self.named.contains(intent) || other(intent),
        }
    }

    /// Whether it is for every intent there may be.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.other_than.as_ref().is_some_and(|known| known.is_subset(&self.named))
    }
}

impl Effect {
    fn new(class: Class, about: impl Into<String>, text: impl Into<String>) -> Self {
        let (about, text) = (about.into(), text.into());
        let sentence = format!("{about}: {text}");
        Self { class, about, intents: None, verbs: Vec::new(), text, sentence, right: None }
    }

    /// For a right: whose, and of what.
    #[must_use]
    pub fn right(&self) -> Option<(&Principal, &[Operation])> {
        self.right.as_ref().map(|(principal, operations)| (principal, operations.as_slice()))
    }
}

impl Diff {
    /// Whether anything widens.
    #[must_use]
    pub fn widens(&self) -> bool {
        self.effects.iter().any(|effect| effect.class == Class::Widens)
    }

    /// Whether anything narrows.
    #[must_use]
    pub fn narrows(&self) -> bool {
        self.effects.iter().any(|effect| effect.class == Class::Narrows)
    }
}

/// The entries of an earlier policy that recognise a credential which this one does not, or take it for somebody else as well:
/// of everyone, or of these workflows. False alarms are possible, the reverse is not.
#[must_use]
pub fn readmitted(now: &Policy, earlier: &Policy, workflows: Option<&BTreeSet<WorkflowName>>) -> Vec<String> {
    identities::readmitted(now, earlier, |principal| {
        workflows.is_none_or(|some| matches!(principal, Principal::Workflow(name) if some.contains(name)))
    })
}

/// Compares two policies.
#[must_use]
pub fn diff(old: &Policy, new: &Policy) -> Diff {
    let mut effects = rights::effects(old, new);
    effects.extend(identities::effects(old, new));
    effects.extend(catalogue::effects(old, new));
    effects.extend(guards::effects(old, new));
    effects.sort();
    effects.dedup();
    Diff { old: old.digest().to_owned(), new: new.digest().to_owned(), effects }
}
