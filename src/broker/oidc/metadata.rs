//! What the provider says of itself (OpenID Connect Discovery 1.0), kept for a while. Attempts to ask are counted, not
//! successes: whoever opens the sign-in page again and again makes no requests.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use shortbread_protocol::json;
use tokio::sync::Mutex;

use super::error::{Fault, SignInError};
use crate::identity::{Fetch, FetchError, destination};

/// How long a document is taken as it is.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// How long after an attempt that failed the next one may start.
const COOL_DOWN: Duration = Duration::from_secs(10);

/// Where to send the browser, and where to exchange its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    /// Whether each answer says whose it is (RFC 9207).
    pub(super) names_issuer: bool,
    /// Whether it may live at a private address.
    pub(super) allow_private: bool,
}

/// The last document, and the last attempt. Times are those of the clock that never jumps.
#[derive(Default)]
pub(super) struct Keeper(Mutex<State>);

#[derive(Default)]
struct State {
    kept: Option<(Arc<Metadata>, Duration)>,
    failed: Option<(Failure, Duration)>,
}

/// Why the last attempt failed, as it is told again during the cool-down.
#[derive(Clone, Copy)]
enum Failure {
    Fault(Fault),
    Fetch(FetchError),
}

impl Keeper {
    /// The document, fetched once for all who wait.
    pub(super) async fn get(
        &self,
        fetch: &dyn Fetch,
        issuer: &str,
        allow_private: bool,
        now: Duration,
    ) -> Result<Arc<Metadata>, SignInError> {
        let mut state = self.0.lock().await;
        // Another reach than before is another provider.
        state.kept.take_if(|(kept, _)| kept.allow_private != allow_private);
        if let Some((kept, since)) = &state.kept
            && now.saturating_sub(*since) < FRESH
        {
            return Ok(Arc::clone(kept));
        }
        if let Some((failure, since)) = state.failed
            && now.saturating_sub(since) < COOL_DOWN
        {
            return state.kept.as_ref().map(|(kept, _)| Arc::clone(kept)).ok_or_else(|| failure.into());
        }
        // Counted before it is made: whoever hangs up in between starts no other one.
        state.failed = Some((Failure::Fetch(FetchError::TimedOut), now));
        match load(fetch, issuer, allow_private).await {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                *state = State { kept: Some((Arc::clone(&metadata), now)), failed: None };
                Ok(metadata)
            }
            Err(failure) => {
                state.failed = Some((failure, now));
                // Where it lies is unlikely to have changed just when it fails.
                state.kept.as_ref().map(|(kept, _)| Arc::clone(kept)).ok_or_else(|| failure.into())
            }
        }
    }
}

impl From<Failure> for SignInError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Fault(fault) => Self::Unusable(fault),
            Failure::Fetch(error) => Self::Unavailable(error),
        }
    }
}

async fn load(fetch: &dyn Fetch, issuer: &str, allow_private: bool) -> Result<Metadata, Failure> {
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    let url = format!("{base}/.well-known/openid-configuration");
    let answer = match destination(&url, allow_private) {
        Ok(_) => fetch.fetch(&url, allow_private).await.map_err(Failure::Fetch)?,
        Err(error) => return Err(Failure::Fetch(error)),
    };
    read(&answer.body, issuer, allow_private).map_err(Failure::Fault)
}

fn read(body: &[u8], issuer: &str, allow_private: bool) -> Result<Metadata, Fault> {
    let document = json::object(body).map_err(|_| Fault::Document)?;
    if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(Fault::OtherIssuer);
    }
    let endpoint = |name: &'static str| {
        let url = document.get(name).and_then(Value::as_str);
        let url = url.filter(|url| destination(url, allow_private).is_ok());
        url.map(str::to_owned).ok_or(Fault::Metadata(name))
    };
    if !offers_pkce(&document) {
        return Err(Fault::NoPkce);
    }
    Ok(Metadata {
        authorization_endpoint: endpoint("authorization_endpoint")?,
        token_endpoint: endpoint("token_endpoint")?,
        names_issuer: document.get("authorization_response_iss_parameter_supported")
            == Some(&Value::Bool(true)),
        allow_private,
    })
}

// Some providers know it and do not say so; what they say must not leave it out.
fn offers_pkce(document: &Map<String, Value>) -> bool {
    match document.get("code_challenge_methods_supported") {
        None => true,
        Some(Value::Array(methods)) => methods.iter().any(|method| method == "S256"),
        Some(_) => false,
    }
}
