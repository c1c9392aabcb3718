//! The slowest decision that 8 KiB of token and 64 KiB of arguments can be made to ask for: tokens that a holder or a
//! stranger would write to keep a verifier busy, each as far as the profile lets it go.

mod inputs;

use std::sync::Arc;

use shortbread_protocol::biscuit::{
    Alternative, Binary, BlockWriter, MAX_TOKEN, Program, Proof, SignedBlock, Symbols, Value, read_block,
    seal_payload, signed_payload, write_container,
};
use shortbread_protocol::clock::{Clock as _, SystemClock};
use shortbread_protocol::keys::PrivateKey;
use shortbread_verifier::chain::encode;
use shortbread_verifier::decision::{Call, Checker as _, Presented};
use shortbread_verifier::list::Trust;
use shortbread_verifier::{Verifier, VerifierConfig};

use crate::Outcome;
use crate::figure::median;

/// How often each input is decided; the median counts, so that the machine's own pauses do not.
const SAMPLES: usize = 41;

/// Who signs the tokens, and what a call of them is.
pub struct Scene<'a> {
    /// What the verifier relies on; it knows the key below.
    pub trust: &'a Arc<Trust>,
    /// The token key, its name and its issuer.
    pub key: &'a PrivateKey,
    pub key_name: &'a str,
    pub issuer: &'a str,
    pub audience: &'a str,
    pub tool: &'a str,
    pub verb: &'a str,
    /// Seconds since the epoch.
    pub now: u64,
}

/// One input and how long its decision took, in microseconds, sample by sample.
#[derive(Clone, Debug)]
pub struct Slowest {
    pub input: &'static str,
    pub us: Vec<f64>,
}

/// The slowest decision over all inputs: of a token that the verifier sees first, and of one that it saw before.
pub fn slowest(scene: &Scene<'_>) -> Outcome<(Slowest, Slowest)> {
    let clock = SystemClock::start();
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for input in inputs::inputs(scene) {
        let (mut new, mut known) = (Vec::with_capacity(SAMPLES), Vec::with_capacity(SAMPLES));
        for _ in 0..SAMPLES {
            let config = VerifierConfig { audience: scene.audience.to_owned() };
            let verifier = Verifier::new(Arc::clone(scene.trust), config)?;
            for samples in [&mut new, &mut known] {
                let call = Call { tool: scene.tool, verb: scene.verb, args: input.args.as_ref() };
                let begun = clock.monotonic();
                std::hint::black_box(verifier.check(&Presented::bearer(&input.token), &call));
                samples.push((clock.monotonic() - begun).as_secs_f64() * 1e6);
            }
        }
        first.push(Slowest { input: input.name, us: new });
        again.push(Slowest { input: input.name, us: known });
    }
    let worst = |all: Vec<Slowest>| all.into_iter().max_by(|a, b| a.median().total_cmp(&b.median()));
    worst(first).zip(worst(again)).ok_or_else(|| "there is no hostile input".into())
}

impl Slowest {
    /// The median of the samples.
    pub fn median(&self) -> f64 {
        let mut sorted = self.us.clone();
        sorted.sort_by(f64::total_cmp);
        median(&sorted)
    }
}

/// Fills a block with so many of something.
type Write<'a> = &'a dyn Fn(usize, &mut BlockWriter);

/// The token of as many as fit into 8 KiB: a larger one would be refused at once, and hostile to nobody.
fn most(token: impl Fn(usize) -> Vec<u8>) -> String {
    let (mut fits, mut beyond) = (1, 4096);
    while beyond - fits > 1 {
        let middle = usize::midpoint(fits, beyond);
        if token(middle).len() <= MAX_TOKEN { fits = middle } else { beyond = middle }
    }
    encode(&token(fits))
}

impl Scene<'_> {
    /// An authority that grants the verb, with whatever `write` adds.
    fn authority(&self, write: &dyn Fn(&mut BlockWriter)) -> Vec<u8> {
        let mut writer = BlockWriter::after(Symbols::default());
        let ids = [
            ("issuer", self.issuer),
            ("key", self.key_name),
            ("workflow", "release-notes"),
            ("intent", "triage"),
            ("task", "tsk_1"),
            ("token", "tok_1"),
        ];
        ids.iter().for_each(|(kind, value)| writer.fact("id", &[Value::Str(kind), Value::Str(value)]));
        writer.fact("issued", &[Value::Date(self.now)]);
        writer.fact("right", &[self.tool, self.verb, "read"].map(Value::Str));
        writer.check(&[Alternative::new().fact("audience", [Value::Str(self.audience)])]);
        let window = Alternative::new().fact("time", [Value::Var("now")]);
        let window = window.holds(Value::Var("now"), Binary::GreaterOrEqual, Value::Date(self.now - 30));
        writer.check(&[window.holds(Value::Var("now"), Binary::LessThan, Value::Date(self.now + 3000))]);
        write(&mut writer);
        writer.finish()
    }

    /// A sound token with one more block, as large as it may be.
    fn narrowed(&self, write: Write<'_>) -> String {
        let authority = self.authority(&|_| {});
        let mut program = Program::default();
        // What our own writer makes is read.
        let _ = read_block(&mut program, 0, &authority);
        most(|most| {
            let mut writer = BlockWriter::after(program.symbols.clone());
            write(most, &mut writer);
            self.signed(self.key, &[authority.clone(), writer.finish()])
        })
    }

    /// Eight blocks, sealed: `write` fills the second, the others are filled with alternatives that always hold.
    fn eight_blocks(&self, write: &dyn Fn(&mut BlockWriter)) -> String {
        let first = self.authority(&|_| {});
        let mut program = Program::default();
        let _ = read_block(&mut program, 0, &first);
        let mut writer = BlockWriter::after(program.symbols);
        write(&mut writer);
        let second = writer.finish();
        most(|most| {
            let mut writer = BlockWriter::after(Symbols::default());
            (0..8).for_each(|_| writer.check(&vec![Alternative::new(); most.min(64)]));
            let later = vec![writer.finish(); 6];
            let blocks: Vec<Vec<u8>> = [first.clone(), second.clone()].into_iter().chain(later).collect();
            self.chained(self.key, &blocks, true)
        })
    }

    fn signed(&self, key: &PrivateKey, blocks: &[Vec<u8>]) -> Vec<u8> {
        self.chained(key, blocks, false)
    }

    /// Signs blocks into a chain.
    fn chained(&self, key: &PrivateKey, blocks: &[Vec<u8>], sealed: bool) -> Vec<u8> {
        let mut signer = key.clone();
        let mut links = Vec::new();
        for (block, seed) in blocks.iter().zip(1u8..) {
            let secret = PrivateKey::from_seed(&[seed; 32]);
            let next = *secret.public().as_bytes();
            links.push((next, signer.sign(&signed_payload(block, &next))));
            signer = secret;
        }
        let signed = blocks.iter().zip(&links);
        let chain: Vec<SignedBlock<'_>> =
            signed.map(|(block, (next_key, signature))| SignedBlock { block, next_key, signature }).collect();
        let seal = chain.last().map(|last| signer.sign(&seal_payload(last)));
        let seed = signer.seed();
        let proof = seal.as_ref().filter(|_| sealed).map_or(Proof::NextSecret(&seed), Proof::Sealed);
        write_container(None, &chain, &proof)
    }
}
