//! The tables of a page.

use shortbread_protocol::admin::{CasesBody, FiguresAnswer, FiguresBody, SegmentBody};
use shortbread_protocol::clock::Timestamp;

use super::super::cases::{OPEN, labelled, open_case};
use super::super::figures::{NOTHING, bounded, cost, name, quantile, reasons, share};
use super::super::moved;
use crate::text::{grouped, sentence, span};
use crate::ui::Piece;

/// A table with its heading.
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    /// Stands instead of a table without rows: what that means, and what to do.
    pub(super) empty: String,
    pub(super) notes: Vec<String>,
    /// Whether its first column holds commands.
    pub(super) commands: bool,
}

impl Section {
    fn new(title: &'static str, head: &[&str], rows: Vec<Vec<String>>, empty: &str) -> Self {
        let head = head.iter().map(|name| (*name).to_owned()).collect();
        Self { title, head, rows, empty: empty.to_owned(), notes: Vec::new(), commands: false }
    }

    /// Without the columns that say nothing in any row.
    fn trimmed(mut self) -> Self {
        let says = |cell: &String| ![NOTHING, "0", ""].contains(&cell.as_str());
        let told: Vec<bool> = (0..self.head.len())
            .map(|at| at == 0 || self.rows.iter().any(|row| row.get(at).is_some_and(says)))
            .collect();
        let trim = |row: &mut Vec<String>| {
            let mut told = told.iter();
            row.retain(|_| *told.next().unwrap_or(&true));
        };
        trim(&mut self.head);
        self.rows.iter_mut().for_each(trim);
        self
    }

    fn noting(mut self, note: Option<String>) -> Self {
        self.notes.extend(note);
        self
    }
}

/// What stands above the plots: the conclusions of a review.
pub(super) fn first(report: &FiguresAnswer) -> Vec<Section> {
    let Some(review) = &report.review else { return Vec::new() };
    let next = review.next.iter().map(|next| vec![next.command.clone(), next.why.clone()]).collect();
    let next = Section::new("Next", &["command", "why"], next, "Nothing asks for anything.");
    let cases = review.cases.as_ref().map(cases);
    [Some(changes(report)), cases, Some(Section { commands: true, ..next })].into_iter().flatten().collect()
}

fn cases(told: &CasesBody) -> Section {
    let rows = told.open.iter().map(|open| open_case(open).to_vec()).collect();
    let more = (told.unnamed > 0).then(|| format!("{} more do not hold.", grouped(told.unnamed)));
    let empty = if told.labelled == 0 { "None is known." } else { "Every one holds." };
    let section = Section::new("Labelled cases that do not hold", &OPEN, rows, empty);
    section.noting(more).noting(Some(sentence(&labelled(told))))
}

fn changes(report: &FiguresAnswer) -> Section {
    let Some(review) = &report.review else { return Section::new("What changed", &[], Vec::new(), "") };
    let rows = review.changes.iter().map(|change| {
        let mut row = texts(moved::row(name(&change.segment, &report.by), &change.drift));
        let what: Vec<&str> = change.coincides.iter().map(|mark| mark.what.as_str()).collect();
        row.push(if what.is_empty() { NOTHING.to_owned() } else { what.join("; ") });
        row
    });
    let head: Vec<&str> = moved::HEAD.into_iter().chain(["coincides with"]).collect();
    let empty = match (&report.cut, review.compared) {
        (Some(_), _) => "Not told: the log was not read whole. Ask for a shorter period with --since.",
        (None, 0) => "There is not enough in both periods to tell. Look again next week.",
        _ => "Nothing, by more than chance explains.",
    };
    let chance = (review.compared > 0).then(|| {
        let (all, chance) = (grouped(review.compared), moved::by_chance(review.compared));
        format!("Of {all} figures that were compared, about {chance} would stand out by chance alone. What coincides need not be the cause.")
    });
    let more = (review.unnamed > 0).then(|| format!("{} more moved less.", grouped(review.unnamed)));
    Section::new("What changed", &head, rows.collect(), empty).noting(more).noting(chance)
}

/// What stands below the plots.
pub(super) fn rest(report: &FiguresAnswer) -> Vec<Section> {
    let mut sections = vec![segments(report), why(report)];
    if report.review.is_none() {
        sections.push(drift(report));
    }
    if report.kind == "latency" {
        sections.insert(0, latency(report));
    }
    if report.approvals.is_some() {
        sections.push(approvals(report));
    }
    if ["rights", "review"].contains(&report.kind.as_str()) {
        sections.push(rights(report));
    }
    sections
}

fn texts(pieces: Vec<Piece>) -> Vec<String> {
    pieces.into_iter().map(|(_, text)| text).collect()
}

fn parts(report: &FiguresAnswer) -> String {
    if report.by.is_empty() { "all".to_owned() } else { report.by.join(" / ") }
}

fn segments(report: &FiguresAnswer) -> Section {
    let head = parts(report);
    let head = [
        head.as_str(),
        "exchanges",
        "before",
        "refused % [95 %]",
        "needed approval",
        "calls",
        "before",
        "denied % [95 %]",
        "observed",
        "corrected % [95 %]",
        "failed % [95 %]",
        "p50",
        "p99",
        "cost",
    ];
    let row = |one: &SegmentBody| {
        let now = &one.now;
        let observed: u64 = now.observed.values().sum();
        let of = |figure: &str| share(now.shares.get(figure));
        vec![
            name(&one.segment, &report.by),
            grouped(now.exchanges),
            grouped(one.before.exchanges),
            of("refused"),
            grouped(now.needs_approval),
            grouped(now.calls),
            grouped(one.before.calls),
            of("denied"),
            grouped(observed),
            of("corrected"),
            of("failed"),
            quantile(now.latency.as_ref(), |times| times.p50),
            quantile(now.latency.as_ref(), |times| times.p99),
            cost(now),
        ]
    };
    let folded = (report.folded > 0)
        .then(|| format!("{} more segments are summed up as other.", grouped(report.folded)));
    let rows = report.segments.iter().map(row).collect();
    Section::new("Segments", &head, rows, EMPTY).trimmed().noting(folded)
}

