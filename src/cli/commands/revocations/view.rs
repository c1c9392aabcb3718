//! Who enforces the list already, in lines for people.

use shortbread_protocol::admin::{InstanceBody, InstanceState, StateCounts, StatusAnswer, VerifierBody};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::verifiers::Uses;

use crate::text::{count, grouped, span};
use crate::ui::{Piece, Style, columns};

/// How many characters of a thumbprint tell instances apart.
const SHORT: usize = 8;

type Row = Vec<Piece>;

/// The whole status; `most` instances one by one.
pub(super) fn rows(status: &StatusAnswer, most: usize) -> Vec<Row> {
    let mut rows = columns(summary(status));
    if !status.verifiers.is_empty() {
        rows.push(Vec::new());
        rows.extend(table(&VERIFIERS, status.verifiers.iter().map(verifier)));
    }
    if !status.listed.is_empty() {
        rows.push(Vec::new());
        rows.extend(table(
            &INSTANCES,
            status.listed.iter().take(most).map(|body| instance(body, status.now)),
        ));
    }
    let shown = status.listed.len().min(most) as u64;
    let more = status.left_off + status.listed.len() as u64 - shown;
    if more > 0 {
        rows.push(vec![(Style::Dim, format!("and {}", count(more, "more instance")))]);
    }
    rows
}

/// The same in one line.
pub(super) fn line(status: &StatusAnswer) -> String {
    format!("change {}: {}", status.change, totals(&status.instances))
}

fn summary(status: &StatusAnswer) -> Vec<Row> {
    let name = |name: &str| (Style::Dim, name.to_owned());
    let last = match status.contents {
        0 => "nothing was ever revoked".to_owned(),
        contents => contents.to_string(),
    };
    let mut rows = vec![
        vec![name("last change"), (Style::Plain, last)],
        vec![name("verifiers"), (style(&status.instances), totals(&status.instances))],
    ];
    if !status.unreported.is_empty() {
        let tools = status.unreported.join(", ");
        let text = format!("{tools}: that a revocation reached them is known by its bound alone");
        rows.push(vec![name("nobody reports for"), (Style::Warn, text)]);
    }
    rows.extend(observed(status).map(|text| vec![name("not enforcing"), (Style::Warn, text)]));
    rows
}

/// `github until 2026-12-31T00:00:00Z (in 29d): …`, for each tool whose calls are observed.
pub(crate) fn observed(status: &StatusAnswer) -> impl Iterator<Item = String> {
    status.tools.iter().filter_map(|body| {
        let until = body.observed_until?;
        let left = span(until.saturating_sub(status.now));
        Some(format!(
            "{} until {} (for {left}): calls pass that would be denied, unless they are revoked",
            body.tool,
            Timestamp::from_seconds(until)
        ))
    })
}

/// `998 of 1,000 enforce it; behind 1, silent 1; gone 3`.
pub(crate) fn totals(counts: &StateCounts) -> String {
    if counts.running() == 0 {
        return match counts.gone {
            0 => "none reports".to_owned(),
            gone => format!("none reports; gone {}", grouped(gone)),
        };
    }
    let mut text = format!("{} of {} enforce it", grouped(counts.enforcing), grouped(counts.running()));
    let states = [("; behind ", counts.behind), ("; silent ", counts.silent), ("; gone ", counts.gone)];
    for (word, number) in states.into_iter().filter(|(_, number)| *number > 0) {
        text.push_str(word);
        text.push_str(&grouped(number));
    }
    text
}

fn style(counts: &StateCounts) -> Style {
    match counts {
        counts if counts.silent > 0 => Style::Bad,
        counts if counts.behind > 0 || counts.running() == 0 => Style::Warn,
        _ => Style::Good,
    }
}

const VERIFIERS: [&str; 6] = ["verifier", "enforcing", "behind", "silent", "gone", "tools"];

fn verifier(body: &VerifierBody) -> Row {
    let StateCounts { enforcing, behind, silent, gone } = body.instances;
    let number = |style, number: u64| (if number > 0 { style } else { Style::Dim }, grouped(number));
    vec![
        (Style::Bold, body.verifier.clone()),
        number(Style::Good, enforcing),
        number(Style::Warn, behind),
        number(Style::Bad, silent),
        number(Style::Plain, gone),
        (Style::Plain, body.tools.join(", ")),
    ]
}

const INSTANCES: [&str; 9] =
    ["instance", "state", "since", "list from", "age", "change took", "waiting", "lost", "uses kept by"];

