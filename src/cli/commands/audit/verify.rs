//! `shortbread audit verify`: whether an export is the log that was signed. No broker is asked.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use shortbread_broker::proof::{Asked, Named, Outside, ProofError, Report, Restore, Trust, verify};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::log::origin;

use super::export::beside;
use crate::cli::Connection;
use crate::config::{ClientConfig, Settings};
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::text::{grouped, span};
use crate::ui::Style;

/// Check an export of the log offline, from its proof and from checkpoints that were kept outside.
///
/// Every line is held against the log's leaf at its place, the leaves against the signed checkpoint, the checkpoint's key
/// against the key document that the root key signed, and each checkpoint from outside against the log at its size. Whatever
/// was changed, removed, inserted, moved or cut is named with its place. A tail that is newer than the last checkpoint
/// kept outside cannot be judged without the broker's word.
///
/// The export has to cover the whole log up to its signed checkpoint, or what --from and --until say; an export of a part
/// passes with --partial alone.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread audit verify audit.jsonl
  shortbread audit verify audit.jsonl --checkpoint anchors.txt --checkpoint broker.log
  shortbread audit verify audit.jsonl --proof other.proof --root root.pub.pem --json
  shortbread audit verify week.jsonl --partial
  shortbread audit verify audit.jsonl --audit-key audit.pub.pem")]
pub(super) struct VerifyArgs {
    /// The export, one raw entry a line.
    file: PathBuf,
    /// Its proof [default: FILE.proof].
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// Checkpoints that were kept outside: notes one after another, or lines of the broker's log in JSON. Can be repeated.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// The export has to begin at this place or before it: of a log that was pruned, the first that is kept.
    #[arg(long, value_name = "PLACE", default_value_t = 0)]
    from: u64,
    /// The export has to reach up to this place [default: the end of the log, as its signed checkpoint says].
    #[arg(long, value_name = "PLACE")]
    until: Option<u64>,
    /// Take an export of any part of the log, and checkpoints that it does not tell.
    #[arg(long, conflicts_with_all = ["from", "until"])]
    partial: bool,
    /// The id of a restore that is known: that it took entries away is no complaint. Can be repeated.
    #[arg(long, value_name = "ID")]
    restored: Vec<String>,
    /// The public root key [default: SHORTBREAD_ROOT, then the client config].
    #[arg(long, value_name = "FILE", conflicts_with = "audit_key")]
    root: Option<PathBuf>,
    /// The public audit key itself, where there is no key document to go by.
    #[arg(long, value_name = "FILE")]
    audit_key: Option<PathBuf>,
    /// The client config [default: SHORTBREAD_CONFIG, then ~/.config/shortbread/client.toml].
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    config: Option<PathBuf>,
}

/// Checks it.
///
/// # Errors
/// When anything is not as it was signed, or nothing can be told.
pub(super) fn run(args: &VerifyArgs, context: &Context) -> Result<(), Failure> {
    if args.until.is_some_and(|until| until < args.from) {
        return Err(Failure::usage("--from lies after --until"));
    }
    let (trust, wanted) = trust(args, context)?;
    let held = files::checkpoints(&args.checkpoint)?;
    let path = args.proof.clone().unwrap_or_else(|| beside(&args.file));
    let (export, proof) = (files::stream(&args.file)?, files::stream(&path)?);
    let mut tell = |done: u64, all: u64| {
        if done > 0 && context.ui.has_progress() {
            let percent = done.saturating_mul(100) / all.max(1);
            context.ui.progress(&format!(
                "checked {} of {} entries ({percent} %)",
                grouped(done),
                grouped(all)
            ));
        }
    };
    let asked = Asked {
        log: wanted,
        from: args.from,
        until: args.until,
        partial: args.partial,
        restored: args.restored.clone(),
    };
    let report = verify(export, proof, &trust, &held, &asked, &mut tell);
    context.ui.progress_over();
    let report = report.map_err(|error| unproved(&path, &error))?;
    if context.ui.is_json() {
        let mut body = serde_json::to_value(&report).unwrap_or_default();
        if let Some(body) = body.as_object_mut() {
            body.insert("good".to_owned(), json!(report.is_good()));
            body.insert("complaints".to_owned(), json!(report.complaints()));
            let (before, after) = report.missing();
            body.insert("missing".to_owned(), json!({ "before": before, "after": after }));
        }
        context.ui.json(&body);
    } else {
        say(context, &report);
    }
    if report.is_good() { Ok(()) } else { Err(Failure::Told) }
}

/// What vouches for the log, and which log it must be where that is known.
fn trust(args: &VerifyArgs, context: &Context) -> Result<(Trust, Option<String>), Failure> {
    if let Some(file) = &args.audit_key {
        return Ok((Trust::Audit(files::public_key(file)?), None));
    }
    if let Some(file) = &args.root {
        return Ok((Trust::Root(files::public_key(file)?), None));
    }
    let connection = Connection { broker: None, config: args.config.clone() };
    let none = || {
        Failure::usage(
            "nothing says which root key vouches for the log: name it with --root FILE (or the audit key with --audit-key FILE)",
        )
    };
    // Nothing of the settings is needed but this.
    let settings = match (&args.config, ClientConfig::path(&context.env)) {
        (None, Err(_)) => return Err(none()),
        _ => Settings::of(context, &connection)?,
    };
    let root = settings.root(None)?.ok_or_else(none)?;
    Ok((Trust::Root(root), settings.values.broker.as_deref().map(origin)))
}

