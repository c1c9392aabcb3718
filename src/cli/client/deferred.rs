//! Requests that wait for a person: asked once, looked after until they are decided, or taken back.

use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::header::CONTENT_TYPE;
use shortbread_protocol::dpop::ProofKey;
use shortbread_protocol::json;
use shortbread_protocol::oauth::{OAuthError, TokenAnswer};

use super::{Broker, DPOP, MAX_ANSWER, form, proof};
use crate::context::Context;
use crate::failure::Failure;

/// What a broker is asked to wait for a decision, in seconds (`Prefer`, RFC 7240).
const PATIENCE: u64 = 55;
/// How long such an answer may take.
const LONG: Duration = Duration::from_secs(PATIENCE + 20);

/// What a broker said to a request that may wait.
pub(crate) enum Reply {
    /// The token.
    Granted(Box<TokenAnswer>),
    /// It waits, or it is over.
    Refused(Box<OAuthError>),
    /// The broker is not there for now.
    Away(Failure),
}

impl Broker {
    /// Asks for a token with these form fields and a proof by the key; with `patience`, for an answer only once it is
    /// decided, or after a while.
    ///
    /// # Errors
    /// When the answer is none of a broker, or nothing can be signed.
    pub(crate) async fn deferred(
        &self,
        context: &Context,
        key: &ProofKey,
        fields: &[(&str, &str)],
        patience: bool,
    ) -> Result<Reply, Failure> {
        let mut request = self.proved(context, key, "/oauth/token", fields)?;
        if patience {
            request = request.header("prefer", format!("wait={PATIENCE}")).timeout(LONG);
        }
        let answer = match self.receive(request, MAX_ANSWER).await {
            Ok((answer, _)) => answer,
            Err(failure) => return Ok(Reply::Away(failure)),
        };
        if [502, 503, 504].contains(&answer.status) {
            let away = answer.success().err().unwrap_or(Failure::Told);
            return Ok(Reply::Away(away));
        }
        match json::read_as::<OAuthError>(&answer.body) {
            Ok(error) if answer.status >= 400 => Ok(Reply::Refused(Box::new(error))),
            _ => answer.read().map(|token| Reply::Granted(Box::new(token))),
        }
    }

    /// Takes a request back that waits.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    pub(crate) async fn cancel(
        &self,
        context: &Context,
        key: &ProofKey,
        fields: &[(&str, &str)],
    ) -> Result<(), Failure> {
        self.send(self.proved(context, key, "/oauth/deferral/cancel", fields)?).await?.success()
    }

    fn proved(
        &self,
        context: &Context,
        key: &ProofKey,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<RequestBuilder, Failure> {
        let url = self.address(path);
        let proof = proof::of_exchange(context, key, &url)?;
        let request = self.http.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        Ok(request.header(DPOP, proof).body(form(fields)?))
    }
}
