//! Runs a file of token cases, so that any implementation can show that it decides as this one does.
//!
//! The form is that of `schema/vectors/sb1.json`. Vectors test the token alone, without a verifier's own windows.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use shortbread_protocol::call::Args;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::constraint::Scalar;
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::normalise::Facet;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::SelectorKind;
use thiserror::Error;

use crate::chain::{Token, TokenKeys, decode};
use crate::scope::{Demand, Revocations};

/// Why a vector file cannot be run.
#[derive(Debug, Error)]
pub enum VectorError {
    /// Not a vector file.
    #[error("the vector file is not read: {0}")]
    Json(#[from] serde_json::Error),
    /// Its root key is no Ed25519 key.
    #[error("the vector file's root_public_key is not `ed25519/` and 64 hex digits of a key")]
    Key,
}

/// What came of one case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The name of the case.
    pub name: String,
    /// What the file expects.
    pub expect: String,
    /// `allow`, or the reason of the refusal.
    pub got: String,
    /// Whether that is as it must be.
    pub passed: bool,
}

#[derive(Deserialize)]
struct File {
    root_public_key: String,
    root_key_name: String,
    root_issuer: String,
    vectors: Vec<Value>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    token: String,
    call: CaseCall,
    expect: String,
    profile: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseCall {
    time: String,
    audience: String,
    tool: String,
    verb: String,
    args: Option<Map<String, Value>>,
    /// What a verifier must compute from the arguments: every facet of each, and no other.
    facets: Option<BTreeMap<String, Scalar>>,
    holder: Option<String>,
    revocation_age: Option<u64>,
    unused: Option<String>,
    args_sha256: Option<String>,
    #[serde(default)]
    revoked: Vec<CaseRevoked>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseRevoked {
    kind: SelectorKind,
    value: String,
    before: String,
}

/// Runs all cases of a file.
///
/// # Errors
/// When the file or a case is not of the right form; a case that merely fails is an [`Outcome`].
pub fn run(file: &[u8]) -> Result<Vec<Outcome>, VectorError> {
    let file: File = serde_json::from_slice(file)?;
    let hex = file.root_public_key.strip_prefix("ed25519/").ok_or(VectorError::Key)?;
    let bytes = unhex(hex).ok_or(VectorError::Key)?;
    let key = PublicKey::from_bytes(&bytes).map_err(|_| VectorError::Key)?;
    let keys = OneKey { issuer: &file.root_issuer, name: &file.root_key_name, key };
    Ok(file.vectors.into_iter().map(|case| run_one(case, &keys)).collect())
}

// A case that cannot be run has not passed, and does not keep the others from running.
fn run_one(case: Value, keys: &OneKey<'_>) -> Outcome {
    let text = |name: &str| case.get(name).and_then(Value::as_str).unwrap_or("(none)").to_owned();
    let (name, expect) = (text("name"), text("expect"));
    let read = serde_json::from_value::<Case>(case).map_err(|error| error.to_string());
    read.and_then(|case| run_case(&case, keys)).unwrap_or_else(|cause| Outcome {
        name,
        expect,
        got: format!("not run: {cause}"),
        passed: false,
    })
}

fn run_case(case: &Case, keys: &OneKey<'_>) -> Result<Outcome, String> {
    let seconds = |text: &str| text.parse::<Timestamp>().map(Timestamp::seconds).map_err(|e| e.to_string());
    let hash = |hex: &String| unhex(hex).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let args_sha256 = case.call.args_sha256.as_ref().map(|hex| hash(hex).ok_or("args_sha256 is no hash"));
    let list = case.call.revoked.iter();
    let list = list.map(|revoked| Ok((revoked.kind, revoked.value.as_str(), seconds(&revoked.before)?)));
    // Arguments that no verifier would read make a call that no verifier allows.
    let args = case.call.args.clone().map(Args::from_members).transpose();
    if let (Some(facets), Ok(Some(args))) = (&case.call.facets, &args)
        && *facets != computed(args)
    {
        return Err(format!("its facets are {:?} here", computed(args)));
    }
    let list = List(list.collect::<Result<_, String>>()?);
    let demand = Demand {
        now: seconds(&case.call.time)?,
        audience: &case.call.audience,
        tool: &case.call.tool,
        verb: &case.call.verb,
        args: args.as_ref().ok().and_then(Option::as_ref),
        holder: case.call.holder.as_deref(),
        unused: case.call.unused.as_deref(),
        revocation_age: case.call.revocation_age,
        args_sha256: args_sha256.transpose()?,
    };
    let (opened, decided) = decide(&case.token, keys, &list, &demand);
    let decided = args.as_ref().map_or(Err(Reason::CallMalformed), |_| decided);
    let passed = match (case.profile.as_str(), case.expect.as_str()) {
        ("violation", _) | (_, "refuse") => decided.is_err(),
        (_, "allow") => decided.is_ok(),
        (_, "deny") => opened && decided.is_err(),
        (_, "reject") => !opened,
        (_, other) => return Err(format!("expect is {other:?}; use allow, deny, reject or refuse")),
    };
    let got = decided.map_or_else(|reason| reason.code().to_owned(), |()| "allow".to_owned());
    Ok(Outcome { name: case.name.clone(), expect: case.expect.clone(), got, passed })
}

fn computed(args: &Args) -> BTreeMap<String, Scalar> {
    let every = args.names().flat_map(|name| Facet::ALL.map(|facet| (name, facet)));
    every.filter_map(|(name, facet)| Some((facet.of(name), args.facet(name, facet)?.ok()?))).collect()
}

fn decide(
    token: &str,
    keys: &OneKey<'_>,
    list: &List<'_>,
    demand: &Demand<'_>,
) -> (bool, Result<(), Reason>) {
    let opened =
        decode(token).map_err(crate::chain::TokenError::from).and_then(|bytes| Token::open(&bytes, keys));
    let token = match opened {
        Ok(token) => token,
        Err(error) => return (false, Err(error.reason())),
    };
    let standing = token.scope().standing(list, demand.tool, demand.verb);
    let decided =
        standing.and_then(|()| token.scope().evaluate(demand).map(drop).map_err(|refusal| refusal.reason));
    (true, decided)
}

struct OneKey<'a> {
    issuer: &'a str,
    name: &'a str,
    key: PublicKey,
}

impl TokenKeys for OneKey<'_> {
    fn issuer(&self) -> &str {
        self.issuer
    }

