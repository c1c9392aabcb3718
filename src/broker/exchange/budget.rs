//! What a token takes out of budgets. Under one it is good once, at one tool, and cannot be passed on: a token that could be
//! used again would be worth more than what it took.

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::{Operation, VerbName};
use shortbread_protocol::reason::Reason;

use super::exact::Exact;
use super::refusal::Refusal;
use crate::approval::spend;
use crate::policy::Granted;
use crate::store::{OneShot, Spend};

/// What of it is for one call: its verb alone, and as much of the budgets as it says.
///
/// # Errors
/// When the call does not say how much it is, or verbs of several tools are under budgets.
pub(super) fn of_call(granted: &Granted, call: Option<&Exact>) -> Result<Granted, Refusal> {
    let mut granted = granted.clone();
    let Some(call) = call else {
        one_tool(&granted)?;
        return Ok(granted);
    };
    let charges = granted.charges_of(&call.operation, &call.args);
    granted.charges = charges.map_err(|detail| Refusal::new(Reason::ConstraintRefused, detail))?;
    granted.rights.retain(|right| right.operation == call.operation);
    granted.dropped.clear();
    Ok(granted)
}

// The one use of a token is claimed at one tool.
fn one_tool(granted: &Granted) -> Result<(), Refusal> {
    let mut tools = granted.charges.iter().map(|charge| &charge.tool);
    let first = tools.next();
    if tools.all(|tool| Some(tool) == first) {
        return Ok(());
    }
    let detail = "the request asks for verbs of several tools that are under budgets; ask once for each tool";
    Err(Refusal::new(Reason::TargetUnknown, detail))
}

/// The verbs that it is good for once, those under a budget.
pub(super) fn once(granted: &Granted) -> Vec<Operation> {
    let verbs = granted.rights.iter().map(|right| &right.operation);
    verbs.filter(|verb| granted.charges.iter().any(|charge| charge.concerns(verb))).cloned().collect()
}

/// The same for the record of its use.
pub(super) fn one_shot(granted: &Granted, token: &str, expires: u64) -> Option<OneShot> {
    let tool = granted.charges.first()?.tool.clone();
    let verbs: Vec<VerbName> = once(granted).into_iter().map(|operation| operation.verb).collect();
    Some(OneShot { token: token.to_owned(), tool, verbs, args_sha256: None, expires })
}

/// What a token takes. The period begins when it ends: it may be used until then.
pub(super) fn spends(granted: &Granted, token: &str, expires: u64) -> Vec<Spend> {
    let expires = Timestamp::from_seconds(expires);
    let each = granted.charges.iter();
    each.map(|charge| spend(charge, charge.amount(), token, expires, expires.plus(charge.per))).collect()
}
