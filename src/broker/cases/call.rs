//! A call with the token that would be granted: minted with a key that signs nothing else, and asked as a tool service
//! asks it. The simulator is the enforcement function itself.

use std::collections::BTreeMap;

use shortbread_protocol::biscuit::Flaw;
use shortbread_protocol::call::Args;
use shortbread_protocol::keys::{PrivateKey, PublicKey};
use shortbread_protocol::names::{Intent, KeyName, NameError, Operation, Task};
use shortbread_protocol::reason::Reason;
use shortbread_verifier::chain::{Token, TokenError, TokenKeys, decode};
use shortbread_verifier::scope::Demand;
use thiserror::Error;

use super::Call;
use super::decide::Known;
use crate::mint::{MintError, Minting, authority, sign};
use crate::policy::{Granted, Policy, Possession};
use crate::signer::LocalSigner;

// No token that these sign leaves this file, and no verifier knows them.
const ISSUER: &str = "https://cases.invalid";
const KEY: &str = "cases";
const SEED: [u8; 32] = [1; 32];
const NEXT_SEED: [u8; 32] = [2; 32];
const TOKEN: &str = "tok_case";
const TASK: &str = "tsk_case";
/// Stands for the key of whoever proved one.
const HOLDER: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// When the token is minted and used, in seconds since the epoch: nothing depends on it.
const NOW: u64 = 1_795_176_000;

/// Why there is no token to call with.
#[derive(Debug, Error)]
enum Unmade {
    #[error(transparent)]
    Mint(#[from] MintError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Name(#[from] NameError),
}

impl From<Flaw> for Unmade {
    fn from(flaw: Flaw) -> Self {
        Self::Token(flaw.into())
    }
}

impl Unmade {
    /// As a live request is answered.
    fn reason(&self) -> Reason {
        match self {
            Self::Mint(MintError::TooLarge(_) | MintError::Conditions(_)) => Reason::TooLarge,
            _ => Reason::Internal,
        }
    }
}

/// Whether a token with what is granted allows the call: at once, at the right service, with a fresh list, by its holder.
///
/// # Errors
/// With the verifier's reason and words, or why there would be no token.
pub(super) fn evaluate(
    policy: &Policy,
    intent: Intent,
    known: &Known<'_>,
    granted: &Granted,
    call: &Call,
) -> Result<(), (Reason, String)> {
    let holder = (known.possession == Possession::Proved).then_some(HOLDER);
    let token = token(policy, &intent, known, granted, holder);
    asked(policy, &token.map_err(|unmade| (unmade.reason(), unmade.to_string()))?, holder, call)
}

/// The same for several calls, each with a token of its own verb: one token for all calls of a verb.
///
/// # Errors
/// As [`evaluate`], of the first call that is not allowed.
pub(super) fn evaluate_each(
    policy: &Policy,
    intent: &Intent,
    known: &Known<'_>,
    granted: &Granted,
    calls: &[Call],
) -> Result<(), (Reason, String)> {
    let holder = (known.possession == Possession::Proved).then_some(HOLDER);
    let mut tokens: BTreeMap<&Operation, Token> = BTreeMap::new();
    for call in calls {
        if !tokens.contains_key(&call.verb) {
            let rights = granted.rights.iter().filter(|right| right.operation == call.verb);
            let own = Granted { rights: rights.cloned().collect(), ..granted.clone() };
            let token = token(policy, intent, known, &own, holder);
            let token = token.map_err(|unmade| (unmade.reason(), unmade.to_string()))?;
            tokens.insert(&call.verb, token);
        }
        tokens.get(&call.verb).map_or(Ok(()), |token| asked(policy, token, holder, call))?;
    }
    Ok(())
}

fn asked(policy: &Policy, token: &Token, holder: Option<&str>, call: &Call) -> Result<(), (Reason, String)> {
    let args = arguments(call)?;
    let tools = &policy.catalogue().tools;
    let demand = Demand {
        now: NOW,
        audience: tools.get(&call.verb.tool).map_or("", |tool| tool.audience.as_str()),
        tool: call.verb.tool.as_str(),
        verb: call.verb.verb.as_str(),
        args: Some(&args),
        holder,
        unused: None,
        revocation_age: Some(0),
        args_sha256: args.digest(),
    };
    match token.scope().evaluate(&demand) {
        Ok(_) => Ok(()),
        Err(refusal) => {
            let why = refusal.detail.unwrap_or_else(|| refusal.reason.meaning().to_owned());
            Err((refusal.reason, format!("the call of {} is refused: {why}", call.verb)))
        }
    }
}

fn arguments(call: &Call) -> Result<Args, (Reason, String)> {
    let text = serde_json::to_vec(&call.args).unwrap_or_default();
    Args::from_json(&text).map_err(|error| (Reason::CallMalformed, error.to_string()))
}

fn token(
    policy: &Policy,
    intent: &Intent,
    known: &Known<'_>,
    granted: &Granted,
    holder: Option<&str>,
) -> Result<Token, Unmade> {
    let tools = &policy.catalogue().tools;
    let named = granted.rights.iter().filter_map(|right| {
        let tool = &right.operation.tool;
        Some((tool.to_string(), tools.get(tool)?.audience.clone()))
    });
    let audiences: Vec<(String, String)> = named.collect::<BTreeMap<_, _>>().into_iter().collect();
    let (name, task): (KeyName, Task) = (KEY.parse()?, TASK.parse()?);
    let minting = Minting {
        issuer: ISSUER,
        principal: known.principal,
        intent,
        task: &task,
        token: TOKEN,
        holder,
        issued: NOW,
        expires: NOW.saturating_add(granted.ttl.as_secs()),
        rights: &granted.rights,
        audiences: &audiences,
        sealed: false,
        approval: None,
        once: None,
    };
    let signer = LocalSigner::new(name, PrivateKey::from_seed(&SEED));
    let block = authority(&minting, &signer)?;
    let text = sign(&block, false, &signer, &PrivateKey::from_seed(&NEXT_SEED))?;
    let bytes = decode(&text)?;
    Ok(Token::open(&bytes, &Throwaway(PrivateKey::from_seed(&SEED).public()))?)
}

/// The one key that signs here.
struct Throwaway(PublicKey);

impl TokenKeys for Throwaway {
    fn issuer(&self) -> &str {
        ISSUER
    }

    fn token_key(&self, name: &str) -> Option<PublicKey> {
        (name == KEY).then_some(self.0)
    }
}
