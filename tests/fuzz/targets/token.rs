//! Tokens: bytes that nobody signed, and blocks that a holder signs.

use std::sync::OnceLock;

use serde_json::Value;
use shortbread_protocol::biscuit::{
    Container, MAX_TOKEN, Proof, SignedBlock, print, signed_payload, write_container,
};
use shortbread_protocol::call::Args;
use shortbread_protocol::keys::{PrivateKey, PublicKey};
use shortbread_verifier::chain::{Token, TokenKeys, decode, encode, peek};
use shortbread_verifier::scope::{Demand, Scope};

use super::{AS_IT_CAME, ISSUER, NOW, SIGNED, prefixed};

const FILES: [&str; 2] = [
    include_str!("../../../schema/vectors/sb1.json"),
    include_str!("../../../schema/vectors/shortbread.json"),
];
const AUDIENCES: [&str; 3] = [
    "https://tools.acme.example/github",
    "https://tools.acme.example/stripe",
    "https://tools.acme.example/files",
];
const HOLDER: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

/// Bytes of a token, without asking who signed them.
pub(super) fn read(data: &[u8]) {
    assert_eq!(decode(&encode(data)).ok().as_deref(), (data.len() <= MAX_TOKEN + 1).then_some(data));
    let Ok(container) = Container::read(data) else {
        assert!(peek(data).is_err());
        return;
    };
    let written = write_container(container.root_key_id, &container.blocks, &container.proof);
    assert_eq!(written, data, "what is accepted has one spelling");
    let blocks: Vec<&[u8]> = container.blocks.iter().map(|signed| signed.block).collect();
    let signatures: Vec<&[u8; 64]> = container.blocks.iter().map(|signed| signed.signature).collect();
    let Ok(scope) = Scope::compile(&blocks, &signatures) else { return };
    assert!(scope.weight() <= 64 * data.len() + 4096, "{} bytes kept for {}", scope.weight(), data.len());
    assert!(scope.rights().count() <= 64 && scope.end() <= scope.window().1);
    assert!(scope.window().1.saturating_sub(scope.issued()) <= 3600);
    for block in 0..=7 {
        assert!(print::block(scope.program(), block).iter().all(|line| !line.contains('\n')));
    }
    for (tool, verb, audience, args) in calls() {
        let demand = demand(tool, verb, audience, *args);
        assert_eq!(scope.evaluate(&demand), scope.evaluate(&demand));
    }
}

/// Bytes of a token that claims to be signed.
pub(super) fn chain(data: &[u8]) {
    match data.split_first() {
        Some((&SIGNED, block)) => widened(block),
        Some((_, token)) => forged(token),
        None => {}
    }
}

// No change of bytes alone makes another token that is believed.
fn forged(bytes: &[u8]) {
    let Ok(token) = Token::open(bytes, &Keys) else { return };
    let container = Container::read(bytes).expect("it was opened");
    let honest = known().iter().any(|known| {
        let known = Container::read(known).expect("it was opened");
        same(&known, &container)
    });
    assert!(honest, "a token that nobody signed is believed: {token:?}");
}

fn same(a: &Container<'_>, b: &Container<'_>) -> bool {
    // All but the hint which key signed.
    let written = |of: &Container<'_>| write_container(None, &of.blocks, &of.proof);
    written(a) == written(b)
}

// A block that a holder may add, whatever is in it, lets nothing through that its parent does not.
fn widened(block: &[u8]) {
    let parent_bytes = &known()[0];
    let parent = Token::open(parent_bytes, &Keys).expect("the parent is sound");
    let container = Container::read(parent_bytes).expect("the parent is sound");
    let Proof::NextSecret(secret) = container.proof else { panic!("the parent is not sealed") };
    let next = PrivateKey::from_seed(&[9; 32]);
    let next_key = *next.public().as_bytes();
    let signature = PrivateKey::from_seed(secret).sign(&signed_payload(block, &next_key));
    let added = SignedBlock { block, next_key: &next_key, signature: &signature };
    let blocks: Vec<SignedBlock<'_>> = container.blocks.iter().copied().chain([added]).collect();
    let child = write_container(container.root_key_id, &blocks, &Proof::NextSecret(&next.seed()));
    let Ok(child) = Token::open(&child, &Keys) else { return };
    let (child, parent) = (child.scope(), parent.scope());
    assert!(child.end() <= parent.end() && child.issued() == parent.issued());
    assert_eq!(child.rights().collect::<Vec<_>>(), parent.rights().collect::<Vec<_>>());
    for (tool, verb, audience, args) in calls() {
        let demand = demand(tool, verb, audience, *args);
        if child.evaluate(&demand).is_ok() {
            assert!(parent.evaluate(&demand).is_ok(), "a later block widens: {tool}/{verb}");
        }
    }
}

