//! Tokens that a test broker mints, for the keys of [`crate::list::testing`].

use shortbread_protocol::biscuit::{
    Alternative, Binary, BlockWriter, Proof, SignedBlock, Symbols, Value, signed_payload, write_container,
};
use shortbread_protocol::call::Args;
use shortbread_protocol::random::SeededRandom;

use crate::chain::encode;
use crate::list::testing::{ISSUER, NOW, key};
use crate::narrow::{Narrowing, narrow};

pub(crate) const AUDIENCE: &str = "https://tools.acme.example/github";

/// What tokens of these tests differ in.
#[derive(Clone, Debug)]
pub(crate) struct Mint {
    pub(crate) workflow: &'static str,
    pub(crate) token: String,
    pub(crate) key_name: &'static str,
    pub(crate) key_seed: u8,
    pub(crate) life: u64,
    /// The arguments of the one call for which it is good once: of `github/issues.write`.
    pub(crate) once: Option<&'static str>,
}

impl Mint {
    pub(crate) fn named(token: &str) -> Self {
        let token = token.to_owned();
        Self { workflow: "release-notes", token, key_name: "k2026-11a", key_seed: 2, life: 300, once: None }
    }

    /// A token for `github/issues.read` and `github/issues.write`, issued [`NOW`].
    pub(crate) fn text(&self) -> String {
        let (block, root, next) = (self.block(), key(self.key_seed), key(200));
        let next_key = *next.public().as_bytes();
        let signature = root.sign(&signed_payload(&block, &next_key));
        let signed = SignedBlock { block: &block, next_key: &next_key, signature: &signature };
        encode(&write_container(None, &[signed], &Proof::NextSecret(&[200; 32])))
    }

    fn block(&self) -> Vec<u8> {
        let mut block = BlockWriter::after(Symbols::default());
        let ids = [
            ("issuer", ISSUER),
            ("key", self.key_name),
            ("workflow", self.workflow),
            ("intent", "triage"),
            ("task", "tsk_1"),
            ("token", &self.token),
        ];
        for (kind, value) in ids {
            block.fact("id", &[kind, value].map(Value::Str));
        }
        block.fact("issued", &[Value::Date(NOW)]);
        block.fact("right", &["github", "issues.read", "read"].map(Value::Str));
        block.fact("right", &["github", "issues.write", "write"].map(Value::Str));
        if let Some(args) = self.once {
            // Before all others, so that a test can tell that it is claimed last.
            block.check(&[Alternative::new().fact("unused", [Value::Str(&self.token)])]);
            let digest = Args::from_json(args.as_bytes()).unwrap().digest().unwrap();
            let operation = ["github", "issues.write"].map(Value::Str);
            let approved = Alternative::new().fact("operation", operation);
            block.check(&[approved.fact("args_sha256", [Value::Bytes(&digest)])]);
        }
        let audience = Alternative::new().fact("audience", [Value::Str(AUDIENCE)]);
        block.check(&[audience.fact("operation", [Value::Str("github"), Value::Var("verb")])]);
        let window = Alternative::new().fact("time", [Value::Var("now")]);
        let window = window.holds(Value::Var("now"), Binary::GreaterOrEqual, Value::Date(NOW - 30));
        block.check(&[window.holds(Value::Var("now"), Binary::LessThan, Value::Date(NOW + self.life))]);
        block.finish()
    }
}

/// One more narrowed copy of a token, another one for each number.
pub(crate) fn copy(text: &str, number: u64) -> String {
    let by = Narrowing { until: Some(NOW + 200), note: Some(number.to_string()), ..Narrowing::default() };
    narrow(text, &by, &SeededRandom::new(number)).unwrap()
}
