//! One plot over both periods, drawn twice: for wide and for narrow windows, so that its labels stay readable.

use plotters::chart::ChartContext;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::{
    ChartBuilder, Circle, IntoDrawingArea as _, IntoFont as _, LineSeries, PathElement, RGBColor, SVGBackend,
    ShapeStyle, Text,
};
use plotters::style::Color as _;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use shortbread_protocol::clock::Timestamp;

use super::super::figures::float;
use crate::failure::Failure;

// The page's style gives these their colours, for light and for dark.
const INK: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
const LINES: [RGBColor; 2] = [RGBColor(3, 3, 3), RGBColor(4, 4, 4)];
const MARK: RGBColor = RGBColor(5, 5, 5);
const EDGE: RGBColor = RGBColor(6, 6, 6);

const WIDE: (u32, u32) = (860, 280);
const NARROW: (u32, u32) = (360, 260);
/// How many marks a plot numbers; the list below has all.
const MAX_MARKS: usize = 24;

/// What a plot shows.
pub(super) struct Shown<'a> {
    /// Moments, in seconds since the epoch, that all lines share.
    pub(super) at: &'a [u64],
    /// At most two lines; a moment without a value breaks one.
    pub(super) lines: &'a [Vec<Option<f64>>],
    /// Where the period begins.
    pub(super) since: u64,
    /// Where it ends.
    pub(super) until: u64,
    /// What is marked, by its number in the list below.
    pub(super) marks: &'a [(usize, u64)],
    /// How a value is written.
    pub(super) label: fn(f64) -> String,
}

/// Draws it, wide and narrow.
///
/// # Errors
/// When it cannot be drawn.
pub(super) fn draw(shown: &Shown<'_>) -> Result<(String, String), Failure> {
    let drawn = |size| {
        let mut svg = String::new();
        paint(shown, size, &mut svg).map(|()| svg)
    };
    Ok((drawn(WIDE)?, drawn(NARROW)?))
}

type Chart<'c, 's> = ChartContext<'c, SVGBackend<'s>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn paint(shown: &Shown<'_>, size: (u32, u32), svg: &mut String) -> Result<(), Failure> {
    let area = SVGBackend::with_string(svg, size).into_drawing_area();
    let (begins, ends) = (shown.at.first().copied().unwrap_or(0), shown.until);
    let most = shown.lines.iter().flatten().flatten().fold(0.0_f64, |most, value| most.max(*value));
    let top = if most > 0.0 { most * 1.15 } else { 1.0 };
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .margin_top(18)
        .margin_right(24)
        .x_label_area_size(30)
        .y_label_area_size(64)
        .build_cartesian_2d(float(begins)..float(ends), 0.0..top)
        .map_err(failed)?;
    let narrow = size.0 < 500;
    axes(&mut chart, shown, narrow)?;
    for (values, colour) in shown.lines.iter().zip(LINES) {
        line(&mut chart, runs(shown.at, values), colour)?;
    }
    let upright = |at: u64, colour: RGBColor| {
        PathElement::new(vec![(float(at), 0.0), (float(at), top)], colour.stroke_width(1))
    };
    chart.draw_series([upright(shown.since, EDGE)]).map_err(failed)?;
    let marked: Vec<(usize, u64)> = shown.marks.iter().take(MAX_MARKS).copied().collect();
    chart.draw_series(marked.iter().map(|(_, at)| upright(*at, MARK))).map_err(failed)?;
    let centred = ("sans-serif", 12).into_font().color(&MARK).pos(Pos::new(HPos::Center, VPos::Bottom));
    let apart = ends.saturating_sub(begins) / if narrow { 14 } else { 36 };
    let numbers = labels(&marked, apart).into_iter();
    let numbers = numbers.map(|(text, at)| Text::new(text, (float(at), top), centred.clone()));
    chart.draw_series(numbers).map_err(failed)?;
    drop(chart);
    area.present().map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("a plot cannot be drawn: {error}"), "Leave --html out, and report this.")
}