/// The tokens of the vector files.
pub(super) fn tokens() -> Vec<Vec<u8>> {
    let texts = FILES.iter().flat_map(|file| {
        let file: Value = serde_json::from_str(file).expect("the vectors are JSON");
        let vectors = file["vectors"].as_array().expect("there are vectors").clone();
        vectors.into_iter().filter_map(|vector| decode(vector["token"].as_str()?).ok())
    });
    let mut tokens: Vec<Vec<u8>> = Vec::new();
    for token in texts {
        if !tokens.contains(&token) {
            tokens.push(token);
        }
    }
    tokens
}

pub(super) fn chains() -> Vec<Vec<u8>> {
    let tokens = tokens();
    let later = tokens.iter().filter_map(|token| {
        let container = Container::read(token).ok()?;
        let last = container.blocks.get(1..)?.last()?;
        Some(prefixed(SIGNED, last.block))
    });
    let later: Vec<Vec<u8>> = later.collect();
    tokens.iter().map(|token| prefixed(AS_IT_CAME, token)).chain(later).collect()
}

/// The tokens of the vector files that are signed as they should be.
fn known() -> &'static [Vec<u8>] {
    static KNOWN: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let known: Vec<_> = tokens().into_iter().filter(|token| Token::open(token, &Keys).is_ok()).collect();
        let parent = Token::open(&known[0], &Keys).expect("it was opened");
        let allowed = calls().iter().filter(|(tool, verb, audience, args)| {
            parent.scope().evaluate(&demand(tool, verb, audience, *args)).is_ok()
        });
        assert!(known.len() > 4 && allowed.count() > 4, "the vectors are those that are meant");
        known
    })
}

type Asked = (&'static str, &'static str, &'static str, Option<&'static Args>);

fn calls() -> &'static [Asked] {
    static ARGS: OnceLock<Vec<Args>> = OnceLock::new();
    static CALLS: OnceLock<Vec<Asked>> = OnceLock::new();
    let args = ARGS.get_or_init(|| {
        let texts = [
            "{}",
            r#"{"repo":"acme/web","title":"t","body":"b"}"#,
            r#"{"amount":5000,"charge":"ch_1"}"#,
            r#"{"path":"/srv/data/x","labels":["bug","ui"],"n":null}"#,
        ];
        texts.map(|text| Args::from_json(text.as_bytes()).expect("sound arguments")).to_vec()
    });
    CALLS.get_or_init(|| {
        let operations = [
            ("github", "issues.read", AUDIENCES[0]),
            ("github", "issues.write", AUDIENCES[0]),
            ("github", "issues.write", AUDIENCES[1]),
            ("stripe", "refunds.create", AUDIENCES[1]),
            ("files", "read", AUDIENCES[2]),
            ("github", "repo.delete", AUDIENCES[0]),
        ];
        let with = |(tool, verb, audience)| {
            std::iter::once(None).chain(args.iter().map(Some)).map(move |args| (tool, verb, audience, args))
        };
        operations.into_iter().flat_map(with).collect()
    })
}

fn demand<'a>(tool: &'a str, verb: &'a str, audience: &'a str, args: Option<&'a Args>) -> Demand<'a> {
    Demand {
        now: NOW,
        audience,
        tool,
        verb,
        args,
        holder: Some(HOLDER),
        unused: Some("tok_1"),
        revocation_age: Some(5),
        args_sha256: Some([7; 32]),
    }
}

/// The keys of both vector files.
struct Keys;

impl TokenKeys for Keys {
    fn issuer(&self) -> &str {
        ISSUER
    }

    fn token_key(&self, name: &str) -> Option<PublicKey> {
        let seed = match name {
            "k2026-11a" => 0x11,
            "k1" => 0x22,
            _ => return None,
        };
        Some(PrivateKey::from_seed(&[seed; 32]).public())
    }
}
