//! Makes a token: what was granted, as facts and checks of profile sb1, signed. Every value is bound, none is
//! formatted into text, and the verifier's own profile check looks at the result before it leaves.

use std::collections::BTreeSet;

use shortbread_protocol::alternatives::{AlternativeError, alternative};
use shortbread_protocol::biscuit::{
    Alternative, Binary, BlockWriter, Flaw, Proof, SignedBlock, Symbols, Value, seal_payload, signed_payload,
    write_container,
};
use shortbread_protocol::facts;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::names::{Intent, Operation, Task};
use shortbread_protocol::random::{Random, RandomError};
use shortbread_protocol::revocations::SelectorKind;
use shortbread_verifier::chain;
use shortbread_verifier::narrow::NarrowError;
use thiserror::Error;

use crate::policy::Right;
use crate::policy::model::Principal;
use crate::signer::{Signer, SignerError};

mod child;

pub use child::{Child, mint_child};

/// The largest token that is minted, in bytes before base64: it must pass through header limits of 8 KiB.
const MAX_MINTED: usize = 5 * 1024;

/// How long before its issue date a token is valid, in seconds: clocks differ.
const EARLY: u64 = 30;

/// How many checks of the list's age a token may have: the profile has room for 16 checks in all, and the others take
/// seven at most.
const MOST_AGES: usize = 8;

/// What to put into a token.
#[derive(Debug)]
pub struct Minting<'a> {
    /// The broker's public URL.
    pub issuer: &'a str,
    /// Who it is for.
    pub principal: &'a Principal,
    /// The declared purpose.
    pub intent: &'a Intent,
    /// The task.
    pub task: &'a Task,
    /// The token's id.
    pub token: &'a str,
    /// The RFC 7638 thumbprint of the key that it is bound to; `None` for a bearer token.
    pub holder: Option<&'a str>,
    /// The issue date, in seconds since the epoch.
    pub issued: u64,
    /// When it ends, in seconds since the epoch.
    pub expires: u64,
    /// What is granted.
    pub rights: &'a [Right],
    /// The audience of each tool among the rights.
    pub audiences: &'a [(String, String)],
    /// Whether nothing may be added to it.
    pub sealed: bool,
    /// The approval that it comes from.
    pub approval: Option<&'a str>,
    /// What it is good for once.
    pub once: Option<Once<'a>>,
}

/// What a token is good for once.
#[derive(Clone, Copy, Debug)]
pub struct Once<'a> {
    /// The verbs.
    pub verbs: &'a [Operation],
    /// SHA-256 of the arguments in canonical JSON, for one exact call.
    pub args_sha256: Option<[u8; 32]>,
}

