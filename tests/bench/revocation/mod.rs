//! The switch: from an operator's command to the last of a thousand verifiers that refuses, and what following the list
//! costs both sides.

mod files;
mod fleet;
mod idle;
mod operator;
mod paced;
mod pushed;
mod restart;

use crate::broker::Served;
use crate::figure::Figure;
use crate::{Outcome, disk, progress};
use fleet::Fleet;

/// How many verifiers follow.
const VERIFIERS: usize = 1000;
/// How many revoked tokens a large list has.
const ENTRIES: usize = 100_000;
/// Exchanges a second while revocations are measured under load.
const LOAD: u32 = 5000;

/// `rounds` is how many revocations are measured in quiet; under load a third of that.
pub fn measure(rounds: usize) -> Outcome<Vec<Figure>> {
    disk::check()?;
    let mut figures = files::measure()?;
    progress::say("revocation: idle streams");
    figures.extend(idle::measure()?);
    let mut served = Served::start()?;
    let fleet = Fleet::connect(&served, VERIFIERS)?;
    figures.extend(pushed::quiet(&served, &fleet, rounds)?);
    figures.extend(restart::measure(&mut served, &fleet)?);
    drop(fleet);
    served.stop()?;
    // The list is filled before anyone follows it: on two cores a thousand verifiers that take in every step of that
    // would be measured, and not the broker.
    let served = Served::start()?;
    pushed::fill(&served)?;
    let fleet = Fleet::connect(&served, VERIFIERS)?;
    figures.extend(pushed::laden(&served, &fleet, rounds.div_ceil(3))?);
    drop(fleet);
    served.stop()?;
    Ok(figures)
}
