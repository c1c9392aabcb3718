//! `shortbread health`: how the broker and what hangs on it stands, and what to do about what does not.

use clap::Args;
use shortbread_protocol::admin::{
    BreakerBody, FindingBody, HealthAnswer, HealthState, KeyHealthBody, StateCounts, TrialBody,
};

use super::revocations::view;
use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;
use crate::text::{count, grouped, span};
use crate::ui::{Piece, Style, columns};

pub(crate) const PATH: &str = "/api/v1/health";

type Row = Vec<Piece>;

/// How the broker stands: store, policy, list, log, keys, breakers and verifiers, with what works on less than usual, what
/// that means and what to do. Ends with 1 when something is failing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread health
  shortbread health --json
  shortbread health && echo \"nothing is failing\"")]
pub(crate) struct HealthArgs {
    #[command(flatten)]
    connection: Connection,
}

/// Shows it.
///
/// # Errors
/// When the broker cannot be reached or refuses, or something is failing.
pub(crate) async fn run(args: &HealthArgs, context: &Context) -> Result<(), Failure> {
    let mut session = Session::open(context, &args.connection, "status.read")?;
    let answer: HealthAnswer = session.document(PATH).await?;
    if context.ui.is_json() {
        context.ui.json(&answer);
    } else {
        rows(&answer).iter().for_each(|row| context.ui.pieces(row));
    }
    if answer.state == HealthState::Failing { Err(Failure::Told) } else { Ok(()) }
}

fn rows(answer: &HealthAnswer) -> Vec<Row> {
    let mut rows = Vec::new();
    if answer.findings.is_empty() {
        rows.push(vec![(Style::Good, "all is well".to_owned())]);
    }
    rows.extend(answer.findings.iter().flat_map(|found| finding(found, answer.now)));
    rows.push(Vec::new());
    rows.extend(columns(parts(answer)));
    rows.push(Vec::new());
    rows.extend(table(&["key", "name", "state", "age", "left"], answer.keys.iter().map(key)));
    if !answer.breakers.is_empty() {
        rows.push(Vec::new());
        let breakers = answer.breakers.iter().map(|body| breaker(body, answer));
        rows.extend(table(&["breaker", "source", "state", "since", "keys"], breakers));
    }
    rows
}

fn finding(found: &FindingBody, now: u64) -> Vec<Row> {
    let since = found.since.map(|at| format!(", for {}", span(now.saturating_sub(at)))).unwrap_or_default();
    let head = vec![
        (style(found.state), found.state.as_str().to_owned()),
        (Style::Bold, format!("  {}", found.about)),
        (Style::Plain, format!("{since}: {}", found.meaning)),
    ];
    vec![head, vec![(Style::Dim, "  fix: ".to_owned()), (Style::Plain, found.fix.clone())]]
}

const fn style(state: HealthState) -> Style {
    match state {
        HealthState::Good => Style::Good,
        HealthState::Degraded => Style::Warn,
        HealthState::Failing => Style::Bad,
    }
}

fn parts(answer: &HealthAnswer) -> Vec<Row> {
    let part = |name: &str, piece: Piece| vec![(Style::Dim, name.to_owned()), piece];
    let plain = |text: String| (Style::Plain, text);
    let sound = |good: bool, text: String| (if good { Style::Good } else { Style::Bad }, text);
    let mut rows = vec![
        part("store", sound(answer.store.fault.is_none(), answer.store.state.clone())),
        part("policy", sound(answer.policy.version > 0, policy(answer))),
    ];
    rows.extend(
        answer.policy.trial.as_ref().map(|body| part("trial", (Style::Warn, trial(body, answer.now)))),
    );
    let age = answer.head.age.map_or_else(|| "none".to_owned(), |age| format!("signed {} ago", span(age)));
    let head = format!("{}, {age}, due every {} s", answer.head.seq, answer.head.period);
    rows.push(part("revocation list", sound(!answer.head.late, head)));
    let signed = format!("{} of {} entries signed", grouped(answer.log.signed), grouped(answer.log.entries));
    rows.push(part("audit log", plain(signed)));
    rows.push(part("verifiers", plain(verifiers(&answer.verifiers))));
    if !answer.unreported.is_empty() {
        rows.push(part("nobody reports for", plain(answer.unreported.join(", "))));
    }
    if let Some(hook) = &answer.webhook {
        let waiting = format!("{}, {} waiting", hook.host, count(hook.waiting, "notice"));
        rows.push(part("webhook", plain(waiting)));
    }
    rows
}

fn policy(answer: &HealthAnswer) -> String {
    let policy = &answer.policy;
    if policy.version == 0 {
        return "none in force".to_owned();
    }
    let since = policy
        .since
        .map(|at| format!(", in force for {}", span(answer.now.saturating_sub(at))))
        .unwrap_or_default();
    let by = policy.by.as_ref().map(|by| format!(", by {by}")).unwrap_or_default();
    format!("version {}{since}{by}", policy.version)
}

