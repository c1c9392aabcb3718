//! What is taken out of the budgets of grants.

use shortbread_protocol::clock::Timestamp;

use super::TokenOf;

/// What is taken out of one budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spend {
    /// Names the budget.
    pub budget: [u8; 32],
    /// The grant that has it, as people are told.
    pub grant: String,
    /// The argument whose values are summed.
    pub argument: String,
    /// How much.
    pub amount: u64,
    /// How much there is.
    pub limit: u64,
    /// For whom: a token, or an approval that is not fetched yet.
    pub by: String,
    /// When it leaves the period.
    pub ends: Timestamp,
    /// When the token, or the approval, expires.
    pub expires: Timestamp,
}

/// A token that expired unused and stands in budgets all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// Its id.
    pub token: String,
    /// The tool.
    pub tool: String,
    /// How much it took.
    pub amount: u64,
    /// Whose it was.
    pub of: TokenOf,
}
