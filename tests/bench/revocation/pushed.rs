//! From the confirmed answer to the last verifier that refuses, in quiet and under load.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shortbread_protocol::clock::Clock as _;

use super::fleet::Fleet;
use super::operator::{Operator, text, workflow};
use super::paced::Paced;
use super::{ENTRIES, LOAD, VERIFIERS};
use crate::broker::Served;
use crate::figure::{Figure, Target, quantile};
use crate::{Outcome, progress};

/// What one revocation came to, in milliseconds.
struct Sample {
    /// From the command to its confirmed answer.
    answer: f64,
    /// From the answer to the last verifier that holds the change; 0 when all had it before the operator.
    last: f64,
}

pub fn quiet(served: &Served, fleet: &Fleet, rounds: usize) -> Outcome<Vec<Figure>> {
    let samples = fleet.runtime.block_on(several(served, fleet, rounds, "in quiet"))?;
    let (answers, lasts) = sorted(&samples);
    let name = |what: &str| format!("revocation.last_of_{VERIFIERS} ({what}, {rounds} revocations)");
    Ok(vec![
        Figure::of("revocation.answer (command to confirmation)", "ms", answers),
        share(name("p50"), &lasts, 0.50).target(Target::AtMost(50.0)),
        share(name("p99"), &lasts, 0.99).target(Target::AtMost(250.0)),
    ])
}

pub fn laden(served: &Served, fleet: &Fleet, rounds: usize) -> Outcome<Vec<Figure>> {
    let name = |what: &str, load: &str| {
        format!("revocation.last_of_{VERIFIERS}, {ENTRIES} entries{load} ({what}, {rounds} revocations)")
    };
    let samples = fleet.runtime.block_on(several(served, fleet, rounds, "with a large list"))?;
    let (_, large) = sorted(&samples);
    progress::say("revocation: signing exchanges for the load");
    let load = Paced::start(served, LOAD, Duration::from_secs(45))?;
    let samples = fleet.runtime.block_on(several(served, fleet, rounds, "under load"));
    let rate = load.stop()?;
    let (answers, busy) = sorted(&samples?);
    let during = format!(", during {LOAD} exchanges/s");
    Ok(vec![
        share(name("p99", ""), &large, 0.99).target(Target::AtMost(500.0)),
        Figure::of(format!("revocation.answer, {ENTRIES} entries{during}"), "ms", answers),
        share(name("p50", &during), &busy, 0.50),
        share(name("p99", &during), &busy, 0.99).target(Target::AtMost(500.0)),
        Figure::of("exchanges answered meanwhile", "/s", vec![rate]),
    ])
}

async fn several(served: &Served, fleet: &Fleet, rounds: usize, how: &str) -> Outcome<Vec<Sample>> {
    let (workflow, mut operator) = (workflow(served)?, Operator::sign_in(served).await?);
    let mut samples = Vec::with_capacity(rounds);
    for number in 1..=rounds {
        progress::say(&format!("revocation {how}: {number} of {rounds}"));
        operator.renew(served).await?;
        let token = workflow.token(served.address).await?;
        let (access, id) = (text(&token, "/access_token")?, text(&token, "/shortbread/token_id")?);
        if !fleet.all(access, true) {
            return Err("a verifier refuses a fresh token".into());
        }
        samples.push(once(fleet, &mut operator, id).await?);
        if !fleet.all(access, false) {
            return Err("a verifier that holds the change allows a revoked token".into());
        }
    }
    Ok(samples)
}

async fn once(fleet: &Fleet, operator: &mut Operator, token: &str) -> Outcome<Sample> {
    let wanted = AtomicU64::new(0);
    let clock = &fleet.clock;
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| fleet.timeline(&wanted));
        let begun = clock.monotonic();
        let answered = tokio::task::block_in_place(|| {
            let done = tokio::runtime::Handle::current().block_on(operator.revoke("token", &[token]));
            done.map(|seq| (seq, clock.monotonic()))
        });
        // Whatever went wrong, the watcher must end.
        wanted.store(answered.as_ref().map_or(u64::MAX >> 1, |(seq, _)| *seq), Ordering::Release);
        let (seq, answered) = answered?;
        let seen = watching.join().map_err(|_| "the watching thread broke off")?;
        let reached = seen.iter().find(|(_, least)| *least >= seq).map(|(at, _)| *at);
        let last = reached.ok_or("not every verifier came to hold a change")?;
        let ms = |span: Duration| 1e3 * span.as_secs_f64();
        Ok(Sample { answer: ms(answered - begun), last: ms(last.saturating_sub(answered)) })
    })
}

/// Revokes tokens that nobody has, until the list is as large as it is to be.
pub fn fill(served: &Served) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut operator = Operator::sign_in(served).await?;
        let values: Vec<String> = (0..ENTRIES).map(|n| format!("tok_of_a_measurement_{n}")).collect();
        for (at, chunk) in values.chunks(100).enumerate() {
            progress::say(&format!("revocation: {} of {ENTRIES} entries", at * 100));
            operator.renew(served).await?;
            let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
            operator.revoke("token", &chunk).await?;
        }
        Ok(())
    })
}

fn sorted(samples: &[Sample]) -> (Vec<f64>, Vec<f64>) {
    let order = |of: fn(&Sample) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    (order(|sample| sample.answer), order(|sample| sample.last))
}

/// A share of the samples as a figure of its own, between the least and the greatest.
fn share(name: String, sorted: &[f64], share: f64) -> Figure {
    Figure::of(name, "ms", vec![quantile(sorted, share)]).between(sorted)
}
