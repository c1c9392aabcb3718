//! What a request that waits takes out of budgets, once it is approved.

use shortbread_protocol::clock::Timestamp;

use super::Wait;
use crate::policy::{Charge, Granted};
use crate::store::Spend;

/// A charge as it is recorded, for a token or an approval.
#[must_use]
pub fn spend(charge: &Charge, amount: u64, by: &str, expires: Timestamp, ends: Timestamp) -> Spend {
    Spend {
        budget: charge.budget,
        grant: charge.grant.clone(),
        argument: charge.argument.to_string(),
        amount,
        limit: charge.limit,
        by: by.to_owned(),
        ends,
        expires,
    }
}

impl Wait {
    /// What it takes of what is granted: of exact calls as much as each says.
    ///
    /// # Errors
    /// When one does not say how much it is, in words for whoever asks.
    pub fn charges(&self, granted: &Granted) -> Result<Vec<Charge>, String> {
        if self.shown.calls.is_empty() {
            return Ok(granted.charges.clone());
        }
        let calls = self.shown.calls.iter().map(|call| granted.charges_of(&call.operation, &call.args));
        Ok(calls.collect::<Result<Vec<_>, _>>()?.concat())
    }
}
