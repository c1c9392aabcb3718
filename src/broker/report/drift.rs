//! What moved against the period before, and about when it began.

use shortbread_protocol::admin::{DriftBody, TimesBody, Verdict};

use super::cell::{Cell, Counts, SHARES, STEPS};
use super::share::{difference, share, value, verdict};

/// Each figure that stands in both periods.
pub(super) fn of(cell: &Cell) -> Vec<DriftBody> {
    let shares = SHARES.iter().filter_map(|name| moved_share(cell, name));
    let times = cell.before.latency.times().zip(cell.now.latency.times());
    let latency = times.into_iter().flat_map(|(before, now)| {
        [moved_time("latency_p50", &before, &now), moved_time("latency_p99", &before, &now)]
    });
    shares.chain(latency).collect()
}

fn moved_share(cell: &Cell, name: &str) -> Option<DriftBody> {
    let of = |counts: &Counts| {
        let (hits, of) = counts.share(name);
        (of > 0).then(|| share(hits, of))
    };
    let (before, now) = (of(&cell.before.counts)?, of(&cell.now.counts)?);
    let (_, low, high) = difference(&before, &now);
    let verdict = verdict(low, high);
    Some(DriftBody {
        figure: name.to_owned(),
        before: value(&before),
        now: value(&now),
        low: Some(low),
        high: Some(high),
        n_before: before.of,
        n_now: now.of,
        verdict,
        onset: None,
    })
}

/// The step at which a share that moved began to be another: where a cut explains the course best.
pub(super) fn onset(cell: &Cell, name: &str) -> Option<usize> {
    let (hits, of): (Vec<u64>, Vec<u64>) = cell.steps.iter().map(|counts| counts.share(name)).unzip();
    let all = (hits.iter().sum::<u64>(), of.iter().sum::<u64>());
    let (mut left, mut best) = ((0, 0), None);
    for step in 1..STEPS {
        left.0 += hits.get(step - 1)?;
        left.1 += of.get(step - 1)?;
        let right = (all.0.saturating_sub(left.0), all.1.saturating_sub(left.1));
        if left.1 == 0 || right.1 == 0 {
            continue;
        }
        let gain = likelihood(left) + likelihood(right);
        if best.is_none_or(|(most, _)| gain > most) {
            best = Some((gain, step));
        }
    }
    // A cut within a stretch without anything is one at its end: that is where the change shows.
    let (_, step) = best?;
    (step..STEPS).find(|step| of.get(*step).is_some_and(|of| *of > 0))
}

// Of so many hits of so many, with the share that makes them likeliest.
#[expect(clippy::cast_precision_loss, reason = "counts of entries are far below 2^52")]
fn likelihood((hits, of): (u64, u64)) -> f64 {
    let (k, n) = (hits.min(of) as f64, of as f64);
    let term = |x: f64| if x > 0.0 { x * (x / n).ln() } else { 0.0 };
    term(k) + term(n - k)
}

// Two quantiles differ when their bounds do not meet: cautious, and simple to say.
#[expect(clippy::cast_precision_loss, reason = "microseconds are far below 2^52")]
fn moved_time(name: &str, before: &TimesBody, now: &TimesBody) -> DriftBody {
    let pick = |times: &TimesBody| if name == "latency_p50" { times.p50 } else { times.p99 };
    let (was, is) = (pick(before), pick(now));
    let verdict = match (was.low.zip(was.high), is.low.zip(is.high)) {
        (Some((_, was_high)), Some((is_low, _))) if is_low > was_high => Verdict::Up,
        (Some((was_low, _)), Some((_, is_high))) if is_high < was_low => Verdict::Down,
        (Some(_), Some(_)) => Verdict::Same,
        _ => Verdict::Unclear,
    };
    DriftBody {
        figure: name.to_owned(),
        before: was.value as f64,
        now: is.value as f64,
        low: None,
        high: None,
        n_before: before.n,
        n_now: now.n,
        verdict,
        onset: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(refused: impl Fn(usize) -> u64) -> Cell {
        let mut cell = Cell::default();
        for step in 0..STEPS {
            let counts = Counts { exchanges: 20, refused: refused(step), ..Counts::default() };
            let (figures, course) = cell.at(step);
            figures.counts.add(&counts);
            course.unwrap().add(&counts);
        }
        cell
    }

    #[test]
    fn drift_that_was_put_there_is_found_with_its_beginning_and_nothing_else() {
        let moved = cell(|step| if step >= 40 { 8 } else { 1 });
        let drift = of(&moved);
        let refused = drift.iter().find(|one| one.figure == "refused").unwrap();
        assert_eq!((refused.verdict, onset(&moved, "refused")), (Verdict::Up, Some(40)));
        let still = cell(|step| u64::from(step % 3 == 0));
        assert!(of(&still).iter().all(|one| one.verdict == Verdict::Same), "{:?}", of(&still));
        assert!(of(&Cell::default()).is_empty());
    }

    #[test]
    fn latency_moves_when_the_bounds_part() {
        let with = |before: u64, now: u64, n: usize| {
            let mut cell = Cell::default();
            (0..n).for_each(|_| cell.at(0).0.latency.add(before));
            (0..n).for_each(|_| cell.at(STEPS - 1).0.latency.add(now));
            of(&cell).into_iter().map(|one| one.verdict).collect::<Vec<_>>()
        };
        assert_eq!(with(400, 900, 1000), [Verdict::Up, Verdict::Up]);
        assert_eq!(with(900, 400, 1000), [Verdict::Down, Verdict::Down]);
        assert_eq!(with(400, 400, 1000), [Verdict::Same, Verdict::Same]);
        assert_eq!(with(400, 900, 100), [Verdict::Up, Verdict::Unclear], "a hundred say nothing of p99");
    }
}
