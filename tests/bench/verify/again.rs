//! Tokens that were seen before, with lists of three sizes, beside a JWT check.

use shortbread_verifier::Verifier;

use super::MILLION;
use super::bench::{Bench, allowed, revoked, verifier};
use super::ring::Ring;
use super::sight::each;
use crate::Outcome;
use crate::figure::{Figure, Target};
use crate::peers::Jwts;
use crate::rounds::{Operation, interleaved};

const LISTS: [(u32, &str); 3] =
    [(0, "list of 0"), (10_000, "list of 10,000"), (MILLION, "list of 1,000,000")];
const MANY: usize = 1000;
const ONE: &str = "seen before, one token";
const RING: &str = "seen before, 1,000 tokens in turn";
const JWT: &str = "jsonwebtoken (EdDSA, scope, jti)";

pub fn measure(bench: &Bench) -> Outcome<Vec<Figure>> {
    let mut figures = Vec::new();
    // One list after the other: what was in the processor's caches must not depend on the others.
    for (ids, list) in LISTS {
        figures.extend(with(bench, ids, list)?);
    }
    Ok(figures)
}

fn with(bench: &Bench, ids: u32, list: &str) -> Outcome<Vec<Figure>> {
    let trust = bench.trust(ids)?;
    let (single, many): (Verifier, Verifier) = (verifier(&trust)?, verifier(&trust)?);
    let one = bench.token(None)?;
    let tokens = Ring::of((0..MANY).map(|_| bench.token(None)).collect::<Outcome<Vec<_>>>()?);
    let checker = Jwts::new(&bench.token, revoked(ids).collect())?;
    let made = (0..MANY).map(|_| Ok(Jwts::token(&bench.token, &bench.token_id()?, bench.now())));
    let jwts = Ring::of(made.collect::<Outcome<Vec<_>>>()?);
    let mut operations: [(String, Operation<'_>); 3] = [
        (JWT.to_owned(), each(&jwts, |text| checker.check(text))),
        (ONE.to_owned(), Box::new(|| allowed(&single, &one))),
        (RING.to_owned(), each(&tokens, |text| allowed(&many, text))),
    ];
    let samples = interleaved(&mut operations)?;
    let us = |what: &str| -> Outcome<Figure> {
        Ok(Figure::of(format!("{what}, {list}"), "µs", samples.of(what)?.to_vec()))
    };
    let faster = |what: &str| -> Outcome<Figure> {
        let name = format!("jsonwebtoken / {what}, {list}");
        Ok(Figure::of(name, "x", samples.ratio(JWT, what)?).target(Target::AtLeast(100.0)))
    };
    let quick = Target::AtMost(0.25);
    Ok(vec![us(JWT)?, us(ONE)?.target(quick), faster(ONE)?, us(RING)?.target(quick), faster(RING)?])
}
