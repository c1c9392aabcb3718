//! The methods of the store: each a whole transaction, or a read. They only choose the backend.

mod approvals;
mod budgets;
mod decisions;
mod instances;
mod keys;
mod log;
mod notices;
mod one_shots;
mod policies;
mod switch;
mod tree;
