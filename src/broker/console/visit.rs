//! A request of somebody who is signed in, and a form that they sent.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::event::EventType;
use shortbread_protocol::reason::Reason;

use super::entry::{bounce, cookie, enter, sign_in};
use super::trouble::Trouble;
use super::{admit, origin};
use crate::broker::Broker;
use crate::exchange::Context;
use crate::limits::Limited;
use crate::sessions::{Secret, Session};

/// Within how many minutes before it somebody must have signed in who approves, lifts or activates.
pub(super) const FRESH_MINUTES: u64 = 15;

/// Finds the session of a request, and gives it another cookie where it is time for one. From an address that asks too
/// often only those who are signed in are let in.
pub(super) async fn attach(State(broker): State<Arc<Broker>>, mut request: Request, next: Next) -> Response {
    let Some(context) = request.extensions().get::<Context>().cloned() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let shown = cookie::read(request.headers(), &broker.issuer);
    let found = shown.and_then(|shown| broker.sessions.find(shown, broker.clock.now()));
    let (session, next_cookie) = found.map_or((None, None), |(session, cookie)| (Some(session), cookie));
    if let Err(limited) = crowd(&broker, &context, request.uri().path(), session.as_ref()) {
        return Trouble::plain(Reason::RateLimited).after(limited.0).answer(&context);
    }
    if let Some(session) = &session
        && let Err(reason) = admit::stands(&broker, &session.who)
    {
        return thrown_out(&broker, &context, session, reason).await;
    }
    let left = session.as_ref().map(Session::ends);
    request.extensions_mut().insert(Found(session));
    let response = next.run(request).await;
    renewed(response, &broker, next_cookie.as_ref(), left)
}

// Style and script cost nothing and are asked for by whoever signs in. From an address that asks too often only those are
// let in who are signed in, or have a link that does.
fn crowd(broker: &Broker, context: &Context, path: &str, session: Option<&Session>) -> Result<(), Limited> {
    if path.starts_with("/console/assets/") {
        return Ok(());
    }
    let Err(limited) = broker.limits.admin(context.address) else { return Ok(()) };
    let code = path.strip_prefix("/console/link/");
    let by_link = code.and_then(|code| broker.links.look(code, broker.clock.now()));
    let who = session.map(|session| &session.who).or(by_link.as_ref());
    let operator = who.map(|who| broker.limits.operator(who.operator.as_str()));
    if operator.is_some_and(|let_in| let_in.is_ok()) { Ok(()) } else { Err(limited) }
}

async fn thrown_out(broker: &Broker, context: &Context, session: &Session, reason: Reason) -> Response {
    let _ = broker.sessions.end(&session.id);
    let (kind, cause) = (EventType::ConsoleSignedOut, Some(reason.code()));
    // It is over whether or not that can be written down.
    if let Err(error) = enter::record(broker, context, session, kind, cause).await {
        tracing::error!(error = %error, "the end of a session could not be recorded");
    }
    cookie::clear(Trouble::signed_out(reason).answer(context), &broker.issuer)
}

fn renewed(
    response: Response,
    broker: &Broker,
    secret: Option<&Secret>,
    ends: Option<Timestamp>,
) -> Response {
    match (secret, ends) {
        (Some(secret), Some(ends)) if !cookie::is_set(&response, &broker.issuer) => {
            cookie::set(response, &broker.issuer, secret, ends.since(broker.clock.now()))
        }
        _ => response,
    }
}

/// The session of a request, if it has one.
#[derive(Clone)]
pub(super) struct Found(pub(super) Option<Session>);

/// Somebody who is signed in, at one page.
pub(super) struct Visit {
    pub(super) broker: Arc<Broker>,
    pub(super) context: Context,
    pub(super) session: Session,
    /// Path and query.
    pub(super) here: String,
}

impl Visit {
    /// The page, or what went wrong with it.
    pub(super) fn shown(&self, made: Result<Response, Trouble>) -> Response {
        made.unwrap_or_else(|trouble| trouble.answer(&self.context))
    }

    /// Whether they may use a verb now.
    pub(super) fn may(&self, verb: &str) -> bool {
        admit::may(&self.broker, &self.session.who, verb).is_ok()
    }

