//! Why a sign-in failed: what the person may read, and the exact fault for operators.

use std::path::PathBuf;

use shortbread_protocol::random::RandomError;
use shortbread_protocol::reason::Reason;
use thiserror::Error;

use crate::identity::{FetchError, IdentityError};

/// Why the console cannot sign people in by the provider as it is configured.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The file of the secret cannot be read.
    #[error("the file {path} of [console.oidc] cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Others may read it.
    #[error("the file {path} of [console.oidc] can be read by others; run `chmod 600 {path}`")]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// Nothing stands in it, or more than one line.
    #[error("{path} holds no secret of a client: it must be one line, as the provider gave it")]
    Form {
        /// The file.
        path: PathBuf,
    },
}

/// Why a sign-in failed. `Display` is what whoever tried may read.
#[derive(Debug, Error)]
pub enum SignInError {
    /// The policy in force has no operators of this provider.
    #[error(
        "the policy has no operators of this identity provider; until it has, sign in with the link that \
         `shortbread console` prints"
    )]
    NotInPolicy,
    /// It took longer than ten minutes.
    #[error("this sign-in took longer than ten minutes; begin it again")]
    Over,
    /// What came back is not what this browser set out with.
    #[error("this answer belongs to no sign-in that this browser began; begin it again")]
    Foreign,
    /// The provider said no, or the person did.
    #[error("the identity provider did not sign you in; begin it again, or ask whoever runs the provider")]
    Declined,
    /// The provider did not answer.
    #[error(
        "the identity provider cannot be reached right now; retry, or sign in with the link that \
         `shortbread console` prints"
    )]
    Unavailable(FetchError),
    /// The provider's answer cannot be used; the fault is for the log alone.
    #[error("the identity was not accepted: unreadable, expired, replayed, or not meant for this broker")]
    Unusable(#[from] Fault),
    /// The ID token does not hold, or is of nobody who is an operator.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// There is no randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// What exactly was wrong with the provider's answer. It quotes nothing of it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    /// What it says of itself cannot be read.
    #[error("the provider's discovery document is not one JSON object")]
    Document,
    /// It names another issuer.
    #[error("the provider's discovery document is of another issuer than [console.oidc] names")]
    OtherIssuer,
    /// A member of it is missing or cannot be used.
    #[error("`{0}` of the provider's discovery document is missing or no URL that may be used")]
    Metadata(&'static str),
    /// It does not say that it knows S256.
    #[error("the provider does not offer PKCE with S256, and without it a stolen code would do")]
    NoPkce,
    /// RFC 9207: the answer is of another provider, or does not say whose it is though it would.
    #[error("`iss` of the answer is not that of the provider (RFC 9207)")]
    AnswerIssuer,
    /// The token endpoint did not take the code.
    #[error(
        "the provider's token endpoint refused the code (status {0}): used, expired, or not of this sign-in; after 401 \
         compare client_id and client_secret_file with what the provider has"
    )]
    Code(u16),
    /// Its answer has no ID token.
    #[error("the answer of the provider's token endpoint has no `id_token`; is `openid` among the scopes?")]
    NoToken,
    /// The ID token was made for another sign-in.
    #[error("`nonce` of the ID token is not that of this sign-in")]
    Nonce,
    /// The ID token was made at the wish of another client.
    #[error("`azp` of the ID token is not the client_id of the console")]
    OtherParty,
    /// The ID token does not say when the person signed in.
    #[error("`auth_time` of the ID token is missing, no whole number, or in the future")]
    AuthTime,
    /// They signed in too long ago.
    #[error("`auth_time` of the ID token is longer ago than was asked for")]
    NotFresh,
    /// An entry wants the ID token that is not for the console.
    #[error(
        "the identity entry that wants the ID token is not of operators for the client_id of the console"
    )]
    OtherEntry,
}

impl SignInError {
    /// The stable code that the answer carries.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::NotInPolicy => Reason::IdentityUnmatched,
            Self::Over | Self::Foreign | Self::Declined | Self::Unusable(_) => Reason::IdentityInvalid,
            Self::Unavailable(_) => Reason::IssuerUnavailable,
            Self::Identity(error) => error.reason(),
            Self::Random(_) => Reason::Internal,
        }
    }

    /// The exact cause: for the log and operators, never for whoever tried.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::Unusable(fault) => fault.to_string(),
            Self::Unavailable(error) => error.to_string(),
            Self::Identity(error) => {
                error.cause().map_or_else(|| error.to_string(), |cause| cause.to_string())
            }
            other => other.to_string(),
        }
    }
}

impl From<FetchError> for SignInError {
    fn from(error: FetchError) -> Self {
        Self::Unavailable(error)
    }
}
