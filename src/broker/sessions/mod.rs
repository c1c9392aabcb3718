//! Who is signed in to the console: sessions and one-time links, in memory. A broker that starts anew has none, and a backup
//! never has any. Secrets are kept as hashes alone. Pure: time and randomness come in.

mod link;
mod secret;
mod session;

pub use self::link::Links;
pub use self::secret::Secret;
pub use self::session::{Begun, HOLD, Session, Sessions};

use serde::Serialize;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::OperatorName;

/// How somebody showed who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// A one-time link that an operator's key asked for.
    Link,
    /// An identity provider (OpenID Connect).
    Oidc,
}

impl Means {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Oidc => "oidc",
        }
    }
}

/// An operator, and what their sign-in rests on: whatever of it is revoked ends the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// The operator.
    pub operator: OperatorName,
    /// How.
    pub means: Means,
    /// When they showed who they are: not before this their credentials were looked at.
    pub at: Timestamp,
    /// The id of the operator's token that asked for the link.
    pub token: Option<String>,
    /// The thumbprint of the key that it is bound to.
    pub holder: Option<String>,
    /// The name of the broker's key that signed it.
    pub key: Option<String>,
    /// The identity entries of the policy that it may rest on, as [`crate::policy::Policy::proofs_of`] tells them: one of them
    /// has to be there still.
    pub proofs: Vec<String>,
    /// What tells the person from others, whatever their name, as approvals compare it.
    pub marks: Vec<String>,
}
