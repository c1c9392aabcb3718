//! The envelope: sizes, blocks, keys, versions.

use shortbread_protocol::biscuit::Value;
use shortbread_protocol::reason::Reason;

use super::write::{
    Block, OTHER_KEY, block_with, by_broker, by_holder, field, first, id, number, raw, signed,
};
use super::{Row, hold};

fn of_size(bytes: usize) -> Vec<u8> {
    let noted = |length: usize| {
        let text = "n".repeat(length).leak();
        by_holder(&Block { facts: vec![("note", vec![Value::Str(text)])], checks: Vec::new() })
    };
    // Lengths of two bytes each, in both.
    let token = noted(1000 + bytes - noted(1000).len());
    assert_eq!(token.len(), bytes);
    token
}

fn blocks(count: usize) -> Vec<u8> {
    let empty = number(3, 3);
    signed(&std::iter::once(first().0).chain(vec![empty; count - 1]).collect::<Vec<_>>())
}

// The only place where a token of two blocks has this run of bytes: the authority's next key.
fn key_of_another_algorithm(algorithm: u8) -> Vec<u8> {
    let mut token = raw(number(3, 3));
    let at = token.windows(4).position(|run| run == [0x08, 0, 0x12, 0x20]).unwrap();
    token[at + 1] = algorithm;
    token
}

// One more short field at the end of the last block's envelope.
fn envelope_with(more: &[u8]) -> Vec<u8> {
    let token = blocks(2);
    // Block, key and signature have 108 bytes, the proof 36.
    let (rest, proof) = token.split_at(token.len() - 36);
    let (rest, envelope) = rest.split_at(rest.len() - 108);
    let rest = rest.strip_suffix(&[0x1a, 108]).unwrap();
    [rest, &field(3, &[envelope, more].concat()), proof].concat()
}

#[test]
fn envelopes() {
    hold(vec![
        Row::broken("8 KiB", "the token has more than 8 KiB (8192 bytes)", of_size(8193)).fits(of_size(8192)),
        Row::broken("8 blocks", "the token has more than 8 blocks", blocks(9)).fits(blocks(8)),
        Row::broken("Ed25519 only", "a key is not an Ed25519 key", key_of_another_algorithm(1)),
        Row::broken("Ed25519 only, unknown", "a key is not an Ed25519 key", key_of_another_algorithm(9)),
        Row::broken(
            "no third party",
            "a block is signed by a third party",
            envelope_with(&field(4, &[0; 9])),
        ),
        Row::broken(
            "one signature version",
            "a block has a newer signature version",
            envelope_with(&[0x28, 1]),
        ),
        Row::broken("version 3, not 2", "a block is not of version 3", raw(number(3, 2)))
            .fits(raw(number(3, 3))),
        Row::broken("version 3, not 4", "a block is not of version 3", raw(number(3, 4))),
        Row::broken("version 3, not 6", "a block is not of version 3", raw(number(3, 6))),
        Row::broken("version 3, said", "a block is not of version 3", raw(Vec::new())),
        Row::broken("no other keys", "a block names a third party's key", block_with(&field(8, &[]))),
    ]);
}

#[test]
fn a_text_longer_than_the_longest_token_is_too_large_whatever_it_is() {
    use shortbread_protocol::biscuit::MAX_TOKEN_TEXT;
    use shortbread_verifier::decision::{Call, Checker as _, Presented};
    let verifier = super::verifier();
    for (text, reason) in [
        ("!".repeat(MAX_TOKEN_TEXT), Reason::TokenMalformed),
        ("!".repeat(MAX_TOKEN_TEXT + 1), Reason::ProfileViolation),
        ("A".repeat(1 << 20), Reason::ProfileViolation),
    ] {
        let decision = verifier
            .check(&Presented::bearer(&text), &Call { tool: "github", verb: "issues.read", args: None });
        assert_eq!(decision.reason, Some(reason));
        let named = decision.detail.unwrap_or_default().contains("more than 8 KiB (8192 bytes)");
        assert_eq!(named, reason == Reason::ProfileViolation);
    }
}

#[test]
fn the_key_that_verifies_is_the_one_that_is_named() {
    let named = |kind: &'static str, value: &'static str| {
        by_broker(|block| {
            block.facts.retain(|fact| fact.1[0] != Value::Str(kind));
            block.facts.push(id(kind, value));
        })
    };
    hold(vec![
        Row::broken(
            "the issuer of the key",
            "names another issuer than its key",
            named("issuer", "https://evil.example"),
        )
        .fits(named("issuer", super::ISSUER)),
        Row::broken("a key of the document", "no key of the key document has the name", named("key", "k9"))
            .because(Reason::UnknownKey),
        Row::broken(
            "a key of another purpose",
            "no key of the key document has the name",
            named("key", "r1"),
        )
        .because(Reason::UnknownKey),
        Row::broken(
            "only that key is tried",
            "a signature of the token does not fit",
            named("key", OTHER_KEY),
        )
        .because(Reason::BadSignature),
    ]);
}
