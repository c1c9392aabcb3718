//! Offline narrowing: whoever holds a token that is not sealed makes a copy that allows less, with no broker asked.
//! All our clients use this. A block with checks only is added; it can take away and never give.

use shortbread_protocol::alternatives::{AlternativeError, alternative};
use shortbread_protocol::biscuit::{
    Alternative, Binary, BlockWriter, Container, Flaw, MAX_BLOCKS, MAX_TOKEN, Proof, SignedBlock, Value,
    seal_payload, signed_payload, write_container,
};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::constraint::Arguments;
use shortbread_protocol::facts;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::names::Operation;
use shortbread_protocol::normalise::Forms;
use shortbread_protocol::random::{Random, RandomError};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::chain::{decode, encode, peek};
use crate::scope::Scope;

/// What to take away from a token. Nothing at all is refused, so that no one passes on a copy as wide as their own
/// and believes it narrower.
#[derive(Clone, Debug, Default)]
pub struct Narrowing {
    /// Only these operations; `None` keeps all that the token grants.
    pub operations: Option<Vec<Operation>>,
    /// Only these arguments, for the operations named here; each must be one that is kept, and is named once.
    ///
    /// There is no catalogue here that tells an argument's form: `path_under` and `host_in` compare the one spelling of a
    /// path or a URL, all other kinds the argument as it is sent. Both are asked beside what the token grants already, so
    /// that neither can widen it.
    pub arguments: Vec<(Operation, Arguments)>,
    /// Not valid from this second on (Unix time).
    pub until: Option<u64>,
    /// Only for this tool service.
    pub audience: Option<String>,
    /// A remark for whoever reads the token. It changes nothing.
    pub note: Option<String>,
    /// Whether the copy can be narrowed no further.
    pub seal: bool,
}

/// Why a token is not narrowed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NarrowError {
    /// Not a token, or not one of the profile.
    #[error(transparent)]
    Flaw(#[from] Flaw),
    /// The secret at its end belongs to another token.
    #[error("the token's last block and its secret do not belong together; it was changed on the way")]
    Proof,
    /// No block can follow.
    #[error("the token is sealed: it can be used as it is but not narrowed; ask the broker for one that can")]
    Sealed,
    /// Eight blocks are the most.
    #[error(
        "the token was narrowed {} times already, which is the most; narrow an earlier copy",
        MAX_BLOCKS - 1
    )]
    TooManyBlocks,
    /// Over 8 KiB.
    #[error(
        "the narrowed token would have {0} bytes, and 8192 are the most; name fewer operations or arguments"
    )]
    TooLarge(usize),
    /// Nothing would be taken away.
    #[error("this narrows nothing: name operations, arguments, an end or an audience, or seal the token")]
    Nothing,
    /// A list of operations without any.
    #[error("no operation is kept, so the token would be of no use; name at least one of {}", listed(.granted))]
    NoOperation {
        /// What the token grants.
        granted: Vec<String>,
    },
    /// More than the token grants.
    #[error("the token does not grant {}; it grants {}", listed(.asked), listed(.granted))]
    NotGranted {
        /// What was asked for and is not granted.
        asked: Vec<String>,
        /// What is.
        granted: Vec<String>,
    },
    /// Arguments for an operation that is dropped, or twice for one.
    #[error("arguments are given {1} {0}; name each operation that is kept once")]
    Arguments(Operation, &'static str),
    /// The end is no earlier than it is now.
    #[error(
        "the token ends at {} already, so it cannot be made to end at {}",
        Timestamp::from_seconds(*.end),
        Timestamp::from_seconds(*.asked)
    )]
    NotShorter {
        /// The end asked for, in seconds since the epoch.
        asked: u64,
        /// The token's own end.
        end: u64,
    },
    /// An audience that the token is not good for.
    #[error("the token is not for {asked:?}; it is for {}", listed(.named))]
    Audience {
        /// The audience asked for.
        asked: String,
        /// Those that the token names.
        named: Vec<String>,
    },
    /// Constraints that cannot be written.
    #[error(transparent)]
    Constraint(#[from] AlternativeError),
    /// No new secret.
    #[error("there is no randomness for a new secret")]
    Random,
}

