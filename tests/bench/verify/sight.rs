//! Tokens at first sight, with lists of three sizes and with narrowed copies, beside the signatures alone and peers.
//!
//! First sight is what it says: every check has a token that the verifier never saw, puts it into its cache, and pushes
//! another one out, for the cache is small and full; two figures are with room for
//! all and with no cache, to tell what the cache costs. A median below that of the signatures alone ends the run.

use shortbread_verifier::{Verifier, chain};

use super::MILLION;
use super::bench::{Bench, SMALL_CACHE, allowed, revoked, verifier};
use super::ring::{Once, Ring};
use crate::Outcome;
use crate::figure::{Figure, Target, middle};
use crate::peers::{Stock, Warrant, Warrants};
use crate::raw::Raw;
use crate::rounds::{Operation, Samples, interleaved};

const LISTS: [(u32, &str); 3] =
    [(0, "list of 0"), (10_000, "list of 10,000"), (MILLION, "list of 1,000,000")];
const LARGE: &str = "list of 1,000,000";
/// How many different tokens peers and the signatures alone get.
const MANY: usize = 1000;
/// More than the rounds ever use, at no, one and two blocks of narrowing: when they run out, the run fails.
const NEW: [usize; 3] = [36_000, 18_000, 12_000];
/// A cache with room for all of them.
const LARGE_CACHE: usize = 512 * 1024 * 1024;
const ALONE: &str = "signatures alone";
const FIRST: &str = "first sight";
const ROOMY: &str = "first sight, cache with room";
const UNCACHED: &str = "first sight, no cache";
/// What first sight has to be against each of them.
const BESIDE: [(&str, f64); 3] = [(ALONE, 1.15), ("biscuit-auth", 0.62), ("tenuo without proof", 0.5)];
const PROVED: &str = "tenuo with proof";

/// Everybody's tokens that were narrowed so many times.
struct Tokens {
    blocks: usize,
    ours: Vec<String>,
    some: Ring<String>,
    raw: Ring<Raw>,
    warrants: Ring<Warrant>,
}

/// Everybody with one list.
struct Party {
    list: &'static str,
    first: Vec<Verifier>,
    roomy: Verifier,
    uncached: Verifier,
    stock: Stock,
    warrants: Warrants,
}

