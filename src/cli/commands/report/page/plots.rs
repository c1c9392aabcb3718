//! Which plots a page has: volumes, shares, and latency beside cost.

use shortbread_broker::plot::{self, Drawn};
use shortbread_broker::text::short;
use shortbread_protocol::admin::{FiguresAnswer, StepBody};
use shortbread_protocol::clock::Timestamp;

use super::super::figures::{NOTHING, float, micros, percent, units};
use crate::failure::Failure;
use crate::text::grouped;

/// The plots, and what is marked in all of them.
#[derive(Default)]
pub(super) struct Plots {
    pub(super) plots: Vec<Plot>,
    pub(super) marks: Vec<Mark>,
}

/// One plot with the table of its figures.
pub(super) struct Plot {
    pub(super) title: &'static str,
    /// What a mark in the line's colour means, first solid and then dashed.
    pub(super) lines: Vec<&'static str>,
    pub(super) wide: String,
    pub(super) narrow: String,
    /// Whether it shares its row with the next one.
    pub(super) half: bool,
    /// Says that nothing is known instead.
    pub(super) empty: &'static str,
    pub(super) rows: Vec<Vec<String>>,
}

/// Something that is marked.
pub(super) struct Mark {
    pub(super) number: usize,
    pub(super) when: String,
    pub(super) what: String,
}

type Pick = fn(&StepBody) -> Option<f64>;

/// A plot before it is drawn.
struct Plan {
    title: &'static str,
    lines: &'static [(&'static str, Pick)],
    label: fn(f64) -> String,
    cell: fn(f64) -> String,
    half: bool,
    empty: &'static str,
}

const PLANS: [Plan; 4] = [
    Plan {
        title: "Exchanges and calls",
        lines: &[("exchanges", |one| Some(float(one.exchanges))), ("calls", |one| Some(float(one.calls)))],
        label: short,
        cell: whole,
        half: false,
        empty: "Nothing was asked for.",
    },
    Plan {
        title: "Refused and denied",
        lines: &[
            ("exchanges refused", |one| part(one.refused, one.exchanges)),
            ("calls denied", |one| part(one.denied, one.calls)),
        ],
        label: percent_short,
        cell: percent,
        half: false,
        empty: "Nothing was asked for.",
    },
    Plan {
        title: "Latency of exchanges",
        lines: &[("p50", |one| one.p50.map(float)), ("p99", |one| one.p99.map(float))],
        label: micros,
        cell: micros,
        half: true,
        empty: "No exchange was timed.",
    },
    Plan {
        title: "Cost of calls",
        lines: &[("cost", |one| (one.calls > 0).then(|| float(one.cost_micros)))],
        label: cost,
        cell: cost,
        half: true,
        empty: "No call said what it cost. Verifiers report it with their decisions.",
    },
];

/// Draws them.
///
/// # Errors
/// When one cannot be drawn.
pub(super) fn of(report: &FiguresAnswer) -> Result<Plots, Failure> {
    let busy = report.series.iter().any(|one| one.exchanges + one.calls > 0);
    if !busy {
        return Ok(Plots::default());
    }
    let marked: Vec<(usize, u64)> = report
        .marks
        .iter()
        .enumerate()
        .filter(|(_, mark)| is_turn(&mark.kind))
        .map(|(n, mark)| (n + 1, mark.at))
        .collect();
    let plots = PLANS.iter().map(|plan| draw(plan, report, &marked)).collect::<Result<_, _>>()?;
    let marks = report.marks.iter().enumerate();
    let marks = marks.map(|(n, mark)| Mark {
        number: n + 1,
        when: Timestamp::from_seconds(mark.at).to_string(),
        what: mark.what.clone(),
    });
    Ok(Plots { plots, marks: marks.collect() })
}

/// What stands in the plots; the list has the rest too.
fn is_turn(kind: &str) -> bool {
    kind == "policy" || kind == "release"
}

fn draw(plan: &Plan, report: &FiguresAnswer, marks: &[(usize, u64)]) -> Result<Plot, Failure> {
    let at: Vec<u64> = report.series.iter().map(|one| one.at).collect();
    let lines: Vec<Vec<Option<f64>>> =
        plan.lines.iter().map(|(_, pick)| report.series.iter().map(pick).collect()).collect();
    let known = lines.iter().flatten().flatten().any(|value| *value > 0.0);
    // A share that was never above zero is worth showing; a cost or a time that nobody said is not.
    let known = known || (!plan.half && lines.iter().flatten().flatten().next().is_some());
    let (since, until) = (report.period.since, report.period.until);
    let Drawn { wide, narrow } = if known {
        let name = format!("{} over time; the figures are in the table below", plan.title);
        let (name, since) = (name.as_str(), Some(since));
        let plot = plot::Plot { name, at: &at, lines: &lines, since, until, marks, label: plan.label };
        plot::draw(&plot)
            .map_err(|error| Failure::new(error.to_string(), "Leave --html out, and report this."))?
    } else {
        Drawn::default()
    };
    let row = |(place, at): (usize, &u64)| {
        let values = lines.iter().map(|line| line.get(place).copied().flatten());
        let cells = values.map(|value| value.map_or_else(|| NOTHING.to_owned(), plan.cell));
        std::iter::once(Timestamp::from_seconds(*at).to_string()).chain(cells).collect()
    };
    Ok(Plot {
        title: plan.title,
        lines: plan.lines.iter().map(|(name, _)| *name).collect(),
        wide,
        narrow,
        half: plan.half,
        empty: if known { "" } else { plan.empty },
        rows: at.iter().enumerate().map(row).collect(),
    })
}

fn part(hits: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| float(hits) / float(of))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures are whole and positive")]
fn count(value: f64) -> u64 {
    value.max(0.0).round() as u64
}

fn whole(value: f64) -> String {
    grouped(count(value))
}

fn percent_short(value: f64) -> String {
    let points = value * 100.0;
    if points.fract().abs() < 0.01 { format!("{points:.0}%") } else { format!("{points:.1}%") }
}

fn cost(value: f64) -> String {
    units(count(value))
}
