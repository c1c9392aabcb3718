//! Which plots the page has, what each means, and the figures below it: pure.

use std::collections::BTreeMap;

use shortbread_protocol::admin::{AgesAnswer, FiguresAnswer, StepBody};
use shortbread_protocol::clock::Timestamp;

use super::ages;
use crate::console::show::At;
use crate::plot::{self, Drawn, MAX_LINES, PlotError};
use crate::text::{escape, grouped, micros, short, span};

/// What stands where there is nothing to say.
pub(super) const NOTHING: &str = "\u{2013}";
/// The sum of what has no name of its own.
const OTHER: &str = "other";

/// One plot with the table of its figures.
pub(super) struct Plot {
    pub(super) title: &'static str,
    /// What it shows, in one sentence.
    pub(super) meaning: String,
    /// What its lines are, in the order of their colours.
    pub(super) lines: Vec<String>,
    /// Images that are safe to put into a page as they are; empty where there is nothing to show.
    pub(super) drawn: Drawn,
    /// Says so instead, and what to do.
    pub(super) empty: &'static str,
    /// The head of the table, without that of its moments.
    pub(super) head: Vec<String>,
    /// The newest first.
    pub(super) rows: Vec<Row>,
}

/// The figures of one moment.
pub(super) struct Row {
    /// Where it begins.
    pub(super) at: At,
    pub(super) cells: Vec<String>,
}

/// Something that is marked in plots, by its number.
pub(super) struct Mark {
    pub(super) number: usize,
    pub(super) at: At,
    pub(super) what: String,
}

/// A plot before it is drawn.
pub(super) struct Sheet {
    pub(super) title: &'static str,
    pub(super) meaning: String,
    pub(super) lines: Vec<Line>,
    pub(super) label: fn(f64) -> String,
    /// Whether its values are times: that of nothing is a time too, where a count of nothing is nothing.
    pub(super) times: bool,
    pub(super) empty: &'static str,
    pub(super) head: Vec<String>,
    pub(super) cells: Vec<Vec<String>>,
}

/// One line: its name, and a value for each moment that has one.
pub(super) struct Line(pub(super) String, pub(super) Vec<Option<f64>>);

/// The moments that the lines of a plot share, and what stands beside them.
pub(super) struct Axis {
    pub(super) at: Vec<u64>,
    pub(super) since: Option<u64>,
    pub(super) until: u64,
    pub(super) marks: Vec<(usize, u64)>,
}

/// The plots of these figures, and of how old lists were where that may be looked at; of one tool's verifiers alone where
/// one is named.
///
/// # Errors
/// When one cannot be drawn.
pub(super) fn plots(
    figures: &FiguresAnswer,
    ages: Option<&AgesAnswer>,
    tool: Option<&str>,
) -> Result<Vec<Plot>, PlotError> {
    let steps = figures.series.as_slice();
    let turns = marks(figures).into_iter().filter(|(turns, _)| *turns);
    let axis = Axis {
        at: steps.iter().map(|one| one.at).collect(),
        since: Some(figures.period.since),
        until: figures.period.until,
        marks: turns.map(|(_, mark)| (mark.number, mark.at.0)).collect(),
    };
    let sheets = [decisions(steps), reasons(steps), approvals(steps), latency(steps)];
    let mut plots =
        sheets.into_iter().map(|sheet| sheet.draw(&axis)).collect::<Result<Vec<Plot>, PlotError>>()?;
    if let Some(known) = ages {
        let (sheet, axis) = ages::sheet(known, tool);
        plots.push(sheet.draw(&axis)?);
    }
    Ok(plots)
}

/// What happened meanwhile, and whether it stands in the plots: a new policy or release.
pub(super) fn marks(figures: &FiguresAnswer) -> Vec<(bool, Mark)> {
    let marks = figures.marks.iter().enumerate();
    let told = marks.map(|(place, mark)| {
        let turns = mark.kind == "policy" || mark.kind == "release";
        (turns, Mark { number: place + 1, at: At(mark.at), what: escape(&mark.what).into_owned() })
    });
    told.collect()
}

impl Sheet {
    fn draw(self, axis: &Axis) -> Result<Plot, PlotError> {
        let (names, lines): (Vec<String>, Vec<_>) =
            self.lines.into_iter().take(MAX_LINES).map(|Line(name, values)| (name, values)).unzip();
        let known = lines.iter().flatten().flatten().any(|value| self.times || *value > 0.0);
        let drawn = if known {
            let name = format!("{}: {}", self.title, self.meaning);
            plot::draw(&plot::Plot {
                name: &name,
                at: &axis.at,
                lines: &lines,
                since: axis.since,
                until: axis.until,
                marks: &axis.marks,
                label: self.label,
            })?
        } else {
            Drawn::default()
        };
        let rows = axis.at.iter().zip(self.cells).rev().map(|(at, cells)| Row { at: At(*at), cells });
        Ok(Plot {
            title: self.title,
            meaning: self.meaning,
            lines: names,
            drawn,
            empty: if known { "" } else { self.empty },
            head: self.head,
            rows: if known { rows.collect() } else { Vec::new() },
        })
    }
}

