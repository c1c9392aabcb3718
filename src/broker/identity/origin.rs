//! Whose keys count, and where they come from.

use crate::policy::model::{Identity, KeySource, Oidc, Proof, Spiffe};

/// How a set of keys is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    /// A JWKS of an issuer (RFC 7517).
    Signatures,
    /// A SPIFFE bundle, in which only the keys of JWT-SVIDs count.
    JwtSvids,
}

/// One set of keys: whose it is, where it lies, and how far a request for it may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin<'e> {
    /// The issuer's URL, or the trust domain's own SPIFFE ID.
    pub(super) name: Name<'e>,
    pub(super) keys: &'e KeySource,
    pub(super) allow_private: bool,
}

/// The name that stands for a set of keys: an issuer and a trust domain never share one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name<'e> {
    Issuer(&'e str),
    TrustDomain(String),
}

impl Name<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Issuer(url) => url,
            Self::TrustDomain(id) => id,
        }
    }

    pub(super) fn usage(&self) -> Usage {
        match self {
            Self::Issuer(_) => Usage::Signatures,
            Self::TrustDomain(_) => Usage::JwtSvids,
        }
    }
}

impl<'e> Origin<'e> {
    pub(super) fn of_issuer(oidc: &'e Oidc) -> Self {
        let name = Name::Issuer(&oidc.issuer);
        Self { name, keys: &oidc.keys, allow_private: oidc.allow_private }
    }

    pub(super) fn of_trust_domain(spiffe: &'e Spiffe) -> Self {
        let name = Name::TrustDomain(spiffe.id.trust_domain().id());
        Self { name, keys: &spiffe.bundle, allow_private: spiffe.allow_private }
    }

    /// Of an entry that another's keys prove; none for a registered key.
    pub(super) fn of(entry: &'e Identity) -> Option<Self> {
        match &entry.proof {
            Proof::Key(_) => None,
            Proof::Oidc(oidc) => Some(Self::of_issuer(oidc)),
            Proof::Spiffe(spiffe) => Some(Self::of_trust_domain(spiffe)),
        }
    }
}
