//! The slowest decision that hostile bytes can ask for.

use super::bench::Bench;
use super::{AUDIENCE, CALLED, ISSUER, TOOL};
use crate::Outcome;
use crate::figure::{Figure, Target};
use crate::hostile::{Scene, Slowest, slowest};

const MOST: Target = Target::AtMost(1000.0);

pub fn measure(bench: &Bench) -> Outcome<Vec<Figure>> {
    let scene = Scene {
        trust: &bench.trust(0)?,
        key: &bench.token,
        key_name: "token",
        issuer: ISSUER,
        audience: AUDIENCE,
        tool: TOOL,
        verb: CALLED,
        now: bench.now(),
    };
    let (first, again) = slowest(&scene)?;
    let figure = |when: &str, slowest: Slowest| {
        let name = format!("slowest decision over hostile bytes, {when} ({})", slowest.input);
        Figure::of(name, "µs", slowest.us).target(MOST)
    };
    Ok(vec![figure("first sight", first), figure("seen before", again)])
}
