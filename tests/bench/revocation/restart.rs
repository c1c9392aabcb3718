//! A broker that is killed and started again: how long until a verifier has its new head, and whether anything is refused.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use shortbread_protocol::clock::Clock as _;
use shortbread_verifier::decision::{Checker as _, Presented};

use super::VERIFIERS;
use super::fleet::{CALL, Fleet};
use super::operator::{text, workflow};
use crate::broker::Served;
use crate::figure::{Figure, Target};
use crate::{Outcome, progress};

const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(40);

pub fn measure(served: &mut Served, fleet: &Fleet) -> Outcome<Vec<Figure>> {
    let (mut firsts, mut lasts, mut refused, mut asked) = (Vec::new(), Vec::new(), 0, 0);
    for number in 1..=ROUNDS {
        progress::say(&format!("revocation: restart {number} of {ROUNDS}"));
        let token = fleet.runtime.block_on(async { workflow(served)?.token(served.address).await })?;
        let token = text(&token, "/access_token")?.to_owned();
        let (stop, denied, calls) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        let times = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Acquire) {
                    let allowed = fleet.one().check(&Presented::bearer(&token), &CALL).is_allowed();
                    denied.fetch_add(usize::from(!allowed), Ordering::Relaxed);
                    calls.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            let times = restart(served, fleet);
            stop.store(true, Ordering::Release);
            times
        });
        let (first, last) = times?;
        firsts.push(first);
        lasts.push(last);
        refused += denied.into_inner();
        asked += calls.into_inner();
    }
    Ok(vec![
        Figure::of("restart.first (broker answers -> first verifier has its head)", "s", firsts),
        Figure::of(format!("restart.last (broker answers -> last of {VERIFIERS} has its head)"), "s", lasts)
            .target(Target::AtMost(2.0)),
        Figure::of(format!("calls refused meanwhile, of {asked}"), "", vec![refused as f64])
            .target(Target::AtMost(0.0)),
    ])
}

fn restart(served: &mut Served, fleet: &Fleet) -> Outcome<(f64, f64)> {
    served.kill()?;
    let before = fleet.trusts.iter().map(|trust| trust.state().seq()).max().unwrap_or(0);
    served.start_again()?;
    let begun = fleet.clock.monotonic();
    let mut first = None;
    loop {
        let done = fleet.trusts.iter().filter(|trust| trust.state().seq() > before).count();
        let since = fleet.clock.monotonic() - begun;
        if done > 0 && first.is_none() {
            first = Some(since.as_secs_f64());
        }
        if done == fleet.trusts.len() {
            return Ok((first.unwrap_or_default(), since.as_secs_f64()));
        }
        if since > PATIENCE {
            return Err(format!("only {done} verifiers came back within {PATIENCE:?}").into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
