//! What went wrong, as a page: what it was, why, what to do, and the ids to ask about it with.

use std::borrow::Cow;
use std::time::Duration;

use askama::Template;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use shortbread_protocol::reason::Reason;

use super::assets;
use super::show::html;
use super::visit::Visit;
use crate::approvals::DecideError;
use crate::exchange::Context;
use crate::store::StoreError;
use crate::text::sentence;

/// What a query says; one that is not understood is not taken for another.
///
/// # Errors
/// When it is not.
pub(super) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Trouble> {
    query.map(|Query(read)| read).map_err(|rejection| Trouble::malformed(rejection.body_text()))
}

/// What is wrong with a form: the field, what is said beside it, and the code.
pub(super) type Wrong = (&'static str, String, &'static str);

/// What is wrong with a form, while it is not known where it is said: the field, none for what is said on a page of its own.
pub(super) type Refused = (&'static str, Trouble);

/// What stands beside a field, and the status that the form's page has then.
///
/// # Errors
/// What is said on a page of its own.
pub(super) fn beside((field, trouble): Refused) -> Result<(Wrong, StatusCode), Trouble> {
    if field.is_empty() {
        return Err(trouble);
    }
    let code = trouble.reason.code();
    Ok(((field, trouble.detail, code), trouble.status))
}

/// The page of a form once more, with another status than it has by itself.
pub(super) fn once_more(visit: &Visit, page: Result<Response, Trouble>, status: StatusCode) -> Response {
    match page {
        Ok(mut page) => {
            *page.status_mut() = status;
            page
        }
        Err(trouble) => trouble.answer(&visit.context),
    }
}

/// Why a page is not what was asked for.
#[derive(Debug)]
pub(super) struct Trouble {
    status: StatusCode,
    reason: Reason,
    detail: String,
    fix: Cow<'static, str>,
    /// A page of ours to go on with, and what the link says.
    next: Option<Box<(String, &'static str)>>,
    retry_after: Option<Duration>,
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct Page<'a> {
    css: &'static str,
    title: &'a str,
    detail: &'a str,
    fix: &'a str,
    next: Option<&'a (String, &'static str)>,
    code: &'a str,
    decision: &'a str,
    trace: String,
}

impl Trouble {
    /// With a status, in words of its own.
    pub(super) fn new(status: StatusCode, reason: Reason, detail: impl Into<String>) -> Self {
        let fix = Cow::Borrowed(reason.action());
        Self { status, reason, detail: detail.into(), fix, next: None, retry_after: None }
    }

    /// What the reason says by itself.
    pub(super) fn plain(reason: Reason) -> Self {
        let status = match reason {
            Reason::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Reason::NotFound => StatusCode::NOT_FOUND,
            Reason::StoreUnavailable | Reason::Overloaded | Reason::PolicyMissing => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Reason::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::FORBIDDEN,
        };
        Self::new(status, reason, reason.meaning())
    }

    /// What was sent is not understood.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Reason::RequestMalformed, detail)
    }

    /// There is no such thing.
    pub(super) fn absent(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Reason::NotFound, detail)
    }

    /// The sign-in does not hold, or not any more.
    pub(super) fn signed_out(reason: Reason) -> Self {
        let detail = match reason {
            Reason::Unauthenticated => Reason::SignedOut.meaning().to_owned(),
            Reason::NotPermitted => "The policy in force does not know this operator.".to_owned(),
            other => format!("The sign-in is over: {}", other.meaning()),
        };
        let next = Some(Box::new(("/console/sign-in".to_owned(), "Sign in")));
        Self { next, ..Self::new(StatusCode::UNAUTHORIZED, Reason::SignedOut, detail) }
    }

    /// The link was used or is too old.
    pub(super) fn spent_link() -> Self {
        Self { status: StatusCode::GONE, ..Self::plain(Reason::LinkSpent) }
    }

    /// The form does not come from a page of ours.
    pub(super) fn foreign_form(origin: &str) -> Self {
        let fix = format!("Open the console at {origin}, look at the page anew and send the form again.");
        Self { fix: Cow::Owned(fix), ..Self::plain(Reason::ForeignForm) }
    }

    /// The operator may not do this.
    pub(super) fn not_permitted(reason: Reason, verb: &str) -> Self {
        let detail = match reason {
            Reason::NotPermitted => format!("The policy does not grant you shortbread/{verb}."),
            other => other.meaning().to_owned(),
        };
        Self::new(StatusCode::FORBIDDEN, reason, detail)
    }

    /// The sign-in is too old for this.
    pub(super) fn stale(here: &str) -> Self {
        let to = form_urlencoded::Serializer::new(String::new()).append_pair("to", here).finish();
        let next = Some(Box::new((format!("/console/sign-in?{to}"), "Sign in again")));
        Self { next, ..Self::plain(Reason::SignInStale) }
    }

    /// With a page to go on with.
    pub(super) fn next(self, path: impl Into<String>, words: &'static str) -> Self {
        Self { next: Some(Box::new((path.into(), words))), ..self }
    }

    /// With a time to wait.
    pub(super) fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// The page.
    pub(super) fn answer(&self, context: &Context) -> Response {
        let page = Page {
            css: assets::css(),
            title: self.title(),
            detail: &sentence(self.detail.trim_end_matches('.')),
            fix: &self.fix,
            next: self.next.as_deref(),
            code: self.reason.code(),
            decision: &context.decision.id,
            trace: hex::encode(context.decision.trace),
        };
        let mut response = html(&page);
        *response.status_mut() = self.status;
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_millis().div_ceil(1000).max(1).to_string();
            if let Ok(value) = HeaderValue::try_from(seconds) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
        response
    }

    fn title(&self) -> &'static str {
        match self.reason {
            Reason::SignedOut => "Not signed in",
            Reason::SignInStale => "Sign in again",
            Reason::LinkSpent => "This link is used up",
            Reason::ForeignForm => "This form was not taken",
            Reason::NotFound => "Not found",
            Reason::RateLimited => "Too many requests",
            Reason::NotPermitted => "Not yours to do",
            _ if self.status.is_server_error() => "That did not work",
            _ => "Refused",
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %error, "the store failed");
        Self::plain(Reason::StoreUnavailable).after(Duration::from_secs(1))
    }
}

impl From<DecideError> for Trouble {
    fn from(error: DecideError) -> Self {
        let status = match error.reason() {
            Reason::NotFound => StatusCode::NOT_FOUND,
            Reason::NotAsked | Reason::OwnRequest => StatusCode::FORBIDDEN,
            Reason::RequestMalformed => StatusCode::BAD_REQUEST,
            Reason::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Reason::StoreUnavailable | Reason::PolicyMissing => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
        };
        match error {
            DecideError::Store(error) => error.into(),
            error => Self::new(status, error.reason(), error.to_string()),
        }
    }
}
