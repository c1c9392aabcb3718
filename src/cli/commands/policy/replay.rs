//! `shortbread policy replay`: recorded cases decided again under another policy, and the gate that judges the change.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use shortbread_broker::cases::gate::{GateResult, judge};
use shortbread_broker::cases::labelled_by;
use shortbread_broker::cases::read::{Format, Ids, Lines, read};
use shortbread_broker::cases::replay::{Before, Change, Replay, Report};
use shortbread_broker::policy::Policy;
use shortbread_broker::policy::diff::diff;
use shortbread_broker::policy::model::Gate;

use super::junit::{Test, suite};
use super::load;
use super::markdown::markdown;
use super::remote::{self, Which};
use crate::cli::Connection;
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::text::{count, grouped, parse_long_span};
use crate::ui::{Piece, Style, Ui};

pub(super) const HELP: &str = "\
Examples:
  shortbread policy replay --policy next.toml --since 7d
  shortbread policy replay --policy next.toml --against policy.toml --cases recorded.jsonl cases.toml
  shortbread policy replay --policy next.toml --since 30d --accept chg_1f0c22d9a7b4 --markdown replay.md

The gate lets the policy pass when
  every labelled case comes out as its label says,
  nothing that writes or worse is newly allowed, unless it is named with --accept,
  in no segment more than `max_newly_denied` (1 %) of what was allowed is withheld,
  the share of decisions that need an approval changes by at most `max_approval_load` (10 %),
  every segment that changes was tried by `min_cases` (1 where there is a [gate], else 0).
The limits are the [gate] of the policy that it is compared with, or that of --limits; the labelled cases that a [gate]
names always count:
  [gate]
  cases = \"cases.toml\"
  max_newly_denied = 0.01
  [[gate.segments]]
  workflow = \"release-notes\"
  max_newly_denied = 0.05

Exit codes: 0 passed, 1 not passed or failed, 2 wrong usage.";

/// How often a long replay says how far it is.
const TICK: Duration = Duration::from_millis(500);
/// How many changes are shown; JSON has them all.
const SHOWN: usize = 50;

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The policy that is tried. Key files that it names are read relative to it.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// What it is compared with: a file, a version of the broker by number, `active`, or `recorded` for what was decided
    /// at the time [default: active with --since, else recorded].
    #[arg(long, value_name = "FILE|VERSION|active|recorded")]
    against: Option<String>,
    /// Cases that the broker recorded within this span: 12h, 7d.
    #[arg(long, value_name = "SPAN", value_parser = parse_long_span, required_unless_present = "cases")]
    since: Option<u64>,
    /// Files of cases, JSON Lines or TOML.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    cases: Vec<PathBuf>,
    /// Take this change on record, by the name that a replay printed; may be given several times.
    #[arg(long, value_name = "ID")]
    accept: Vec<String>,
    /// Limits of another file with a [gate].
    #[arg(long, value_name = "FILE")]
    limits: Option<PathBuf>,
    /// The broker's public URL that policy files are compiled for [default: SHORTBREAD_BROKER, then the client config].
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Write the result as JUnit XML too.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the result as Markdown too, for a comment on a change.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// Replays, judges and tells.
///
/// # Errors
/// When the gate does not let it pass, or something cannot be read or asked.
pub(super) async fn run(args: &ReplayArgs, context: &Context) -> Result<(), Failure> {
    let issuer = load::issuer(args.issuer.as_deref(), context)?;
    let new = load::policy(&args.policy, &issuer, context)?;
    let old = old(args, context).await?;
    let limits = limits(args, old.as_ref(), context)?;
    let diff = old.as_ref().map(|old| diff(old, &new));
    // The older ones first: a policy does not label anew what another one labelled.
    let named: Vec<Policy> = old.iter().chain([&new]).cloned().collect();
    let before = old.map_or(Before::Recorded, Before::Policy);
    let begun = context.clock.monotonic();
    let mut replay = Watched { replay: Replay::new(new, before), said: begun, context };
    for file in &args.cases {
        replay.file(file)?;
    }
    if let Some(since) = args.since {
        let from = context.now().seconds().saturating_sub(since);
        remote::cases(from, &args.connection, context, |page| replay.lines("the broker's answer", page))
            .await?;
    }
    for policy in &named {
        replay.labelled(policy)?;
    }
    let report = replay.finish();
    if report.cases == 0 {
        return Err(Failure::usage(
            "there is no case, so nothing was compared: go further back with --since, or name a file with --cases",
        ));
    }
    let spent = context.clock.monotonic().saturating_sub(begun);
    let result =
        judge(&report, diff.as_ref(), &limits, &args.accept.iter().cloned().collect::<BTreeSet<_>>());
    write(args, &report, &result)?;
    if context.ui.is_json() {
        let Report { segments, changes, labels, inputs, .. } = &report;
        context.ui.json(&json!({
            "passed": result.passed, "gate": result, "changes": changes, "segments": segments, "labels": labels,
            "inputs": inputs,
        }));
    } else {
        tell(&report, &result, spent, context.ui);
    }
    if result.passed { Ok(()) } else { Err(Failure::Told) }
}

async fn old(args: &ReplayArgs, context: &Context) -> Result<Option<Policy>, Failure> {
    let which = match (args.against.as_deref(), args.since) {
        (Some("recorded"), _) | (None, None) => return Ok(None),
        (Some(text), _) => Which::of(text),
        (None, Some(_)) => Which::Active,
    };
    which.policy(args.issuer.as_deref(), &args.connection, context).await.map(Some)
}

