//! Tokens that are good once: whoever keeps which of them were used.
//!
//! An approved call carries such a token. Its use is claimed when all else has passed, and nothing runs without. Two can
//! keep the uses: [`LocalUses`], a file of this instance, where it is the one instance of its tools; or the broker, for
//! all instances. With neither such tokens are refused.

#[cfg(feature = "report")]
mod broker;
mod local;

use std::sync::Arc;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::reason::Reason;
use thiserror::Error;

#[cfg(feature = "report")]
pub use broker::BrokerUses;
pub use local::{LocalUses, UsesError};

#[cfg(feature = "report")]
use crate::decision::Call;
use crate::scope::Refusal;

/// The one use of a token that is claimed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use<'a> {
    /// The token's id.
    pub(crate) token: &'a str,
    /// The first second in which the token is not valid any more, since the epoch.
    pub(crate) expires: u64,
    /// The call that it is for: what is on record at the broker.
    #[cfg(feature = "report")]
    pub(crate) call: &'a Call<'a>,
}

/// Why a use is not this call's. The texts are for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Unclaimed {
    /// Nobody keeps uses here.
    #[error(
        "this tool service keeps no uses of such tokens: whoever runs it configures `uses_local` for a single instance, \
         or `uses_broker`"
    )]
    Unkept,
    /// Another call has it.
    #[error("its use was claimed before")]
    Used,
    /// The broker says that something the token stands for is revoked.
    #[cfg(feature = "report")]
    #[error("the broker says so, which keeps its use")]
    Revoked(Reason),
    /// Whoever keeps it did not say.
    #[error("{0}")]
    Unavailable(&'static str),
}

impl Unclaimed {
    const fn reason(self) -> Reason {
        match self {
            Self::Unkept | Self::Used => Reason::AlreadyUsed,
            #[cfg(feature = "report")]
            Self::Revoked(reason) => reason,
            Self::Unavailable(_) => Reason::ClaimUnavailable,
        }
    }
}

impl From<Unclaimed> for Refusal {
    fn from(unclaimed: Unclaimed) -> Self {
        Self { detail: Some(unclaimed.to_string()), ..Self::plain(unclaimed.reason()) }
    }
}

/// Who keeps the uses.
pub(crate) enum Keep {
    Nobody,
    Local(Arc<LocalUses>),
    #[cfg(feature = "report")]
    Broker(Arc<BrokerUses>),
}

#[cfg(feature = "report")]
const ELSEWHERE: Unclaimed = Unclaimed::Unavailable(
    "the broker keeps its use, and only `Checker::check_claiming` waits for the broker",
);

impl Keep {
    /// Whether a claim can be made at all, by somebody who waits or not.
    pub(crate) fn ready(&self, waits: bool) -> Result<(), Unclaimed> {
        #[cfg(not(feature = "report"))]
        let _ = waits;
        match self {
            Self::Nobody => Err(Unclaimed::Unkept),
            Self::Local(_) => Ok(()),
            #[cfg(feature = "report")]
            Self::Broker(uses) if waits => uses.ready(),
            #[cfg(feature = "report")]
            Self::Broker(_) => Err(ELSEWHERE),
        }
    }

    /// Claims a use without asking anybody else.
    pub(crate) fn claim(&self, wanted: &Use<'_>, now: Timestamp) -> Result<(), Unclaimed> {
        match self {
            Self::Nobody => Err(Unclaimed::Unkept),
            Self::Local(uses) => uses.claim(wanted, now),
            #[cfg(feature = "report")]
            Self::Broker(_) => Err(ELSEWHERE),
        }
    }
}