const EMPTY: &str = "Nothing was asked for in either period. Take a longer one with --since 30d.";

fn why(report: &FiguresAnswer) -> Section {
    let now = &report.total.now;
    let all = |figures: &FiguresBody, reason: &str| {
        let of =
            |reasons: &std::collections::BTreeMap<String, u64>| reasons.get(reason).copied().unwrap_or(0);
        [of(&figures.refused), of(&figures.denied), of(&figures.observed)]
    };
    let mut codes: Vec<&String> =
        now.refused.keys().chain(now.denied.keys()).chain(now.observed.keys()).collect();
    codes.sort_unstable();
    codes.dedup();
    codes.sort_by_key(|code| std::cmp::Reverse(all(now, code).iter().sum::<u64>()));
    let row = |code: &&String| {
        let (is, was) = (all(now, code), all(&report.total.before, code).iter().sum::<u64>());
        let known = shortbread_protocol::reason::Reason::from_code(code);
        let counts = is.iter().map(|count| grouped(*count)).chain([grouped(was)]);
        let words = [known.map_or("", |known| known.meaning()), known.map_or("", |known| known.action())];
        let words = words.into_iter().map(str::to_owned);
        std::iter::once((*code).clone()).chain(counts).chain(words).collect()
    };
    let head =
        ["reason", "exchanges refused", "calls denied", "observed", "all before", "meaning", "what to do"];
    let rows = codes.iter().map(row).collect();
    Section::new("Refused and denied, by reason", &head, rows, "Nothing was refused.").trimmed()
}

fn drift(report: &FiguresAnswer) -> Section {
    let (rows, same, unclear) = moved::rows(&report.segments, &report.by);
    let empty = if report.cut.is_some() {
        "Not told: the log was not read whole. Ask for a shorter period with --since."
    } else {
        "Nothing moved by more than chance explains."
    };
    let told = sentence(&moved::rest(same, unclear));
    let rows = rows.into_iter().map(texts).collect();
    Section::new("Against the period before", &moved::HEAD, rows, empty).noting(Some(told))
}

fn latency(report: &FiguresAnswer) -> Section {
    let head = parts(report);
    let head = [head.as_str(), "n", "p50 [95 %]", "p90 [95 %]", "p99 [95 %]", "calls", "cost"];
    let row = |one: &SegmentBody| {
        let times = one.now.latency.as_ref();
        vec![
            name(&one.segment, &report.by),
            grouped(times.map_or(0, |times| times.n)),
            bounded(times, |times| times.p50),
            bounded(times, |times| times.p90),
            bounded(times, |times| times.p99),
            grouped(one.now.calls),
            cost(&one.now),
        ]
    };
    Section::new("Latency and cost", &head, report.segments.iter().map(row).collect(), EMPTY)
}

fn approvals(report: &FiguresAnswer) -> Section {
    let told = report.approvals.clone().unwrap_or_default();
    let none = told.requested + told.expired == 0 && told.decided.is_empty();
    let seconds = |pick: fn(&shortbread_protocol::admin::TimesBody) -> u64| {
        told.times.as_ref().map_or_else(|| NOTHING.to_owned(), |times| span(pick(times)))
    };
    let rows = vec![vec![
        grouped(told.requested),
        reasons(&told.decided),
        grouped(told.expired),
        share(told.in_time.as_ref()),
        seconds(|times| times.p50.value),
        seconds(|times| times.p99.value),
    ]];
    let head = ["asked for", "decided", "expired", "in time % [95 %]", "half within", "99 of 100 within"];
    let rows = if none { Vec::new() } else { rows };
    Section::new(
        "Approvals",
        &head,
        rows,
        "Nobody was asked for an approval yet. A grant asks for one with approval = { … }.",
    )
}

fn rights(report: &FiguresAnswer) -> Section {
    let rows = report.rights.iter().map(|right| {
        let used = match (right.reported, right.used) {
            (false, _) => "not known".to_owned(),
            (true, 0) if right.granted > 0 => "never".to_owned(),
            (true, used) => grouped(used),
        };
        let last =
            right.last_used.map_or_else(|| NOTHING.to_owned(), |at| Timestamp::from_seconds(at).to_string());
        vec![
            right.workflow.clone(),
            right.intent.clone(),
            right.verb.clone(),
            grouped(right.granted),
            used,
            last,
            reasons(&right.denied),
            reasons(&right.observed),
            right.grants.join(", "),
        ]
    });
    let head = ["workflow", "intent", "verb", "tokens", "used", "last used", "denied", "observed", "grants"];
    let unknown = report
        .rights
        .iter()
        .any(|right| !right.reported)
        .then(|| "Where nobody reports the calls of a tool, what is used is not known.".to_owned());
    let more = (report.rights_left_out > 0)
        .then(|| format!("{} more are left out.", grouped(report.rights_left_out)));
    let empty = "No token was granted in this period. Take a longer one with --since 30d.";
    Section::new("Granted against used", &head, rows.collect(), empty).trimmed().noting(unknown).noting(more)
}

#[cfg(test)]
mod tests {
    use super::super::super::figures::title;

    #[test]
    fn figures_have_names_for_people() {
        for figure in [
            "refused",
            "needs_approval",
            "denied",
            "observed",
            "corrected",
            "failed",
            "latency_p50",
            "latency_p99",
        ] {
            assert_ne!(title(figure), figure);
        }
    }
}
