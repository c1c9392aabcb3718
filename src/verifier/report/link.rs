//! The lease in force, for those who ask the broker something beside the reporter.

use std::fmt;
use std::sync::Arc;

use shortbread_protocol::clock::Clock;
use shortbread_protocol::random::Random;
use shortbread_protocol::verifiers::{CLAIM_TYPE, CLAIMS, Claim, ClaimAnswer};

use super::client::{Client, ReportError};
use super::reporter::Lease;

/// The broker as an instance with a lease reaches it.
pub(crate) struct Link {
    pub(super) lease: Arc<Lease>,
    pub(super) client: Client,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
}

impl Link {
    pub(crate) fn random(&self) -> &dyn Random {
        &*self.random
    }

    /// Sends a claim, in a message of its own each time.
    pub(crate) async fn claim(&self, claim: &Claim) -> Result<ClaimAnswer, ReportError> {
        let (_, message) = self.lease.signed(CLAIM_TYPE, claim, self.clock.now());
        self.client.send("claim", CLAIMS, message).await
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("client", &self.client).finish_non_exhaustive()
    }
}
