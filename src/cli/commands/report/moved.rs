//! What moved against the period before, in words.

use shortbread_protocol::admin::{DriftBody, SegmentBody, Verdict};

use super::figures::{float, micros, name, percent, title};
use crate::text::grouped;
use crate::ui::{Piece, Style, Ui};

/// Whether a larger figure is a worse one. Every figure that is compared is of this kind.
const fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Up => Style::Bad,
        Verdict::Down => Style::Good,
        Verdict::Same => Style::Plain,
        Verdict::Unclear => Style::Dim,
    }
}

/// The word for it, with an arrow.
pub(super) const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Up => "\u{2191} up",
        Verdict::Down => "\u{2193} down",
        Verdict::Same => "= same",
        Verdict::Unclear => "? not enough to tell",
    }
}

/// A value of this figure: `12.5%` or `1.3 ms`.
pub(super) fn value(drift: &DriftBody, value: f64) -> String {
    if drift.figure.starts_with("latency") { micros(value) } else { percent(value) }
}

/// By how much: `+3.1 [+1.0, +5.2] points`, or times as much.
pub(super) fn change(drift: &DriftBody) -> String {
    match (drift.low, drift.high) {
        (Some(low), Some(high)) => {
            let points = |real: f64| format!("{:+.1}", real * 100.0);
            format!("{} [{}, {}] points", points(drift.now - drift.before), points(low), points(high))
        }
        _ => format!("\u{d7}{:.2}", drift.now.max(1.0) / drift.before.max(1.0)),
    }
}

/// `120 / 240`: of how many, before and now.
pub(super) fn of(drift: &DriftBody) -> String {
    format!("{} / {}", grouped(drift.n_before), grouped(drift.n_now))
}

/// Shows the rows, and says what there is to say of the other figures.
pub(super) fn tell(rows: Vec<Vec<Piece>>, (same, unclear): (u64, u64), ui: Ui) {
    if !rows.is_empty() {
        ui.table(&HEAD, rows);
    } else if same + unclear > 0 {
        ui.line("nothing moved by more than chance explains");
    }
    ui.line(&rest(same, unclear));
}

/// What is to be said of the figures that have no row: `7 figures did not move; for 2 there is not enough to tell`.
pub(super) fn rest(same: u64, unclear: u64) -> String {
    match (same, unclear) {
        (0, 0) => "there is nothing to compare with".to_owned(),
        (0, unclear) => format!("for {} there is not enough to tell", figures(unclear)),
        (same, 0) => format!("{} did not move", figures(same)),
        (same, unclear) => {
            format!("{} did not move; for {} there is not enough to tell", figures(same), grouped(unclear))
        }
    }
}

fn figures(number: u64) -> String {
    if number == 1 { "1 figure".to_owned() } else { format!("{} figures", grouped(number)) }
}

/// A row for each figure that moved, and how many did not, or cannot be told.
pub(super) fn rows(segments: &[SegmentBody], by: &[String]) -> (Vec<Vec<Piece>>, u64, u64) {
    let (mut rows, mut same, mut unclear) = (Vec::new(), 0, 0);
    for segment in segments {
        for drift in &segment.drift {
            match drift.verdict {
                Verdict::Same => same += 1,
                Verdict::Unclear => unclear += 1,
                Verdict::Up | Verdict::Down => rows.push(row(name(&segment.segment, by), drift)),
            }
        }
    }
    (rows, same, unclear)
}

/// The head of such rows.
pub(super) const HEAD: [&str; 7] =
    ["segment", "figure", "before", "now", "difference (95 %)", "n before / now", ""];

/// One figure of one segment.
pub(super) fn row(segment: String, drift: &DriftBody) -> Vec<Piece> {
    vec![
        (Style::Bold, segment),
        (Style::Plain, title(&drift.figure).to_owned()),
        (Style::Plain, value(drift, drift.before)),
        (Style::Plain, value(drift, drift.now)),
        (Style::Plain, change(drift)),
        (Style::Dim, of(drift)),
        (style(drift.verdict), word(drift.verdict).to_owned()),
    ]
}

/// How many stand out by chance alone, where each bound is missed in 5 of 100 cases.
pub(super) fn by_chance(compared: u64) -> String {
    format!("{:.0}", (float(compared) / 20.0).ceil())
}
