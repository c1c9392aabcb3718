//! `shortbread revocations status`: the head for anyone, the verifiers for operators.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use shortbread_protocol::admin::StatusAnswer;
use shortbread_protocol::clock::{FOREVER, Timestamp};

use super::view;
use crate::cli::Connection;
use crate::client::Session;
use crate::config::Settings;
use crate::context::Context;
use crate::failure::Failure;
use crate::published::{self, HeadLines};
use crate::text::span;
use crate::ui::{Piece, Style};

/// How often `--watch` looks.
const LOOK: Duration = Duration::from_secs(1);
/// How many instances `--watch` draws, so that they fit on a screen.
const DRAWN: usize = 16;
const PATH: &str = "/api/v1/revocations/status";

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// The broker's public root key: check the signatures too [default: SHORTBREAD_ROOT, then the client config].
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Show it again and again: in place on a terminal, else a line for each change. Needs an operator's key.
    #[arg(long, conflicts_with = "check")]
    watch: bool,
    /// End with 1 when a verifier is behind or silent, nobody reports for a tool, or one is observed and not enforced.
    /// Needs an operator's key.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Shows the head, and with an operator's key who enforces it.
///
/// # Errors
/// When the broker cannot be reached, the list is over, or, with `--check`, somebody may not enforce it.
pub(super) async fn run(args: &StatusArgs, context: &Context) -> Result<(), Failure> {
    let settings = Settings::of(context, &args.connection)?;
    if args.watch {
        return watch(args, context).await;
    }
    let (broker, root) = (settings.broker()?, settings.root(args.root.as_deref())?);
    let work = published::head(&broker, root.as_ref());
    let head = context.ui.wait("fetching the list", work).await?;
    let reported =
        if settings.values.key.is_some() || args.check { Some(ask(args, context).await) } else { None };
    let reported = match reported {
        Some(Err(failure)) if !args.check => {
            context.ui.remark(&format!("who enforces it is not known here: {failure}"));
            None
        }
        other => other.transpose()?,
    };
    show(context, &head, reported.as_ref());
    if is_over(context, &head) {
        let fix = "Verifiers deny everything until a new list is signed. Run `shortbread doctor`.";
        return Err(Failure::new("the published revocation list is over", fix));
    }
    match reported {
        Some(status) if args.check && !all_well(&status) => Err(Failure::Told),
        _ => Ok(()),
    }
}

async fn ask(args: &StatusArgs, context: &Context) -> Result<StatusAnswer, Failure> {
    Session::open(context, &args.connection, "revocations.read")?.get(PATH).await
}

fn all_well(status: &StatusAnswer) -> bool {
    let observed = status.tools.iter().any(|tool| tool.observed_until.is_some());
    status.instances.behind == 0 && status.instances.silent == 0 && status.unreported.is_empty() && !observed
}

fn is_over(context: &Context, head: &HeadLines) -> bool {
    context.now().seconds() >= head.expires
}

fn show(context: &Context, head: &HeadLines, reported: Option<&StatusAnswer>) {
    let (ui, now) = (context.ui, context.now());
    let (age, expired) = (now.since(Timestamp::from_seconds(head.issued)).as_secs(), is_over(context, head));
    if ui.is_json() {
        return ui.json(&json!({
            "seq": head.seq, "issued": head.issued, "age": age, "expires": head.expires, "expired": expired,
            "global": head.global, "keys": head.keys, "signature_checked": head.checked, "reported": reported,
        }));
    }
    let ends = Timestamp::from_seconds(head.expires);
    let left = if expired { "over".to_owned() } else { format!("in {}", span(ends.since(now).as_secs())) };
    let stopped = match head.global {
        0 => "no".to_owned(),
        before if before >= FOREVER => "yes, until lifted".to_owned(),
        before => format!("what was issued before {}", Timestamp::from_seconds(before)),
    };
    let checked = if head.checked { "good" } else { "not checked; name the root key with --root" };
    ui.pairs(&[
        ("list", head.seq.to_string()),
        ("signed", format!("{} ({} ago)", Timestamp::from_seconds(head.issued), span(age))),
        ("expires", format!("{ends} ({left})")),
        ("all stopped", stopped),
        ("key document", format!("version {}", head.keys)),
        ("signature", checked.to_owned()),
    ]);
    if let Some(status) = reported {
        ui.line("");
        view::rows(status, usize::MAX).iter().for_each(|row| ui.pieces(row));
    }
}

/// Shows it until the user ends it. A broker that is away is waited for.
async fn watch(args: &StatusArgs, context: &Context) -> Result<(), Failure> {
    let mut session = Session::open(context, &args.connection, "revocations.read")?;
    // Whoever may not look is told so at once.
    let mut seen = Ok(session.get::<StatusAnswer>(PATH).await?);
    let (ui, mut drawn, mut last) = (context.ui, 0, None);
    loop {
        match &seen {
            _ if ui.is_live() => drawn = ui.redraw(drawn, &picture(&seen)),
            Ok(status) => {
                let news = Some(essence(status));
                if news != last {
                    if ui.is_json() {
                        ui.json_line(status);
                    } else {
                        ui.line(&view::line(status));
                    }
                    last = news;
                }
            }
            Err(failure) => {
                let news = Some(Value::String(failure.to_string()));
                if news != last {
                    ui.remark(&failure.to_string());
                    last = news;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
        seen = session.poll(PATH).await;
    }
}

fn picture(seen: &Result<StatusAnswer, Failure>) -> Vec<Vec<Piece>> {
    let plain = |style, text: String| vec![vec![(style, text)]];
    match seen {
        Ok(status) => {
            let at = Timestamp::from_seconds(status.now);
            let age = span(status.now.saturating_sub(status.issued));
            let mut rows = plain(Style::Bold, format!("list {} at {at}, signed {age} ago", status.head));
            rows.extend(view::rows(status, DRAWN));
            rows.extend(plain(Style::Dim, "Ctrl-C ends this".to_owned()));
            rows
        }
        Err(failure) => plain(Style::Bad, format!("{failure}; trying again")),
    }
}

// What makes a status another one: not the passing of time.
fn essence(status: &StatusAnswer) -> Value {
    let instances: Vec<_> =
        status.listed.iter().map(|body| (&body.instance, body.state, body.contents, body.step)).collect();
    let observed: Vec<_> = status.tools.iter().map(|tool| tool.observed_until).collect();
    json!([status.contents, status.instances, status.unreported, observed, instances])
}
