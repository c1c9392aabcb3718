//! A layer in front of an HTTP service: each request becomes a call, each call a decision. What is allowed goes on with
//! the [`Decision`] as a request extension; what is denied is answered here, never with a success.

mod answer;
mod credentials;
mod metadata;
mod origin;
#[cfg(test)]
mod tests;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use shortbread_protocol::call::{Args, MAX_ARGS_BYTES};
use shortbread_protocol::event::read_traceparent;
use shortbread_protocol::reason::Reason;
use tower::{Layer, Service};

use crate::decision::{Call, Checker, Decision, Presented, SentProof};
use answer::{Answer, Refuser, Stamp};
use credentials::{Credentials, DPOP, Scheme};
pub use metadata::{bound_tokens_only, metadata_path, metadata_url, protected_resource};
use origin::Origin;
pub use origin::OriginError;

/// The most bytes that a request's body may have.
pub const MAX_BODY: usize = MAX_ARGS_BYTES;

/// What a request means.
#[derive(Clone, Debug)]
pub enum Mapped {
    /// A call, which needs a token.
    Call {
        /// The tool.
        tool: String,
        /// The verb.
        verb: String,
        /// All arguments, or `None` when they cannot be told whole; then nothing with conditions on arguments passes.
        args: Option<Args>,
    },
    /// Something that everyone may have, such as a health check or the metadata document. No token is looked at.
    Public,
}

/// Why a request is no call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmapped {
    /// There is nothing at this address.
    NotFound,
    /// It cannot be read as the call it should be; the text says why, and the caller reads it.
    Malformed(String),
}

/// Puts a check in front of a service.
///
/// `map` tells what a request means, from its parts and its whole body. It must read the call exactly as the service
/// behind does: the check is worth no more than that. Bodies are read whole, [`MAX_BODY`] at most; how long a client may
/// take to send one is for the server to limit.
pub struct CheckLayer<M>(Arc<Shared<M>>);

struct Shared<M> {
    checker: Arc<dyn Checker>,
    map: M,
    metadata: Option<String>,
    origin: Option<Origin>,
}

impl<M> CheckLayer<M> {
    /// A layer that asks `checker` about what `map` makes of a request.
    #[must_use]
    pub fn new(checker: Arc<dyn Checker>, map: M) -> Self {
        Self(Arc::new(Shared { checker, map, metadata: None, origin: None }))
    }

    /// Names the address of the RFC 9728 document in challenges, so that clients find the broker; see [`metadata_url`].
    #[must_use]
    pub fn resource_metadata(self, url: impl Into<String>) -> Self
    where
        M: Clone,
    {
        Self(Arc::new(Shared { metadata: Some(url.into()), ..self.shared() }))
    }

    /// Tells under which URL clients know this service, such as `https://tools.acme.example`: proofs have to name it with
    /// the path of the request behind it. Where a proxy, or a router that this one is nested in, takes a prefix off the
    /// path, the prefix goes here: `https://tools.acme.example/github`. The `Host` header is never asked. Without an
    /// origin no proof is accepted, so tokens that are bound to a key are of no use.
    ///
    /// # Errors
    /// When it is no such URL.
    pub fn origin(self, url: &str) -> Result<Self, OriginError>
    where
        M: Clone,
    {
        Ok(Self(Arc::new(Shared { origin: Some(url.parse()?), ..self.shared() })))
    }

    fn shared(&self) -> Shared<M>
    where
        M: Clone,
    {
        let Shared { checker, map, metadata, origin } = &*self.0;
        Shared {
            checker: Arc::clone(checker),
            map: map.clone(),
            metadata: metadata.clone(),
            origin: origin.clone(),
        }
    }
}

impl<M> Clone for CheckLayer<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> fmt::Debug for CheckLayer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckLayer")
            .field("metadata", &self.0.metadata)
            .field("origin", &self.0.origin)
            .finish_non_exhaustive()
    }
}

impl<S, M> Layer<S> for CheckLayer<M> {
    type Service = CheckService<S, M>;

    fn layer(&self, inner: S) -> Self::Service {
        CheckService { inner, shared: Arc::clone(&self.0) }
    }
}

/// A service behind a check.
pub struct CheckService<S, M> {
    inner: S,
    shared: Arc<Shared<M>>,
}

