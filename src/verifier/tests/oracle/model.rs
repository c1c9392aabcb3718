//! Tokens and calls as plain data, so that two libraries can each write and decide them in their own way.

use shortbread_protocol::biscuit::Program;
use shortbread_protocol::biscuit::{
    Alternative, Binary, BlockWriter, Expr, Proof, SignedBlock, Symbols, Unary, Value, key_id, read_block,
    seal_payload, signed_payload, write_container,
};
use shortbread_protocol::call::Args;
use shortbread_protocol::keys::{PrivateKey, PublicKey};
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::SelectorKind;
use shortbread_verifier::chain::{Token, TokenError, TokenKeys};
use shortbread_verifier::scope::{Demand, Revocations};

pub(super) const NOW: u64 = 1_795_176_000;
pub(super) const ISSUER: &str = "https://broker.acme.example";
pub(super) const KEY: &str = "k1";
pub(super) const TOKEN: &str = "tok_1";
pub(super) const HOLDER: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
pub(super) const HASH: [u8; 32] = [7; 32];
pub(super) const OPERATIONS: [(&str, &str, &str); 6] = [
    ("github", "issues.read", "read"),
    ("github", "issues.write", "write"),
    ("stripe", "refunds.create", "privileged"),
    ("files", "read", "read"),
    ("files", "write", "write"),
    ("mail", "send", "privileged"),
];

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Val {
    Var(&'static str),
    Int(i64),
    Str(String),
    Date(u64),
    Bytes(Vec<u8>),
    Bool(bool),
    Set(Vec<Val>),
}

impl Val {
    pub(super) fn text(text: &str) -> Self {
        Self::Str(text.to_owned())
    }

    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Var(name) => Value::Var(name),
            Self::Int(number) => Value::Int(*number),
            Self::Str(text) => Value::Str(text),
            Self::Date(seconds) => Value::Date(*seconds),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Set(members) => Value::Set(members.iter().map(Self::value).collect()),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Val(Val),
    Un(Unary),
    Bin(Binary),
}

pub(super) type Fact = (&'static str, Vec<Val>);

#[derive(Clone, Debug, Default)]
pub(super) struct Alt {
    pub(super) facts: Vec<Fact>,
    pub(super) steps: Vec<Vec<Step>>,
}

impl Alt {
    pub(super) fn of(facts: Vec<Fact>) -> Self {
        Self { facts, steps: Vec::new() }
    }

    pub(super) fn holds(mut self, left: Val, op: Binary, right: Val) -> Self {
        self.steps.push(vec![Step::Val(left), Step::Val(right), Step::Bin(op)]);
        self
    }

    fn written(&self) -> Alternative<'_> {
        let asked = self.facts.iter().fold(Alternative::new(), |alternative, (name, terms)| {
            alternative.fact(name, terms.iter().map(Val::value))
        });
        self.steps.iter().fold(asked, |alternative, steps| {
            let ops = steps.iter().map(|step| match step {
                Step::Val(value) => Expr::Value(value.value()),
                Step::Un(op) => Expr::Unary(*op),
                Step::Bin(op) => Expr::Binary(*op),
            });
            alternative.expression(ops.collect())
        })
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    pub(super) facts: Vec<Fact>,
    pub(super) checks: Vec<Vec<Alt>>,
}

impl Block {
    pub(super) fn bytes(&self, symbols: Symbols) -> Vec<u8> {
        let mut writer = BlockWriter::after(symbols);
        for (name, terms) in &self.facts {
            writer.fact(name, &terms.iter().map(Val::value).collect::<Vec<_>>());
        }
        for check in &self.checks {
            writer.check(&check.iter().map(Alt::written).collect::<Vec<_>>());
        }
        writer.finish()
    }
}

/// A token: the authority, then the blocks that holders added.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) blocks: Vec<Block>,
    pub(super) sealed: bool,
}

pub(super) fn root() -> PrivateKey {
    PrivateKey::from_seed(&[0x11; 32])
}

impl Spec {
    /// The token as the broker and our clients write it.
    pub(super) fn ours(&self) -> Vec<u8> {
        let mut program = Program::default();
        let blocks = (0u8..).zip(&self.blocks).map(|(at, block)| {
            let bytes = block.bytes(program.symbols.clone());
            read_block(&mut program, at, &bytes).unwrap();
            bytes
        });
        signed(&root(), &blocks.collect::<Vec<_>>(), self.sealed)
    }
}

/// Signs blocks into a chain, with predictable secrets.
pub(super) fn signed(root: &PrivateKey, blocks: &[Vec<u8>], sealed: bool) -> Vec<u8> {
    let secrets: Vec<_> = (1u8..).take(blocks.len()).map(|at| PrivateKey::from_seed(&[at; 32])).collect();
    let publics: Vec<[u8; 32]> = secrets.iter().map(|secret| *secret.public().as_bytes()).collect();
    let signers = std::iter::once(root).chain(&secrets);
    let signatures: Vec<[u8; 64]> = signers
        .zip(blocks.iter().zip(&publics))
        .map(|(signer, (block, next))| signer.sign(&signed_payload(block, next)))
        .collect();
    let chain: Vec<SignedBlock<'_>> = blocks
        .iter()
        .zip(&publics)
        .zip(&signatures)
        .map(|((block, next_key), signature)| SignedBlock { block, next_key, signature })
        .collect();
    let (last, secret) = (chain.last().unwrap(), secrets.last().unwrap());
    let seal = secret.sign(&seal_payload(last));
    let seed = secret.seed();
    let proof = if sealed { Proof::Sealed(&seal) } else { Proof::NextSecret(&seed) };
    write_container(Some(key_id(&root.public())), &chain, &proof)
}

/// What a verifier knows of a call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) now: u64,
    pub(super) audience: String,
    pub(super) tool: &'static str,
    pub(super) verb: &'static str,
    pub(super) args: Option<String>,
    pub(super) holder: Option<String>,
    pub(super) unused: Option<String>,
    pub(super) revocation_age: Option<u64>,
    pub(super) args_sha256: Option<[u8; 32]>,
    pub(super) revoked: Vec<(SelectorKind, String, u64)>,
}