fn instance(body: &InstanceBody, now: u64) -> Row {
    let (style, state) = match body.state {
        InstanceState::Behind => (Style::Warn, format!("behind by {}", count(body.lacks.max(1), "change"))),
        InstanceState::Silent => (Style::Bad, "silent".to_owned()),
        InstanceState::Enforcing if !body.observing.is_empty() => {
            (Style::Warn, format!("enforcing, but observes {}", body.observing.join(", ")))
        }
        InstanceState::Enforcing => (Style::Good, "enforcing".to_owned()),
        InstanceState::Gone => (Style::Dim, "gone".to_owned()),
    };
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let since = body.since.map(|at| format!("{} ({} ago)", clock(at), span(now.saturating_sub(at))));
    let number = |number: u64| (if number > 0 { Style::Warn } else { Style::Dim }, grouped(number));
    vec![
        (Style::Plain, name(body)),
        (style, state),
        (Style::Plain, or_dash(since)),
        (Style::Plain, or_dash(body.step.map(|step| step.as_str().to_owned()))),
        (Style::Plain, or_dash(body.age.map(span))),
        (Style::Plain, or_dash(body.propagation_ms.map(|millis| format!("{} ms", grouped(millis))))),
        number(body.waiting),
        number(body.lost),
        (Style::Plain, or_dash(body.uses.map(keeper))),
    ]
}

fn keeper(uses: Uses) -> String {
    match uses {
        Uses::Nobody => "nobody",
        Uses::Local => "itself",
        Uses::Broker => "broker",
    }
    .to_owned()
}

/// `github/host-7 (Zk3vQ1aB)`.
pub(crate) fn name(body: &InstanceBody) -> String {
    let short: String = body.instance.chars().take(SHORT).collect();
    match &body.label {
        Some(label) => format!("{}/{label} ({short})", body.verifier),
        None => format!("{}/{short}", body.verifier),
    }
}

/// The time of day in UTC, as in `12:01:03`.
pub(crate) fn clock(at: u64) -> String {
    let text = Timestamp::from_seconds(at).to_string();
    text.split_once('T').map_or(text.clone(), |(_, time)| time.trim_end_matches('Z').to_owned())
}

fn table(head: &[&str], rows: impl Iterator<Item = Row>) -> Vec<Row> {
    let head = head.iter().map(|name| (Style::Dim, (*name).to_owned())).collect();
    columns(std::iter::once(head).chain(rows).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status() -> StatusAnswer {
        let counts = json!({ "enforcing": 1, "behind": 1, "silent": 0, "gone": 0 });
        let body = |label, state, since: Option<u64>, lacks| {
            json!({
                "verifier": "github", "label": label, "instance": "Zk3vQ1aBxyz", "state": state, "since": since,
                "lacks": lacks, "leased": 5, "seen": 40, "seq": 9, "contents": 7, "keys_version": 1,
                "break_glass": 0, "step": "stream", "age": 2, "propagation_ms": 1200, "waiting": 0, "lost": 3,
            })
        };
        serde_json::from_value(json!({
            "now": 90, "head": 9, "issued": 88, "contents": 8, "keys_version": 1, "change": 8, "instances": counts,
            "tools": [{ "tool": "github", "enforced": false, "instances": counts }],
            "unreported": ["payments"],
            "verifiers": [{ "verifier": "github", "tools": ["github"], "instances": counts }],
            "listed": [body("host-7", "behind", Some(60), 1), body("host-8", "enforcing", None, 0)],
            "left_off": 0,
        }))
        .unwrap()
    }

    fn text(rows: &[Row]) -> Vec<String> {
        let row = |row: &Row| row.iter().map(|(_, text)| text.as_str()).collect::<String>();
        rows.iter().map(row).collect()
    }

    #[test]
    fn all_that_matters_is_said_in_lines_that_line_up() {
        let lines = text(&rows(&status(), 20));
        assert_eq!(lines[1], "verifiers           1 of 2 enforce it; behind 1");
        assert!(lines[2].starts_with("nobody reports for  payments: "), "{lines:?}");
        let row = lines.iter().position(|line| line.starts_with("instance")).unwrap();
        assert_eq!(
            lines[row + 1],
            "github/host-7 (Zk3vQ1aB)  behind by 1 change  00:01:00 (30s ago)  stream     2s   1,200 ms     0        3     -"
        );
        let at = lines[row].find("state").unwrap();
        assert!(lines[row + 2].get(at..).unwrap().starts_with("enforcing"), "{lines:?}");
    }

    #[test]
    fn a_tool_that_is_observed_is_not_enforcing_and_says_until_when() {
        let mut status = status();
        status.tools[0].observed_until = Some(90 + 3600);
        status.listed[1].observing = vec!["github".to_owned()];
        let seen = rows(&status, 20);
        let row = seen.iter().find(|row| row[0].1.starts_with("not enforcing")).unwrap();
        let (_, said) = row.iter().find(|(style, _)| *style == Style::Warn).unwrap();
        assert!(said.starts_with("github until 1970-01-01T01:01:30Z (for 1h"), "{row:?}");
        assert!(text(&seen).iter().any(|line| line.contains("enforcing, but observes github")), "{seen:?}");
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let lines = text(&rows(&StatusAnswer { left_off: 4, ..status() }, 1));
        assert_eq!(lines.last().unwrap(), "and 5 more instances");
    }

    #[test]
    fn nobody_is_a_warning_and_not_a_success() {
        let none = StateCounts::default();
        assert_eq!((totals(&none).as_str(), style(&none)), ("none reports", Style::Warn));
        let silent = StateCounts { enforcing: 998, silent: 2, ..none };
        assert_eq!(totals(&silent), "998 of 1,000 enforce it; silent 2");
        assert_eq!(style(&silent), Style::Bad);
    }
}
