//! Figures held against a baseline: pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use shortbread_broker::report::{difference, share, value, verdict};
use shortbread_protocol::admin::{DriftBody, FiguresAnswer, FiguresBody, ShareBody, Verdict};

use super::figures;

/// One share of one segment, then and now.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub(super) segment: BTreeMap<String, String>,
    #[serde(flatten)]
    pub(super) drift: DriftBody,
}

impl Compared {
    /// What the segment is called.
    pub(super) fn name(&self, by: &[String]) -> String {
        figures::name(&self.segment, by)
    }
}

/// Every share of every segment that stands in either; those that moved first.
pub(super) fn of(old: &FiguresAnswer, new: &FiguresAnswer) -> Vec<Compared> {
    let find = |report: &FiguresAnswer, segment: &BTreeMap<String, String>| {
        let found = report.segments.iter().find(|one| one.segment == *segment);
        found.map(|one| one.now.clone()).unwrap_or_default()
    };
    let listed = |report: &FiguresAnswer| -> Vec<BTreeMap<String, String>> {
        // A segment of the period before alone is none of this period.
        let here = report.segments.iter().filter(|one| attempts(&one.now) > 0);
        here.map(|one| one.segment.clone()).collect()
    };
    let segments: BTreeSet<_> = listed(old).into_iter().chain(listed(new)).collect();
    let (all_old, all_new) = (attempts(&old.total.now), attempts(&new.total.now));
    let mut compared = Vec::new();
    for segment in segments {
        let (was, is) = (find(old, &segment), find(new, &segment));
        let pairs = [
            ("attempted", share(attempts(&was), all_old), share(attempts(&is), all_new)),
            ("denied", share(denials(&was), attempts(&was)), share(denials(&is), attempts(&is))),
            ("needs_approval", approvals(&was), approvals(&is)),
        ];
        for (figure, was, is) in pairs {
            compared.extend(pair(&segment, figure, &was, &is));
        }
    }
    let moved = |one: &Compared| matches!(one.drift.verdict, Verdict::Up | Verdict::Down);
    compared.sort_by_key(|one| !moved(one));
    compared
}

/// Exchanges and calls: whatever was tried.
const fn attempts(figures: &FiguresBody) -> u64 {
    figures.exchanges + figures.calls
}

/// Whatever was refused, denied or would have been; what waits for an approval counts apart.
fn denials(figures: &FiguresBody) -> u64 {
    let sum = |reasons: &BTreeMap<String, u64>| reasons.values().sum::<u64>();
    (sum(&figures.refused) + sum(&figures.denied) + sum(&figures.observed))
        .saturating_sub(figures.needs_approval)
}

fn approvals(figures: &FiguresBody) -> ShareBody {
    share(figures.needs_approval, figures.exchanges)
}

fn pair(
    segment: &BTreeMap<String, String>,
    figure: &str,
    was: &ShareBody,
    is: &ShareBody,
) -> Option<Compared> {
    // Of nothing there is no share: a segment that is new shows in what is attempted.
    if is.of == 0 || was.of == 0 {
        return None;
    }
    let (_, low, high) = difference(was, is);
    let drift = DriftBody {
        figure: figure.to_owned(),
        before: value(was),
        now: value(is),
        low: Some(low),
        high: Some(high),
        n_before: was.of,
        n_now: is.of,
        verdict: verdict(low, high),
        onset: None,
    };
    Some(Compared { segment: segment.clone(), drift })
}

#[cfg(test)]
mod tests {
    use shortbread_protocol::admin::{PeriodBody, SegmentBody};

    use super::*;

    /// Segments by workflow: exchanges, refused, needing approval.
    fn report(segments: &[(&str, u64, u64, u64)]) -> FiguresAnswer {
        let figures = |exchanges, refused: u64, needs_approval: u64| FiguresBody {
            exchanges,
            refused: BTreeMap::from([
                ("policy.not_granted".to_owned(), refused),
                ("approval.required".to_owned(), needs_approval),
            ]),
            needs_approval,
            ..FiguresBody::default()
        };
        let body =
            |segment, now| SegmentBody { segment, now, before: FiguresBody::default(), drift: Vec::new() };
        let period = PeriodBody { since: 0, until: 1 };
        let sum = |pick: fn(&(&str, u64, u64, u64)) -> u64| segments.iter().map(pick).sum();
        FiguresAnswer {
            kind: "segments".to_owned(),
            by: vec!["workflow".to_owned()],
            only: BTreeMap::new(),
            period,
            before: period,
            entries: 0,
            unread: 0,
            cut: None,
            total: body(BTreeMap::new(), figures(sum(|s| s.1), sum(|s| s.2), sum(|s| s.3))),
            segments: segments
                .iter()
                .map(|(name, n, refused, waits)| {
                    body([("workflow".to_owned(), (*name).to_owned())].into(), figures(*n, *refused, *waits))
                })
                .collect(),
            folded: 0,
            series: Vec::new(),
            marks: Vec::new(),
            rights: Vec::new(),
            rights_left_out: 0,
            approvals: None,
            review: None,
        }
    }

    fn moved(old: &FiguresAnswer, new: &FiguresAnswer) -> Vec<(String, String, Verdict)> {
        let all = of(old, new).into_iter();
        let moved = all.filter(|one| matches!(one.drift.verdict, Verdict::Up | Verdict::Down));
        moved.map(|one| (one.name(&old.by), one.drift.figure.clone(), one.drift.verdict)).collect()
    }

    #[test]
    fn what_is_the_same_did_not_move() {
        let old = report(&[("a", 1000, 20, 10), ("b", 1000, 0, 0)]);
        assert_eq!(moved(&old, &old), []);
        let near = report(&[("a", 990, 22, 9), ("b", 1010, 1, 0)]);
        assert_eq!(moved(&old, &near), []);
    }

    #[test]
    fn what_widened_is_found_by_segment_and_figure() {
        let old = report(&[("a", 1000, 20, 10), ("b", 1000, 0, 0)]);
        let denied = report(&[("a", 1000, 120, 10), ("b", 1000, 0, 0)]);
        assert_eq!(moved(&old, &denied), [("a".to_owned(), "denied".to_owned(), Verdict::Up)]);
        let waits = report(&[("a", 1000, 20, 10), ("b", 1000, 0, 40)]);
        assert_eq!(moved(&old, &waits), [("b".to_owned(), "needs_approval".to_owned(), Verdict::Up)]);
        let fresh = report(&[("a", 1000, 20, 10), ("b", 1000, 0, 0), ("c", 300, 0, 0)]);
        assert!(moved(&old, &fresh).contains(&("c".to_owned(), "attempted".to_owned(), Verdict::Up)));
        assert!(moved(&denied, &old).contains(&("a".to_owned(), "denied".to_owned(), Verdict::Down)));
    }
}
