//! The code for an ID token, at the provider's token endpoint.

use form_urlencoded::Serializer;
use serde_json::Value;
use shortbread_protocol::json;
use zeroize::Zeroizing;

use super::RelyingParty;
use super::error::{Fault, SignInError};
use super::metadata::Metadata;
use super::pending::Pending;
use crate::identity::{FetchError, Form, destination};

impl RelyingParty {
    /// The ID token, which proves nothing yet.
    pub(super) async fn token(
        &self,
        metadata: &Metadata,
        code: &str,
        pending: &Pending,
    ) -> Result<Zeroizing<String>, SignInError> {
        let authorization = self.secret.as_ref().and_then(|secret| secret.basic(&self.provider.client_id));
        let body = self.body(code, pending, authorization.is_none());
        // Checked here as well as by whoever posts: the endpoint is chosen by a stranger.
        destination(&metadata.token_endpoint, metadata.allow_private)?;
        let form = Form {
            url: &metadata.token_endpoint,
            allow_private: metadata.allow_private,
            body,
            authorization,
        };
        let answer = self.fetch.post(form).await.map_err(refused)?;
        id_token(&answer).ok_or_else(|| Fault::NoToken.into())
    }

    fn body(&self, code: &str, pending: &Pending, public: bool) -> Zeroizing<String> {
        let mut body = Serializer::new(String::new());
        body.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("code_verifier", pending.verifier());
        if public {
            body.append_pair("client_id", &self.provider.client_id);
        }
        Zeroizing::new(body.finish())
    }
}

fn refused(error: FetchError) -> SignInError {
    match error {
        FetchError::Status(status @ 400..=499) if status != 429 => Fault::Code(status).into(),
        other => other.into(),
    }
}

fn id_token(answer: &[u8]) -> Option<Zeroizing<String>> {
    match json::object(answer).ok()?.remove("id_token") {
        Some(Value::String(token)) => Some(Zeroizing::new(token)),
        _ => None,
    }
}