fn axes(chart: &mut Chart<'_, '_>, shown: &Shown<'_>, narrow: bool) -> Result<(), Failure> {
    let days = shown.until.saturating_sub(shown.at.first().copied().unwrap_or(0)) > 3 * 86_400;
    let ink = ("sans-serif", 13).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(GRID.mix(0.0))
        .bold_line_style(GRID)
        .axis_style(GRID)
        .x_labels(if narrow { 4 } else { 8 })
        .y_labels(5)
        .x_label_formatter(&|at| moment(*at, days))
        .y_label_formatter(&|value| (shown.label)(*value))
        .label_style(ink)
        .draw()
        .map_err(failed)
}

fn line(chart: &mut Chart<'_, '_>, runs: Vec<Vec<(f64, f64)>>, colour: RGBColor) -> Result<(), Failure> {
    let style: ShapeStyle = colour.stroke_width(2);
    for run in runs {
        match run[..] {
            [alone] => chart.draw_series([Circle::new(alone, 2, colour.filled())]).map(drop),
            _ => chart.draw_series(LineSeries::new(run, style)).map(drop),
        }
        .map_err(failed)?;
    }
    Ok(())
}

/// The numbers of marks, those that stand too near for their own number together: `2\u{2013}5`.
fn labels(marks: &[(usize, u64)], apart: u64) -> Vec<(String, u64)> {
    let mut groups: Vec<(usize, usize, u64)> = Vec::new();
    for (number, at) in marks {
        match groups.last_mut() {
            Some((_, last, begins)) if at.abs_diff(*begins) < apart => *last = *number,
            _ => groups.push((*number, *number, *at)),
        }
    }
    let text = |first: usize, last: usize| {
        if first == last { first.to_string() } else { format!("{first}\u{2013}{last}") }
    };
    groups.into_iter().map(|(first, last, at)| (text(first, last), at)).collect()
}

/// The stretches of a line that have values.
fn runs(at: &[u64], values: &[Option<f64>]) -> Vec<Vec<(f64, f64)>> {
    let mut runs = Vec::new();
    let mut run = Vec::new();
    for (at, value) in at.iter().zip(values) {
        match value {
            Some(value) => run.push((float(*at), *value)),
            None => runs.push(std::mem::take(&mut run)),
        }
    }
    runs.push(run);
    runs.retain(|run| !run.is_empty());
    runs
}

/// `11-20`, or the time of day where both periods are short.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "moments of a plot are whole and positive"
)]
fn moment(at: f64, days: bool) -> String {
    let text = Timestamp::from_seconds(at.max(0.0) as u64).to_string();
    let part = if days { text.get(5..10) } else { text.get(11..16) };
    part.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_says_where_it_is() {
        let at: Vec<u64> = (0..56).map(|n| 1_795_000_000 + n * 21_600).collect();
        let line = (0..56).map(|n| (n % 9 != 0).then_some(f64::from(n))).collect();
        let shown = Shown {
            at: &at,
            lines: &[line],
            since: at[28],
            until: at[55] + 21_600,
            marks: &[(1, at[30])],
            label: |value| format!("{value:.0}"),
        };
        let (wide, narrow) = draw(&shown).unwrap();
        for svg in [wide, narrow] {
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
            assert!(svg.contains("11-2") && !svg.contains("NaN"), "{svg}");
        }
    }

    #[test]
    fn lines_break_where_nothing_is_known() {
        let broken = runs(&[1, 2, 3, 4], &[Some(1.0), None, Some(2.0), Some(3.0)]);
        assert_eq!(broken, [vec![(1.0, 1.0)], vec![(3.0, 2.0), (4.0, 3.0)]]);
        assert!(runs(&[1], &[None]).is_empty());
    }

    #[test]
    fn numbers_of_marks_do_not_lie_on_each_other() {
        let marks = [(1, 100), (2, 500), (3, 505), (5, 509), (6, 600)];
        let told: Vec<_> = labels(&marks, 50).into_iter().map(|(text, _)| text).collect();
        assert_eq!(told, ["1", "2\u{2013}5", "6"]);
    }

    #[test]
    fn moments_fit_the_axis() {
        assert_eq!(
            (moment(1_795_176_000.0, true).as_str(), moment(1_795_176_000.0, false).as_str()),
            ("11-20", "12:00")
        );
    }
}
