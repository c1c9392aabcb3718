//! Who asks, so that the same client alone fetches the answer, and so that nobody approves their own request.

use sha2::{Digest as _, Sha256};
use shortbread_protocol::dpop::Proof;

use crate::approval::marks_of;
use crate::delimited::delimited;
use crate::identity::Verified;
use crate::policy::model::Principal;

/// Names a client by its identity: the same one later has the same name.
pub(super) fn client(identity: &Verified, principal: &Principal) -> String {
    let principal = principal.to_string();
    let named = [identity.issuer.as_str(), &identity.subject, &principal];
    hex::encode(delimited(Sha256::new(), named).finalize())
}

/// What tells two names of one person or program: the keys that were proved, and who an issuer says it is. A registered
/// key has no issuer: its identity is the key.
pub(in crate::exchange) fn marks(identity: &Verified, proof: Option<&Proof>) -> Vec<String> {
    let keys =
        identity.key_thumbprint.iter().cloned().chain(proof.map(|proof| proof.thumbprint().to_owned()));
    marks_of(keys, identity.person())
}
