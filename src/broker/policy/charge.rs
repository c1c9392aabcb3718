//! What a token takes out of the budget of a grant: the most that it may be used for, or what an exact call says.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use shortbread_protocol::constraint::{Constraint, Scalar};
use shortbread_protocol::names::{ArgName, Operation, ToolName, VerbName};
use shortbread_protocol::normalise::{Form, Forms};

use super::decide::Granted;
use super::model::{Budget, Grant};
use crate::delimited::delimited;

/// What is taken out of one budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Names the budget: equal for grants of one principal, tool, set of verbs and argument.
    pub budget: [u8; 32],
    /// The grant that has it, such as `grant:3`; of several with one budget the first.
    pub grant: String,
    /// The tool.
    pub tool: ToolName,
    /// The argument whose values are summed.
    pub argument: ArgName,
    /// The verbs that are granted under it, and the most that each may be called with; never empty.
    pub verbs: BTreeMap<VerbName, u64>,
    /// How much there is.
    pub limit: u64,
    /// In how long.
    pub per: Duration,
}

impl Charge {
    /// Of a grant with a budget, for verbs of it.
    pub(super) fn new(grant: &Grant, budget: &Budget, verbs: BTreeMap<VerbName, u64>) -> Self {
        Self {
            budget: key(grant, budget),
            grant: grant.id.clone(),
            tool: grant.tool.clone(),
            argument: budget.argument.clone(),
            verbs,
            limit: budget.limit,
            per: budget.per,
        }
    }

    /// The amount: a token under a budget has one use, so it is that of the verb that may take most.
    #[must_use]
    pub fn amount(&self) -> u64 {
        self.verbs.values().copied().max().unwrap_or_default()
    }

    /// Whether it is for this verb.
    #[must_use]
    pub fn concerns(&self, operation: &Operation) -> bool {
        self.tool == operation.tool && self.verbs.contains_key(&operation.verb)
    }

    /// The same for those verbs alone that are left; `None` where none is.
    #[must_use]
    pub fn left(&self, is_left: impl Fn(&Operation) -> bool) -> Option<Self> {
        let mut charge = self.clone();
        charge.verbs.retain(|verb, _| is_left(&Operation { tool: self.tool.clone(), verb: verb.clone() }));
        (!charge.verbs.is_empty()).then_some(charge)
    }

    /// The same for one call, which says how much it is.
    ///
    /// # Errors
    /// When it does not, in words for whoever asks.
    pub fn of_call(
        &self,
        operation: &Operation,
        args: &Map<String, Value>,
        forms: &Forms,
    ) -> Result<Self, String> {
        let argument = &self.argument;
        let amount =
            args.get(argument.as_str()).and_then(|value| number(value, forms.get(argument).copied()));
        let amount = amount.and_then(|amount| u64::try_from(amount).ok()).ok_or_else(|| {
            format!(
                "{operation} is under a budget of {argument}: give {argument} as an integer of at least 0"
            )
        })?;
        Ok(Self { verbs: BTreeMap::from([(operation.verb.clone(), amount)]), ..self.clone() })
    }

    /// Grants that share a budget charge it once: by what may take more, within the scarcer of the two.
    pub(super) fn join(&mut self, other: Self) {
        for (verb, amount) in other.verbs {
            let most = self.verbs.entry(verb).or_insert(amount);
            *most = amount.max(*most);
        }
        self.limit = self.limit.min(other.limit);
        self.per = self.per.max(other.per);
    }
}

impl Granted {
    /// What one call of what is granted takes out of budgets.
    ///
    /// # Errors
    /// When the call does not say how much it is, in words for whoever asks.
    pub fn charges_of(
        &self,
        operation: &Operation,
        args: &Map<String, Value>,
    ) -> Result<Vec<Charge>, String> {
        let none = Forms::new();
        let right = self.rights.iter().find(|right| right.operation == *operation);
        let forms = right.map_or(&none, |right| &right.forms);
        let concerned = self.charges.iter().filter(|charge| charge.concerns(operation));
        concerned.map(|charge| charge.of_call(operation, args, forms)).collect()
    }

    /// Takes out the charges of verbs that are not granted any more.
    pub fn settle(&mut self) {
        let rights = &self.rights;
        let granted = |operation: &Operation| rights.iter().any(|right| right.operation == *operation);
        self.charges = self.charges.iter().filter_map(|charge| charge.left(granted)).collect();
    }
}

/// What charges of several tokens come to, budget by budget.
#[must_use]
pub fn totals<'c>(charges: impl IntoIterator<Item = &'c Charge>) -> Vec<(&'c Charge, u64)> {
    let mut totals: Vec<(&Charge, u64)> = Vec::new();
    for charge in charges {
        match totals.iter_mut().find(|(known, _)| known.budget == charge.budget) {
            Some((_, total)) => *total = total.saturating_add(charge.amount()),
            None => totals.push((charge, charge.amount())),
        }
    }
    totals
}

/// What the log says of charges.
#[must_use]
pub fn told(totals: &[(&Charge, u64)]) -> Vec<Value> {
    let each = totals.iter().map(|(charge, amount)| {
        json!({
            "grant": charge.grant, "argument": charge.argument, "amount": amount, "limit": charge.limit,
            "per_seconds": charge.per.as_secs(),
        })
    });
    each.collect()
}

fn key(grant: &Grant, budget: &Budget) -> [u8; 32] {
    let principal = grant.principal.to_string();
    let named = [principal.as_str(), grant.tool.as_str()];
    let verbs = grant.verbs.keys().map(|verb| verb.as_str());
    let texts = named.into_iter().chain(verbs).chain([budget.argument.as_str()]);
    delimited(Sha256::new(), texts).finalize().into()
}

fn number(value: &Value, form: Option<Form>) -> Option<i64> {
    match (form, value) {
        (Some(Form::Integer), Value::String(text)) => {
            match Form::Integer.value(&Scalar::Text(text.clone())) {
                Ok(Scalar::Int(number)) => Some(number),
                _ => None,
            }
        }
        (_, value) => value.as_i64(),
    }
}

/// The largest integer that a constraint lets pass, no less than 0; `None` where it has no bound.
pub(super) fn most(constraint: &Constraint) -> Option<u64> {
    let number = |value: &Scalar| match value {
        Scalar::Int(number) => Some(*number),
        Scalar::Text(_) | Scalar::Bool(_) => None,
    };
    let most = match (&constraint.eq, &constraint.one_of) {
        (Some(value), _) => number(value)?,
        (None, Some(values)) => values.iter().map(number).collect::<Option<Vec<_>>>()?.into_iter().max()?,
        (None, None) => constraint.max?,
    };
    Some(u64::try_from(most).unwrap_or_default())
}
