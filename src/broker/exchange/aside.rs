//! The way in for operators when the front is crowded: an address that used up its budget, or no place left in flight.
//! Without it whoever floods the exchange keeps the switch from being pressed.

use super::flow::Asked;
use super::form::Form;
use super::request;
use crate::broker::Broker;

/// The largest form that is looked at: an operator's is far smaller, and strangers get no more read for nothing.
const MAX_FORM: usize = 8 * 1024;

/// Whether a registered key of an operator signed this request's assertion. What it costs is bounded before the
/// signature is checked, for all together; what an operator gets of it, after, for each alone.
pub(crate) fn is_operators(broker: &Broker, sent: &Asked<'_>) -> bool {
    if sent.body.len() > MAX_FORM || !matches!(sent.dpop, Ok(Some(_))) {
        return false;
    }
    let Some(policy) = broker.policy.in_force().or_else(|| broker.policy.switch_only()) else {
        return false;
    };
    let Ok(request) = Form::read(sent.body).and_then(|form| request::read(&form)) else { return false };
    let may = || broker.limits.check_of_operator().is_ok();
    let operator = broker.identities.operator(&request.assertion, policy.identities(), may);
    operator.is_some_and(|operator| broker.limits.operator(operator.as_str()).is_ok())
}
