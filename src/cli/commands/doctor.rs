//! `shortbread doctor`: what keeps this machine and its broker from working, one check at a time.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use shortbread_broker::config::Config;
use shortbread_broker::store::{Checked, check};
use shortbread_protocol::admin::{FindingBody, HealthAnswer, HealthState, StatusAnswer};
use shortbread_protocol::clock::Timestamp;

use super::backup::entries;
use crate::cli::Connection;
use crate::client::{Answer, Broker, Session, sign_in};
use crate::commands::revocations::view::observed;
use crate::config::Settings;
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::published;
use crate::text::{sentence, span};
use crate::ui::Style;

/// A clock that is further off than this, in seconds, is worth a warning.
const SKEW: u64 = 5;
/// A head older than this, in seconds, has missed several turns.
const STALE: u64 = 30;

/// Check the settings, the broker and your key, and say how to repair what is wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread doctor
  shortbread doctor --broker-config /etc/shortbread/broker.toml
  shortbread doctor --config other.toml --json")]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    connection: Connection,
    /// The broker's public root key: check the list's signature too.
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// The broker's configuration, on the broker's machine: read its whole store too, and name what is damaged.
    #[arg(long, value_name = "FILE")]
    broker_config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Good,
    Warning,
    Failed,
    NotChecked,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    outcome: Outcome,
    detail: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    fix: String,
}

impl Finding {
    fn good(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Good, detail: detail.into(), fix: String::new() }
    }

    fn bad(check: &'static str, failure: &Failure) -> Self {
        Self { check, outcome: Outcome::Failed, detail: failure.to_string(), fix: failure.fix() }
    }

    fn warning(check: &'static str, detail: impl Into<String>, fix: &str) -> Self {
        Self { check, outcome: Outcome::Warning, detail: detail.into(), fix: fix.to_owned() }
    }

    fn not_checked(check: &'static str, because: &str) -> Self {
        Self { check, outcome: Outcome::NotChecked, detail: because.to_owned(), fix: String::new() }
    }

    fn of(check: &'static str, result: Result<String, Failure>) -> Self {
        result.map_or_else(|failure| Self::bad(check, &failure), |detail| Self::good(check, detail))
    }
}

const CONFIG: &str = "client config";
const REACHABLE: &str = "broker answers";
const ISSUER: &str = "broker's own URL";
const CLOCK: &str = "clock";
const HEAD: &str = "revocation list";
const POLICY: &str = "policy";
const KEY: &str = "operator's key";
const STORE: &str = "broker's store";
const ENFORCED: &str = "enforcement";
const HEALTH: &str = "broker's health";

/// Runs every check and says what it found.
///
/// # Errors
/// When a check fails.
pub(crate) async fn run(args: &DoctorArgs, context: &Context) -> Result<(), Failure> {
    let mut findings = context.ui.wait("checking", examine(args, context)).await;
    if let Some(config) = args.broker_config.clone() {
        findings.push(context.ui.wait("reading the store", store(config)).await);
    }
    if context.ui.is_json() {
        context.ui.json(&findings);
    } else {
        findings.iter().for_each(|finding| show(context, finding));
    }
    if findings.iter().any(|finding| finding.outcome == Outcome::Failed) {
        Err(Failure::Told)
    } else {
        Ok(())
    }
}

async fn examine(args: &DoctorArgs, context: &Context) -> Vec<Finding> {
    let settings = match Settings::of(context, &args.connection) {
        Ok(settings) => settings,
        Err(failure) => return rest(vec![Finding::bad(CONFIG, &failure)], "the settings are not read"),
    };
    let mut findings = vec![config(&settings)];
    let broker = match settings.broker() {
        Ok(broker) => broker,
        Err(failure) => {
            findings.push(Finding::bad(REACHABLE, &failure));
            return rest(findings, "no broker is known");
        }
    };
    let health = match broker.get("/healthz").await.and_then(|answer| answer.success().map(|()| answer)) {
        Ok(health) => health,
        Err(failure) => {
            findings.push(Finding::bad(REACHABLE, &failure));
            return rest(findings, "the broker does not answer");
        }
    };
    findings.push(Finding::good(REACHABLE, broker.url()));
    let issuer = broker.metadata().await.map(|metadata| metadata.issuer);
    findings.push(Finding::of(ISSUER, issuer));
    findings.push(clock(&health, context.now()));
    findings.push(head(args, &settings, &broker, context).await);
    findings.push(Finding::of(POLICY, policy(&broker).await));
    findings.push(Finding::of(KEY, key(&settings, &broker, context).await));
    findings.push(enforced(args, context).await);
    findings.extend(degraded(args, context).await);
    findings
}

// Every check is named in every run, also when it could not be made.
fn rest(mut findings: Vec<Finding>, because: &str) -> Vec<Finding> {
    let all = [CONFIG, REACHABLE, ISSUER, CLOCK, HEAD, POLICY, KEY, ENFORCED, HEALTH];
    for check in all.into_iter().skip(findings.len()) {
        findings.push(Finding::not_checked(check, because));
    }
    findings
}

