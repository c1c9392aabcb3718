//! The Datalog names of profile sb1. This file alone spells them: the broker writes them, the verifier reads them.

use crate::revocations::SelectorKind;

/// `id(kind, value)`: who and what a token stands for.
pub const ID: &str = "id";
/// `issued(date)`: when the token, or what it was exchanged for, was issued.
pub const ISSUED: &str = "issued";
/// `right(tool, verb, access)`: what is granted.
pub const RIGHT: &str = "right";
/// `note(text)`: the only fact a later block may have.
pub const NOTE: &str = "note";

/// `operation(tool, verb)`: what is called.
pub const OPERATION: &str = "operation";
/// `audience(url)`: the tool service that checks.
pub const AUDIENCE: &str = "audience";
/// `time(date)`: now.
pub const TIME: &str = "time";
/// `arg(name, value)`: one argument of the call.
pub const ARG: &str = "arg";
/// `args(names)`: the names of all top-level arguments.
pub const ARGS: &str = "args";
/// `args_sha256(bytes)`: the hash of the canonical arguments.
pub const ARGS_SHA256: &str = "args_sha256";
/// `holder(thumbprint)`: the key that made the proof.
pub const HOLDER: &str = "holder";
/// `unused(token)`: the one use of the token is claimed.
pub const UNUSED: &str = "unused";
/// `revocation_age(seconds)`: the age of the list that was applied.
pub const REVOCATION_AGE: &str = "revocation_age";

/// The kinds that `id` may have, as far as they stand in tokens.
pub const ID_KINDS: [SelectorKind; 10] = [
    SelectorKind::Issuer,
    SelectorKind::Key,
    SelectorKind::Workflow,
    SelectorKind::Operator,
    SelectorKind::Intent,
    SelectorKind::Task,
    SelectorKind::Token,
    SelectorKind::User,
    SelectorKind::Approval,
    SelectorKind::Holder,
];
