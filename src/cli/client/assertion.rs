//! Who we are, said in a signed assertion (RFC 7523) that lives for a minute and is used once.

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::jws;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::names::{OperatorName, WorkflowName};
use shortbread_protocol::random::{Random, RandomError};

/// A key and the name that the policy registers it under.
#[derive(Debug)]
pub(crate) struct Signer {
    subject: String,
    key: PrivateKey,
}

impl Signer {
    /// An operator.
    pub(crate) fn operator(name: &OperatorName, key: PrivateKey) -> Self {
        Self { subject: format!("operator:{name}"), key }
    }

    /// A workflow.
    pub(crate) fn workflow(name: &WorkflowName, key: PrivateKey) -> Self {
        Self { subject: format!("workflow:{name}"), key }
    }

    /// `operator:alice`, `workflow:demo`.
    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    /// A fresh assertion for the broker with this issuer: an EdDSA JWT (RFC 8037).
    ///
    /// # Errors
    /// When there is no randomness.
    pub(crate) fn assertion(
        &self,
        issuer: &str,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<String, RandomError> {
        jws::assertion(&self.subject, issuer, &self.key, now, random)
    }
}
