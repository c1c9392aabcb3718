//! DPoP proofs that were used, so that each is taken once.

use std::time::Duration;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::dpop::Proof;
pub use shortbread_verifier::replay::ReplayError;
use shortbread_verifier::replay::ReplayMemory;

use crate::telemetry;

/// How many proofs are remembered for the exchanges of operators and for each part of the admin API.
const ADMIN: usize = 16_384;

/// When to come again where no more proofs can be remembered: the oldest are forgotten by then.
pub const FULL: Duration = Duration::from_secs(60);

/// What a proof is used for. Each use has a memory of its own, so that no flood of one closes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Asking for a token.
    Exchange,
    /// Asking for an operator's token: without one nobody presses the switch.
    Operator,
    /// A call of the admin API.
    Admin,
    /// A call of the admin API that reads, sets or lifts revocations.
    Switch,
}

impl Use {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Switch => "switch",
        }
    }
}

/// The proofs that this process took.
pub struct Proofs {
    /// Since when it remembers them; earlier ones could have been used before. Proofs say their second and no more, so
    /// that the second in which the process started counts whole: a restart must not keep operators from the switch.
    pub since: Timestamp,
    exchanges: ReplayMemory,
    operators: ReplayMemory,
    admin: ReplayMemory,
    switch: ReplayMemory,
}

impl Proofs {
    /// None yet, in a process that starts now, with room for so many proofs of exchanges.
    #[must_use]
    pub fn new(started: Timestamp, exchanges: usize) -> Self {
        Self::with(started, [exchanges, ADMIN, ADMIN, ADMIN])
    }

    fn with(started: Timestamp, room: [usize; 4]) -> Self {
        let [exchanges, operators, admin, switch] = room.map(ReplayMemory::new);
        Self { since: Timestamp::from_seconds(started.seconds()), exchanges, operators, admin, switch }
    }

    /// Remembers a proof.
    ///
    /// # Errors
    /// When it was used before, or no more can be remembered: none is forgotten early.
    pub fn first_use(&self, by: Use, proof: &Proof, now: Timestamp) -> Result<(), ReplayError> {
        let memory = match by {
            Use::Exchange => &self.exchanges,
            Use::Operator => &self.operators,
            Use::Admin => &self.admin,
            Use::Switch => &self.switch,
        };
        let first = memory.first_use(&proof.id(), proof.claims().iat, now.seconds());
        telemetry::proof_used(by.as_str(), first.map_or_else(|error| error.reason().code(), |()| "good"));
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shortbread_protocol::dpop::{Expected, ProofKey, Statement, Unproved};
    use shortbread_protocol::keys::PrivateKey;
    use shortbread_protocol::random::SeededRandom;

    #[test]
    fn a_flood_of_one_use_closes_no_other() {
        let now = Timestamp::from_seconds(1_795_176_000);
        let (key, random) = (ProofKey::new(PrivateKey::from_seed(&[1; 32])), SeededRandom::new(1));
        let proof = || {
            let url = "https://broker.acme.example/oauth/token";
            let statement = Statement { method: "POST", url, ..Statement::default() };
            let text = key.prove(&statement, now, &random).unwrap();
            let expected = Expected { method: "POST", url, token: None, holder: None, now, since: now };
            Unproved::read(&text).unwrap().check(&expected).unwrap()
        };
        let proofs = Proofs::with(now, [3; 4]);
        for by in [Use::Exchange, Use::Operator, Use::Admin, Use::Switch] {
            let first = proof();
            assert_eq!(proofs.first_use(by, &first, now), Ok(()));
            assert_eq!(proofs.first_use(by, &first, now), Err(ReplayError::Replayed));
            let full = (0..4).map(|_| proofs.first_use(by, &proof(), now)).find(Result::is_err);
            assert_eq!(full, Some(Err(ReplayError::Full)));
        }
    }
}