fn unproved(path: &Path, error: &ProofError) -> Failure {
    let fix = match error {
        ProofError::Io(_) => "Check the files and their permissions.",
        ProofError::Line { .. } => {
            "Nothing can be told with this proof. Take it from where it was kept, or export anew: `shortbread audit export --out FILE`."
        }
        ProofError::Origin { .. } | ProofError::Issuer { .. } => {
            "Check that export and proof are of this broker; with --root FILE a log of another one is checked."
        }
        ProofError::Keys(_) => {
            "Check that --root names this broker's root key. If it does, whoever wrote the proof does not have it."
        }
    };
    Failure::new(format!("{}: {error}", path.display()), fix)
}

fn say(context: &Context, report: &Report) {
    let ui = context.ui;
    let entries = format!(
        "{} entries (places {} up to {})",
        grouped(report.next - report.first),
        grouped(report.first),
        grouped(report.next)
    );
    if report.is_good() {
        ui.pieces(&[
            (Style::Good, "the log is as it was signed: ".to_owned()),
            (Style::Bold, format!("{entries} of {}", report.origin)),
        ]);
    } else {
        ui.pieces(&[
            (Style::Bad, "NOT as it was signed: ".to_owned()),
            (Style::Bold, format!("{entries} of {}", report.origin)),
        ]);
        for complaint in report.complaints() {
            ui.pieces(&[(Style::Bad, "  \u{2717} ".to_owned()), (Style::Plain, complaint)]);
        }
        // The first was told above.
        for finding in report.findings.iter().skip(1).take(9) {
            ui.line(&format!("    {finding}"));
        }
        if report.damages > 10 {
            ui.line(&format!("    and {} more; --json describes the first 100", report.damages - 10));
        }
    }
    ui.pairs(&pairs(report, context.now()));
}

fn pairs(report: &Report, now: Timestamp) -> Vec<(&'static str, String)> {
    let key = match report.keys {
        Some(version) => format!("a key of key document {version}, which the root key signed"),
        None => "the audit key that was given".to_owned(),
    };
    let signed = match &report.unsigned {
        None => format!("over {} entries, signed by {key}", grouped(report.size)),
        Some(why) => format!("over {} entries, not believed: {why}", grouped(report.size)),
    };
    let mut pairs = vec![("checkpoint", signed)];
    pairs.extend(parts(report));
    let outside = &report.outside;
    if outside.given == 0 {
        let none =
            "none was given: a log that was cut or rewritten and signed again cannot be told from a true one";
        pairs.push(("kept outside", none.to_owned()));
        return pairs;
    }
    pairs.push(("kept outside", compared(outside)));
    if let Some(mark) = &outside.last_match {
        let last = mark.last.as_ref().map(Named::to_string).unwrap_or_default();
        let at = mark.at.or_else(|| mark.last.as_ref().and_then(|last| last.time.parse().ok()));
        let age = at.map(|at| format!(", {} old", span(now.since(at).as_secs()))).unwrap_or_default();
        pairs.push((
            "newest of them",
            format!(
                "over {} entries{age}; the last is place {}{last}",
                grouped(mark.size),
                mark.size.saturating_sub(1)
            ),
        ));
        if mark.size < report.size {
            let rest = report.size - mark.size;
            pairs.push((
                "on its word alone",
                format!(
                    "the {} entries after that: only the log's own checkpoint covers them",
                    grouped(rest)
                ),
            ));
        }
    }
    pairs
}

/// What is not in the export, and what vouches for it.
fn parts(report: &Report) -> Vec<(&'static str, String)> {
    let (first, mut pairs) = (report.first, Vec::new());
    let outside = report.outside.first_match.map_or_else(
        || "the log's own checkpoint alone covers them".to_owned(),
        |size| format!("a checkpoint kept outside, over {} entries, covers them", grouped(size)),
    );
    if first > 0 {
        pairs.push(("before", format!("{} entries are not in the export; {outside}", grouped(first))));
    }
    if report.next < report.size {
        let rest = grouped(report.size - report.next);
        pairs.push(("after", format!("{rest} entries of the log are not in the export")));
    }
    pairs.extend(report.restores.iter().map(|restore| {
        let Restore { id, place, kept, origin } = restore;
        let (kept, place) = (grouped(*kept), grouped(*place));
        (
            "restored",
            format!("by {id} (place {place}): {kept} entries are of before it; signed as {origin} since"),
        )
    }));
    pairs
}

fn compared(outside: &Outside) -> String {
    let fit = outside.compared - outside.failed;
    let mut said = format!("{fit} of {} fit", outside.given);
    if outside.uncompared + outside.elsewhere > 0 {
        let _ = write!(said, "; {} speak of other parts of the log", outside.uncompared + outside.elsewhere);
    }
    for lost in &outside.lost {
        let known = if lost.known { "known" } else { "not known" };
        let _ = write!(said, "; {} are of before the restore {} ({known})", lost.checkpoints, lost.restore);
    }
    said
}