    /// The same where a page is of no use without; a refusal is recorded.
    ///
    /// # Errors
    /// When none of these verbs is theirs.
    pub(super) async fn must(&self, verbs: &[&str]) -> Result<(), Trouble> {
        let (broker, who) = (&self.broker, &self.session.who);
        let mut refused = None;
        for verb in verbs {
            match admit::may(broker, who, verb) {
                Ok(()) => return Ok(()),
                Err(reason) => refused = Some((*verb, reason)),
            }
        }
        let (verb, reason) = refused.unwrap_or(("", Reason::NotPermitted));
        admit::record(broker, &self.context, who, verb, reason).await?;
        Err(Trouble::not_permitted(reason, verb))
    }

    /// The same for what wants a sign-in of the last quarter of an hour.
    ///
    /// # Errors
    /// When the verb is not theirs or the sign-in is too old.
    pub(super) async fn must_fresh(&self, verb: &str) -> Result<(), Trouble> {
        self.must(&[verb]).await?;
        if self.is_fresh() {
            return Ok(());
        }
        let who = &self.session.who;
        admit::record(&self.broker, &self.context, who, verb, Reason::SignInStale).await?;
        Err(Trouble::stale(&self.here))
    }

    /// Whether they signed in within the last quarter of an hour.
    pub(super) fn is_fresh(&self) -> bool {
        let within = std::time::Duration::from_secs(FRESH_MINUTES * 60);
        self.session.is_fresh(within, self.broker.clock.now())
    }
}

impl FromRequestParts<Arc<Broker>> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, broker: &Arc<Broker>) -> Result<Self, Response> {
        let context = parts.extensions.get::<Context>().cloned();
        let context = context.ok_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())?;
        let session = parts.extensions.get::<Found>().and_then(|found| found.0.clone());
        let here = here(&parts.uri);
        match session {
            Some(session) => Ok(Self { broker: Arc::clone(broker), context, session, here }),
            None => Err(stranger(broker, &context, parts, &here)),
        }
    }
}

fn stranger(broker: &Broker, context: &Context, parts: &Parts, here: &str) -> Response {
    if parts.method != Method::GET {
        return Trouble::signed_out(Reason::Unauthenticated).answer(context);
    }
    // A link from another site: the browser keeps the cookie back. From a page of ours it sends it.
    if origin::is_led(&parts.headers) && cookie::read(&parts.headers, &broker.issuer).is_none() {
        return bounce::to(here);
    }
    sign_in::redirect(here)
}

fn here(uri: &Uri) -> String {
    uri.path_and_query().map_or_else(|| uri.path().to_owned(), ToString::to_string)
}

/// A form that somebody who is signed in sent from a page of ours.
pub(super) struct Posted {
    pub(super) visit: Visit,
    pub(super) form: Form,
}

impl FromRequest<Arc<Broker>> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, broker: &Arc<Broker>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, broker).await?;
        let headers = parts.headers.clone();
        let bytes = Bytes::from_request(Request::from_parts(parts, body), broker).await;
        let form = Form::read(&headers, bytes.as_deref().ok());
        let ours = origin::is_ours(&headers, &broker.issuer)
            && form.as_ref().is_some_and(|form| visit.session.form.is(form.text("form_token")));
        match form {
            Some(form) if ours => Ok(Self { visit, form }),
            _ => Err(foreign(&visit).await),
        }
    }
}

async fn foreign(visit: &Visit) -> Response {
    let (broker, context) = (&visit.broker, &visit.context);
    match admit::record(broker, context, &visit.session.who, "console", Reason::ForeignForm).await {
        Ok(()) => Trouble::foreign_form(&origin::of(&broker.issuer)).answer(context),
        Err(error) => Trouble::from(error).answer(context),
    }
}

/// What a form says.
#[derive(Clone, Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads one, if it is one.
    pub(super) fn read(headers: &HeaderMap, body: Option<&[u8]>) -> Option<Self> {
        let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let is_form =
            kind.split(';').next()?.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded");
        is_form.then_some(())?;
        Some(Self(form_urlencoded::parse(body?).into_owned().collect()))
    }

    /// The text of a field; empty where there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        let field = self.0.iter().find(|(field, _)| field == name);
        field.map_or("", |(_, value)| value.as_str())
    }

    /// All texts of a field that may stand more than once.
    pub(super) fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The fields whose names begin so, with what follows in their names.
    pub(super) fn under<'f>(&'f self, start: &'f str) -> impl Iterator<Item = (&'f str, &'f str)> {
        self.0.iter().filter_map(move |(field, value)| Some((field.strip_prefix(start)?, value.as_str())))
    }
}