    fn token_key(&self, name: &str) -> Option<PublicKey> {
        (name == self.name).then_some(self.key)
    }
}

struct List<'a>(Vec<(SelectorKind, &'a str, u64)>);

impl Revocations for List<'_> {
    fn global(&self) -> u64 {
        0
    }

    fn before(&self, kind: SelectorKind, value: &str) -> Option<u64> {
        self.0.iter().find(|(k, v, _)| *k == kind && *v == value).map(|(_, _, before)| *before)
    }

    fn has_id(&self, _: &[u8; 16]) -> bool {
        false
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let pairs = digits?;
    (pairs.len() % 2 == 0)
        .then(|| pairs.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, d| byte << 4 | d)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_given_vectors_pass() {
        let outcomes = run(include_bytes!("../../schema/vectors/sb1.json")).unwrap();
        let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        assert_eq!(outcomes.len(), 122);
    }

    #[test]
    fn reasons_tell_refusals_apart() {
        let outcomes = run(include_bytes!("../../schema/vectors/sb1.json")).unwrap();
        let got = |name: &str| {
            outcomes.iter().find(|outcome| outcome.name == name).map(|outcome| outcome.got.as_str())
        };
        for (name, reason) in [
            ("verb not granted", "not_granted"),
            ("constrained argument wrong", "argument_refused"),
            ("closed world: extra argument", "argument_refused"),
            ("expiry is exclusive", "token.expired"),
            ("before not-before", "token.not_yet_valid"),
            ("wrong audience", "token.wrong_audience"),
            ("a tool of this token at another tool's audience", "token.wrong_audience"),
            ("no proof of possession", "proof.required"),
            ("wrong holder key", "proof.wrong_key"),
            ("stale list, write verb", "list.too_old"),
            ("no list, write verb", "list.missing"),
            ("revoked workflow", "revoked.workflow"),
            ("attenuated: verb dropped", "narrowed"),
            ("attenuated: shorter life", "token.expired"),
            ("holder forges time", "profile_violation"),
            ("signed by an unknown root", "token.bad_signature"),
            ("signed by a known key but issued in the future", "profile_violation"),
            ("one-shot: other arguments", "approval.other_call"),
            ("one-shot: already used", "approval.used"),
        ] {
            assert_eq!(got(name), Some(reason), "{name}");
        }
    }
}