impl From<RandomError> for NarrowError {
    fn from(_: RandomError) -> Self {
        Self::Random
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// Makes a copy of `token` that allows less. The signatures of its blocks are not checked: that takes the broker's key.
///
/// # Errors
/// When the token cannot be narrowed, or not like this; the message says what to do.
pub fn narrow(token: &str, by: &Narrowing, random: &dyn Random) -> Result<String, NarrowError> {
    let bytes = Zeroizing::new(decode(token)?);
    let open = Open::read(&bytes)?;
    let mut writer = BlockWriter::after(open.scope.program().symbols.clone());
    let checks = checks(&open.scope, by)?;
    if checks.is_empty() {
        if !by.seal {
            return Err(NarrowError::Nothing);
        }
        if by.note.is_none() {
            return open.seal();
        }
    }
    if let Some(note) = &by.note {
        writer.fact(facts::NOTE, &[Value::Str(note)]);
    }
    for alternatives in &checks {
        writer.check(alternatives);
    }
    open.append(&writer.finish(), by.seal, random)
}

/// Makes a copy of `token` with one more block, whose checks `write` gives.
///
/// # Errors
/// When the token cannot be narrowed, or the block is outside the profile.
pub fn append(
    token: &str,
    write: impl FnOnce(&mut BlockWriter),
    seal: bool,
    random: &dyn Random,
) -> Result<String, NarrowError> {
    let bytes = Zeroizing::new(decode(token)?);
    let open = Open::read(&bytes)?;
    let mut writer = BlockWriter::after(open.scope.program().symbols.clone());
    write(&mut writer);
    open.append(&writer.finish(), seal, random)
}

/// Makes a copy of `token` that cannot be narrowed any further.
///
/// # Errors
/// When it is no token or is sealed already.
pub fn seal(token: &str) -> Result<String, NarrowError> {
    let bytes = Zeroizing::new(decode(token)?);
    Open::read(&bytes)?.seal()
}

/// A token that can be narrowed.
struct Open<'a> {
    container: Container<'a>,
    last: SignedBlock<'a>,
    scope: Scope,
    secret: PrivateKey,
}

impl<'a> Open<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, NarrowError> {
        let container = Container::read(bytes)?;
        let scope = peek(bytes)?;
        let Proof::NextSecret(seed) = container.proof else {
            return Err(NarrowError::Sealed);
        };
        let secret = PrivateKey::from_seed(seed);
        let last = *container.blocks.last().ok_or(NarrowError::Proof)?;
        if secret.public().as_bytes() != last.next_key {
            return Err(NarrowError::Proof);
        }
        Ok(Self { container, last, scope, secret })
    }

    fn append(self, block: &[u8], seal: bool, random: &dyn Random) -> Result<String, NarrowError> {
        if self.container.blocks.len() >= MAX_BLOCKS {
            return Err(NarrowError::TooManyBlocks);
        }
        let next = PrivateKey::generate(random)?;
        let next_key = *next.public().as_bytes();
        let signature = self.secret.sign(&signed_payload(block, &next_key));
        let added = SignedBlock { block, next_key: &next_key, signature: &signature };
        let blocks: Vec<_> = self.container.blocks.iter().copied().chain([added]).collect();
        finish(self.container.root_key_id, &blocks, &added, &next, seal)
    }

    fn seal(self) -> Result<String, NarrowError> {
        finish(self.container.root_key_id, &self.container.blocks, &self.last, &self.secret, true)
    }
}

