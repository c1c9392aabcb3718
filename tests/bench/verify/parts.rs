//! What a check at first sight does beside its signatures, piece by piece.

use shortbread_verifier::chain;
use shortbread_verifier::list::RevocationSet;
use shortbread_verifier::scope::Demand;

use super::bench::Bench;
use super::{AUDIENCE, CALLED, MILLION, TOOL};
use crate::Outcome;
use crate::figure::Figure;
use crate::rounds::{Operation, interleaved};

const COMPILE: &str = "part: profile check and compilation";
const LOOK_UP: &str = "part: revocation lookups, list of 1,000,000";
const EVALUATE: &str = "part: evaluation";

pub fn measure(bench: &Bench) -> Outcome<Vec<Figure>> {
    let bytes = chain::decode(&bench.token(None)?)?;
    let scope = chain::peek(&bytes)?;
    let list = RevocationSet::new(bench.snapshot(MILLION), 0);
    let demand = Demand {
        now: bench.now(),
        audience: AUDIENCE,
        tool: TOOL,
        verb: CALLED,
        args: None,
        holder: None,
        unused: None,
        revocation_age: Some(1),
        args_sha256: None,
    };
    let mut operations: [(String, Operation<'_>); 3] = [
        (COMPILE.to_owned(), Box::new(|| chain::peek(&bytes).map_or(0, |scope| scope.weight()))),
        (LOOK_UP.to_owned(), Box::new(|| usize::from(scope.standing(&list, TOOL, CALLED).is_ok()))),
        (EVALUATE.to_owned(), Box::new(|| usize::from(scope.evaluate(&demand).is_ok()))),
    ];
    let samples = interleaved(&mut operations)?;
    let us = |name| Ok(Figure::of(name, "µs", samples.of(name)?.to_vec()));
    [COMPILE, LOOK_UP, EVALUATE].into_iter().map(us).collect()
}
