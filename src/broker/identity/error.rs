//! Why an identity was refused: one message for whoever presented it, the exact cause for operators.

use std::time::Duration;

use shortbread_protocol::reason::Reason;
use thiserror::Error;

use shortbread_protocol::json::JsonError;

/// Why an identity was not taken. `Display` is what the caller may read; it is the same for every `Invalid`.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum IdentityError {
    /// The assertion does not hold; the cause is for the audit log alone.
    #[error("the identity was not accepted: unreadable, expired, replayed, or not meant for this broker")]
    Invalid(Cause),
    /// The assertion holds, but no `[[identities]]` entry wants these claims.
    #[error("the issuer is trusted but no identity entry of the policy matches exactly once")]
    Unmatched,
    /// The assertion holds, and more than one entry wants it.
    #[error("the issuer is trusted but no identity entry of the policy matches exactly once")]
    Ambiguous,
    /// `client_id` names nobody whom this identity may be, or is missing where it must choose.
    #[error("this identity may not act as what `client_id` names, or `client_id` must choose and is absent")]
    WorkflowUnlisted,
    /// The issuer failed again and again, so that it is left alone for a while, and its keys are not at hand.
    #[error("the identity's issuer fails and is left alone for a while; retry in {} s", .retry_after.as_secs())]
    Down {
        /// How long to wait; whole seconds, at least one.
        retry_after: Duration,
    },
    /// The issuer's keys cannot be had.
    #[error("the keys of the identity's issuer cannot be had right now; retry in {} s", .retry_after.as_secs())]
    Unavailable {
        /// How long to wait; whole seconds, at least one.
        retry_after: Duration,
    },
}

impl IdentityError {
    /// The stable code that the answer carries.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Invalid(_) => Reason::IdentityInvalid,
            Self::Unmatched | Self::Ambiguous => Reason::IdentityUnmatched,
            Self::WorkflowUnlisted => Reason::WorkflowUnlisted,
            Self::Unavailable { .. } | Self::Down { .. } => Reason::IssuerUnavailable,
        }
    }

    /// The exact cause of an `Invalid`: for the audit log and operators, never for the answer.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Invalid(cause) => Some(*cause),
            _ => None,
        }
    }
}

/// On what less than usual an answer rests, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degraded {
    /// The issuer fails, and a set of its keys was used that was due for a refresh.
    OldKeys,
    /// The issuer fails, and no set of its keys can be used.
    NoKeys,
}

impl Degraded {
    /// As answers and the audit log have it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::OldKeys => "issuer.old_keys",
            Self::NoKeys => "issuer.no_keys",
        }
    }
}

impl From<Cause> for IdentityError {
    fn from(cause: Cause) -> Self {
        Self::Invalid(cause)
    }
}

/// What exactly was wrong with an assertion. It quotes nothing of the assertion.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum Cause {
    /// More than 16 KiB.
    #[error("the assertion is longer than 16 KiB")]
    TooLong,
    /// Not a JWS in compact form (RFC 7515).
    #[error("the assertion has not three parts separated by dots")]
    Parts,
    /// A part is padded, has stray bits, or other characters.
    #[error("a part of the assertion is not canonical base64url without padding")]
    Encoding,
    /// The header is not a plain object.
    #[error("the header cannot be read: {0}")]
    HeaderJson(JsonError),
    /// The payload is not a plain object.
    #[error("the payload cannot be read: {0}")]
    PayloadJson(JsonError),
    /// `alg` is absent, `none`, symmetric, or one that is not served.
    #[error("`alg` is not RS256, ES256 or EdDSA")]
    Algorithm,
    /// `crit` or `b64` asks for an extension.
    #[error("the header has `crit` or `b64`, which are not served")]
    Critical,
    /// A token of another kind, such as a DPoP proof or a logout token.
    #[error("`typ` says that this is another kind of token")]
    Type,
    /// `kid` is not a text of at most 256 bytes.
    #[error("`kid` is not a text of 1 to 256 bytes")]
    KeyId,
    /// No `iss`, and no SPIFFE ID in `sub` either.
    #[error("`iss` is missing or not a text")]
    NoIssuer,
    /// No entry of the policy names this issuer, registered principal or trust domain.
    #[error("no identity entry names this `iss` or trust domain")]
    UnknownIssuer,
    /// The issuer's set has no such key.
    #[error("the issuer has no key with this `kid`")]
    UnknownKey,
    /// Without `kid` the issuer's set must have exactly one key of the algorithm.
    #[error("there is no `kid` and the issuer has not exactly one key for the algorithm")]
    UnclearKey,
    /// The key is for another algorithm than the header claims.
    #[error("the key is for another algorithm than `alg` says")]
    OtherAlgorithm,
    /// The key did not make the signature.
    #[error("the signature does not fit the key")]
    Signature,
    /// A claim that must be there is not.
    #[error("the claim `{0}` is missing")]
    Missing(&'static str),
    /// A claim has the wrong type or lies outside its bounds.
    #[error("the claim `{0}` is malformed")]
    Malformed(&'static str),
    /// `exp` has passed.
    #[error("the assertion has expired (`exp`)")]
    Expired,
    /// `nbf` lies ahead.
    #[error("the assertion is not valid yet (`nbf`)")]
    NotYetValid,
    /// `iat` lies ahead.
    #[error("the assertion was issued in the future (`iat`); check the clocks")]
    FromTheFuture,
    /// Issued too long ago.
    #[error("the assertion was issued too long ago (`iat`)")]
    TooOld,
    /// `exp` is not after `iat`, or too far after it (after now, where there is no `iat`).
    #[error("the assertion's life, `exp` - `iat`, is not positive or longer than allowed")]
    Lifetime,
    /// Not our audience, or several.
    #[error("`aud` is not this broker alone")]
    Audience,
    /// It was used before.
    #[error("the assertion was used before")]
    Replayed,
    /// A registered key's `sub` differs from its `iss`.
    #[error("`sub` is not equal to `iss`")]
    Subject,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_invalid_reads_the_same() {
        let one = IdentityError::from(Cause::Signature);
        let other = IdentityError::from(Cause::Missing("exp"));
        assert_eq!(one.to_string(), other.to_string());
        assert_eq!(one.reason(), Reason::IdentityInvalid);
        assert_eq!(IdentityError::Unmatched.to_string(), IdentityError::Ambiguous.to_string());
    }
}