fn limits(args: &ReplayArgs, old: Option<&Policy>, context: &Context) -> Result<Gate, Failure> {
    let Some(file) = &args.limits else {
        return Ok(old.and_then(Policy::gate).cloned().unwrap_or_default());
    };
    Policy::read_gate(&files::read_text(file)?, &file.display().to_string()).map_err(|problems| {
        load::unsound(&problems, context);
        Failure::Told
    })
}

/// A replay that says now and then how far it is.
struct Watched<'c> {
    replay: Replay,
    said: Duration,
    context: &'c Context,
}

impl Watched<'_> {
    fn file(&mut self, file: &Path) -> Result<(), Failure> {
        let (name, mut reader) = load::open(file)?;
        let beginning = std::io::BufRead::fill_buf(&mut reader).unwrap_or_default();
        if Format::of(&name, beginning) == Format::Lines {
            return self.lines(&name, reader);
        }
        for case in read(&name, reader, &mut Ids::default()).map_err(|error| load::wrong(&error))? {
            self.replay.case(&case).map_err(|fault| load::faulty(&name, &case.id, &fault))?;
        }
        Ok(())
    }

    /// The labelled cases that come with a policy, where they were not given besides.
    fn labelled(&mut self, policy: &Policy) -> Result<(), Failure> {
        let name = policy.cases().map_or("", |(name, _)| name);
        for case in labelled_by(policy).map_err(|error| load::wrong(&error))? {
            if !self.replay.has_label(&case.id) {
                self.replay.case(&case).map_err(|fault| load::faulty(name, &case.id, &fault))?;
            }
        }
        Ok(())
    }

    fn lines(&mut self, name: &str, from: impl std::io::BufRead) -> Result<(), Failure> {
        let mut lines = Lines::new(name, from);
        while let Some(line) = lines.next().map_err(|error| load::wrong(&error))? {
            let taken = self.replay.line(line);
            taken.map_err(|fault| load::wrong(&lines.fault(&fault)))?;
            if self.replay.read().is_multiple_of(4096) {
                self.progress();
            }
        }
        Ok(())
    }

    fn progress(&mut self) {
        let now = self.context.clock.monotonic();
        if self.context.ui.has_progress() && now.saturating_sub(self.said) >= TICK {
            self.said = now;
            self.context.ui.progress(&format!("{} cases", grouped(self.replay.read())));
        }
    }

    fn finish(self) -> Report {
        self.context.ui.progress_over();
        self.replay.finish()
    }
}

fn write(args: &ReplayArgs, report: &Report, result: &GateResult) -> Result<(), Failure> {
    if let Some(file) = &args.junit {
        let name = format!("shortbread policy replay {}", args.policy.display());
        load::report(file, &suite(&name, &tests(result)))?;
    }
    if let Some(file) = &args.markdown {
        load::report(file, &markdown(report, result))?;
    }
    Ok(())
}

fn tests(result: &GateResult) -> Vec<Test> {
    let rules = result.rules.iter().map(|ruled| {
        let lines: Vec<&str> = ruled.findings.iter().map(|finding| finding.message.as_str()).collect();
        let first = lines.first().map(|first| (*first).to_owned());
        let name = ruled.rule.words().to_owned();
        Test { class: "policy.replay", name, failure: first.map(|first| (first, lines.join("\n"))) }
    });
    rules.collect()
}

fn tell(report: &Report, result: &GateResult, spent: Duration, ui: Ui) {
    let accepted = |change: &Change| result.accepted.iter().any(|taken| taken.id == change.id);
    if !report.changes.is_empty() {
        let rows = report.changes.iter().take(SHOWN).map(|change| row(change, accepted(change)));
        ui.table(&["change", "segment", "verb", "outcome", "decisions", "first cases"], rows.collect());
        if let Some(more) = report.changes.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            ui.line(&format!("and {}; --json has them all", count(more as u64, "more change")));
        }
        ui.line("");
    }
    let compared = report.against.as_deref().unwrap_or("what was recorded");
    ui.pairs(&[
        ("cases", format!("{} in {:.1} s", grouped(report.cases), spent.as_secs_f64())),
        ("distinct inputs", grouped(report.inputs)),
        ("cases digest", report.digest.clone()),
        ("policy", report.policy.clone()),
        ("compared with", compared.to_owned()),
        ("changes", report.changes.len().to_string()),
    ]);
    ui.line("");
    for ruled in &result.rules {
        let (style, word) = if ruled.passed { (Style::Good, "passed  ") } else { (Style::Bad, "failed  ") };
        ui.pieces(&[(style, word.to_owned()), (Style::Plain, ruled.rule.words().to_owned())]);
        ruled.findings.iter().for_each(|finding| ui.line(&format!("        {}", finding.message)));
    }
    for id in &result.unused {
        ui.remark(&format!("(no change is named {id}, so there was nothing to accept)"));
    }
    let (style, word) = if result.passed { (Style::Good, "passed") } else { (Style::Bad, "not passed") };
    ui.pieces(&[(Style::Bold, "gate    ".to_owned()), (style, word.to_owned())]);
}

fn row(change: &Change, accepted: bool) -> Vec<Piece> {
    let style = match (accepted, change.is_newly_allowed(), change.is_newly_withheld()) {
        (true, _, _) => Style::Dim,
        (_, true, _) => Style::Bad,
        (_, _, true) => Style::Warn,
        _ => Style::Plain,
    };
    let words = if accepted { format!("{} (accepted)", change.words()) } else { change.words() };
    vec![
        (Style::Bold, change.id.clone()),
        (Style::Plain, change.segment.words()),
        (Style::Plain, change.verb.clone()),
        (style, words),
        (Style::Plain, grouped(change.decisions)),
        (Style::Dim, change.cases.join(" ")),
    ]
}
