//! `/api/v1/audit/export`: the log's entries as they are stored, for whoever keeps or proves it elsewhere.

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use shortbread_protocol::admin::{EXPORT_END, EXPORT_FROM, EXPORT_NEXT, Problem};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::reason::Reason;

use super::super::App;
use super::super::failure::Failure;
use super::{Sent, admit};
use crate::broker::Broker;
use crate::exchange::Context;

/// The most entries of one page.
const MAX_ENTRIES: usize = 5000;
/// The most bytes of one page; one entry alone always fits.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// How many entries are read at a time, so that long ones do not fill the memory.
const STEP: usize = 256;
/// By then a checkpoint covers whatever arrived.
const SETTLED: std::time::Duration = std::time::Duration::from_secs(5);

/// Which entries.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Page {
    /// From this place on; 0 unless told.
    from: Option<u64>,
    /// Instead of `from`: from a place before which nothing arrived after this moment, such as `2026-11-20T12:00:00Z`.
    since: Option<String>,
    /// Up to a place that covers everything that had arrived by this moment; else up to the newest.
    until: Option<String>,
    /// At most so many; 5,000 unless told, and at most.
    limit: Option<usize>,
}

/// A page of lines.
struct Lines {
    from: u64,
    next: u64,
    end: u64,
    body: Vec<u8>,
}

/// Raw entries, one a line, each the very bytes that its leaf is the hash of. Of places before the first that is kept
/// there are none: `shortbread-from` says where the page begins, `shortbread-next` where to go on, and `shortbread-end`
/// where it is over.
#[utoipa::path(get, path = "/api/v1/audit/export", tag = "admin", security(("operator" = ["audit.read"])), params(Page),
    responses((status = 200, body = String, content_type = "application/x-ndjson", headers(
        ("shortbread-from" = u64, description = "The place of the first line"), ("shortbread-next" = u64, description = "The place after the last line"), ("shortbread-end" = u64, description = "The place after the last entry that was asked for"))),
    (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(in crate::http) async fn export(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    page: Result<Query<Page>, QueryRejection>,
    sent: Sent,
) -> Response {
    let done = async {
        admit(&app.broker, &context, &sent, "audit.read").await?;
        let Query(page) = page.map_err(|error| malformed(error.body_text()))?;
        lines(&app.broker, &page).await
    };
    match done.await {
        Ok(lines) => lines.into_response(),
        Err(failure) => failure.answer(&context.decision),
    }
}

async fn lines(broker: &Broker, page: &Page) -> Result<Lines, Failure> {
    let store = &broker.store;
    let asked = match (page.from, moment(page.since.as_deref())?) {
        (Some(_), Some(_)) => return Err(malformed("give `from` or `since`, not both")),
        (from, None) => from.unwrap_or(0),
        (None, Some(since)) => store.audit_place(since).await?,
    };
    let size = store.audit_size();
    let end = match moment(page.until.as_deref())?.map(|until| until.plus(SETTLED)) {
        Some(until) if until < broker.clock.now() => store.audit_place(until).await?.min(size),
        _ => size,
    };
    let mut lines = Lines { from: asked, next: asked, end, body: Vec::new() };
    let mut left = page.limit.unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES);
    while left > 0 && lines.next < end {
        let entries = store.audit_tail(lines.next, left.min(STEP)).await?;
        if entries.is_empty() {
            break;
        }
        for entry in &entries {
            if !lines.take(entry.idx, &entry.body)? {
                return Ok(lines);
            }
            left -= 1;
        }
    }
    Ok(lines)
}

impl Lines {
    /// One more entry; answers whether it belongs to this page.
    fn take(&mut self, place: u64, body: &[u8]) -> Result<bool, Failure> {
        if self.body.is_empty() {
            // What was pruned before it is not there any more.
            (self.from, self.next) = (place, place);
        }
        let full = !self.body.is_empty() && self.body.len() + body.len() >= MAX_BYTES;
        if full || place >= self.end || place != self.next {
            return Ok(false);
        }
        // Two lines for one entry would move every later one.
        if body.contains(&b'\n') {
            return Err(Failure::new(
                Reason::Internal,
                format!("the entry at place {place} has more than one line"),
            ));
        }
        self.body.extend_from_slice(body);
        self.body.push(b'\n');
        self.next = place + 1;
        Ok(true)
    }

    fn into_response(self) -> Response {
        let places = [(EXPORT_FROM, self.from), (EXPORT_NEXT, self.next), (EXPORT_END, self.end)];
        let places = places.map(|(name, place)| (name, HeaderValue::from(place)));
        let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
        (kind, places, Body::from(Bytes::from(self.body))).into_response()
    }
}

fn moment(text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    let read = |text: &str| text.parse().map_err(|error| malformed(format!("a time is {error}")));
    text.map(read).transpose()
}

fn malformed(detail: impl Into<String>) -> Failure {
    Failure::new(Reason::RequestMalformed, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(end: u64) -> Lines {
        Lines { from: 0, next: 0, end, body: Vec::new() }
    }

    #[test]
    fn a_page_ends_before_a_gap_its_end_and_eight_megabytes() {
        let mut lines = page(9);
        assert!(lines.take(3, b"{}").unwrap() && lines.take(4, b"{}").unwrap());
        assert_eq!((lines.from, lines.next, lines.body.as_slice()), (3, 5, &b"{}\n{}\n"[..]));
        assert!(!lines.take(6, b"{}").unwrap(), "a place is missing");
        assert!(!page(3).take(3, b"{}").unwrap());
        let (mut lines, body) = (page(u64::MAX), vec![b'x'; 65_535]);
        let taken = (0..).take_while(|place| lines.take(*place, &body).unwrap()).count();
        assert!(lines.body.len() <= MAX_BYTES && taken == 128, "{taken}");
        assert!(page(1).take(0, &vec![b'x'; 2 * MAX_BYTES]).unwrap(), "one alone always fits");
    }

    #[test]
    fn an_entry_of_two_lines_is_no_export() {
        assert!(page(9).take(0, b"{\n}").is_err());
    }
}