fn decisions(steps: &[StepBody]) -> Sheet {
    let line = |name: &str, pick: fn(&StepBody) -> u64| {
        Line(name.to_owned(), steps.iter().map(|one| Some(float(pick(one)))).collect())
    };
    let cells = |one: &StepBody| {
        [one.exchanges, one.refused, one.needs_approval, one.calls, one.denied, one.observed]
            .map(grouped)
            .to_vec()
    };
    Sheet {
        title: "Decisions",
        meaning: "How many requests for tokens and calls of tools were decided, and how many of both were not let through."
            .to_owned(),
        lines: vec![
            line("requests for tokens", |one| one.exchanges),
            line("calls", |one| one.calls),
            line("not let through", |one| one.refused + one.denied),
        ],
        label: short,
        times: false,
        empty: "Nothing was asked for in this time. Take a longer period or fewer filters, or ask for a first token with shortbread exchange.",
        head: texts(&["requests", "refused", "needed approval", "calls", "denied", "let pass by observe"]),
        cells: steps.iter().map(cells).collect(),
    }
}

/// The reasons that were given most have a line each, the others one together.
fn reasons(steps: &[StepBody]) -> Sheet {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (reason, count) in steps.iter().flat_map(|one| &one.reasons) {
        *sums.entry(reason).or_default() += count;
    }
    let mut named: Vec<(&str, u64)> = sums.into_iter().filter(|(reason, _)| *reason != OTHER).collect();
    named.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let named: Vec<&str> = named.into_iter().take(MAX_LINES - 1).map(|(reason, _)| reason).collect();
    let of = |one: &StepBody| -> Vec<u64> {
        let own = named.iter().map(|reason| one.reasons.get(*reason).copied().unwrap_or_default());
        let own: Vec<u64> = own.collect();
        let rest = one.reasons.values().sum::<u64>() - own.iter().sum::<u64>();
        own.into_iter().chain([rest]).collect()
    };
    let counts: Vec<Vec<u64>> = steps.iter().map(of).collect();
    let line = |(place, name): (usize, &String)| {
        Line(name.clone(), counts.iter().map(|own| own.get(place).map(|count| float(*count))).collect())
    };
    let mut head: Vec<String> = named.iter().map(|reason| escape(reason).into_owned()).collect();
    head.push(OTHER.to_owned());
    Sheet {
        title: "Refusals and denials by reason",
        meaning: "Why requests and calls were not let through: those reasons that were given most often, the rest together."
            .to_owned(),
        lines: head.iter().enumerate().map(line).collect(),
        label: short,
        times: false,
        empty: "Nothing was refused or denied in this time.",
        cells: counts.iter().map(|own| own.iter().copied().map(grouped).collect()).collect(),
        head,
    }
}

fn approvals(steps: &[StepBody]) -> Sheet {
    let line = |name: &str, pick: fn(&StepBody) -> Option<u64>| {
        Line(name.to_owned(), steps.iter().map(|one| pick(one).map(float)).collect())
    };
    // What was allowed last is allowed until something else is.
    let allowed = steps.iter().scan(None, |last: &mut Option<u64>, one| {
        *last = one.sla_seconds.or(*last);
        Some(last.map(float))
    });
    let cells = |one: &StepBody| {
        let seconds = |value: Option<u64>| value.map_or_else(|| NOTHING.to_owned(), span);
        let counts = [one.decided, one.in_time, one.expired].map(grouped);
        let times = [one.approval_p50, one.approval_p90, one.sla_seconds].map(seconds);
        counts.into_iter().chain(times).collect()
    };
    Sheet {
        title: "Approval time against what is allowed",
        meaning: "How long people took to decide on approvals, beside the time that the policy allows for it (the SLA)."
            .to_owned(),
        lines: vec![
            line("half within", |one| one.approval_p50),
            line("nine of ten within", |one| one.approval_p90),
            Line("allowed".to_owned(), allowed.collect()),
        ],
        label: seconds,
        times: true,
        empty: "No approval was asked for or decided in this time.",
        head: texts(&["decided", "in time", "expired", "half within", "nine of ten within", "allowed"]),
        cells: steps.iter().map(cells).collect(),
    }
}

