//! `shortbread audit export`: the log in a file, with what proves it later.

mod proof;
mod tiles;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use shortbread_protocol::clock::Timestamp;

use self::proof::Proof;
use super::ocsf;
use crate::cli::Connection;
use crate::client::{Page, Session};
use crate::context::Context;
use crate::failure::Failure;
use crate::files::Fresh;
use crate::text::{grouped, parse_moment};
use crate::ui::Ui;

/// Entries of one page.
const PAGE: u64 = 5000;
/// Calls are reported so late at most.
const LATE: std::time::Duration = std::time::Duration::from_secs(7 * 86_400);

/// Export the log: raw entries, exactly as their hashes are made of them, or events for a security data lake.
///
/// Beside --out FILE stands FILE.proof: hashes from the log's public tiles, the newest signed checkpoint and the key
/// documents. `shortbread audit verify FILE` needs nothing else. --since and --until go by when entries arrived in the log
/// (jsonl), or by their own time (ocsf).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread audit export --out audit.jsonl
  shortbread audit export --since 7d --out week.jsonl
  shortbread audit export --since 2026-11-01 --until 2026-12-01 --format ocsf --out november.ocsf.jsonl
  shortbread audit export --since 1h > hour.jsonl")]
pub(super) struct ExportArgs {
    /// From a moment on, such as 2026-11-20T12:00:00Z or 7d [default: the first entry].
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Up to a moment [default: now].
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Raw entries, or OCSF events.
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// The file, put in place when it is whole [default: standard output, without a proof].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One raw entry a line.
    Jsonl,
    /// One OCSF event a line.
    Ocsf,
}

/// What was asked for, and how far it is.
struct Export<'c> {
    context: &'c Context,
    format: Format,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// The place after the last entry that a checkpoint covers, where there is to be a proof.
    size: Option<u64>,
}

/// Where the lines go.
enum Sink {
    File(Fresh),
    Stdout(Ui),
    // A reader that went away (`| head`).
    Gone,
}

/// Which places were written, and how many lines.
struct Written {
    first: u64,
    next: u64,
    lines: u64,
}

/// Exports.
///
/// # Errors
/// When the broker cannot be reached or refuses, or a file cannot be written; when what it serves is not one log.
pub(super) async fn run(args: &ExportArgs, context: &Context) -> Result<(), Failure> {
    let now = context.now();
    let moment = |flag: &str, text: &Option<String>| {
        let read = text.as_deref().map(|text| parse_moment(text, now)).transpose();
        read.map_err(|error| Failure::usage(format!("--{flag}: {error}")))
    };
    let (since, until) = (moment("since", &args.since)?, moment("until", &args.until)?);
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        return Err(Failure::usage("--since is later than --until"));
    }
    let mut session = Session::open(context, &args.connection, "audit.read")?;
    let proved = args.out.as_deref().filter(|_| args.format == Format::Jsonl);
    let proof = match proved {
        Some(_) => {
            let end = session.page("/api/v1/audit/export?from=0&limit=1").await?.end;
            Some(Proof::begin(session.broker(), end).await?)
        }
        None => None,
    };
    let size = proof.as_ref().map(Proof::size);
    let export = Export { context, format: args.format, since, until, size };
    let mut sink = match &args.out {
        Some(path) => Sink::File(Fresh::create(path)?),
        None => Sink::Stdout(context.ui),
    };
    let written = export.run(&mut session, &mut sink).await;
    context.ui.progress_over();
    let written = written?;
    let Sink::File(file) = sink else { return Ok(()) };
    let told = match (proof, proved) {
        (Some(proof), Some(path)) => {
            let beside = beside(path);
            let mut fresh = Fresh::create(&beside)?;
            let sound =
                proof.write(context, session.broker(), (written.first, written.next), &mut fresh).await;
            context.ui.progress_over();
            let sound = sound?;
            file.finish()?;
            fresh.finish()?;
            sound.then_some(Some(beside)).ok_or_else(|| unsound(path))?
        }
        _ => {
            file.finish()?;
            None
        }
    };
    say(context, args, &written, told.as_deref());
    Ok(())
}

/// The proof's place: beside the export.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".proof");
    name.into()
}

