//! How old the lists of verifiers were, as a plot: pure.

use shortbread_protocol::admin::{AgesAnswer, AgesOfBody};

use super::model::{Axis, Line, NOTHING, Sheet, float, moment, seconds};
use crate::plot::MAX_LINES;
use crate::text::{escape, span};

/// How many parts the axis has at most.
const PARTS: u64 = 96;
/// How many verifiers have a line each; the last line is for the window.
const SHOWN: usize = MAX_LINES - 1;

/// The plot and its axis; of the verifiers of this tool alone where one is named.
pub(super) fn sheet(known: &AgesAnswer, tool: Option<&str>) -> (Sheet, Axis) {
    let (first, last) = (known.at.first().copied(), known.at.last().copied());
    let (first, last) = first.zip(last).unwrap_or_default();
    let every = known.every.max(1);
    let samples = (last - first) / every + 1;
    let part = samples.div_ceil(PARTS) * every;
    let places = (last - first) / part + 1;
    let at: Vec<u64> = (0..places).map(|place| first + place * part).collect();
    let mut all: Vec<(&AgesOfBody, Vec<Option<u64>>)> = known
        .verifiers
        .iter()
        .filter(|one| tool.is_none_or(|tool| one.tools.iter().any(|own| own == tool)))
        .map(|one| (one, largest(one, known, first, part, at.len())))
        .filter(|(_, ages)| ages.iter().any(Option::is_some))
        .collect();
    // Those with the oldest lists first: they are what somebody looks for.
    all.sort_by_key(|(_, ages)| std::cmp::Reverse(ages.iter().flatten().max().copied()));
    let rest = all.split_off(all.len().min(SHOWN));
    let meaning = format!(
        "The largest age of each verifier's revocation list in parts of {}, beside the shortest time that their tools' calls may go on with it; known since {}, and of a day at most.",
        span(part),
        moment(known.since)
    );
    let sheet = Sheet {
        title: "Age of verifiers' lists",
        meaning,
        lines: lines(&all, at.len()),
        label: seconds,
        times: true,
        empty: "No verifier reported since the broker started. One that has an identity of the policy reports how fresh its list is.",
        head: head(&all, &rest),
        cells: (0..at.len()).map(|place| cells(&all, &rest, place)).collect(),
    };
    (sheet, Axis { at, since: None, until: last + part, marks: Vec::new() })
}

/// The largest age in each part of the axis.
fn largest(one: &AgesOfBody, known: &AgesAnswer, first: u64, part: u64, places: usize) -> Vec<Option<u64>> {
    let mut largest: Vec<Option<u64>> = vec![None; places];
    for (at, age) in known.at.iter().zip(&one.ages) {
        let place = usize::try_from((at - first) / part).ok();
        if let (Some(kept), Some(age)) = (place.and_then(|place| largest.get_mut(place)), age) {
            *kept = (*kept).max(Some(u64::from(*age)));
        }
    }
    largest
}

fn lines(shown: &[(&AgesOfBody, Vec<Option<u64>>)], places: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = shown
        .iter()
        .map(|(one, ages)| {
            Line(escape(&one.verifier).into_owned(), ages.iter().map(|age| age.map(float)).collect())
        })
        .collect();
    if let Some(window) = shown.iter().filter_map(|(one, _)| one.window).min() {
        lines.push(Line("may be at most".to_owned(), vec![Some(float(window)); places]));
    }
    lines
}

fn head(shown: &[(&AgesOfBody, Vec<Option<u64>>)], rest: &[(&AgesOfBody, Vec<Option<u64>>)]) -> Vec<String> {
    let name = |(one, _): &(&AgesOfBody, Vec<Option<u64>>)| {
        let window = one.window.map(|window| format!(" (may be {})", span(window)));
        format!("{}{}", escape(&one.verifier), window.unwrap_or_default())
    };
    let others = (!rest.is_empty()).then(|| format!("{} others", rest.len()));
    shown.iter().map(name).chain(others).collect()
}

fn cells(
    shown: &[(&AgesOfBody, Vec<Option<u64>>)],
    rest: &[(&AgesOfBody, Vec<Option<u64>>)],
    place: usize,
) -> Vec<String> {
    let of = |(_, ages): &(&AgesOfBody, Vec<Option<u64>>)| ages.get(place).copied().flatten();
    let told = |age: Option<u64>| age.map_or_else(|| NOTHING.to_owned(), span);
    let others = (!rest.is_empty()).then(|| rest.iter().filter_map(of).max());
    shown.iter().map(of).chain(others).map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_795_176_000;

    fn known(minutes: u64, verifiers: u64) -> AgesAnswer {
        let of = |verifier| AgesOfBody {
            verifier: format!("v{verifier}"),
            tools: vec![if verifier == 0 { "payments" } else { "github" }.to_owned()],
            window: (verifier == 1).then_some(60),
            ages: (0..minutes)
                .map(|n| (n % 7 != 0).then_some(u32::try_from(n % 20 + verifier).unwrap()))
                .collect(),
        };
        AgesAnswer {
            now: START + minutes * 60,
            since: START,
            every: 60,
            at: (0..minutes).map(|n| START + n * 60).collect(),
            verifiers: (0..verifiers).map(of).collect(),
            left_off: 0,
        }
    }

    #[test]
    fn a_day_of_many_verifiers_fits_into_a_plot() {
        let (sheet, axis) = sheet(&known(1440, 7), None);
        assert_eq!((axis.at.len(), axis.at[1] - axis.at[0], sheet.cells.len()), (96, 900, 96));
        let names: Vec<_> = sheet.lines.iter().map(|Line(name, _)| name.as_str()).collect();
        assert_eq!(names, ["v6", "v5", "v4", "v3"], "the oldest lists");
        assert_eq!(sheet.head, ["v6", "v5", "v4", "v3", "3 others"]);
        assert!(sheet.cells.iter().all(|cells| cells.len() == sheet.head.len()));
        assert!(sheet.meaning.contains("in parts of 15m"), "{}", sheet.meaning);
    }

    #[test]
    fn one_tools_verifiers_are_shown_with_their_window() {
        let (sheet, axis) = sheet(&known(10, 3), Some("github"));
        let names: Vec<_> = sheet.lines.iter().map(|Line(name, _)| name.as_str()).collect();
        assert_eq!((names, axis.at.len()), (vec!["v2", "v1", "may be at most"], 10));
        assert_eq!(sheet.head, ["v2", "v1 (may be 1m)"]);
        assert_eq!(
            (sheet.cells[0].join(" "), sheet.cells[1].join(" ")),
            ("\u{2013} \u{2013}".to_owned(), "3s 2s".to_owned())
        );
        assert_eq!(axis.until, START + 600);
    }

    #[test]
    fn minutes_that_nobody_looked_at_break_a_line() {
        let mut known = known(10, 1);
        known.at = known.at.iter().map(|at| if *at > START + 240 { at + 600 } else { *at }).collect();
        let (sheet, axis) = sheet(&known, None);
        assert_eq!((axis.at.len(), sheet.lines[0].1[10]), (20, None));
    }
}
