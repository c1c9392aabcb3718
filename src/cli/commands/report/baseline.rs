//! `shortbread report baseline`: the figures of now in a file, and later ones held against them.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use shortbread_protocol::admin::{FiguresAnswer, Verdict};
use shortbread_protocol::clock::Timestamp;

use super::ask::{self, Period};
use super::compare::{self, Compared};
use super::figures;
use super::moved;
use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::text::count;

/// The version of the file's form.
const VERSION: u32 = 1;
/// Where baselines lie that are named without a path.
const FOLDER: &str = "baselines";

#[derive(Debug, Args)]
pub(super) struct BaselineArgs {
    #[command(subcommand)]
    command: BaselineCommand,
}

#[derive(Debug, Subcommand)]
enum BaselineCommand {
    /// Write the figures of a period down.
    #[command(
        after_help = "Examples:\n  shortbread report baseline save before-upgrade\n  shortbread report baseline save ci/model-4.json --since 1d --by workflow,intent,tool"
    )]
    Save(SaveArgs),
    /// Hold the figures of a period against a baseline: attempts, denials and approvals by segment.
    #[command(
        after_help = "Examples:\n  shortbread report baseline compare before-upgrade\n  shortbread report baseline compare ci/model-4.json --since 1h --fail-on widen"
    )]
    Compare(CompareArgs),
}

#[derive(Debug, Args)]
struct SaveArgs {
    /// A name, for baselines/NAME.json here, or a path that ends in .json.
    name: String,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct CompareArgs {
    /// The name or path that it was saved under.
    name: String,
    /// Where the period begins: so long before it ends, as 7d or 12h, or a time [default: as long as the baseline].
    #[arg(long, value_name = "SPAN|TIME")]
    since: Option<ask::Since>,
    /// Where the period ends [default: now].
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// End with 1 when a share rose by more than chance explains (widen), or moved at all (drift).
    #[arg(long, value_enum, value_name = "WHAT")]
    fail_on: Option<FailOn>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// A share rose: more is attempted, denied or needs approval.
    Widen,
    /// A share rose or fell.
    Drift,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Baseline {
    v: u32,
    /// When it was saved, in seconds since the epoch.
    saved: u64,
    /// By which program.
    program: String,
    report: FiguresAnswer,
}

/// Saves or compares.
///
/// # Errors
/// When the broker cannot be reached or refuses, a file cannot be read or written, or, with `--fail-on`, figures moved.
pub(super) async fn run(args: &BaselineArgs, context: &Context) -> Result<(), Failure> {
    match &args.command {
        BaselineCommand::Save(args) => save(args, context).await,
        BaselineCommand::Compare(args) => compare(args, context).await,
    }
}

async fn save(args: &SaveArgs, context: &Context) -> Result<(), Failure> {
    let path = place(&args.name)?;
    let by = args.period.by.clone().unwrap_or_else(|| "workflow,tool,access".to_owned());
    let period = Period { by: Some(by), ..args.period.clone() };
    let report = ask(context, &args.connection, &period).await?;
    if report.total.now.exchanges + report.total.now.calls == 0 {
        let fix = "Run the workflows first, or take a longer period with --since.";
        return Err(Failure::new("nothing was asked for in this period, so it is no baseline", fix));
    }
    let baseline = Baseline {
        v: VERSION,
        saved: context.now().seconds(),
        program: concat!("shortbread ", env!("CARGO_PKG_VERSION")).to_owned(),
        report,
    };
    let mut text = serde_json::to_vec_pretty(&baseline)
        .map_err(|error| Failure::new(format!("the baseline cannot be written: {error}"), "Report this."))?;
    text.push(b'\n');
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| {
            let fix = "Name a place that this user may write to.";
            Failure::new(format!("the folder {} cannot be made: {error}", folder.display()), fix)
        })?;
    }
    files::create(&path, &text, false)?;
    let (segments, figures) = (baseline.report.segments.len() as u64, &baseline.report.total.now);
    if context.ui.is_json() {
        context.ui.json(&serde_json::json!({ "file": path, "segments": segments, "exchanges": figures.exchanges, "calls": figures.calls }));
    } else {
        context.ui.line(&format!(
            "{} holds {}: {} and {}",
            path.display(),
            count(segments, "segment"),
            count(figures.exchanges, "exchange"),
            count(figures.calls, "call")
        ));
    }
    Ok(())
}

