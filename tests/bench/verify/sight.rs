//! Tokens at first sight and seen before, with lists of three sizes and with narrowed copies, beside peers.
//!
//! At first sight is what it says: the cache has its default size and is full, and the tokens come round in a ring that
//! is larger than it, so each check finds nothing, and puts its token in for another one.

use shortbread_protocol::clock::Clock as _;
use shortbread_verifier::{Verifier, chain};

use super::MILLION;
use super::bench::{Bench, allowed, revoked, verifier};
use super::ring::Ring;
use crate::Outcome;
use crate::figure::{Figure, Target};
use crate::peers::{Jwts, Stock, Warrant, Warrants};
use crate::raw::Raw;
use crate::rounds::{Operation, Samples, interleaved};

/// The default size of the cache.
const CACHE: usize = 64 * 1024 * 1024;
const LISTS: [(u32, &str); 3] =
    [(0, "list of 0"), (10_000, "list of 10,000"), (MILLION, "list of 1,000,000")];
const LARGE: &str = "list of 1,000,000";
/// How many different tokens peers get.
const MANY: usize = 1000;

/// Everybody's tokens that were narrowed so many times.
struct Tokens {
    blocks: usize,
    ours: Ring<String>,
    some: Ring<String>,
    raw: Ring<Raw>,
    warrants: Ring<Warrant>,
}

/// Everybody with one list.
struct Party {
    list: &'static str,
    first: Vec<Verifier>,
    again: Verifier,
    stock: Stock,
    jwts: Jwts,
    warrants: Warrants,
}

pub fn measure(bench: &Bench) -> Outcome<Vec<Figure>> {
    let root = bench.token.seed();
    let parties = LISTS.map(|(ids, list)| Party::new(bench, &root, ids, list));
    let parties = parties.into_iter().collect::<Outcome<Vec<_>>>()?;
    let issuer = &parties.first().ok_or("there is a list")?.warrants;
    let tokens = (0..3).map(|blocks| Tokens::new(bench, blocks, issuer)).collect::<Outcome<Vec<_>>>()?;
    let jwts = jwts(bench)?;
    let mut operations: Vec<(String, Operation<'_>)> = Vec::new();
    for tokens in &tokens {
        let Tokens { blocks, raw, .. } = tokens;
        operations.push((named("signatures alone", *blocks, ""), each(raw, Raw::check)));
        for party in parties.iter().filter(|party| *blocks == 0 || party.list == LARGE) {
            operations.extend(party.operations(tokens)?);
        }
    }
    for Party { list, jwts: checker, .. } in &parties {
        operations.push((named("jsonwebtoken", 0, list), each(&jwts, |text| checker.check(text))));
    }
    figures(&interleaved(&mut operations)?)
}

fn jwts(bench: &Bench) -> Outcome<Ring<String>> {
    let now = bench.clock.now().seconds();
    let one = |_| Ok(Jwts::token(&bench.token, &bench.token_id()?, now));
    Ok(Ring::of((0..MANY).map(one).collect::<Outcome<_>>()?))
}

impl Tokens {
    fn new(bench: &Bench, blocks: usize, issuer: &Warrants) -> Outcome<Self> {
        let sample = bench.narrowed(blocks)?;
        // Less than a token weighs, so that more are made than find room, and a quarter more than that: shards differ.
        let weight = sample.len() + chain::peek(&chain::decode(&sample)?)?.weight();
        let count = CACHE / weight * 5 / 4;
        let ours = (0..count).map(|_| bench.narrowed(blocks)).collect::<Outcome<Vec<_>>>()?;
        let raw = ours.iter().take(MANY).map(|text| Raw::of(&chain::decode(text)?, &bench.token));
        let warrants = (0..MANY).map(|_| issuer.issue(blocks));
        Ok(Self {
            blocks,
            raw: Ring::of(raw.collect::<Outcome<_>>()?),
            warrants: Ring::of(warrants.collect::<Outcome<_>>()?),
            some: Ring::of(ours.iter().take(MANY).cloned().collect()),
            ours: Ring::of(ours),
        })
    }
}

impl Party {
    fn new(bench: &Bench, root: &[u8; 32], ids: u32, list: &'static str) -> Outcome<Self> {
        let trust = bench.trust(ids)?;
        Ok(Self {
            list,
            first: (0..3).map(|_| verifier(&trust)).collect::<Outcome<_>>()?,
            again: verifier(&trust)?,
            stock: Stock::new(bench.token.public(), bench.now(), revoked(ids).collect())?,
            jwts: Jwts::new(&bench.token, revoked(ids).collect())?,
            warrants: Warrants::new(root, ids)?,
        })
    }

    fn operations<'a>(&'a self, tokens: &'a Tokens) -> Outcome<Vec<(String, Operation<'a>)>> {
        let Self { list, stock, warrants, again, .. } = self;
        let Tokens { blocks, ours, some, .. } = tokens;
        let first = self.first.get(*blocks).ok_or("a verifier for each number of blocks")?;
        for _ in 0..ours.len() {
            each(ours, |text| allowed(first, text))();
        }
        let single = some.next().ok_or("there are tokens")?;
        let name = |what| named(what, *blocks, list);
        let mut operations = vec![(name("first sight"), each(ours, |text| allowed(first, text)))];
        if *blocks == 0 {
            operations.push((name("seen before, one token"), Box::new(|| allowed(again, single))));
            operations.push((name("seen before, 1,000 tokens"), each(some, |text| allowed(again, text))));
        }
        operations.extend([
            (name("biscuit-auth"), each(some, |text| stock.check(text))),
            (name("tenuo without proof"), each(&tokens.warrants, |text| warrants.check(text, *blocks))),
            (
                name("tenuo with proof"),
                each(&tokens.warrants, |text| warrants.check_with_proof(text, *blocks)),
            ),
        ]);
        Ok(operations)
    }
}

