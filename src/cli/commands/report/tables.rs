//! Reports as tables on a terminal.

use shortbread_protocol::admin::{
    CasesBody, FiguresAnswer, FiguresBody, MarkBody, OpenCaseBody, ReviewBody, RightBody, SegmentBody,
};
use shortbread_protocol::clock::Timestamp;

use super::cases::{OPEN, labelled, open_case};
use super::figures::{NOTHING, bounded, cost, name, only, quantile, reasons, share, title};
use super::moved;
use crate::context::Context;
use crate::text::{count, grouped, span};
use crate::ui::{Piece, Style, Ui};

/// How many segments and rights a terminal shows; `--json` and the page have all.
const SHOWN: usize = 40;

/// Shows a report.
pub(super) fn show(report: &FiguresAnswer, context: &Context) {
    let ui = context.ui;
    head(report, ui);
    match report.kind.as_str() {
        "review" => review(report, ui),
        "rights" => rights(report, ui),
        "approvals" => approvals(report, ui),
        "latency" => latency(report, ui),
        _ => segments(report, ui),
    }
}

fn head(report: &FiguresAnswer, ui: Ui) {
    let period = report.period;
    let at = |seconds| Timestamp::from_seconds(seconds).to_string();
    let mut facts = vec![
        ("period", format!("{} to {}", at(period.since), at(period.until))),
        ("before", format!("{} to {}", at(report.before.since), at(report.before.until))),
        ("length", span(period.until.saturating_sub(period.since))),
        ("entries", grouped(report.entries)),
    ];
    facts.extend(only(&report.only).map(|only| ("only", only)));
    ui.pairs(&facts);
    if report.unread > 0 {
        ui.pieces(&[(
            Style::Warn,
            format!("{} could not be read and count nowhere", count(report.unread, "entry")),
        )]);
    }
    if let Some(cut) = &report.cut {
        ui.pieces(&[
            (Style::Warn, format!("not all of it: {cut}")),
            (Style::Plain, "; nothing is compared".to_owned()),
        ]);
    }
    ui.line("");
}

fn is_empty(report: &FiguresAnswer) -> bool {
    let of = |figures: &FiguresBody| figures.exchanges + figures.calls;
    of(&report.total.now) + of(&report.total.before) == 0
}

fn nothing(ui: Ui) {
    ui.line("nothing was asked for in either period");
    ui.line("take a longer one with --since 30d, or ask for a first token with `shortbread exchange`");
}