pub fn measure(bench: &Bench) -> Outcome<Vec<Figure>> {
    let parties = LISTS.map(|(ids, list)| Party::new(bench, ids, list));
    let parties = parties.into_iter().collect::<Outcome<Vec<_>>>()?;
    let issuer = &parties.first().ok_or("there is a list")?.warrants;
    let tokens = (0..NEW.len()).map(|blocks| Tokens::new(bench, blocks, issuer));
    let tokens = tokens.collect::<Outcome<Vec<_>>>()?;
    let mut operations: Vec<(String, Operation<'_>)> = Vec::new();
    for tokens in &tokens {
        let Tokens { blocks, raw, .. } = tokens;
        operations.push((named(ALONE, *blocks, ""), each(raw, Raw::check)));
        for party in parties.iter().filter(|party| *blocks == 0 || party.list == LARGE) {
            operations.extend(party.operations(tokens)?);
        }
    }
    figures(&interleaved(&mut operations)?)
}

impl Tokens {
    fn new(bench: &Bench, blocks: usize, issuer: &Warrants) -> Outcome<Self> {
        let count = NEW.get(blocks).copied().unwrap_or_default();
        let ours = (0..count).map(|_| bench.narrowed(blocks)).collect::<Outcome<Vec<_>>>()?;
        let raw = ours.iter().take(MANY).map(|text| Raw::of(&chain::decode(text)?, &bench.token));
        let warrants = (0..MANY).map(|_| issuer.issue(blocks));
        Ok(Self {
            blocks,
            raw: Ring::of(raw.collect::<Outcome<_>>()?),
            warrants: Ring::of(warrants.collect::<Outcome<_>>()?),
            some: Ring::of(ours.iter().take(MANY).cloned().collect()),
            ours,
        })
    }
}

impl Party {
    fn new(bench: &Bench, ids: u32, list: &'static str) -> Outcome<Self> {
        let trust = bench.trust(ids)?;
        let first = |_| Ok(verifier(&trust)?.cache_bytes(SMALL_CACHE));
        Ok(Self {
            list,
            first: NEW.into_iter().map(first).collect::<Outcome<_>>()?,
            roomy: verifier(&trust)?.cache_bytes(LARGE_CACHE),
            uncached: verifier(&trust)?.cache_bytes(0),
            stock: Stock::new(bench.token.public(), bench.now(), revoked(ids).collect())?,
            warrants: Warrants::new(&bench.token.seed(), ids)?,
        })
    }

    fn operations<'a>(&'a self, tokens: &'a Tokens) -> Outcome<Vec<(String, Operation<'a>)>> {
        let Self { list, roomy, uncached, stock, warrants, .. } = self;
        let Tokens { blocks, some, .. } = tokens;
        let first = self.first.get(*blocks).ok_or("a verifier for each number of blocks")?;
        let (mut new, mut more) = (Once::of(&tokens.ours), Once::of(&tokens.ours));
        let name = |what| named(what, *blocks, list);
        let mut operations: Vec<(String, Operation<'a>)> = Vec::new();
        if *blocks == 0 && *list == LARGE {
            operations
                .push((name(ROOMY), Box::new(move || more.next().map_or(0, |text| allowed(roomy, text)))));
        }
        operations.extend([
            (
                name(FIRST),
                Box::new(move || new.next().map_or(0, |text| allowed(first, text))) as Operation<'a>,
            ),
            (name("biscuit-auth"), each(some, |text| stock.check(text))),
            (name("tenuo without proof"), each(&tokens.warrants, |text| warrants.check(text, *blocks))),
            (name(PROVED), each(&tokens.warrants, |text| warrants.check_with_proof(text, *blocks))),
        ]);
        Ok(operations)
    }
}

pub fn each<'a, T>(ring: &'a Ring<T>, what: impl Fn(&T) -> usize + 'a) -> Operation<'a> {
    Box::new(move || ring.next().map_or(0, &what))
}

fn named(what: &str, blocks: usize, list: &str) -> String {
    format!("{what}/{blocks}/{list}")
}

fn figures(samples: &Samples) -> Outcome<Vec<Figure>> {
    let mut figures = Vec::new();
    for blocks in 0..NEW.len() {
        let narrowed = if blocks == 1 { "1 block".to_owned() } else { format!("{blocks} blocks") };
        let narrowed = format!("{narrowed} of narrowing");
        let alone = samples.of(&named(ALONE, blocks, ""))?;
        figures.push(Figure::of(format!("{ALONE}, {narrowed}"), "µs", alone.to_vec()));
        for (_, list) in LISTS.iter().filter(|(_, list)| blocks == 0 || *list == LARGE) {
            let us = |what: &str| -> Outcome<Figure> {
                let found = samples.of(&named(what, blocks, list))?.to_vec();
                Ok(Figure::of(format!("{what}, {narrowed}, {list}"), "µs", found))
            };
            let first = samples.of(&named(FIRST, blocks, list))?;
            if middle(first) < middle(alone) {
                return Err("a check at first sight took less than its signatures: it was none".into());
            }
            if blocks == 0 && *list == LARGE {
                figures.extend([us(UNCACHED)?, us(ROOMY)?]);
            }
            figures.push(us(FIRST)?);
            for (beside, most) in BESIDE {
                let below = named(beside, blocks, if beside == ALONE { "" } else { list });
                let ratio = samples.ratio(&named(FIRST, blocks, list), &below)?;
                let name = format!("{FIRST} / {beside}, {narrowed}, {list}");
                if beside != ALONE {
                    figures.push(us(beside)?);
                }
                figures.push(Figure::of(name, "x", ratio).target(Target::AtMost(most)));
            }
            figures.push(us(PROVED)?);
        }
    }
    Ok(figures)
}
