//! Operators who sign in to the console by an OpenID Connect provider: the authorization code flow with PKCE.
//!
//! A sign-in begins with a way to the provider and what its browser keeps meanwhile (`pending`). What comes back is
//! compared with that (`callback`), the code exchanged for an ID token (`token`), and the token taken as any identity is:
//! by the issuer's keys and exactly one entry of the policy. Beside that it must be of this very sign-in (`claims`).

mod callback;
mod claims;
mod error;
mod metadata;
mod pending;
mod secret;
mod token;

use std::fmt;
use std::sync::Arc;

use reqwest::Url;
use shortbread_protocol::clock::{Clock, Timestamp};
use shortbread_protocol::names::OperatorName;
use shortbread_protocol::random::Random;

pub use self::error::{Fault, SetupError, SignInError};
pub use self::pending::{LIFE, Pending};

use self::claims::MAX_AGE;
use self::metadata::Keeper;
use self::secret::Secret;
use crate::approval::marks_of;
use crate::config::Provider;
use crate::identity::{Fetch, Identities, Replay};
use crate::policy::model::{Identity, Oidc, Principal, Proof};

/// What the console is to an OpenID Connect provider. One per broker: it keeps what the provider says of itself.
pub struct RelyingParty {
    provider: Provider,
    secret: Option<Secret>,
    redirect_uri: String,
    clock: Arc<dyn Clock>,
    fetch: Arc<dyn Fetch>,
    metadata: Keeper,
}

/// What a sign-in is wanted for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The page that it is for: kept by the browser, so that whoever leads there looks whether it may.
    pub then: String,
    /// The session that it takes the place of. The person has to sign in at the provider anew then, even where it knows them.
    pub replaces: Option<String>,
}

/// A sign-in that began.
#[derive(Debug)]
pub struct Begun {
    /// Where the browser goes: the provider's authorization endpoint.
    pub url: String,
    /// What the same browser has to bring back.
    pub pending: Pending,
}

/// An operator who signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who.
    pub operator: OperatorName,
    /// When they proved it to the provider: that is as fresh as the sign-in is.
    pub auth_time: Timestamp,
    /// What tells them from others, whatever their name, as requests and votes keep it.
    pub marks: Vec<String>,
    /// The provider.
    pub issuer: String,
    /// Its name for them.
    pub subject: String,
    /// The label of the policy's entry.
    pub entry: String,
    /// What to remember so that the ID token is taken once. The caller settles it with whatever it lets them do.
    pub replay: Replay,
    /// The page that they wanted, as their browser kept it.
    pub then: String,
    /// The session that this takes the place of, as their browser kept it.
    pub replaces: Option<String>,
}

impl RelyingParty {
    /// For the broker whose issuer URL is `issuer`.
    ///
    /// # Errors
    /// When the file of the secret cannot be read, others may read it, or it holds none.
    pub fn new(
        provider: Provider,
        issuer: &str,
        clock: Arc<dyn Clock>,
        fetch: Arc<dyn Fetch>,
    ) -> Result<Self, SetupError> {
        let secret = provider.client_secret_file.as_deref().map(Secret::read).transpose()?;
        let redirect_uri = format!("{issuer}/console/oidc/callback");
        Ok(Self { provider, secret, redirect_uri, clock, fetch, metadata: Keeper::default() })
    }

    /// What a button calls the provider.
    #[must_use]
    pub fn label(&self) -> &str {
        self.provider.label()
    }

    /// Begins a sign-in, under the identity entries of the policy in force. Waits for the provider only where what it says
    /// of itself is not known: one request of at most 3 s, for all who wait.
    ///
    /// # Errors
    /// When the policy has no operators of this provider, the provider cannot be had or used, or there is no randomness.
    pub async fn begin(
        &self,
        entries: &[Identity],
        random: &dyn Random,
        wish: &Wish,
    ) -> Result<Begun, SignInError> {
        let metadata = self.metadata(entries).await?;
        let pending = Pending::begin(random, wish, self.clock.now())?;
        // It was read as a URL before.
        let mut url = Url::parse(&metadata.authorization_endpoint)
            .map_err(|_| Fault::Metadata("authorization_endpoint"))?;
        let seconds = MAX_AGE.as_secs().to_string();
        let asked = [
            ("response_type", "code"),
            ("client_id", &self.provider.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", &self.provider.scopes),
            ("state", pending.state()),
            ("nonce", pending.nonce()),
            ("code_challenge", &pending.challenge()),
            ("code_challenge_method", "S256"),
            ("max_age", &seconds),
        ];
        let anew = pending.is_fresh().then_some(("prompt", "login"));
        url.query_pairs_mut().extend_pairs(asked.into_iter().chain(anew));
        Ok(Begun { url: url.into(), pending })
    }

    /// Finishes a sign-in: `query` is what the provider sent the browser back with, `pending` what that browser kept, and
    /// `entries` those of the policy in force. It waits for the provider: three requests of at most 3 s each.
    ///
    /// # Errors
    /// When the answer is not of this sign-in, the provider did not sign the person in or cannot be reached, or its ID token
    /// does not hold or is of nobody who is an operator.
    pub async fn finish(
        &self,
        identities: &Identities,
        entries: &[Identity],
        pending: &Pending,
        query: &str,
    ) -> Result<SignedIn, SignInError> {
        if pending.is_over(self.clock.now()) {
            return Err(SignInError::Over);
        }
        let answer = callback::Answer::read(query, pending)?;
        let metadata = self.metadata(entries).await?;
        let code = answer.code(&self.provider.issuer, metadata.names_issuer)?;
        let token = self.token(&metadata, &code, pending).await?;
        let verified = identities.verify(&token, entries).await?;
        if !entries.iter().any(|entry| entry.entry == verified.entry && self.demand(entry).is_some()) {
            return Err(Fault::OtherEntry.into());
        }
        let [Principal::Operator(operator)] = verified.principals.as_slice() else {
            return Err(Fault::OtherEntry.into());
        };
        let auth_time = claims::check(&verified.claims, &self.provider.client_id, pending, self.clock.now())?;
        Ok(SignedIn {
            operator: operator.clone(),
            auth_time,
            marks: marks_of(None, verified.person()),
            then: pending.then().to_owned(),
            replaces: pending.replaces().map(str::to_owned),
            issuer: verified.issuer,
            subject: verified.subject,
            entry: verified.entry,
            replay: verified.replay,
        })
    }

    /// What an entry of operators demands of a token, where it is of this provider and for the console.
    fn demand<'e>(&self, entry: &'e Identity) -> Option<&'e Oidc> {
        let Proof::Oidc(oidc) = &entry.proof else { return None };
        let ours = oidc.issuer == self.provider.issuer && oidc.audience == self.provider.client_id;
        let operators = entry.principals.iter().all(|one| matches!(one, Principal::Operator(_)));
        (ours && operators).then_some(oidc)
    }

    // Where the provider may live is for the policy to say: it takes two operators to change.
    async fn metadata(&self, entries: &[Identity]) -> Result<Arc<metadata::Metadata>, SignInError> {
        let demand = entries.iter().find_map(|entry| self.demand(entry)).ok_or(SignInError::NotInPolicy)?;
        let now = self.clock.monotonic();
        self.metadata.get(&*self.fetch, &self.provider.issuer, demand.allow_private, now).await
    }
}

impl fmt::Debug for RelyingParty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelyingParty").field("provider", &self.provider).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
