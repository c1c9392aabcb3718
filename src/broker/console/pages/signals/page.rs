//! `/console/signals`: figures by segment over time, as plots and as tables.

use askama::Template;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use axum::response::Response;
use shortbread_protocol::admin::{FiguresAnswer, FiguresBody, SegmentBody};
use shortbread_protocol::reason::Reason;

use super::filter::{Filters, Wanted};
use super::model::{self, Mark, NOTHING, Plot, float};
use crate::console::frame::Frame;
use crate::console::show::{At, When, html};
use crate::console::trouble::{Trouble, query};
use crate::console::visit::Visit;
use crate::report::value;
use crate::reports;
use crate::signals::Looked;
use crate::text::{escape, grouped, micros};
use crate::verifiers;

/// How many segments the table has.
const SEGMENTS: usize = 25;

/// One segment of the table.
struct Segment {
    name: String,
    /// The query of the page that shows it alone.
    link: String,
    cells: [String; 6],
}

struct Shown {
    made: When,
    since: At,
    before: At,
    until: At,
    notes: Vec<String>,
    plots: Vec<Plot>,
    marks: Vec<Mark>,
    segments: Vec<Segment>,
    more: u64,
    ages: bool,
}

#[derive(Template)]
#[template(path = "signals/page.html")]
struct Page {
    frame: Frame,
    filters: Filters,
    shown: Option<Shown>,
    /// They are being made, and nothing is there yet.
    making: bool,
    /// Why there are none.
    failed: String,
}

/// Figures over time.
#[utoipa::path(get, path = "/console/signals", tag = "console", params(Wanted),
    responses((status = 200, body = String, content_type = "text/html"), (status = 303), (status = 400, body = String, content_type = "text/html"), (status = 403, body = String, content_type = "text/html"), (status = 503, body = String, content_type = "text/html")))]
pub(in crate::console) async fn page(
    visit: Visit,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let made = async { made(&visit, query(wanted)?).await };
    visit.shown(made.await)
}

async fn made(visit: &Visit, wanted: Wanted) -> Result<Response, Trouble> {
    visit.must(&["audit.read"]).await?;
    let filters = Filters::of(wanted);
    let looked = filters.question.as_ref().map(|question| reports::look(&visit.broker, question));
    let wrong = looked.is_none();
    let frame = Frame::of(visit, "Signals", "Signals").await;
    let mut page = Page { frame, filters, shown: None, making: false, failed: String::new() };
    match looked {
        Some(Looked::Ready { answer, made, failed }) => {
            let made = When::new(made.seconds(), page.frame.now);
            let shown = shown(visit, &page.filters, &answer, made, failed.as_deref());
            page.shown = Some(shown?);
            page.frame = page.frame.live(15);
        }
        Some(Looked::Making) => {
            page.making = true;
            page.frame = page.frame.live(2);
        }
        Some(Looked::Failed(why)) => {
            page.failed = escape(&why).into_owned();
            page.frame = page.frame.live(5);
        }
        None => {}
    }
    let mut response = html(&page);
    if wrong {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    Ok(response)
}

fn shown(
    visit: &Visit,
    filters: &Filters,
    answer: &FiguresAnswer,
    made: When,
    failed: Option<&str>,
) -> Result<Shown, Trouble> {
    let ages = visit.may("status.read").then(|| verifiers::ages(&visit.broker));
    let plots = model::plots(answer, ages.as_ref(), filters.value("tool")).map_err(|error| {
        Trouble::new(StatusCode::INTERNAL_SERVER_ERROR, Reason::Internal, error.to_string())
    })?;
    let cut = answer.cut.as_ref().map(|cut| format!("Not all of it is counted: {}.", escape(cut)));
    let stale = failed.map(|why| format!("They could not be made anew: {}.", escape(why)));
    let unread = (answer.unread > 0).then(|| {
        format!("{} entries of the log could not be read and count nowhere.", grouped(answer.unread))
    });
    let known = answer.segments.iter().take(SEGMENTS);
    Ok(Shown {
        made,
        since: At(answer.period.since),
        before: At(answer.before.since),
        until: At(answer.period.until),
        notes: cut.into_iter().chain(stale).chain(unread).collect(),
        plots,
        marks: model::marks(answer).into_iter().map(|(_, mark)| mark).collect(),
        segments: known.map(|segment| row(segment, filters)).collect(),
        more: answer.segments.len().saturating_sub(SEGMENTS) as u64 + answer.folded,
        ages: ages.is_some(),
    })
}

fn row(segment: &SegmentBody, filters: &Filters) -> Segment {
    let part = |name: &str| segment.segment.get(name).map_or("", String::as_str);
    let (workflow, tool) = (part("workflow"), part("tool"));
    let now = &segment.now;
    // What is summed up has no page of its own.
    let own = workflow != "other" && ![workflow, tool].iter().any(|value| value.contains(','));
    Segment {
        name: format!("{} / {}", escape(workflow), escape(tool)),
        link: if own { filters.with(&[("workflow", workflow), ("tool", tool)]) } else { String::new() },
        cells: [
            grouped(now.exchanges),
            share(now, "refused"),
            grouped(now.calls),
            share(now, "denied"),
            now.latency.map_or_else(|| NOTHING.to_owned(), |times| micros(float(times.p50.value))),
            now.latency.map_or_else(|| NOTHING.to_owned(), |times| micros(float(times.p99.value))),
        ],
    }
}

fn share(figures: &FiguresBody, name: &str) -> String {
    let share = figures.shares.get(name).filter(|share| share.of > 0);
    share.map_or_else(|| NOTHING.to_owned(), |share| format!("{:.1}%", value(share) * 100.0))
}
