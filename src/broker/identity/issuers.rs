//! The key sets of all issuers: kept, refreshed in the background, fetched once for all who wait.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use shortbread_protocol::clock::Clock;

use super::error::IdentityError;
use super::fetch::Fetch;
use super::issuer::Issuer;
use super::key::{Algorithm, Key};
use crate::policy::model::Oidc;

/// Key sets by issuer, key source and reach.
pub(super) struct Issuers {
    clock: Arc<dyn Clock>,
    fetch: Arc<dyn Fetch>,
    known: RwLock<HashMap<String, Vec<Arc<Issuer>>>>,
}

impl Issuers {
    pub(super) fn new(clock: Arc<dyn Clock>, fetch: Arc<dyn Fetch>) -> Self {
        Self { clock, fetch, known: RwLock::default() }
    }

    /// The key that a header selects inside the entry's pinned issuer. Waits only where a fetch must come first.
    pub(super) async fn key(
        &self,
        oidc: &Oidc,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<Key>, IdentityError> {
        let issuer = self.known(oidc).unwrap_or_else(|| self.added(oidc));
        issuer.key(kid, algorithm).await
    }

    /// Forgets issuers that `wanted` no longer has.
    pub(super) fn retain(&self, wanted: &[&Oidc]) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, issuers| {
            issuers.retain(|issuer| wanted.iter().any(|oidc| issuer.serves(oidc)));
            !issuers.is_empty()
        });
    }

    fn known(&self, oidc: &Oidc) -> Option<Arc<Issuer>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&oidc.issuer)?.iter().find(|issuer| issuer.serves(oidc)).cloned()
    }

    fn added(&self, oidc: &Oidc) -> Arc<Issuer> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let issuers = known.entry(oidc.issuer.clone()).or_default();
        if let Some(issuer) = issuers.iter().find(|issuer| issuer.serves(oidc)) {
            return Arc::clone(issuer);
        }
        let issuer = Arc::new(Issuer::new(oidc, Arc::clone(&self.clock), Arc::clone(&self.fetch)));
        issuers.push(Arc::clone(&issuer));
        issuer
    }
}
