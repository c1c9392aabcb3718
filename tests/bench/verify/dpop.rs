//! A token that is bound to a key and was seen before, each call with a proof of its own.

use std::time::Duration;

use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::dpop::{ProofKey, Statement, token_hash};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::SystemRandom;
use shortbread_verifier::decision::{Checker as _, Presented, SentProof};

use super::bench::{Bench, CALL, allowed, verifier};
use super::{AUDIENCE, MILLION};
use crate::Outcome;
use crate::figure::{Figure, Target};
use crate::raw::RawProof;
use crate::rounds::{Operation, interleaved};

/// More than the rounds ever use: when they run out, the run fails.
const PROOFS: usize = 60_000;
const BEARER: &str = "seen before, bearer";
const RAW: &str = "one signature check of a proof";
const BOUND: &str = "seen before, with a DPoP proof (Ed25519, ath, replay memory)";

pub fn measure(bench: &Bench) -> Outcome<Vec<Figure>> {
    let secret = PrivateKey::generate(&SystemRandom)?;
    let key = ProofKey::new(secret.clone());
    let verifier = verifier(&bench.trust(MILLION)?)?;
    // Proofs from the second in which the verifier began count as used.
    std::thread::sleep(Duration::from_millis(1100));
    let (bearer, bound) = (bench.token(None)?, bench.token(Some(key.thumbprint()))?);
    let statement =
        Statement { method: "POST", url: AUDIENCE, token: Some(token_hash(&bound)), ..Statement::default() };
    let prove = |_| Ok(key.prove(&statement, bench.clock.now(), &SystemRandom)?);
    let proofs = (0..PROOFS).map(prove).collect::<Outcome<Vec<String>>>()?;
    let raw = RawProof::of(proofs.first().ok_or("there are proofs")?, &secret)?;
    let mut fresh = proofs.iter();
    let mut proved = || {
        let Some(text) = fresh.next() else { return 0 };
        let proof = Some(SentProof { text, method: "POST", url: AUDIENCE });
        usize::from(
            verifier.check(&Presented { token: Some(&bound), proof, trace: None }, &CALL).is_allowed(),
        )
    };
    if allowed(&verifier, &bound) == 1 {
        return Err("a token that is bound to a key was good without a proof".into());
    }
    let mut operations: [(String, Operation<'_>); 3] = [
        (BEARER.to_owned(), Box::new(|| allowed(&verifier, &bearer))),
        (RAW.to_owned(), Box::new(|| raw.check())),
        (BOUND.to_owned(), Box::new(&mut proved)),
    ];
    let samples = interleaved(&mut operations)?;
    let (bearer, raw, bound) = (samples.of(BEARER)?, samples.of(RAW)?, samples.of(BOUND)?);
    let beside = bound.iter().zip(bearer.iter().zip(raw)).map(|(bound, (bearer, raw))| bound - bearer - raw);
    let beside = Figure::of("a proof beside its signature and the check without it", "µs", beside.collect());
    Ok(vec![
        Figure::of(BEARER, "µs", bearer.to_vec()),
        Figure::of(RAW, "µs", raw.to_vec()),
        Figure::of(BOUND, "µs", bound.to_vec()),
        beside.target(Target::AtMost(5.0)),
    ])
}