async fn compare(args: &CompareArgs, context: &Context) -> Result<(), Failure> {
    let path = place(&args.name)?;
    let baseline = read(&path)?;
    let old = &baseline.report;
    let long = old.period.until.saturating_sub(old.period.since).max(1);
    let period = Period {
        since: Some(args.since.unwrap_or(ask::Since::Before(ask::Span(long)))),
        until: args.until,
        by: Some(old.by.join(",")),
        only: figures::only(&old.only),
    };
    let new = ask(context, &args.connection, &period).await?;
    let compared = compare::of(old, &new);
    show(context, &compared, old, &new);
    let fails = |one: &Compared| match args.fail_on {
        Some(FailOn::Widen) => one.drift.verdict == Verdict::Up,
        Some(FailOn::Drift) => matches!(one.drift.verdict, Verdict::Up | Verdict::Down),
        None => false,
    };
    if args.fail_on.is_some() && (new.cut.is_some() || old.cut.is_some()) {
        let fix = "Take a shorter period with --since; save the baseline anew if it was cut itself.";
        return Err(Failure::new("the log was not read whole, so the figures say nothing", fix));
    }
    if args.fail_on.is_some() && new.total.now.exchanges + new.total.now.calls == 0 {
        let fix = "Run the evaluations against this broker first, or take a longer period with --since.";
        return Err(Failure::new("nothing was asked for in this period: not enough evidence", fix));
    }
    if compared.iter().any(fails) { Err(Failure::Told) } else { Ok(()) }
}

async fn ask(context: &Context, connection: &Connection, period: &Period) -> Result<FiguresAnswer, Failure> {
    let path = ask::path("segments", period, context.now())?;
    Session::open(context, connection, "audit.read")?.get(&path).await
}

fn show(context: &Context, compared: &[Compared], old: &FiguresAnswer, new: &FiguresAnswer) {
    let ui = context.ui;
    if ui.is_json() {
        return ui
            .json(&serde_json::json!({ "baseline": old.period, "now": new.period, "compared": compared }));
    }
    let moved = compared.iter().filter(|one| matches!(one.drift.verdict, Verdict::Up | Verdict::Down));
    let rows: Vec<_> = moved.map(|one| moved::row(one.name(&old.by), &one.drift)).collect();
    let tell = |verdict| compared.iter().filter(|one| one.drift.verdict == verdict).count() as u64;
    moved::tell(rows, (tell(Verdict::Same), tell(Verdict::Unclear)), ui);
}

fn read(path: &Path) -> Result<Baseline, Failure> {
    let fix = "Save one with `shortbread report baseline save NAME`.";
    let bytes = files::read(path)?;
    let baseline: Baseline = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::new(format!("{} is no baseline: {error}", path.display()), fix))?;
    if baseline.v != VERSION {
        let what = format!("{} is a baseline of version {}, not {VERSION}", path.display(), baseline.v);
        return Err(Failure::new(what, "Save it anew with this program."));
    }
    Ok(baseline)
}

/// A path as it is; a name in the folder of baselines.
fn place(name: &str) -> Result<PathBuf, Failure> {
    if Path::new(name).extension().is_some_and(|end| end == "json") {
        return Ok(PathBuf::from(name));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
        return Err(Failure::usage("give a name of letters, digits, - and _, or a path that ends in .json"));
    }
    Ok(Path::new(FOLDER).join(format!("{name}.json")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder() {
        assert_eq!(place("before-4.1").unwrap(), Path::new("baselines/before-4.1.json"));
        assert_eq!(place("ci/x.json").unwrap(), Path::new("ci/x.json"));
        for bad in ["", "../x", "a/b", ".x", "a b"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
