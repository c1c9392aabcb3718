//! The durable record: methods are whole transactions.
