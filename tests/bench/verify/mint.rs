//! Making a token, beside the signature operations it cannot do without and beside peers.

use shortbread_broker::mint::mint;
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::random::SystemRandom;
use shortbread_verifier::chain;

use super::bench::Bench;
use crate::Outcome;
use crate::figure::{Figure, Target};
use crate::peers::{Jwts, Warrants};
use crate::raw::RawMint;
use crate::rounds::{Operation, interleaved};

const RAW: &str = "mint: signatures alone (fresh key, one signature)";
const WHOLE: &str = "mint, five rights, with the profile check of the result";
const PROFILE: &str = "mint: the profile check alone";
const TENUO: &str = "tenuo: issue a warrant of five rights";
const JWT: &str = "JWT: sign claims with five scopes (our signer)";

pub fn measure(bench: &Bench) -> Outcome<Vec<Figure>> {
    let id = bench.token_id()?;
    let text = bench.token(None)?;
    let bytes = chain::decode(&text)?;
    let raw = RawMint::of(&bytes, &bench.token)?;
    let warrants = Warrants::new(&bench.token.seed(), 0)?;
    let holder = tenuo::SigningKey::generate().public_key();
    let minted =
        || mint(&bench.minting(&id, None), &bench.signer, &SystemRandom).map_or(0, |text| text.len());
    let jwt = || Jwts::token(&bench.token, &id, bench.clock.now().seconds()).len();
    let mut operations: [(String, Operation<'_>); 5] = [
        (RAW.to_owned(), Box::new(|| raw.mint())),
        (WHOLE.to_owned(), Box::new(minted)),
        (PROFILE.to_owned(), Box::new(|| chain::peek(&bytes).map_or(0, |scope| scope.weight()))),
        (TENUO.to_owned(), Box::new(|| warrants.mint(&holder))),
        (JWT.to_owned(), Box::new(jwt)),
    ];
    let samples = interleaved(&mut operations)?;
    let us = |name: &str| -> Outcome<Figure> { Ok(Figure::of(name, "µs", samples.of(name)?.to_vec())) };
    let pairs = samples.of(WHOLE)?.iter().zip(samples.of(PROFILE)?);
    let apart: Vec<f64> = pairs.map(|(whole, profile)| whole - profile).collect();
    let ratio = apart.iter().zip(samples.of(RAW)?).map(|(apart, raw)| apart / raw).collect();
    let name = "mint less its profile check, measured in the same run";
    Ok(vec![
        us(RAW)?,
        us(WHOLE)?,
        us(PROFILE)?,
        Figure::of(name, "µs", apart),
        Figure::of(format!("{name} / signatures alone"), "x", ratio).target(Target::AtMost(1.25)),
        us(TENUO)?,
        us(JWT)?,
    ])
}
