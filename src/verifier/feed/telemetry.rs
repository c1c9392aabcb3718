//! The figures that a verifier gives about its list. Names are stable.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use shortbread_protocol::verifiers::Step;

use super::breaker::BreakerState;
use crate::list::Age;

const STEP: &str = "shortbread_verifier_step";
const STEP_CHANGES: &str = "shortbread_verifier_step_changes_total";
const AGE: &str = "shortbread_verifier_list_age_seconds";
const SEQ: &str = "shortbread_verifier_list_seq";
const PROPAGATION: &str = "shortbread_verifier_propagation_seconds";
const REFUSED: &str = "shortbread_verifier_heads_refused_total";
const SOURCE: &str = "shortbread_verifier_source_state";
const BREAKER_CHANGES: &str = "shortbread_verifier_source_changes_total";

pub(super) fn describe() {
    describe_gauge!(
        STEP,
        "1 for the step of the fallback ladder on which the verifier stands, 0 for the others."
    );
    describe_counter!(STEP_CHANGES, "How often the verifier went from one step to another.");
    describe_gauge!(
        AGE,
        Unit::Seconds,
        "The age of the revocation list; infinite where it has none or cannot know."
    );
    describe_gauge!(SEQ, "The sequence of the head in force; 0 for none.");
    describe_histogram!(
        PROPAGATION,
        Unit::Seconds,
        "From the second in which a change was signed until it is in force."
    );
    describe_counter!(REFUSED, "Heads and break-glass heads that were refused, by reason.");
    describe_gauge!(SOURCE, "1 for the state of a source's circuit breaker, 0 for the others.");
    describe_counter!(BREAKER_CHANGES, "How often a source's circuit breaker changed its state.");
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(super) fn list(age: Age, seq: u64) {
    let age = if let Age::Seconds(age) = age { age as f64 } else { f64::INFINITY };
    gauge!(AGE).set(age);
    gauge!(SEQ).set(seq as f64);
}

pub(super) fn step(now: Step) {
    for step in Step::ALL {
        gauge!(STEP, "step" => step.as_str()).set(f64::from(u8::from(step == now)));
    }
}

pub(super) fn step_changed(from: Step, to: Step) {
    counter!(STEP_CHANGES, "from" => from.as_str(), "to" => to.as_str()).increment(1);
}

pub(super) fn propagated(took: Duration) {
    histogram!(PROPAGATION).record(took.as_secs_f64());
}

pub(super) fn head_refused(reason: &'static str) {
    counter!(REFUSED, "reason" => reason).increment(1);
}

pub(super) fn source(name: &str, now: BreakerState) {
    for state in BreakerState::ALL {
        let value = f64::from(u8::from(state == now));
        gauge!(SOURCE, "source" => name.to_owned(), "state" => state.as_str()).set(value);
    }
}

pub(super) fn breaker_changed(name: &str, to: BreakerState) {
    counter!(BREAKER_CHANGES, "source" => name.to_owned(), "to" => to.as_str()).increment(1);
}
