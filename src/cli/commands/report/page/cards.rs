//! The figures at the top of a page.

use shortbread_protocol::admin::{DriftBody, FiguresAnswer, Verdict};

use super::super::figures::{NOTHING, bounded, cost, micros, percent, share};
use super::super::moved;
use crate::text::grouped;

/// One figure: what it is, how much, and what it was.
pub(super) struct Card {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// How sure that is; empty where it was counted.
    pub(super) bounds: String,
    pub(super) before: String,
    /// How it moved, in a word; empty where that is not judged.
    pub(super) verdict: &'static str,
    /// `up`, `down` or nothing: how it looks.
    pub(super) class: &'static str,
}

/// Those of all segments together.
pub(super) fn of(report: &FiguresAnswer) -> Vec<Card> {
    let (now, before) = (&report.total.now, &report.total.before);
    let count = |name, is: u64, was: u64| plain(name, &grouped(is), grouped(was));
    let part = |name, figure: &str| {
        let is = share(now.shares.get(figure));
        let was = before
            .shares
            .get(figure)
            .map_or_else(|| NOTHING.to_owned(), |one| percent(shortbread_broker::report::value(one)));
        judged(plain(name, &is, was), report, figure)
    };
    let time = |name, figure: &str| {
        let p50 = figure == "latency_p50";
        let pick = |times: &shortbread_protocol::admin::TimesBody| if p50 { times.p50 } else { times.p99 };
        let is = bounded(now.latency.as_ref(), pick);
        let was =
            before.latency.as_ref().map(|times| micros(super::super::figures::float(pick(times).value)));
        judged(plain(name, &is, was.unwrap_or_else(|| NOTHING.to_owned())), report, figure)
    };
    vec![
        count("Exchanges", now.exchanges, before.exchanges),
        part("Refused", "refused"),
        part("Needed approval", "needs_approval"),
        count("Calls", now.calls, before.calls),
        part("Denied", "denied"),
        part("Corrected", "corrected"),
        time("Latency p50", "latency_p50"),
        time("Latency p99", "latency_p99"),
        plain("Cost", &cost(now), cost(before)),
    ]
}

fn plain(name: &'static str, value: &str, before: String) -> Card {
    // What stands after the value, in brackets, is how sure it is.
    let at = value.find(['[', '(']).unwrap_or(value.len());
    let (value, bounds) = value.split_at(at);
    let (value, bounds) = (value.trim_end().to_owned(), bounds.to_owned());
    Card { name, value, bounds, before, verdict: "", class: "" }
}

fn judged(card: Card, report: &FiguresAnswer, figure: &str) -> Card {
    let drift: Option<&DriftBody> = report.total.drift.iter().find(|drift| drift.figure == figure);
    let class = match drift.map(|drift| drift.verdict) {
        Some(Verdict::Up) => "up",
        Some(Verdict::Down) => "down",
        _ => "",
    };
    Card { verdict: drift.map_or("", |drift| moved::word(drift.verdict)), class, ..card }
}
