//! Figures in words: shares with their bounds, times, cost.

use std::collections::BTreeMap;

use shortbread_broker::report::value;
pub(super) use shortbread_broker::text::micros;
use shortbread_protocol::admin::{FiguresBody, QuantileBody, ShareBody, TimesBody};

/// What stands where there is nothing to say.
pub(super) const NOTHING: &str = "\u{2013}";

/// `12.5%`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

/// `12.5% [9.1, 16.8]`: a share with its bounds.
pub(super) fn share(share: Option<&ShareBody>) -> String {
    share.filter(|share| share.of > 0).map_or_else(
        || NOTHING.to_owned(),
        |one| format!("{} [{:.1}, {:.1}]", percent(value(one)), one.low * 100.0, one.high * 100.0),
    )
}

/// What alone was counted, as it was asked for: `workflow=release-notes,tool=github`; none for everything.
pub(super) fn only(only: &BTreeMap<String, String>) -> Option<String> {
    let pairs: Vec<String> = only.iter().map(|(part, value)| format!("{part}={value}")).collect();
    (!pairs.is_empty()).then(|| pairs.join(","))
}

/// One quantile of such times.
pub(super) fn quantile(times: Option<&TimesBody>, pick: impl Fn(&TimesBody) -> QuantileBody) -> String {
    times.map_or_else(|| NOTHING.to_owned(), |times| micros(float(pick(times).value)))
}

/// The same with its bounds: `1.3 ms [1.2 ms, 1.4 ms]`, or that there is not enough to tell.
pub(super) fn bounded(times: Option<&TimesBody>, pick: impl Fn(&TimesBody) -> QuantileBody) -> String {
    let Some(one) = times.map(pick) else { return NOTHING.to_owned() };
    match (one.low, one.high) {
        (Some(low), Some(high)) => {
            format!("{} [{}, {}]", micros(float(one.value)), micros(float(low)), micros(float(high)))
        }
        _ => format!("{} (not enough to tell)", micros(float(one.value))),
    }
}

/// Cost in the team's unit: `12.5`; nothing where no call said one.
pub(super) fn cost(figures: &FiguresBody) -> String {
    if figures.costed == 0 { NOTHING.to_owned() } else { units(figures.cost_micros) }
}

/// Millionths as units, without zeros at the end.
pub(super) fn units(micros: u64) -> String {
    let (whole, part) = (micros / 1_000_000, micros % 1_000_000);
    if part == 0 {
        return whole.to_string();
    }
    format!("{whole}.{part:06}").trim_end_matches('0').to_owned()
}

/// What a segment is called: `release-notes / github`; `all` where nothing is told apart.
pub(super) fn name(segment: &BTreeMap<String, String>, by: &[String]) -> String {
    let parts: Vec<&str> = by.iter().filter_map(|by| segment.get(by)).map(String::as_str).collect();
    if parts.is_empty() { "all".to_owned() } else { parts.join(" / ") }
}

/// What a figure is called.
pub(super) fn title(figure: &str) -> &str {
    match figure {
        "refused" => "exchanges refused",
        "needs_approval" => "needed approval",
        "denied" => "calls denied",
        "observed" => "let pass by observe",
        "corrected" => "results corrected",
        "failed" => "results failed",
        "latency_p50" => "latency p50",
        "latency_p99" => "latency p99",
        "attempted" => "share of all attempts",
        other => other,
    }
}

/// `policy.not_granted 3, rate.limited 1`: the most frequent first, four at most.
pub(super) fn reasons(reasons: &BTreeMap<String, u64>) -> String {
    let mut all: Vec<(&String, &u64)> = reasons.iter().collect();
    all.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    let named: Vec<String> = all.iter().take(4).map(|(reason, count)| format!("{reason} {count}")).collect();
    let more = if all.len() > 4 { format!(", {} more", all.len() - 4) } else { String::new() };
    if named.is_empty() { NOTHING.to_owned() } else { format!("{}{more}", named.join(", ")) }
}

/// A count as a real number.
#[expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]
pub(super) const fn float(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        let half = shortbread_broker::report::share(10, 20);
        assert_eq!(share(Some(&half)), "50.0% [29.9, 70.1]");
        assert_eq!(share(None), NOTHING);
        assert_eq!([micros(412.0), micros(1300.0), micros(2_000_000.0)], ["412 \u{b5}s", "1.3 ms", "2.0 s"]);
        assert_eq!([units(0), units(12_500_000), units(1)], ["0", "12.5", "0.000001"]);
        let few = TimesBody { n: 3, ..TimesBody::default() };
        assert_eq!(bounded(Some(&few), |times| times.p99), "0 \u{b5}s (not enough to tell)");
        let given = (1..7_u64).map(|n| (format!("r{n}"), n)).collect();
        assert_eq!(reasons(&given), "r6 6, r5 5, r4 4, r3 3, 2 more");
    }
}
