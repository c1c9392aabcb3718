//! One plot over time as SVG, drawn twice: for wide and for narrow windows, so that its labels stay readable.
//!
//! There is no script, no style and no font in it. Its colours are placeholders that the page's stylesheet replaces by
//! attribute, for light and for dark: `#010101` is text, `#020202` the grid, `#050505` marks and their numbers, `#060606` the
//! edge between two periods; lines are `#030303`, `#040404`, `#070707`, `#080808`, `#090909` in their order, as in
//! `svg [stroke="#030303"] { stroke: … }`, and `svg [fill="#030303"]` where a value stands alone.

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

use thiserror::Error;

use crate::interval::float;
use crate::text;

const INK: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
const MARK: RGBColor = RGBColor(5, 5, 5);
const EDGE: RGBColor = RGBColor(6, 6, 6);
const LINES: [RGBColor; MAX_LINES] =
    [RGBColor(3, 3, 3), RGBColor(4, 4, 4), RGBColor(7, 7, 7), RGBColor(8, 8, 8), RGBColor(9, 9, 9)];

/// The most lines of one plot.
pub const MAX_LINES: usize = 5;

const WIDE: (u32, u32) = (860, 280);
const NARROW: (u32, u32) = (360, 260);
/// How many marks a plot numbers; the list below has all.
const MAX_MARKS: usize = 24;

/// A plot that cannot be drawn.
#[derive(Debug, Error)]
#[error("a plot cannot be drawn: {0}")]
pub struct PlotError(String);

/// What a plot shows.
#[derive(Clone, Copy, Debug)]
pub struct Plot<'a> {
    /// What it is called where it is not seen; any text.
    pub name: &'a str,
    /// Moments, in seconds since the epoch and in their order, that all lines share.
    pub at: &'a [u64],
    /// At most [`MAX_LINES`]; a moment without a value breaks one. Values are not negative.
    pub lines: &'a [Vec<Option<f64>>],
    /// Where the period before ends, in seconds since the epoch, if one is plot.
    pub since: Option<u64>,
    /// Where the axis ends.
    pub until: u64,
    /// What is marked, by its number in a list beside the plot.
    pub marks: &'a [(usize, u64)],
    /// How a value is written.
    pub label: fn(f64) -> String,
}

/// The same plot for wide and for narrow windows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drawn {
    /// For windows of 640 pixels and more.
    pub wide: String,
    /// For narrower ones.
    pub narrow: String,
}

/// Draws it: two images of their own, safe to put into a page as they are.
///
/// # Errors
/// When it cannot be drawn.
pub fn draw(plot: &Plot<'_>) -> Result<Drawn, PlotError> {
    let drawn = |size| {
        let mut svg = String::new();
        paint(plot, size, &mut svg).map(|()| named(&svg, plot.name))
    };
    Ok(Drawn { wide: drawn(WIDE)?, narrow: drawn(NARROW)? })
}

/// The image with its name, which is read out in its place.
fn named(svg: &str, name: &str) -> String {
    let mut title = String::with_capacity(name.len());
    for c in text::escape(name).chars() {
        match c {
            '<' => title.push_str("&lt;"),
            '>' => title.push_str("&gt;"),
            '&' => title.push_str("&amp;"),
            other => title.push(other),
        }
    }
    let (tag, rest) = svg.split_once('>').unwrap_or((svg, ""));
    format!("{tag} role=\"img\"><title>{title}</title>{rest}")
}

type Chart<'c, 's> = ChartContext<'c, SVGBackend<'s>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn paint(plot: &Plot<'_>, size: (u32, u32), svg: &mut String) -> Result<(), PlotError> {
    let area = SVGBackend::with_string(svg, size).into_drawing_area();
    let begins = plot.at.first().copied().unwrap_or(0);
    // An axis without a length has no labels.
    let ends = plot.until.max(begins + 1);
    let values = plot.lines.iter().flatten().flatten().filter(|value| value.is_finite());
    let most = values.fold(0.0_f64, |most, value| most.max(*value));
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
    axes(&mut chart, plot, narrow)?;
    for (values, colour) in plot.lines.iter().zip(LINES) {
        line(&mut chart, runs(plot.at, values), colour)?;
    }
    let upright = |at: u64, colour: RGBColor| {
        PathElement::new(vec![(float(at), 0.0), (float(at), top)], colour.stroke_width(1))
    };
    chart.draw_series(plot.since.map(|since| upright(since, EDGE))).map_err(failed)?;
    let marked: Vec<(usize, u64)> = plot.marks.iter().take(MAX_MARKS).copied().collect();
    chart.draw_series(marked.iter().map(|(_, at)| upright(*at, MARK))).map_err(failed)?;
    let centred = ("sans-serif", 12).into_font().color(&MARK).pos(Pos::new(HPos::Center, VPos::Bottom));
    let apart = ends.saturating_sub(begins) / if narrow { 14 } else { 36 };
    let numbers = labels(&marked, apart).into_iter();
    let numbers = numbers.map(|(text, at)| Text::new(text, (float(at), top), centred.clone()));
    chart.draw_series(numbers).map_err(failed)?;
    drop(chart);
    area.present().map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> PlotError {
    PlotError(error.to_string())
}

fn axes(chart: &mut Chart<'_, '_>, plot: &Plot<'_>, narrow: bool) -> Result<(), PlotError> {
    let days = plot.until.saturating_sub(plot.at.first().copied().unwrap_or(0)) > 3 * 86_400;
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
        .y_label_formatter(&|value| (plot.label)(*value))
        .label_style(ink)
        .draw()
        .map_err(failed)
}

fn line(chart: &mut Chart<'_, '_>, runs: Vec<Vec<(f64, f64)>>, colour: RGBColor) -> Result<(), PlotError> {
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
            Some(value) if value.is_finite() => run.push((float(*at), *value)),
            _ => runs.push(std::mem::take(&mut run)),
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
        let plot = Plot {
            name: "<b>\"Calls\" & more</b>\u{202e}",
            at: &at,
            lines: &[line, vec![Some(f64::NAN); 56]],
            since: Some(at[28]),
            until: at[55] + 21_600,
            marks: &[(1, at[30])],
            label: |value| format!("{value:.0}"),
        };
        let Drawn { wide, narrow } = draw(&plot).unwrap();
        for svg in [wide, narrow] {
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
            assert!(svg.contains("11-2") && !svg.contains("NaN"), "{svg}");
            let title = "<title>&lt;b&gt;\"Calls\" &amp; more&lt;/b&gt;\\u{202e}</title>";
            assert!(svg.contains(" role=\"img\"><title>") && svg.contains(title), "{svg}");
            for bad in ["style=", "<style", "<script", "class=", " on", "href"] {
                assert!(!svg.contains(bad), "{bad} in {svg}");
            }
            for colour in svg.split('#').skip(1).filter_map(|rest| rest.get(..6)) {
                assert!(colour.starts_with("0") && colour.get(..2) == colour.get(2..4), "{colour}");
            }
        }
    }

    #[test]
    fn nothing_to_show_is_drawn_too() {
        let label = |value: f64| format!("{value:.0}");
        for at in [&[][..], &[1_795_000_000]] {
            let lines = [vec![None; at.len()], vec![Some(0.0); at.len()]];
            let plot = Plot { name: "", at, lines: &lines, since: None, until: 0, marks: &[], label };
            assert!(draw(&plot).unwrap().wide.ends_with("</svg>\n"));
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