fn latency(steps: &[StepBody]) -> Sheet {
    let line = |name: &str, pick: fn(&StepBody) -> Option<u64>| {
        Line(name.to_owned(), steps.iter().map(|one| pick(one).map(float)).collect())
    };
    let time = |value: Option<u64>| value.map_or_else(|| NOTHING.to_owned(), |us| micros(float(us)));
    Sheet {
        title: "Latency of exchanges",
        meaning: "How long the broker took to answer requests for tokens.".to_owned(),
        lines: vec![line("half within", |one| one.p50), line("99 of 100 within", |one| one.p99)],
        label: micros,
        times: true,
        empty: "No exchange was timed in this time.",
        head: texts(&["requests", "half within", "99 of 100 within"]),
        cells: steps.iter().map(|one| vec![grouped(one.exchanges), time(one.p50), time(one.p99)]).collect(),
    }
}

pub(super) fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A time on an axis, in one unit: `45 s`, `5 min`, `3.5 h`.
pub(super) fn seconds(value: f64) -> String {
    let (value, unit) = if value < 120.0 {
        (value, "s")
    } else if value < 7200.0 {
        (value / 60.0, "min")
    } else if value < 172_800.0 {
        (value / 3600.0, "h")
    } else {
        (value / 86_400.0, "d")
    };
    if value.fract().abs() < 0.05 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// A count as a real number.
#[expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]
pub(super) const fn float(n: u64) -> f64 {
    n as f64
}

/// A moment for the meaning of a plot.
pub(super) fn moment(at: u64) -> String {
    Timestamp::from_seconds(at).to_string().trim_end_matches('Z').replace('T', " ") + " UTC"
}

#[cfg(test)]
mod tests {
    use shortbread_protocol::admin::MarkBody;

    use super::*;
    use crate::report::{Ask, Figures};

    const UNTIL: u64 = 1_795_176_000;

    fn figures() -> FiguresAnswer {
        let ask = Ask::new("segments", UNTIL - 86_400, UNTIL, None).unwrap();
        Figures::new(ask).finish(None)
    }

    fn of<'p>(plots: &'p [Plot], title: &str) -> &'p Plot {
        plots.iter().find(|plot| plot.title.starts_with(title)).unwrap()
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        let plots = plots(&figures(), Some(&AgesAnswer::default()), None).unwrap();
        assert_eq!(plots.len(), 5);
        assert!(plots.iter().all(|plot| !plot.empty.is_empty() && plot.drawn == Drawn::default()));
        assert_eq!(super::plots(&figures(), None, None).unwrap().len(), 4, "not everyone may see ages");
    }

    #[test]
    fn each_plot_has_its_figures_below_it() {
        let mut figures = figures();
        for (n, step) in figures.series.iter_mut().enumerate().skip(28) {
            let n = n as u64;
            (step.exchanges, step.refused, step.calls, step.denied) = (1000 + n, 3, 200, 12);
            step.reasons = (0..6).map(|reason| (format!("r{reason}"), reason)).collect();
            (step.p50, step.p99) = (Some(400), Some(2500));
            (step.decided, step.in_time, step.approval_p50, step.approval_p90) = (2, 1, Some(90), Some(400));
        }
        figures.series[30].sla_seconds = Some(300);
        figures.marks.push(MarkBody {
            at: UNTIL - 100,
            kind: "policy".to_owned(),
            what: "policy\u{202e} 4".to_owned(),
            workflow: None,
        });
        let plots = plots(&figures, None, None).unwrap();
        assert!(plots.iter().all(|plot| plot.empty.is_empty() && plot.rows.len() == 56));
        let cells = |title: &str| of(&plots, title).rows[0].cells.join(" | ");
        assert_eq!(cells("Decisions"), "1,055 | 3 | 0 | 200 | 12 | 0");
        assert_eq!(of(&plots, "Refusals").lines, ["r5", "r4", "r3", "r2", "other"]);
        assert_eq!(cells("Refusals"), "5 | 4 | 3 | 2 | 1");
        assert_eq!(cells("Approval"), "2 | 1 | 0 | 1m 30s | 6m 40s | \u{2013}");
        assert_eq!(cells("Latency"), "1,055 | 400 \u{b5}s | 2.5 ms");
        for plot in &plots {
            let Drawn { wide, narrow } = &plot.drawn;
            assert!(wide.contains(&format!("<title>{}: ", plot.title)) && wide != narrow, "{wide}");
            assert!(!wide.contains("style=") && plot.head.len() == plot.rows[0].cells.len());
            assert!(plot.rows[0].at.0 > plot.rows[1].at.0, "the newest first");
        }
        assert_eq!(marks(&figures)[0].1.what, "policy\\u{202e} 4");
    }

    #[test]
    fn times_on_an_axis_have_one_unit() {
        let told: Vec<_> = [0.0, 0.5, 45.0, 300.0, 12_600.0, 259_200.0].map(seconds).into();
        assert_eq!(told, ["0 s", "0.5 s", "45 s", "5 min", "3.5 h", "3 d"]);
    }
}