fn finish(
    root_key_id: Option<u32>,
    blocks: &[SignedBlock<'_>],
    last: &SignedBlock<'_>,
    secret: &PrivateKey,
    seal: bool,
) -> Result<String, NarrowError> {
    let bytes = Zeroizing::new(if seal {
        let signature = secret.sign(&seal_payload(last));
        write_container(root_key_id, blocks, &Proof::Sealed(&signature))
    } else {
        write_container(root_key_id, blocks, &Proof::NextSecret(&secret.seed()))
    });
    if bytes.len() > MAX_TOKEN {
        return Err(NarrowError::TooLarge(bytes.len()));
    }
    // Every verifier will ask the same, and the one who narrows should hear it first.
    peek(&bytes)?;
    Ok(encode(&bytes))
}

fn checks<'a>(scope: &'a Scope, by: &'a Narrowing) -> Result<Vec<Vec<Alternative<'a>>>, NarrowError> {
    let mut checks = Vec::with_capacity(3);
    if by.operations.is_some() || !by.arguments.is_empty() {
        checks.push(operations(scope, by)?);
    }
    if let Some(audience) = &by.audience {
        let named: Vec<String> = scope.audiences().map(str::to_owned).collect();
        if !named.contains(audience) {
            return Err(NarrowError::Audience { asked: audience.chars().take(256).collect(), named });
        }
        checks.push(vec![Alternative::new().fact(facts::AUDIENCE, [Value::Str(audience)])]);
    }
    if let Some(asked) = by.until {
        let end = scope.end();
        if asked >= end {
            return Err(NarrowError::NotShorter { asked, end });
        }
        let now = Value::Var("now");
        let before = Alternative::new().fact(facts::TIME, [now.clone()]);
        checks.push(vec![before.holds(now, Binary::LessThan, Value::Date(asked))]);
    }
    Ok(checks)
}

// One alternative for each operation that is kept, with its arguments where some are given.
fn operations<'a>(scope: &'a Scope, by: &'a Narrowing) -> Result<Vec<Alternative<'a>>, NarrowError> {
    let granted = || scope.rights().map(|(tool, verb, _)| format!("{tool}/{verb}")).collect::<Vec<_>>();
    let named = by.operations.iter().flatten().chain(by.arguments.iter().map(|(operation, _)| operation));
    let is_granted = |asked: &&Operation| scope.access(asked.tool.as_str(), asked.verb.as_str()).is_some();
    let beyond: Vec<String> = named.filter(|asked| !is_granted(asked)).map(ToString::to_string).collect();
    if !beyond.is_empty() {
        return Err(NarrowError::NotGranted { asked: beyond, granted: granted() });
    }
    let kept = |tool: &str, verb: &str| {
        let same = |asked: &Operation| asked.tool.as_str() == tool && asked.verb.as_str() == verb;
        by.operations.as_ref().is_none_or(|asked| asked.iter().any(same))
    };
    for (at, (operation, _)) in by.arguments.iter().enumerate() {
        if !kept(operation.tool.as_str(), operation.verb.as_str()) {
            return Err(NarrowError::Arguments(operation.clone(), "for the dropped"));
        }
        if by.arguments.iter().take(at).any(|(earlier, _)| earlier == operation) {
            return Err(NarrowError::Arguments(operation.clone(), "twice for"));
        }
    }
    let alternatives: Vec<_> = scope
        .rights()
        .filter(|(tool, verb, _)| kept(tool, verb))
        .map(|(tool, verb, _)| {
            let same = |(asked, _): &&(Operation, Arguments)| {
                asked.tool.as_str() == tool && asked.verb.as_str() == verb
            };
            match by.arguments.iter().find(same) {
                Some((operation, arguments)) => Ok(alternative(operation, Some(arguments), &Forms::new())?),
                None => Ok(Alternative::new().fact(facts::OPERATION, [Value::Str(tool), Value::Str(verb)])),
            }
        })
        .collect::<Result<_, NarrowError>>()?;
    if alternatives.is_empty() {
        return Err(NarrowError::NoOperation { granted: granted() });
    }
    Ok(alternatives)
}