fn trial(body: &TrialBody, now: u64) -> String {
    let on = if body.workflows.is_empty() { "everyone".to_owned() } else { body.workflows.join(", ") };
    let watched =
        body.watched_until.map(|until| format!(", watched for {} more", span(until.saturating_sub(now))));
    format!("version {} on {on}{}", body.version, watched.unwrap_or_default())
}

fn verifiers(counts: &StateCounts) -> String {
    view::totals(counts)
}

fn key(body: &KeyHealthBody) -> Row {
    let style = match body.key.state.as_str() {
        "signs" => Style::Good,
        "waits" => Style::Warn,
        "revoked" | "no private half here" => Style::Bad,
        _ => Style::Dim,
    };
    vec![
        (Style::Plain, body.key.purpose.clone()),
        (Style::Bold, body.key.name.clone()),
        (style, body.key.state.clone()),
        (Style::Plain, span(body.age)),
        (Style::Plain, count(body.days_left, "day")),
    ]
}

fn breaker(body: &BreakerBody, answer: &HealthAnswer) -> Row {
    let style = match body.state.as_str() {
        "closed" => Style::Good,
        "open" => Style::Bad,
        _ => Style::Warn,
    };
    let retry = body.retry_in.map(|left| format!(", tried again in {}", span(left))).unwrap_or_default();
    let since = body
        .since
        .map_or_else(|| "-".to_owned(), |at| format!("{} ago", span(answer.now.saturating_sub(at))));
    let keys = answer.issuers.iter().find(|issuer| body.kind == "issuer" && issuer.issuer == body.source);
    let keys = keys
        .and_then(|issuer| issuer.keys_age)
        .map_or_else(|| "-".to_owned(), |age| format!("{} old", span(age)));
    vec![
        (Style::Plain, body.kind.clone()),
        (Style::Bold, body.source.clone()),
        (style, format!("{}{retry}", body.state)),
        (Style::Plain, since),
        (Style::Plain, keys),
    ]
}

fn table(head: &[&str], rows: impl Iterator<Item = Row>) -> Vec<Row> {
    let head = head.iter().map(|name| (Style::Dim, (*name).to_owned())).collect();
    columns(std::iter::once(head).chain(rows).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    /// A broker with a failing list and an issuer that is left alone.
    pub(crate) fn answer() -> HealthAnswer {
        serde_json::from_value(json!({
            "now": 1000, "state": "failing",
            "findings": [{
                "step": "head", "state": "failing", "about": "the revocation list", "meaning": "it is 40s old",
                "fix": "look at its disk", "since": 960,
            }],
            "store": { "state": "healthy" },
            "policy": {
                "version": 3, "digest": "sha256:0", "since": 400, "by": "alice",
                "trial": { "version": 4, "before": 3, "workflows": ["demo"], "since": 5, "watched_until": 1060, "by": "bob" },
            },
            "head": { "seq": 7, "age": 40, "period": 5, "late": true },
            "log": { "entries": 1200, "signed": 1200, "at": 990, "anchor": null },
            "keys_version": 1,
            "keys": [{
                "purpose": "token", "name": "token-1", "state": "signs", "not_before": 0, "not_after": 900_000,
                "thumbprint": "t", "age": 1000, "days_left": 10,
            }],
            "breakers": [{
                "kind": "issuer", "source": "https://issuer.example", "state": "open", "since": 940, "retry_in": 7,
            }],
            "issuers": [{ "issuer": "https://issuer.example", "keys_age": 3600, "failing": true }],
            "webhook": null,
            "verifiers": { "enforcing": 2, "behind": 0, "silent": 0, "gone": 0 }, "unreported": ["payments"],
        }))
        .unwrap()
    }

    #[test]
    fn what_fails_comes_first_and_all_else_lines_up() {
        let lines: Vec<String> =
            rows(&answer()).iter().map(|row| row.iter().map(|(_, text)| text.as_str()).collect()).collect();
        assert_eq!(lines[0], "failing  the revocation list, for 40s: it is 40s old");
        assert_eq!(lines[1], "  fix: look at its disk");
        for line in [
            "policy              version 3, in force for 10m, by alice",
            "trial               version 4 on demo, watched for 1m more",
            "revocation list     7, signed 40s ago, due every 5 s",
            "audit log           1,200 of 1,200 entries signed",
            "nobody reports for  payments",
            "token  token-1  signs  16m 40s  10 days",
            "issuer   https://issuer.example  open, tried again in 7s  1m ago  1h old",
        ] {
            assert!(lines.iter().any(|found| found.trim_end() == line), "{line:?} in {lines:#?}");
        }
    }
}
