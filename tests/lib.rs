//! Harness for black-box tests: a broker in process, a fake issuer, a tool service, a clock in hand.
