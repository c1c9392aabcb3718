//! `shortbread policy suggest`: the narrowest grant that covers what was used, as a diff. It changes no file.

mod diff;
mod edit;
mod evidence;
mod fresh;
mod propose;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use shortbread_broker::cases::Case;
use shortbread_broker::policy::{Options, Policy, Problem};
use shortbread_protocol::admin::FiguresAnswer;
use shortbread_protocol::names::{Intent, WorkflowName};

use self::evidence::Evidence;
use self::propose::{Base, Proposal};
use super::load;
use crate::cli::Connection;
use crate::client::Session;
use crate::commands::report::Span;
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::ui::Style;

/// The policy that is taken where none is named and this one is there.
const POLICY: &str = "policy.toml";
/// How many pages of recorded requests are read.
const MAX_PAGES: usize = 200;

#[derive(Debug, Args)]
pub(super) struct SuggestArgs {
    /// Whose grants.
    #[arg(long)]
    workflow: WorkflowName,
    /// Only grants that serve this intent.
    #[arg(long)]
    intent: Option<Intent>,
    /// What is looked at: so long before now, as 30d or 12h.
    #[arg(long, value_name = "SPAN", default_value = "30d")]
    since: Span,
    /// The policy to narrow [default: policy.toml, where there is one]. It is not changed.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Propose what was let pass in observe mode as grants too, not as comments. This grants more than today.
    #[arg(long)]
    with_observed: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A policy file, read and checked.
struct Read {
    shown: String,
    text: String,
    policy: Policy,
}

/// Says what to change.
///
/// # Errors
/// When the broker cannot be reached or refuses, the policy has problems, or the log does not tell enough.
pub(super) async fn run(args: &SuggestArgs, context: &Context) -> Result<(), Failure> {
    let read = policy(args, context)?;
    let since = context.now().seconds().saturating_sub(args.since.0);
    let mut session = Session::open(context, &args.connection, "audit.read")?;
    let report: FiguresAnswer = session.get(&format!("/api/v1/report?kind=rights&since={since}")).await?;
    enough(&report, &args.workflow)?;
    let (cases, recorded) = cases(&mut session, since).await?;
    let evidence = Evidence::of(&report, &cases, &args.workflow);
    let base = read.as_ref().map(|read| Base { text: &read.text, policy: &read.policy });
    let mut proposal =
        propose::of(base.as_ref(), &args.workflow, args.intent.as_ref(), &evidence, args.with_observed);
    if !recorded {
        let note =
            "what was asked for in detail is not recorded by this broker, so constraints stay as they are";
        proposal.notes.push(note.to_owned());
    }
    if let Some(read) = &read {
        sound(read, &proposal)?;
    }
    show(context, read.as_ref(), &proposal);
    Ok(())
}

fn policy(args: &SuggestArgs, context: &Context) -> Result<Option<Read>, Failure> {
    let path = match &args.policy {
        Some(path) => path.clone(),
        None if Path::new(POLICY).exists() => PathBuf::from(POLICY),
        None => return Ok(None),
    };
    let (text, shown) = (files::read_text(&path)?, path.display().to_string());
    let options = Options { issuer: load::issuer(None, context)? };
    match Policy::compile(&text, &shown, &load::beside(&path), &options) {
        Ok(policy) => Ok(Some(Read { shown, text, policy })),
        Err(problems) => Err(Failure::new(
            format!("{shown} is not sound: {}", first(&problems)),
            format!("`shortbread policy check {shown}` shows every problem."),
        )),
    }
}

fn first(problems: &[Problem]) -> String {
    problems.first().map_or_else(String::new, |one| format!("line {}: {}", one.line, one.message))
}

/// Whether the log tells enough to take anything away.
fn enough(report: &FiguresAnswer, workflow: &WorkflowName) -> Result<(), Failure> {
    if let Some(cut) = &report.cut {
        let fix = "Take a shorter period with --since.";
        return Err(Failure::new(format!("what was used is not known whole: {cut}"), fix));
    }
    if report.rights_left_out > 0 {
        let fix = "Take a shorter period with --since.";
        return Err(Failure::new("there are more rights than a report names, so some may be missing", fix));
    }
    if report.rights.iter().all(|right| right.workflow != workflow.as_str()) {
        let fix = "Check the spelling, or take a longer period with --since.";
        return Err(Failure::new(
            format!("{workflow} was granted nothing and called nothing in this period"),
            fix,
        ));
    }
    Ok(())
}

/// What was asked for, as far as it is recorded and was not erased; and whether this broker records it.
async fn cases(session: &mut Session<'_>, since: u64) -> Result<(Vec<Case>, bool), Failure> {
    let (mut cases, mut from) = (Vec::new(), None);
    for _ in 0..MAX_PAGES {
        let place = from.map(|from: u64| format!("&from={from}")).unwrap_or_default();
        let page = session.lines(&format!("/api/v1/audit/cases?since={since}&limit=500{place}")).await;
        let (lines, next) = match page {
            Ok(page) => page,
            Err(failure) if failure.is_for("not_found") => return Ok((Vec::new(), false)),
            Err(failure) => return Err(failure),
        };
        // A case of a later version says nothing here.
        cases.extend(lines.lines().filter_map(|line| serde_json::from_str(line).ok()));
        match next {
            Some(next) if from.is_none_or(|from| next > from) => from = Some(next),
            _ => return Ok((cases, true)),
        }
    }
    let fix = "Take a shorter period with --since.";
    Err(Failure::new("there are more recorded requests than this command reads", fix))
}

/// What is proposed must be a policy.
fn sound(read: &Read, proposal: &Proposal) -> Result<(), Failure> {
    let files =
        |name: &str| read.policy.files().get(name).cloned().ok_or_else(|| "it is not there".to_owned());
    let issuer = load::NO_BROKER.to_owned();
    match Policy::compile(&proposal.text, &read.shown, &files, &Options { issuer }) {
        Ok(_) => Ok(()),
        Err(problems) => Err(Failure::new(
            format!("the narrowed policy would not be sound ({}), so it is not proposed", first(&problems)),
            format!("Narrow it by hand: {}", proposal.dropped.join("; ")),
        )),
    }
}

fn show(context: &Context, read: Option<&Read>, proposal: &Proposal) {
    let ui = context.ui;
    let diff = read.map(|read| diff::unified(&read.shown, &read.text, &proposal.text));
    if ui.is_json() {
        return ui.json(&json!({
            "diff": diff, "grants": read.is_none().then_some(&proposal.text), "dropped": proposal.dropped,
            "narrowed": proposal.narrowed, "wider": proposal.wider, "notes": proposal.notes,
        }));
    }
    // What asks for more stands first, and on both ways out: whoever only reads the diff must not miss it.
    for wider in &proposal.wider {
        ui.pieces(&[(Style::Bad, "WIDER THAN TODAY: ".to_owned()), (Style::Plain, wider.clone())]);
    }
    for (what, list) in
        [("drop", &proposal.dropped), ("narrow", &proposal.narrowed), ("note", &proposal.notes)]
    {
        list.iter()
            .for_each(|one| ui.pieces(&[(Style::Dim, format!("{what}: ")), (Style::Plain, one.clone())]));
    }
    match diff.as_deref() {
        Some("") if proposal.notes.is_empty() => {
            ui.line("nothing to narrow: everything that is granted was used");
        }
        Some("") => ui.line("nothing to narrow, as far as is known"),
        Some(diff) => patch(context, diff),
        None => proposal.text.lines().for_each(|line| ui.line(line)),
    }
}

fn patch(context: &Context, diff: &str) {
    for line in diff.lines() {
        let style = match line.as_bytes().first() {
            Some(b'+') => Style::Good,
            Some(b'-') => Style::Bad,
            Some(b'@') => Style::Dim,
            _ => Style::Plain,
        };
        context.ui.pieces(&[(style, line.to_owned())]);
    }
}