fn config(settings: &Settings) -> Finding {
    let path = settings.path.display();
    if let Some(key) = settings.values.key.as_deref().filter(|key| files::is_open_to_others(key)) {
        let detail = format!("others on this machine may read {}", key.display());
        return Finding::warning(CONFIG, detail, "Run `chmod 600` on it.");
    }
    match (settings.found, &settings.values.key) {
        (true, _) => Finding::good(CONFIG, path.to_string()),
        (false, Some(_)) => Finding::good(CONFIG, "from the environment"),
        (false, None) => {
            let failure = Failure::new(format!("{path} is not there"), "Run `shortbread login`.");
            Finding::bad(CONFIG, &failure)
        }
    }
}

fn clock(answer: &Answer, now: Timestamp) -> Finding {
    let Some(theirs) = answer.date.as_deref().and_then(http_date) else {
        return Finding::not_checked(CLOCK, "the broker's answer has no date");
    };
    let off = now.seconds().abs_diff(theirs.seconds());
    if off > SKEW {
        let detail = format!("this machine's clock and the broker's are {} apart", span(off));
        return Finding::warning(
            CLOCK,
            detail,
            "Check time synchronisation on both; assertions live for a minute.",
        );
    }
    Finding::good(CLOCK, format!("within {SKEW} s of the broker's"))
}

async fn head(args: &DoctorArgs, settings: &Settings, broker: &Broker, context: &Context) -> Finding {
    let head = match settings.root(args.root.as_deref()) {
        Ok(root) => published::head(broker, root.as_ref()).await,
        Err(failure) => Err(failure),
    };
    let head = match head {
        Ok(head) => head,
        Err(failure) => return Finding::bad(HEAD, &failure),
    };
    let age = context.now().since(Timestamp::from_seconds(head.issued)).as_secs();
    let signed = if head.checked { "signature good" } else { "signature not checked" };
    let detail = format!("list {}, signed {} ago, {signed}", head.seq, span(age));
    let fix = "The broker signs a new list every few seconds: look at its log and at its store's disk.";
    match () {
        () if context.now().seconds() >= head.expires => {
            Finding::bad(HEAD, &Failure::new(format!("over: {detail}"), fix))
        }
        () if age > STALE => Finding::bad(HEAD, &Failure::new(format!("stale: {detail}"), fix)),
        () => Finding::good(HEAD, detail),
    }
}

async fn policy(broker: &Broker) -> Result<String, Failure> {
    let answer = broker.get("/readyz").await?;
    if (200..300).contains(&answer.status) {
        return Ok("in force, and the broker is ready".to_owned());
    }
    let said: String = String::from_utf8_lossy(&answer.body).chars().take(200).collect();
    let what = format!("the broker is not ready (status {}): {}", answer.status, said.trim());
    Err(Failure::new(
        what,
        "If no policy is in force, run `shortbread policy activate`; otherwise look at its log.",
    ))
}

async fn key(settings: &Settings, broker: &Broker, context: &Context) -> Result<String, Failure> {
    let signer = settings.signer()?;
    let verb = sign_in(context, broker, &signer).await?;
    Ok(format!("{} signs in (tried with {verb})", signer.subject()))
}

// Read where it lies: whether its broker runs does not matter.
async fn store(path: PathBuf) -> Finding {
    let config = match Config::read(&path) {
        Ok(config) => config,
        Err(error) => {
            return Finding::bad(STORE, &Failure::new(error.to_string(), "Name the broker's configuration."));
        }
    };
    let place = config.store.sqlite;
    let checked = tokio::task::spawn_blocking(move || check(&place)).await;
    match checked {
        Ok(Ok(checked)) => sound(&checked, &config.issuer),
        Ok(Err(error)) => Finding::bad(STORE, &Failure::new(error.to_string(), RESTORE)),
        Err(_) => Finding::bad(STORE, &Failure::new("reading it broke off", "Run it again.")),
    }
}

const RESTORE: &str = "Stop the broker and restore the store from a backup: `shortbread restore --help`.";

fn sound(checked: &Checked, issuer: &str) -> Finding {
    if let Some(first) = checked.damage.first() {
        let more = checked.damage.len() - 1;
        let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
        return Finding::bad(STORE, &Failure::new(format!("damaged: {first}{more}"), RESTORE));
    }
    let facts = &checked.facts;
    if facts.issuer != issuer {
        let what = format!("it belongs to {}, the configuration says {issuer}", facts.issuer);
        return Finding::bad(STORE, &Failure::new(what, "Correct `issuer`, or name another store."));
    }
    Finding::good(STORE, format!("sound, {} in its audit log", entries(facts.audit)))
}