fn each<'a, T>(ring: &'a Ring<T>, what: impl Fn(&T) -> usize + 'a) -> Operation<'a> {
    Box::new(move || ring.next().map_or(0, &what))
}

fn named(what: &str, blocks: usize, list: &str) -> String {
    format!("{what}/{blocks}/{list}")
}

fn figures(samples: &Samples) -> Outcome<Vec<Figure>> {
    let mut figures = Vec::new();
    for blocks in 0..3 {
        figures.extend(first_sight(samples, blocks)?);
    }
    for (_, list) in LISTS {
        figures.extend(seen_before(samples, list)?);
    }
    Ok(figures)
}

fn first_sight(samples: &Samples, blocks: usize) -> Outcome<Vec<Figure>> {
    let title = |what: &str, list: &str| {
        let narrowed = if blocks == 1 { "1 block".to_owned() } else { format!("{blocks} blocks") };
        format!("{what}, {narrowed} of narrowing{}{list}", if list.is_empty() { "" } else { ", " })
    };
    let us = |what: &str, list: &str| -> Outcome<Figure> {
        Ok(Figure::of(title(what, list), "µs", samples.of(&named(what, blocks, list))?.to_vec()))
    };
    let over = |below: &str, list: &str, least_list: &str, most: f64| -> Outcome<Figure> {
        let ratio = samples.ratio(&named("first sight", blocks, list), &named(below, blocks, least_list))?;
        let name = title(&format!("first sight / {below}"), list);
        Ok(Figure::of(name, "x", ratio).target(Target::AtMost(most)))
    };
    let raw = "signatures alone";
    let mut figures = vec![us(raw, "")?];
    for (_, list) in LISTS.iter().filter(|(_, list)| blocks == 0 || *list == LARGE) {
        figures.extend([us("first sight", list)?, over(raw, list, "", 1.15)?]);
        figures.extend([us("biscuit-auth", list)?, over("biscuit-auth", list, list, 0.62)?]);
        figures.extend([us("tenuo without proof", list)?, over("tenuo without proof", list, list, 0.5)?]);
        figures.push(us("tenuo with proof", list)?);
    }
    Ok(figures)
}

fn seen_before(samples: &Samples, list: &str) -> Outcome<Vec<Figure>> {
    let (one, many) = ("seen before, one token", "seen before, 1,000 tokens");
    let key = |what: &str| named(what, 0, list);
    let us = |what: &str| -> Outcome<Figure> {
        Ok(Figure::of(format!("{what}, {list}"), "µs", samples.of(&key(what))?.to_vec()))
    };
    let faster = |what: &str| -> Outcome<Figure> {
        let ratio = samples.ratio(&key("jsonwebtoken"), &key(what))?;
        Ok(Figure::of(format!("jsonwebtoken / {what}, {list}"), "x", ratio).target(Target::AtLeast(100.0)))
    };
    let quick = Target::AtMost(0.25);
    Ok(vec![
        us("jsonwebtoken")?,
        us(one)?.target(quick),
        faster(one)?,
        us(many)?.target(quick),
        faster(many)?,
    ])
}