/// One column: its head, and what stands in it. One that says nothing anywhere is left out.
type Column = (&'static str, fn(&SegmentBody) -> String);

fn table(report: &FiguresAnswer, columns: &[Column], ui: Ui) {
    let shown: Vec<&SegmentBody> = report.segments.iter().take(SHOWN).collect();
    let told = |column: &&Column| {
        shown.iter().any(|segment| ![NOTHING, "0"].contains(&(column.1)(segment).as_str()))
    };
    let columns: Vec<&Column> = columns.iter().filter(told).collect();
    let parts = if report.by.is_empty() { "all".to_owned() } else { report.by.join(" / ") };
    let head: Vec<&str> =
        std::iter::once(parts.as_str()).chain(columns.iter().map(|column| column.0)).collect();
    let row = |segment: &SegmentBody, called: String| {
        let cells = columns.iter().map(|column| (Style::Plain, (column.1)(segment)));
        std::iter::once((Style::Bold, called)).chain(cells).collect::<Vec<Piece>>()
    };
    let mut rows: Vec<Vec<Piece>> =
        shown.iter().map(|segment| row(segment, name(&segment.segment, &report.by))).collect();
    if report.segments.len() > 1 {
        rows.push(row(&report.total, "all".to_owned()));
    }
    ui.table(&head, rows);
    if report.segments.len() > SHOWN {
        ui.line(&format!("and {} more segments; --json and --html have them", report.segments.len() - SHOWN));
    }
    if report.folded > 0 {
        ui.line(&format!("{} are summed up as other", count(report.folded, "segment")));
    }
}

fn segments(report: &FiguresAnswer, ui: Ui) {
    if is_empty(report) {
        return nothing(ui);
    }
    let columns: [Column; 13] = [
        ("exchanges", |one| grouped(one.now.exchanges)),
        ("before", |one| grouped(one.before.exchanges)),
        ("refused % [95 %]", |one| share(one.now.shares.get("refused"))),
        ("needed approval", |one| grouped(one.now.needs_approval)),
        ("calls", |one| grouped(one.now.calls)),
        ("before", |one| grouped(one.before.calls)),
        ("denied % [95 %]", |one| share(one.now.shares.get("denied"))),
        ("observed", |one| grouped(observed(&one.now))),
        ("corrected % [95 %]", |one| share(one.now.shares.get("corrected"))),
        ("failed % [95 %]", |one| share(one.now.shares.get("failed"))),
        ("p50", |one| quantile(one.now.latency.as_ref(), |times| times.p50)),
        ("p99", |one| quantile(one.now.latency.as_ref(), |times| times.p99)),
        ("cost", |one| cost(&one.now)),
    ];
    table(report, &columns, ui);
    why(report, ui);
    drift(report, ui);
    marks(&report.marks, ui);
}

fn observed(figures: &FiguresBody) -> u64 {
    figures.observed.values().sum()
}

fn why(report: &FiguresAnswer, ui: Ui) {
    let figures = &report.total.now;
    let kinds = [
        ("exchanges refused", &figures.refused),
        ("calls denied", &figures.denied),
        ("let pass by observe", &figures.observed),
    ];
    let pairs: Vec<(&str, String)> =
        kinds.into_iter().filter(|(_, by)| !by.is_empty()).map(|(kind, by)| (kind, reasons(by))).collect();
    if !pairs.is_empty() {
        ui.line("");
        ui.heading("Why");
        ui.pairs(&pairs);
        ui.remark("(`shortbread explain CODE` says what a code means)");
    }
}

fn drift(report: &FiguresAnswer, ui: Ui) {
    if report.cut.is_some() {
        return;
    }
    ui.line("");
    ui.heading("Against the period before");
    let (rows, same, unclear) = moved::rows(&report.segments, &report.by);
    moved::tell(rows, (same, unclear), ui);
}

fn marks(marks: &[MarkBody], ui: Ui) {
    if marks.is_empty() {
        return;
    }
    ui.line("");
    ui.heading("Meanwhile");
    let row = |mark: &MarkBody| {
        vec![(Style::Dim, Timestamp::from_seconds(mark.at).to_string()), (Style::Plain, mark.what.clone())]
    };
    let rows: Vec<Vec<Piece>> = marks.iter().rev().take(SHOWN).rev().map(row).collect();
    ui.table(&["when", "what"], rows);
}

fn rights(report: &FiguresAnswer, ui: Ui) {
    if report.rights.is_empty() {
        ui.line("no token was granted and no call was made in this period");
        return ui.line("take a longer one with --since 30d");
    }
    right_rows(report, ui);
    let mut tools: Vec<&str> = report
        .rights
        .iter()
        .filter(|right| !right.reported && right.granted > 0)
        .filter_map(|right| right.verb.split('/').next())
        .filter(|tool| *tool != "shortbread")
        .collect();
    tools.sort_unstable();
    tools.dedup();
    if !tools.is_empty() {
        let named = tools.join(", ");
        ui.pieces(&[(
            Style::Warn,
            format!("nobody reports calls of {named}: what is used there is not known"),
        )]);
    }
    if report.rights.iter().any(|right| right.reported && right.used == 0 && right.granted > 0) {
        ui.line("`shortbread policy suggest --workflow NAME` proposes a grant without what was never used");
    }
}

fn right_rows(report: &FiguresAnswer, ui: Ui) {
    let row = |right: &RightBody| {
        let used = match (right.reported, right.used) {
            (false, _) => (Style::Dim, "not known".to_owned()),
            (true, 0) if right.granted > 0 => (Style::Warn, "never".to_owned()),
            (true, used) => (Style::Plain, grouped(used)),
        };
        vec![
            (Style::Bold, right.workflow.clone()),
            (Style::Plain, right.intent.clone()),
            (Style::Plain, right.verb.clone()),
            (Style::Plain, grouped(right.granted)),
            used,
            (
                Style::Plain,
                right
                    .last_used
                    .map_or_else(|| NOTHING.to_owned(), |at| Timestamp::from_seconds(at).to_string()),
            ),
            (Style::Plain, reasons(&right.denied)),
            (Style::Plain, reasons(&right.observed)),
            (Style::Dim, right.grants.join(", ")),
        ]
    };
    let rows = report.rights.iter().take(SHOWN).map(row).collect();
    ui.table(&["workflow", "intent", "verb", "tokens", "used", "last", "denied", "observed", "grants"], rows);
    let hidden = report.rights.len().saturating_sub(SHOWN) as u64 + report.rights_left_out;
    if hidden > 0 {
        ui.line(&format!("and {hidden} more; --json and --html have what there is room for"));
    }
}

fn approvals(report: &FiguresAnswer, ui: Ui) {
    if is_empty(report) {
        return nothing(ui);
    }
    let columns: [Column; 3] = [
        ("exchanges", |one| grouped(one.now.exchanges)),
        ("needed approval", |one| grouped(one.now.needs_approval)),
        ("% [95 %]", |one| share(one.now.shares.get("needs_approval"))),
    ];
    table(report, &columns, ui);
    ui.line("");
    approved(report, ui);
    drift(report, ui);
}

fn approved(report: &FiguresAnswer, ui: Ui) {
    let Some(told) = report
        .approvals
        .as_ref()
        .filter(|told| told.requested + told.expired > 0 || !told.decided.is_empty())
    else {
        return ui.line("nobody was asked for an approval yet");
    };
    let seconds = |value: u64| span(value);
    let times = told.times.as_ref();
    ui.pairs(&[
        ("asked for", grouped(told.requested)),
        ("decided", reasons(&told.decided)),
        ("expired", grouped(told.expired)),
        ("in time % [95 %]", share(told.in_time.as_ref())),
        ("half within", times.map_or_else(|| NOTHING.to_owned(), |times| seconds(times.p50.value))),
        ("99 of 100 within", times.map_or_else(|| NOTHING.to_owned(), |times| seconds(times.p99.value))),
    ]);
}

fn latency(report: &FiguresAnswer, ui: Ui) {
    if is_empty(report) {
        return nothing(ui);
    }
    let columns: [Column; 6] = [
        ("n", |one| grouped(one.now.latency.map_or(0, |times| times.n))),
        ("p50 [95 %]", |one| bounded(one.now.latency.as_ref(), |times| times.p50)),
        ("p90 [95 %]", |one| bounded(one.now.latency.as_ref(), |times| times.p90)),
        ("p99 [95 %]", |one| bounded(one.now.latency.as_ref(), |times| times.p99)),
        ("calls", |one| grouped(one.now.calls)),
        ("cost", |one| cost(&one.now)),
    ];
    table(report, &columns, ui);
    drift(report, ui);
    marks(&report.marks, ui);
}

fn review(report: &FiguresAnswer, ui: Ui) {
    let Some(review) = report.review.as_ref().filter(|_| !is_empty(report)) else { return nothing(ui) };
    changes(report, review, ui);
    denials(review, ui);
    review.cases.iter().for_each(|told| cases(told, ui));
    ui.line("");
    ui.heading("Rights");
    let unused = report.rights.iter().filter(|right| right.reported && right.used == 0 && right.granted > 0);
    ui.line(&format!("{} granted and never used", count(unused.count() as u64, "right")));
    ui.line("");
    ui.heading("Approvals");
    approved(report, ui);
    marks(&report.marks, ui);
    ui.line("");
    ui.heading("Next");
    if review.next.is_empty() {
        return ui.line("nothing asks for anything");
    }
    let row = |next: &shortbread_protocol::admin::NextBody| {
        vec![(Style::Bold, next.command.clone()), (Style::Plain, next.why.clone())]
    };
    ui.table(&["command", "why"], review.next.iter().map(row).collect());
}

fn changes(report: &FiguresAnswer, review: &ReviewBody, ui: Ui) {
    ui.heading("What changed");
    if report.cut.is_some() {
        return ui.line("not told: the log was not read whole");
    }
    if review.compared == 0 {
        return ui.line("there is not enough in both periods to tell; look again next week");
    }
    if review.changes.is_empty() {
        ui.line("nothing, by more than chance explains");
    }
    let rows: Vec<Vec<Piece>> = review
        .changes
        .iter()
        .map(|change| moved::row(name(&change.segment, &report.by), &change.drift))
        .collect();
    if !rows.is_empty() {
        ui.table(&moved::HEAD, rows);
    }
    for change in review.changes.iter().filter(|change| !change.coincides.is_empty()) {
        let what: Vec<&str> = change.coincides.iter().map(|mark| mark.what.as_str()).collect();
        let (segment, figure) = (name(&change.segment, &report.by), title(&change.drift.figure));
        ui.line(&format!("{segment}, {figure}: coincides with {}", what.join("; ")));
    }
    if review.unnamed > 0 {
        ui.line(&format!("and {} more that moved less", review.unnamed));
    }
    let chance = moved::by_chance(review.compared);
    ui.remark(&format!(
        "(of {} figures that were compared, about {chance} would stand out by chance alone)",
        grouped(review.compared)
    ));
}

fn denials(review: &ReviewBody, ui: Ui) {
    ui.line("");
    ui.heading("Refused and denied most");
    if review.denials.is_empty() {
        return ui.line("nothing");
    }
    let row = |denial: &shortbread_protocol::admin::DenialBody| {
        vec![
            (Style::Bold, denial.reason.clone()),
            (Style::Plain, grouped(denial.count)),
            (Style::Plain, grouped(denial.before)),
            (Style::Plain, denial.meaning.clone()),
        ]
    };
    ui.table(&["reason", "now", "before", "meaning"], review.denials.iter().map(row).collect());
}

fn cases(told: &CasesBody, ui: Ui) {
    ui.line("");
    ui.heading("Labelled cases");
    ui.line(&labelled(told));
    if told.open.is_empty() {
        return;
    }
    let row = |open: &OpenCaseBody| open_case(open).map(|text| (Style::Plain, text)).to_vec();
    ui.table(&OPEN, told.open.iter().map(row).collect());
    if told.unnamed > 0 {
        ui.line(&format!("and {} more that do not hold", grouped(told.unnamed)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::micros;
    use super::*;

    #[test]
    fn times_of_nothing_are_nothing() {
        assert_eq!(quantile(None, |times| times.p50), NOTHING);
        assert_eq!(micros(0.0), "0 \u{b5}s");
    }
}
