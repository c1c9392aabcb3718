//! DPoP proofs that were used, so that each is taken once.

use std::time::Duration;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::dpop::Proof;
pub use shortbread_verifier::replay::ReplayError;
use shortbread_verifier::replay::ReplayMemory;

/// How many proofs are remembered for exchanges: a minute's worth at 2,000 a second.
const EXCHANGES: usize = 131_072;
/// How many for the admin API.
const ADMIN: usize = 16_384;

/// When to come again where no more proofs can be remembered: the oldest are forgotten by then.
pub const FULL: Duration = Duration::from_secs(60);

/// What a proof is used for. Each use has a memory of its own, so that no flood of one closes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Asking for a token.
    Exchange,
    /// A call of the admin API.
    Admin,
    /// A call of the admin API that reads, sets or lifts revocations.
    Switch,
}

/// The proofs that this process took.
pub struct Proofs {
    /// Since when it remembers them; earlier ones could have been used before. Proofs say their second and no more, so
    /// that the second in which the process started counts whole: a restart must not keep operators from the switch.
    pub since: Timestamp,
    exchanges: ReplayMemory,
    admin: ReplayMemory,
    switch: ReplayMemory,
}

impl Proofs {
    /// None yet, in a process that starts now.
    #[must_use]
    pub fn new(started: Timestamp) -> Self {
        let [exchanges, admin, switch] = [EXCHANGES, ADMIN, ADMIN].map(ReplayMemory::new);
        Self { since: Timestamp::from_seconds(started.seconds()), exchanges, admin, switch }
    }

    /// Remembers a proof.
    ///
    /// # Errors
    /// When it was used before, or no more can be remembered: none is forgotten early.
    pub fn first_use(&self, by: Use, proof: &Proof, now: Timestamp) -> Result<(), ReplayError> {
        let memory = match by {
            Use::Exchange => &self.exchanges,
            Use::Admin => &self.admin,
            Use::Switch => &self.switch,
        };
        memory.first_use(&proof.id(), proof.claims().iat, now.seconds())
    }
}