impl Export<'_> {
    async fn run(&self, session: &mut Session<'_>, sink: &mut Sink) -> Result<Written, Failure> {
        let mut written: Option<Written> = None;
        loop {
            let at = written.as_ref().map(|written| written.next);
            let page = session.page(&self.path(at)).await?;
            let end = self.size.map_or(page.end, |size| page.end.min(size));
            let page = until(page, end);
            let so_far = written.get_or_insert(Written { first: page.from, next: page.from, lines: 0 });
            if page.from != so_far.next {
                let what =
                    format!("entries {} to {} are gone while they were read", so_far.next, page.from - 1);
                return Err(Failure::new(what, "They were pruned. Export again."));
            }
            let going = so_far.next < page.next;
            so_far.next = page.next;
            so_far.lines += self.put(sink, &page)?;
            let (done, all) = (so_far.next - so_far.first, end.saturating_sub(so_far.first));
            if self.context.ui.has_progress() {
                self.context.ui.progress(&format!("exported {} of {} entries", grouped(done), grouped(all)));
            }
            if so_far.next >= end || !going || matches!(sink, Sink::Gone) {
                break;
            }
        }
        written.ok_or_else(|| Failure::new("nothing was exported", "Report this."))
    }

    fn path(&self, at: Option<u64>) -> String {
        let limit = self.size.map_or(PAGE, |size| size.saturating_sub(at.unwrap_or_default()).clamp(1, PAGE));
        let from = match (at, self.since) {
            (Some(at), _) => format!("from={at}"),
            (None, Some(since)) => format!("since={since}"),
            (None, None) => "from=0".to_owned(),
        };
        // A call is recorded later than it happened, so events by their own time are looked for further on.
        let late = if self.format == Format::Ocsf { LATE } else { std::time::Duration::ZERO };
        let until = self.until.map(|until| format!("&until={}", until.plus(late))).unwrap_or_default();
        format!("/api/v1/audit/export?{from}&limit={limit}{until}")
    }

    /// Writes a page; answers how many lines that are.
    fn put(&self, sink: &mut Sink, page: &Page) -> Result<u64, Failure> {
        if self.format == Format::Jsonl {
            sink.put(&page.lines)?;
            return Ok(page.next - page.from);
        }
        let (mut out, mut count) = (Vec::new(), 0);
        for (place, line) in
            (page.from..).zip(page.lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()))
        {
            let entry: Value = serde_json::from_slice(line).unwrap_or_default();
            let event = ocsf::event(&entry).ok_or_else(|| {
                let fix = "Export it with --format jsonl, and check it with `shortbread audit verify`.";
                Failure::new(format!("what stands at place {place} of the log is no entry"), fix)
            })?;
            let time = event.get("time").and_then(Value::as_u64).map(Timestamp::from_millis);
            let early = self.since.zip(time).is_some_and(|(since, time)| time < since);
            let late = self.until.zip(time).is_some_and(|(until, time)| time > until);
            if !early && !late {
                out.extend(event.to_string().into_bytes());
                out.push(b'\n');
                count += 1;
            }
        }
        sink.put(&out)?;
        Ok(count)
    }
}

impl Sink {
    fn put(&mut self, lines: &[u8]) -> Result<(), Failure> {
        match self {
            Self::File(file) => file.put(lines),
            Self::Stdout(ui) => {
                if !ui.raw(lines) {
                    *self = Self::Gone;
                }
                Ok(())
            }
            Self::Gone => Ok(()),
        }
    }
}

// The part of a page before a place.
fn until(page: Page, end: u64) -> Page {
    if page.next <= end {
        return page;
    }
    if page.from >= end {
        return Page { from: end, next: end, lines: Vec::new(), ..page };
    }
    let keep = usize::try_from(end.saturating_sub(page.from)).unwrap_or(usize::MAX);
    let lines = page.lines.split_inclusive(|byte| *byte == b'\n').take(keep).collect::<Vec<_>>().concat();
    Page { next: end, lines, ..page }
}

fn unsound(path: &Path) -> Failure {
    let what = "the leaves that the broker serves do not come to the root that its checkpoint signs";
    let fix = format!(
        "The log or its tiles were tampered with, or the store is damaged. {} and its proof were written all the same: keep them, and \
         see what `shortbread audit verify {}` says with a checkpoint that was kept outside.",
        path.display(),
        path.display()
    );
    Failure::new(what, fix)
}

fn say(context: &Context, args: &ExportArgs, written: &Written, proof: Option<&Path>) {
    let (ui, file) = (context.ui, args.out.as_deref().unwrap_or(Path::new("-")));
    if ui.is_json() {
        ui.json(&json!({ "file": file, "proof": proof, "first": written.first, "next": written.next, "lines": written.lines }));
        return;
    }
    ui.line(&format!("{} lines in {}", grouped(written.lines), file.display()));
    let mut pairs = vec![("places", format!("{} up to {}", grouped(written.first), grouped(written.next)))];
    if written.first > 0 && args.since.is_none() {
        pairs.push(("before", "older entries were pruned; their hashes stay in the tree".to_owned()));
    }
    if let Some(proof) = proof {
        pairs.push(("proof", proof.display().to_string()));
        let part = match (args.since.is_some() || args.until.is_some(), written.first) {
            (true, _) => " --partial".to_owned(),
            (false, 0) => String::new(),
            (false, first) => format!(" --from {first}"),
        };
        pairs.push(("check it", format!("shortbread audit verify {}{part}", file.display())));
    }
    ui.pairs(&pairs);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_cut_at_a_place() {
        let page = |next: u64, lines: &str| Page { from: 3, next, end: 9, lines: lines.as_bytes().to_vec() };
        assert_eq!(until(page(5, "a\nb\n"), 7), page(5, "a\nb\n"));
        assert_eq!(until(page(5, "a\nb\n"), 4), page(4, "a\n"));
        assert_eq!(until(page(5, "a\nb\n"), 3), page(3, ""));
        assert_eq!(until(page(5, "a\nb\n"), 2).from, 2, "the log was shorter when its checkpoint was taken");
    }

    #[test]
    fn the_proof_stands_beside_the_export() {
        assert_eq!(beside(Path::new("a/audit.jsonl")), Path::new("a/audit.jsonl.proof"));
    }
}
