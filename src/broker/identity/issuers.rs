//! The key sets of all issuers and trust domains: kept, refreshed in the background, fetched once for all who wait.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use shortbread_protocol::clock::Clock;

use super::error::IdentityError;
use super::fetch::Fetch;
use super::issuer::{Found, Issuer, IssuerStanding};
use super::key::Algorithm;
use super::origin::Origin;
use crate::breaker::{BreakerKind, Maker};

/// Key sets by issuer or trust domain, key source and reach.
pub(super) struct Issuers {
    clock: Arc<dyn Clock>,
    fetch: Arc<dyn Fetch>,
    breakers: Maker,
    known: RwLock<HashMap<String, Vec<Arc<Issuer>>>>,
}

impl Issuers {
    pub(super) fn new(clock: Arc<dyn Clock>, fetch: Arc<dyn Fetch>, breakers: Maker) -> Self {
        Self { clock, fetch, breakers, known: RwLock::default() }
    }

    /// With other breakers.
    pub(super) fn guarded(self, breakers: Maker) -> Self {
        Self { breakers, ..self }
    }

    /// The key that a header selects inside the one set that counts for an entry. Waits only where a fetch must come first.
    pub(super) async fn key(
        &self,
        origin: &Origin<'_>,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Found, IdentityError> {
        let issuer = self.known(origin).unwrap_or_else(|| self.added(origin));
        issuer.key(kid, algorithm).await
    }

    /// How the keys of those stand that were asked for, by name; pinned keys do not change.
    pub(super) fn standings(&self) -> Vec<IssuerStanding> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let issuers: Vec<Arc<Issuer>> = known.values().flatten().cloned().collect();
        drop(known);
        let mut standings: Vec<_> = issuers.iter().filter_map(|issuer| issuer.standing()).collect();
        standings.sort_by(|one, other| one.issuer.cmp(&other.issuer));
        standings
    }

    /// Forgets issuers that `wanted` no longer has.
    pub(super) fn retain(&self, wanted: &[Origin<'_>]) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, issuers| {
            issuers.retain(|issuer| wanted.iter().any(|origin| issuer.serves(origin)));
            !issuers.is_empty()
        });
    }

    fn known(&self, origin: &Origin<'_>) -> Option<Arc<Issuer>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(origin.name.as_str())?.iter().find(|issuer| issuer.serves(origin)).cloned()
    }

    fn added(&self, origin: &Origin<'_>) -> Arc<Issuer> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let issuers = known.entry(origin.name.as_str().to_owned()).or_default();
        if let Some(issuer) = issuers.iter().find(|issuer| issuer.serves(origin)) {
            return Arc::clone(issuer);
        }
        let breaker = self.breakers.make(BreakerKind::Issuer, origin.name.as_str());
        let issuer = Issuer::new(origin, Arc::clone(&self.clock), Arc::clone(&self.fetch), breaker);
        let issuer = Arc::new(issuer);
        issuers.push(Arc::clone(&issuer));
        issuer
    }
}