impl<S: Clone, M> Clone for CheckService<S, M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug, M> fmt::Debug for CheckService<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, M, B, R> Service<Request<B>> for CheckService<S, M>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    M: Fn(&Parts, &[u8]) -> Result<Mapped, Unmapped> + Send + Sync + 'static,
    B: Body + From<Bytes> + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    R: From<Bytes>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone may not be ready; the one that said it was takes the call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let judged = match whole(body).await {
                Ok(bytes) => shared.judge(&mut parts, &bytes).await.map(|stamp| (bytes, stamp)),
                Err(unread) => Err(Box::new(shared.unread(unread, &parts))),
            };
            let (bytes, stamp) = match judged {
                Ok(judged) => judged,
                Err(answer) => return Ok(answer.into_response(shared.metadata.as_deref())),
            };
            let mut response = inner.call(Request::from_parts(parts, B::from(bytes))).await?;
            if let Some(stamp) = stamp {
                stamp.put(response.headers_mut());
            }
            Ok(response)
        })
    }
}

#[derive(Clone, Copy)]
enum Unread {
    TooLarge,
    Broken,
}

async fn whole<B>(body: B) -> Result<Bytes, Unread>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(Unread::TooLarge);
    }
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Unread::TooLarge),
        Err(_) => Err(Unread::Broken),
    }
}

impl<M> Shared<M>
where
    M: Fn(&Parts, &[u8]) -> Result<Mapped, Unmapped>,
{
    /// Lets the request through, with the decision in it and the token taken out, or says what to answer. What is let
    /// through as a call has its answer stamped with the decision.
    async fn judge(&self, parts: &mut Parts, body: &[u8]) -> Result<Option<Stamp>, Box<Answer>> {
        let refuser = self.refuser(parts);
        let (tool, verb, args) = match (self.map)(parts, body) {
            Ok(Mapped::Public) => return Ok(None),
            Ok(Mapped::Call { tool, verb, args }) => (tool, verb, args),
            Err(unmapped) => return Err(Box::new(Answer::unmapped(refuser, &unmapped))),
        };
        let call = Call { tool: &tool, verb: &verb, args: args.as_ref() };
        let credentials =
            credentials::find(parts).map_err(|unclear| Box::new(Answer::unclear(refuser, unclear)))?;
        let decision = self.decide(&credentials, parts, &call).await;
        if !decision.is_allowed() {
            return Err(Box::new(Answer::denied(&decision, &call, credentials.scheme)));
        }
        // The service has the decision; the token is not for it, nor for anyone that it calls. What an observed caller
        // sent that is none of ours may be what the service has known them by so far.
        if decision.observed.is_none() || decision.caller.is_some() {
            parts.headers.remove(AUTHORIZATION);
            parts.headers.remove(DPOP);
        }
        let stamp = Stamp::of(&decision);
        parts.extensions.insert::<Decision>(decision);
        Ok(Some(stamp))
    }

    fn refuser(&self, parts: &Parts) -> Refuser<'_> {
        Refuser { checker: &*self.checker, trace: trace(parts) }
    }

    async fn decide(&self, credentials: &Credentials<'_>, parts: &Parts, call: &Call<'_>) -> Decision {
        let Credentials { scheme, token, proof } = *credentials;
        let url = self.origin.as_ref().map(|origin| origin.url(parts.uri.path())).unwrap_or_default();
        // A token that is sent as anyone's to use is not made more by a proof beside it (RFC 9449, section 7.2).
        let bound = proof.filter(|_| scheme == Scheme::DPoP);
        let sent = bound.map(|text| SentProof { text, method: parts.method.as_str(), url: &url });
        let presented = Presented { token, proof: sent, trace: trace(parts) };
        let mut decision = self.checker.check_claiming(&presented, call).await;
        if proof.is_some() && bound.is_none() && decision.reason == Some(Reason::ProofRequired) {
            let detail = "A proof counts with `Authorization: DPoP TOKEN`, and this token came as `Bearer`.";
            decision.detail = Some(detail.to_owned());
        }
        decision
    }

    fn unread(&self, unread: Unread, parts: &Parts) -> Answer {
        match unread {
            Unread::TooLarge => Answer::too_large(self.refuser(parts)),
            Unread::Broken => {
                let cause = Unmapped::Malformed("The body broke off.".to_owned());
                Answer::unmapped(self.refuser(parts), &cause)
            }
        }
    }
}

/// The trace that the request is part of (W3C Trace Context).
fn trace(parts: &Parts) -> Option<[u8; 16]> {
    let mut values = parts.headers.get_all("traceparent").iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    read_traceparent(value.to_str().ok()?).map(|(trace, _)| trace)
}