/// Why no token was made.
#[derive(Clone, Debug, Error)]
pub enum MintError {
    /// It would be too large.
    #[error("the token would have {0} bytes and may have 5120; ask for fewer verbs or shorter constraints")]
    TooLarge(usize),
    /// A verb's conditions cannot be written as a check.
    #[error(transparent)]
    Conditions(#[from] AlternativeError),
    /// What was made is outside the profile: nothing leaves.
    #[error("the minted token is not within its own profile: {0}")]
    Profile(#[from] Flaw),
    /// A parent's check would mean something else in its child.
    #[error(
        "the token has a condition on its key, its own id or its use, which no child can have; pass on a copy without it"
    )]
    Own,
    /// A parent's later block cannot be repeated in its child.
    #[error(transparent)]
    Narrow(#[from] NarrowError),
    /// No key.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// No randomness for the next key.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Makes and signs a token; gives its text.
///
/// # Errors
/// When it would be too large or outside the profile, or when it cannot be signed.
pub fn mint(minting: &Minting<'_>, signer: &dyn Signer, random: &dyn Random) -> Result<String, MintError> {
    sign(&authority(minting, signer)?, minting.sealed, signer, &PrivateKey::generate(random)?)
}

/// Signs an authority block; gives the token's text. The same block, seal and next key give the same text.
///
/// # Errors
/// When it would be too large or outside the profile, or when it cannot be signed.
pub fn sign(block: &[u8], sealed: bool, signer: &dyn Signer, next: &PrivateKey) -> Result<String, MintError> {
    let next_public = next.public();
    let signature = signer.sign(&signed_payload(block, next_public.as_bytes()))?;
    let signed = SignedBlock { block, next_key: next_public.as_bytes(), signature: &signature };
    let hint = Some(signer.hint());
    let bytes = if sealed {
        let seal = next.sign(&seal_payload(&signed));
        write_container(hint, &[signed], &Proof::Sealed(&seal))
    } else {
        write_container(hint, &[signed], &Proof::NextSecret(&next.seed()))
    };
    if bytes.len() > MAX_MINTED {
        return Err(MintError::TooLarge(bytes.len()));
    }
    chain::peek(&bytes)?;
    Ok(chain::encode(&bytes))
}

/// The authority block of a token: all that it says, not signed yet.
///
/// # Errors
/// When a verb's conditions cannot be written as a check.
pub fn authority(minting: &Minting<'_>, signer: &dyn Signer) -> Result<Vec<u8>, MintError> {
    let mut block = BlockWriter::after(Symbols::default());
    identify(&mut block, minting, signer);
    block.fact(facts::ISSUED, &[Value::Date(minting.issued)]);
    for right in minting.rights {
        let Operation { tool, verb } = &right.operation;
        let access = Value::Str(right.access.as_str());
        block.fact(facts::RIGHT, &[Value::Str(tool.as_str()), Value::Str(verb.as_str()), access]);
    }
    let operation = [Value::Var("tool"), Value::Var("verb")];
    let right = [Value::Var("tool"), Value::Var("verb"), Value::Var("access")];
    block.check(&[Alternative::new().fact(facts::OPERATION, operation).fact(facts::RIGHT, right)]);
    block.check(&granted(minting.rights)?);
    block.check(&audiences(minting));
    let window = Alternative::new()
        .fact(facts::TIME, [Value::Var("now")])
        .holds(Value::Var("now"), Binary::GreaterOrEqual, Value::Date(minting.issued.saturating_sub(EARLY)))
        .holds(Value::Var("now"), Binary::LessThan, Value::Date(minting.expires));
    block.check(&[window]);
    if let Some(holder) = minting.holder {
        block.check(&[Alternative::new().fact(facts::HOLDER, [Value::Str(holder)])]);
    }
    if let Some(once) = &minting.once {
        good_once(&mut block, minting, once);
    }
    let ages = ages(minting.rights);
    for seconds in &ages {
        fresh(&mut block, minting.rights, *seconds, ages.last() == Some(seconds));
    }
    Ok(block.finish())
}

fn identify(block: &mut BlockWriter, minting: &Minting<'_>, signer: &dyn Signer) {
    for (kind, value) in [
        (SelectorKind::Issuer, minting.issuer),
        (SelectorKind::Key, signer.name().as_str()),
        (minting.principal.kind(), minting.principal.name()),
        (SelectorKind::Intent, minting.intent.as_str()),
        (SelectorKind::Task, minting.task.as_str()),
        (SelectorKind::Token, minting.token),
    ] {
        block.fact(facts::ID, &[Value::Str(kind.as_str()), Value::Str(value)]);
    }
    for (kind, value) in [(SelectorKind::Holder, minting.holder), (SelectorKind::Approval, minting.approval)]
    {
        if let Some(value) = value {
            block.fact(facts::ID, &[Value::Str(kind.as_str()), Value::Str(value)]);
        }
    }
}

// One exact call names its verb and the hash of its arguments. Both are asked of these verbs alone.
fn good_once(block: &mut BlockWriter, minting: &Minting<'_>, once: &Once<'_>) {
    let others = || {
        let all = minting.rights.iter().map(|right| &right.operation);
        all.filter(|verb| !once.verbs.contains(verb)).map(operation)
    };
    if let Some(hash) = &once.args_sha256 {
        let exact =
            once.verbs.iter().map(|verb| operation(verb).fact(facts::ARGS_SHA256, [Value::Bytes(hash)]));
        block.check(&others().chain(exact).collect::<Vec<_>>());
    }
    let unused = Alternative::new().fact(facts::UNUSED, [Value::Str(minting.token)]);
    block.check(&others().chain([unused]).collect::<Vec<_>>());
}

// One alternative per granted verb and grant: conditions of two grants are never merged.
fn granted(rights: &[Right]) -> Result<Vec<Alternative<'_>>, MintError> {
    let ways = rights.iter().flat_map(|right| right.alternatives.iter().map(move |way| (right, way)));
    let made = ways.map(|(right, way)| alternative(&right.operation, way.arguments.as_ref(), &right.forms));
    Ok(made.collect::<Result<_, _>>()?)
}

fn operation(operation: &Operation) -> Alternative<'_> {
    let terms = [Value::Str(operation.tool.as_str()), Value::Str(operation.verb.as_str())];
    Alternative::new().fact(facts::OPERATION, terms)
}

fn audiences<'a>(minting: &'a Minting<'_>) -> Vec<Alternative<'a>> {
    let one = |(tool, audience): &'a (String, String)| {
        Alternative::new()
            .fact(facts::AUDIENCE, [Value::Str(audience)])
            .fact(facts::OPERATION, [Value::Str(tool), Value::Var("verb")])
    };
    minting.audiences.iter().map(one).collect()
}

// Every window that some right keeps to, the shortest first. Where tools have more of them than a token has room for,
// the longest give way to shorter ones: that denies sooner, never later.
fn ages(rights: &[Right]) -> Vec<u32> {
    let all: BTreeSet<u32> = rights.iter().flat_map(|right| right.windows.of(right.access)).collect();
    all.into_iter().take(MOST_AGES).collect()
}

// Verbs with a longer window need no list of this age; the others do.
fn fresh(block: &mut BlockWriter, rights: &[Right], seconds: u32, last: bool) {
    let milder = |right: &&Right| {
        let shortest = right.windows.of(right.access).next();
        shortest.is_none_or(|shortest| shortest > seconds && !last)
    };
    let milder = rights.iter().filter(milder).map(|right| operation(&right.operation));
    let aged = Alternative::new().fact(facts::REVOCATION_AGE, [Value::Var("seconds")]).holds(
        Value::Var("seconds"),
        Binary::LessOrEqual,
        Value::Int(seconds.into()),
    );
    let alternatives: Vec<_> = milder.chain([aged]).collect();
    block.check(&alternatives);
}

#[cfg(test)]
mod tests;
