//! `shortbread report`: what the audit log says in figures, each beside the period before.

mod ask;
mod baseline;
mod cases;
mod compare;
mod figures;
mod moved;
mod page;
mod tables;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use shortbread_protocol::admin::FiguresAnswer;

use self::ask::Period;
pub(crate) use self::ask::Span;
use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;
use crate::files;

/// Figures of the audit log, each beside the period before: volumes, refusals, results, times and cost.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread report review --html review.html
  shortbread report segments --by workflow,tool --since 30d
  shortbread report latency --only workflow=release-notes
  shortbread report rights
  shortbread report baseline save before-upgrade")]
pub(crate) struct ReportArgs {
    #[command(subcommand)]
    command: ReportCommand,
}

#[derive(Debug, Subcommand)]
enum ReportCommand {
    /// Volumes, refusals, results, times and cost by segment.
    #[command(
        after_help = "Examples:\n  shortbread report segments\n  shortbread report segments --by workflow,tool,access --since 30d\n  shortbread report segments --only workflow=release-notes,tool=github\n  shortbread report segments --html segments.html"
    )]
    Segments(ShowArgs),
    /// What was granted against what was used, and what was never used.
    #[command(
        after_help = "Examples:\n  shortbread report rights --since 30d\n  shortbread report rights --json"
    )]
    Rights(ShowArgs),
    /// What needed an approval, and how long approvals took.
    #[command(
        after_help = "Examples:\n  shortbread report approvals\n  shortbread report approvals --by workflow,intent"
    )]
    Approvals(ShowArgs),
    /// How long exchanges took, by segment and stage, beside what calls cost.
    #[command(
        after_help = "Examples:\n  shortbread report latency\n  shortbread report latency --by tool,stage --since 1d"
    )]
    Latency(ShowArgs),
    /// The weekly page: what moved, what it coincides with, what to do next.
    #[command(
        after_help = "Examples:\n  shortbread report review\n  shortbread report review --html review.html"
    )]
    Review(ShowArgs),
    /// Keep the figures of now, and hold later ones against them.
    #[command(
        after_help = "Examples:\n  shortbread report baseline save before-upgrade\n  shortbread report baseline compare before-upgrade --fail-on widen"
    )]
    Baseline(baseline::BaselineArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    period: Period,
    /// Also write it as a page: one file, nothing else needed.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// Shows a report, or keeps and compares figures.
///
/// # Errors
/// When the broker cannot be reached or refuses, or a file cannot be read or written.
pub(crate) async fn run(args: &ReportArgs, context: &Context) -> Result<(), Failure> {
    match &args.command {
        ReportCommand::Segments(args) => show("segments", args, context).await,
        ReportCommand::Rights(args) => show("rights", args, context).await,
        ReportCommand::Approvals(args) => show("approvals", args, context).await,
        ReportCommand::Latency(args) => show("latency", args, context).await,
        ReportCommand::Review(args) => show("review", args, context).await,
        ReportCommand::Baseline(args) => baseline::run(args, context).await,
    }
}

async fn show(kind: &str, args: &ShowArgs, context: &Context) -> Result<(), Failure> {
    let mut session = Session::open(context, &args.connection, "audit.read")?;
    let path = ask::path(kind, &args.period, context.now())?;
    let report: FiguresAnswer = session.get(&path).await?;
    let page = args.html.as_ref().map(|file| page::of(&report, context.now()).map(|page| (file, page)));
    if let Some((file, page)) = page.transpose()? {
        files::replace_private(file, page.as_bytes())?;
        context.ui.remark(&format!("the page is in {}", file.display()));
    }
    if context.ui.is_json() {
        context.ui.json(&report);
    } else {
        tables::show(&report, context);
    }
    Ok(())
}
