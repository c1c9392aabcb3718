//! What a workflow did: which verbs it used, what was let pass, and which arguments it asked for.

use std::collections::{BTreeMap, BTreeSet};

use shortbread_broker::cases::{Case, Outcome};
use shortbread_protocol::admin::FiguresAnswer;
use shortbread_protocol::constraint::{Arguments, Constraint, Scalar};
use shortbread_protocol::names::{ArgName, Intent, Operation, WorkflowName};

/// What is known of one verb under one intent.
#[derive(Debug, Default)]
pub(super) struct Use {
    /// Calls that were allowed because it was granted.
    pub(super) used: u64,
    /// Calls that were let pass in observe mode.
    pub(super) observed: u64,
}

/// What a workflow did.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    uses: BTreeMap<(String, Operation), Use>,
    reported: BTreeSet<String>,
    // For each verb that was granted, what one request after the other asked for.
    asked: BTreeMap<(String, Operation), Vec<Option<Arguments>>>,
}

impl Evidence {
    /// From a report of rights and recorded requests.
    pub(super) fn of(report: &FiguresAnswer, cases: &[Case], workflow: &WorkflowName) -> Self {
        let mut evidence = Self::default();
        for right in &report.rights {
            let Ok(verb) = right.verb.parse::<Operation>() else { continue };
            if right.reported {
                evidence.reported.insert(verb.tool.to_string());
            }
            if right.workflow == workflow.as_str() {
                let one = evidence.uses.entry((right.intent.clone(), verb)).or_default();
                one.used += right.used;
                one.observed += right.observed.values().sum::<u64>();
            }
        }
        let principal = format!("workflow:{workflow}");
        let granted = |case: &&Case| {
            let allowed = case.recorded.as_ref().is_some_and(|recorded| recorded.outcome == Outcome::Allow);
            allowed && case.input.identity.principal == principal
        };
        for case in cases.iter().filter(granted) {
            let intent = case.input.intent.as_ref().map_or_else(undeclared, ToString::to_string);
            for wanted in &case.input.request {
                let key = (intent.clone(), wanted.verb.clone());
                evidence.asked.entry(key).or_default().push(wanted.constraints.clone());
            }
        }
        evidence
    }

    /// Whether anyone reports calls of the tool.
    pub(super) fn is_reported(&self, tool: &str) -> bool {
        self.reported.contains(tool)
    }

    /// What was done with a verb under the intents that pass.
    pub(super) fn of_verb(&self, verb: &Operation, passes: impl Fn(&str) -> bool) -> Use {
        let mut sum = Use::default();
        for ((intent, known), one) in &self.uses {
            if known == verb && passes(intent) {
                sum.used += one.used;
                sum.observed += one.observed;
            }
        }
        sum
    }

    /// Every verb, with the intents it was used or let pass under.
    pub(super) fn verbs(&self) -> BTreeMap<&Operation, BTreeSet<&str>> {
        let mut verbs: BTreeMap<&Operation, BTreeSet<&str>> = BTreeMap::new();
        for ((intent, verb), one) in &self.uses {
            if one.used + one.observed > 0 {
                verbs.entry(verb).or_default().insert(intent);
            }
        }
        verbs
    }

    /// The values that every request of a verb asked for one argument to have, and how many requests these were; `None`
    /// where one left it open or asked in another way.
    pub(super) fn values(
        &self,
        verb: &Operation,
        arg: &ArgName,
        passes: impl Fn(&str) -> bool,
    ) -> Option<(BTreeSet<Scalar>, usize)> {
        let (mut values, mut requests) = (BTreeSet::new(), 0);
        for ((_, _), asked) in
            self.asked.iter().filter(|((intent, known), _)| known == verb && passes(intent))
        {
            for one in asked {
                values.extend(finite(one.as_ref()?.get(arg)?)?);
                requests += 1;
            }
        }
        (requests > 0).then_some((values, requests))
    }
}

/// What an intent that nobody declared is called.
pub(super) fn undeclared() -> String {
    Intent::undeclared().to_string()
}

fn finite(constraint: &Constraint) -> Option<BTreeSet<Scalar>> {
    match (&constraint.eq, &constraint.one_of) {
        (Some(value), None) => Some(BTreeSet::from([value.clone()])),
        (None, Some(values)) => Some(values.clone()),
        _ => None,
    }
}