impl Call {
    /// A call of `tool/verb` for which all work was done.
    pub(super) fn of(tool: &'static str, verb: &'static str, args: &str) -> Self {
        Self {
            now: NOW,
            audience: audience(tool),
            tool,
            verb,
            args: Some(args.to_owned()),
            holder: Some(HOLDER.to_owned()),
            unused: Some(TOKEN.to_owned()),
            revocation_age: Some(5),
            args_sha256: Some(HASH),
            revoked: Vec::new(),
        }
    }

    pub(super) fn read_args(&self) -> Option<Args> {
        self.args.as_ref().map(|json| Args::from_json(json.as_bytes()).unwrap())
    }
}

pub(super) fn audience(tool: &str) -> String {
    format!("https://tools.acme.example/{tool}")
}

pub(super) struct Keys;

impl TokenKeys for Keys {
    fn issuer(&self) -> &str {
        ISSUER
    }

    fn token_key(&self, name: &str) -> Option<PublicKey> {
        (name == KEY).then(|| root().public())
    }
}

struct List<'a>(&'a [(SelectorKind, String, u64)]);

impl Revocations for List<'_> {
    fn global(&self) -> u64 {
        0
    }

    fn before(&self, kind: SelectorKind, value: &str) -> Option<u64> {
        self.0.iter().filter(|(k, v, _)| *k == kind && v == value).map(|(_, _, before)| *before).max()
    }

    fn has_id(&self, _: &[u8; 16]) -> bool {
        false
    }
}

/// What the embedded verifier makes of bytes alone.
pub(super) fn open(bytes: &[u8]) -> Result<Token, Reason> {
    Token::open(bytes, &Keys).map_err(|error: TokenError| error.reason())
}

/// What the embedded verifier decides.
pub(super) fn native(token: &Token, call: &Call) -> Result<(), Reason> {
    let args = call.read_args();
    let demand = Demand {
        now: call.now,
        audience: &call.audience,
        tool: call.tool,
        verb: call.verb,
        args: args.as_ref(),
        holder: call.holder.as_deref(),
        unused: call.unused.as_deref(),
        revocation_age: call.revocation_age,
        args_sha256: call.args_sha256,
    };
    token.scope().standing(&List(&call.revoked), call.tool, call.verb)?;
    token.scope().evaluate(&demand).map(drop).map_err(|refusal| refusal.reason)
}

/// The authority of a token that grants everything in [`OPERATIONS`] freely for five minutes.
pub(super) fn plain_authority() -> Block {
    authority(&OPERATIONS, NOW - 10)
}

/// The facts that every authority has, and its fixed checks.
pub(super) fn authority(granted: &[(&'static str, &'static str, &'static str)], issued: u64) -> Block {
    let id = |kind: &str, value: &str| ("id", vec![Val::text(kind), Val::text(value)]);
    let mut facts = vec![
        id("issuer", ISSUER),
        id("key", KEY),
        id("workflow", "release-notes"),
        id("intent", "triage"),
        id("task", "tsk_1"),
        id("token", TOKEN),
        ("issued", vec![Val::Date(issued)]),
    ];
    let mut tools: Vec<&str> = granted.iter().map(|(tool, _, _)| *tool).collect();
    tools.dedup();
    facts.extend(
        granted
            .iter()
            .map(|(tool, verb, access)| ("right", vec![Val::text(tool), Val::text(verb), Val::text(access)])),
    );
    let (tool, verb, access, now) = (Val::Var("tool"), Val::Var("verb"), Val::Var("access"), Val::Var("now"));
    let checks = vec![
        vec![Alt::of(vec![
            ("operation", vec![tool.clone(), verb.clone()]),
            ("right", vec![tool, verb.clone(), access]),
        ])],
        tools
            .iter()
            .map(|tool| {
                Alt::of(vec![
                    ("audience", vec![Val::Str(audience(tool))]),
                    ("operation", vec![Val::text(tool), verb.clone()]),
                ])
            })
            .collect(),
        vec![
            Alt::of(vec![("time", vec![now.clone()])])
                .holds(now.clone(), Binary::GreaterOrEqual, Val::Date(issued - 30))
                .holds(now, Binary::LessThan, Val::Date(issued + 300)),
        ],
    ];
    Block { facts, checks }
}