/// Whether the policy enforces every tool. Whoever may not see that is told of nothing.
async fn enforced(args: &DoctorArgs, context: &Context) -> Finding {
    let session = Session::open(context, &args.connection, "revocations.read");
    let status: Result<StatusAnswer, Failure> = match session {
        Ok(mut session) => session.get("/api/v1/revocations/status").await,
        Err(failure) => Err(failure),
    };
    let status = match status {
        Ok(status) => status,
        Err(failure) => return Finding::not_checked(ENFORCED, &failure.to_string()),
    };
    let observed: Vec<String> = observed(&status).collect();
    match observed.as_slice() {
        [] => Finding::good(ENFORCED, "no tool is exempt"),
        some => Finding::warning(
            ENFORCED,
            format!("not enforcing {}", some.join("; ")),
            "When the figures say so, take mode and until out of the policy and activate it.",
        ),
    }
}

/// What the broker itself finds, each as a check of its own. Whoever may not see that is told of nothing.
async fn degraded(args: &DoctorArgs, context: &Context) -> Vec<Finding> {
    let asked = async {
        let mut session = Session::open(context, &args.connection, "status.read")?;
        session.document::<HealthAnswer>(super::health::PATH).await
    };
    match asked.await {
        Ok(health) => told(&health),
        Err(failure) => vec![Finding::not_checked(HEALTH, &failure.to_string())],
    }
}

fn told(health: &HealthAnswer) -> Vec<Finding> {
    // Tools that are observed are told of above.
    let found = health.findings.iter().filter(|found| found.step != "tool");
    let finding = |found: &FindingBody| {
        let outcome = match found.state {
            HealthState::Good => Outcome::Good,
            HealthState::Degraded => Outcome::Warning,
            HealthState::Failing => Outcome::Failed,
        };
        let detail = format!("{}: {}", found.about, found.meaning);
        Finding { check: HEALTH, outcome, detail, fix: sentence(&found.fix) }
    };
    let all: Vec<Finding> = found.map(finding).collect();
    if all.is_empty() { vec![Finding::good(HEALTH, "nothing works on less than usual")] } else { all }
}

fn show(context: &Context, finding: &Finding) {
    let (mark, style) = match finding.outcome {
        Outcome::Good => ("\u{2713}", Style::Good),
        Outcome::Warning => ("!", Style::Warn),
        Outcome::Failed => ("\u{2717}", Style::Bad),
        Outcome::NotChecked => ("-", Style::Dim),
    };
    let detail = match finding.outcome {
        Outcome::NotChecked => format!("not checked: {}", finding.detail),
        _ => finding.detail.clone(),
    };
    context.ui.pieces(&[
        (style, mark.to_owned()),
        (Style::Bold, format!(" {:<17} ", finding.check)),
        (Style::Plain, detail),
    ]);
    if !finding.fix.is_empty() {
        context.ui.line(&format!("{:20}fix: {}", "", finding.fix));
    }
}

/// Reads an IMF-fixdate such as `Fri, 20 Nov 2026 12:00:00 GMT` (RFC 9110, section 5.6.7).
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.split_once(", ")?;
    let parts: Vec<&str> = rest.split(' ').collect();
    let [day, month, year, time, "GMT"] = parts[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    format!("{year}-{month:02}-{day}T{time}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_dates_are_read() {
        let moment = http_date("Fri, 20 Nov 2026 12:00:00 GMT").unwrap();
        assert_eq!(moment.to_string(), "2026-11-20T12:00:00Z");
        for bad in [
            "",
            "Fri, 20 Nov 2026 12:00:00",
            "Fri, 31 Nov 2026 12:00:00 GMT",
            "Friday, 20-Nov-26 12:00:00 GMT",
        ] {
            assert!(http_date(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_clock_that_is_off_is_told() {
        let answer =
            Answer { status: 200, date: Some("Fri, 20 Nov 2026 12:00:00 GMT".to_owned()), body: Vec::new() };
        let now: Timestamp = "2026-11-20T12:00:05Z".parse().unwrap();
        assert_eq!(clock(&answer, now).outcome, Outcome::Good);
        let later: Timestamp = "2026-11-20T11:59:00Z".parse().unwrap();
        let finding = clock(&answer, later);
        assert_eq!(finding.outcome, Outcome::Warning);
        assert!(finding.detail.contains("1m apart"));
    }

    #[test]
    fn every_check_is_named_even_if_the_first_fails() {
        let failure = Failure::new("x", "y");
        let findings = rest(vec![Finding::bad(CONFIG, &failure)], "z");
        assert_eq!(findings.len(), 9);
    }

    #[test]
    fn what_the_broker_finds_is_a_check_each() {
        let mut health = crate::commands::health::tests::answer();
        let all = told(&health);
        assert_eq!((all.len(), all[0].outcome), (1, Outcome::Failed));
        assert_eq!(all[0].detail, "the revocation list: it is 40s old");
        assert_eq!(all[0].fix, "Look at its disk.");
        health.findings.clear();
        assert_eq!(told(&health)[0].outcome, Outcome::Good);
    }
}
