//! What the cache holds under a flood, and what it never gives out.

use std::sync::Arc;

use super::*;
use crate::chain::{Token, TokenKeys, decode};
use crate::list::testing::{ISSUER, key};
use crate::testing::{Mint, copy};
use shortbread_protocol::keys::PublicKey;

struct OneKey;

impl TokenKeys for OneKey {
    fn issuer(&self) -> &str {
        ISSUER
    }

    fn token_key(&self, name: &str) -> Option<PublicKey> {
        (name == "k2026-11a").then(|| key(2).public())
    }
}

fn opened(text: &str) -> Token {
    Token::open(&decode(text).unwrap(), &OneKey).unwrap()
}

fn believed(text: &str, token: &Token) -> Arc<Believed> {
    Arc::new(Believed::new(text, token.clone(), &key(2).public()))
}

/// A text of its own for each number: the cache does not read it, so a flood need not be signed.
fn text(holder: &str, number: usize) -> String {
    format!("{holder:>400}{number:0>32}{:>96}", "")
}

fn count<'a>(cache: &Cache, texts: impl IntoIterator<Item = &'a String>) -> usize {
    texts.into_iter().filter(|text| cache.find(text, 0).is_some()).count()
}

/// Tokens of a thousand holders, each of its own authority block.
fn fleet(cache: &Cache) -> Vec<String> {
    let mut texts = Vec::new();
    for number in 0..1000 {
        let text = Mint::named(&format!("tok_{number}")).text();
        cache.keep(&believed(&text, &opened(&text)), 0);
        texts.push(text);
    }
    texts
}

#[test]
fn one_holders_endless_copies_push_out_only_each_other() {
    let cache = Cache::of(DEFAULT_BYTES);
    let fleet = fleet(&cache);
    assert_eq!(count(&cache, &fleet), 1000);
    let before = cache.held();
    let token = opened(&Mint::named("tok_flood").text());
    for number in 0..100_000 {
        cache.keep(&believed(&text("flood", number), &token), 0);
    }
    assert_eq!(count(&cache, &fleet), 1000);
    let after = cache.held();
    assert!(after.1 - before.1 <= SHARDS * FAMILY_TOKENS, "{after:?}");
    assert!(after.0 - before.0 <= SHARDS * FAMILY_BYTES, "{after:?}");
    let last: Vec<_> = (99_900..100_000).map(|number| text("flood", number)).collect();
    assert!(count(&cache, &last) > 50, "the newest copies are the ones that stay");
}

#[test]
fn a_flood_by_many_holders_stays_under_the_cap() {
    for bytes in [1, 16_384, 100_000, 1 << 20, 3 << 20] {
        let cache = Cache::of(bytes);
        let tokens: Vec<_> = (0..50).map(|n| opened(&Mint::named(&format!("tok_{n}")).text())).collect();
        for number in 0..20_000 {
            cache.keep(&believed(&text("many", number), &tokens[number % 50]), 0);
            assert!(number % 1000 > 0 || cache.held().0 <= bytes, "{bytes}: {:?}", cache.held());
        }
        assert_eq!(cache.held().1 > 0, bytes > 1, "{bytes}");
    }
}

#[test]
fn what_is_used_stays_when_room_runs_out() {
    let cache = Cache::of(1 << 20);
    let used = Mint::named("tok_used").text();
    cache.keep(&believed(&used, &opened(&used)), 0);
    for number in 0..1200 {
        let text = Mint::named(&format!("tok_{number}")).text();
        cache.keep(&believed(&text, &opened(&text)), 0);
        assert!(cache.find(&used, 0).is_some(), "gone after {number} others");
    }
}

#[test]
fn the_newest_stay_and_the_oldest_that_nobody_used_go() {
    let cache = Cache::of(1 << 20);
    let texts: Vec<_> = (0..1200).map(|number| Mint::named(&format!("tok_{number}")).text()).collect();
    for text in &texts {
        cache.keep(&believed(text, &opened(text)), 0);
    }
    let held = cache.held().1;
    assert!(held < 400, "{held} were held, which leaves nothing to see");
    let newest = count(&cache, texts.iter().rev().take(held / 2));
    assert!(newest * 10 > held * 4, "of {held} that are held {newest} are among the {} newest", held / 2);
    assert_eq!(count(&cache, texts.iter().take(600)), 0, "the oldest are gone");
}

#[test]
fn the_whole_text_is_compared() {
    let cache = Cache::of(DEFAULT_BYTES);
    let known = copy(&Mint::named("tok_1").text(), 1);
    cache.keep(&believed(&known, &opened(&known)), 0);
    assert!(cache.find(&known, 0).is_some());
    for at in 0..known.len() {
        let mut other = known.clone().into_bytes();
        other[at] = if other[at] == b'A' { b'B' } else { b'A' };
        assert!(cache.find(std::str::from_utf8(&other).unwrap(), 0).is_none(), "byte {at}");
    }
    let (front, back) = (known.get(1..), known.get(..known.len() - 1));
    for other in [front.unwrap(), back.unwrap(), &format!("{known}="), &format!("A{known}"), "", "A"] {
        assert!(cache.find(other, 0).is_none(), "{other}");
    }
}

#[test]
fn texts_made_to_hash_alike_replace_one_another() {
    let cache = Cache::of(DEFAULT_BYTES);
    let token = opened(&Mint::named("tok_1").text());
    let alike = |number: usize| format!("{number:0>400}{:>128}", "");
    for number in 0..100 {
        cache.keep(&believed(&alike(number), &token), 0);
        assert!(cache.find(&alike(number), 0).is_some());
        assert_eq!(cache.held().1, 1);
    }
}

#[test]
fn a_lost_key_empties_it_and_an_older_state_adds_nothing() {
    let cache = Cache::of(DEFAULT_BYTES);
    let texts = fleet(&cache);
    let (first, token) = (&texts[0], opened(&texts[0]));
    assert!(cache.find(first, 7).is_none());
    assert_eq!(cache.held(), (0, 0));
    cache.keep(&believed(first, &token), 0);
    assert_eq!(cache.held(), (0, 0));
    cache.keep(&believed(first, &token), 7);
    assert!(cache.find(first, 7).is_some() && cache.find(first, 0).is_none());
}

#[test]
fn nothing_is_kept_in_a_cache_of_no_bytes() {
    let cache = Cache::of(0);
    let text = Mint::named("tok_1").text();
    cache.keep(&believed(&text, &opened(&text)), 0);
    assert!(cache.find(&text, 0).is_none());
}

#[test]
fn a_panic_under_the_lock_costs_what_was_kept_and_no_more() {
    let cache = Cache::of(SHARD_BYTES);
    let text = Mint::named("tok_1").text();
    let token = believed(&text, &opened(&text));
    cache.keep(&token, 0);
    let died = std::thread::scope(|scope| {
        let holder = || {
            let _guard = lock(&cache.shards[0].0);
            panic!("on purpose");
        };
        scope.spawn(holder).join()
    });
    assert!(died.is_err() && cache.find(&text, 0).is_none());
    cache.keep(&token, 0);
    assert!(cache.find(&text, 0).is_some());
}
