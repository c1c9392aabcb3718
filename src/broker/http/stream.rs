//! The revocation list as a stream of events (the HTML standard, section 9.2): the head on connecting, each new head
//! when it is published, and right behind it the delta that leads to its contents.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use shortbread_protocol::admin::Problem;
use shortbread_protocol::reason::Reason;
use tokio::sync::watch;

use super::App;
use super::connections::Place;
use super::failure::Failure;
use super::serve::Stopping;
use crate::exchange::Context;
use crate::publish::Published;
use crate::telemetry;

/// How long a reader waits that found no place; the list can be polled meanwhile.
const LATER: Duration = Duration::from_secs(5);

/// A reader whose connection breaks comes back after a quarter of a second.
const RETRY: &[u8] = b"retry: 250\n\n";

/// Every head when it is published.
#[utoipa::path(get, path = "/revocations/stream", tag = "revocations", params(("Last-Event-ID" = Option<u64>, Header, description = "The sequence of the last head that the reader applied")),
    responses((status = 200, body = String, content_type = "text/event-stream", description = "`head` events with the head's bytes as lines of data and its sequence as id, each followed by a `delta` event when the contents changed: FROM-TO-HASH, a space, the gzipped delta in base64"), (status = 503, body = Problem)))]
pub(super) async fn stream(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    stopping: Option<Extension<Stopping>>,
    headers: HeaderMap,
) -> Response {
    let publisher = &app.broker.publisher;
    let heads = publisher.subscribe();
    if heads.borrow().is_none() {
        return Failure::plain(Reason::StoreUnavailable).answer(&context.decision);
    }
    let Some(place) = app.streams.take(context.address) else {
        let detail = "no stream is free for this address; poll /revocations/head, and try again later";
        let failure = Failure { retry_after: Some(LATER), ..Failure::new(Reason::Overloaded, detail) };
        return failure.answer(&context.decision);
    };
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let has = last.and_then(|head| publisher.contents_of(head));
    let reader = Reader {
        heads,
        stopping: stopping.map(|Extension(stopping)| stopping),
        has,
        begun: false,
        _counted: Counted::new(place),
    };
    let events = unfold(reader, |mut reader| async move {
        let frame = reader.next().await?;
        Some((Ok::<_, Infallible>(frame), reader))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(events)).into_response()
}

/// One stream's reader. Nothing is queued for it: when its connection takes more, it gets the newest head.
struct Reader {
    heads: watch::Receiver<Option<Arc<Published>>>,
    stopping: Option<Stopping>,
    /// The contents that it was led to, or had before, as far as is known.
    has: Option<u64>,
    begun: bool,
    _counted: Counted,
}

impl Reader {
    /// What to write next; `None` when the broker stops.
    async fn next(&mut self) -> Option<Bytes> {
        if self.begun {
            tokio::select! {
                changed = self.heads.changed() => changed.ok()?,
                () = stopped(self.stopping.as_mut()) => return None,
            }
        }
        let current = self.heads.borrow_and_update().clone()?;
        let frame = current.frame(self.has);
        self.has = Some(current.contents);
        if std::mem::replace(&mut self.begun, true) {
            return Some(frame);
        }
        Some([RETRY, &frame].concat().into())
    }
}

async fn stopped(stopping: Option<&mut Stopping>) {
    match stopping {
        Some(stopping) => stopping.wait().await,
        None => std::future::pending().await,
    }
}

/// A place that shows in the metrics.
struct Counted(#[expect(dead_code, reason = "given back when it is dropped")] Place);

impl Counted {
    fn new(place: Place) -> Self {
        telemetry::stream(true);
        Self(place)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        telemetry::stream(false);
    }
}
