//! `shortbread revocations publish`: the signed list as files, which any web server or object store can serve.

mod disk;
mod mirror;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use shortbread_protocol::revocations::MAX_HEAD;

use self::mirror::{Mirror, Written};
use crate::cli::Connection;
use crate::client::{Broker, Events};
use crate::config::Settings;
use crate::context::Context;
use crate::failure::Failure;
use crate::server::stop_signal;
use crate::text::count;

/// Between two polls, while there is no stream.
const POLL: Duration = Duration::from_secs(2);

/// After so many polls the stream is tried again.
const POLLS: usize = 5;

/// Tries to get all files of a head before the next one replaces it.
const TRIES: usize = 5;

/// Write the signed list as files, for any web server or object store to serve.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread revocations publish /srv/mirror --root keys/root.pub.pem
  shortbread revocations publish /srv/mirror --watch

DIR/revocations/head is written last, when every file that it names is there; where the files are
copied on, copy it last too. A verifier follows a mirror as it follows a broker, and believes
neither: it checks signatures, hashes and order itself.")]
pub(super) struct PublishArgs {
    /// Where the files go: served as the root of the mirror's address.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Go on with every new list until stopped.
    #[arg(long)]
    watch: bool,
    /// The broker's public root key: check signatures too, before anything is written [default: SHORTBREAD_ROOT, then
    /// the client config].
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// Writes them.
///
/// # Errors
/// When the broker cannot be reached, what it serves does not hold together, or the files cannot be written. While
/// watching, only the first time.
pub(super) async fn run(args: &PublishArgs, context: &Context) -> Result<(), Failure> {
    let settings = Settings::of(context, &args.connection)?;
    let (broker, root) = (settings.broker()?, settings.root(args.root.as_deref())?);
    let mirror = Mirror::new(&args.dir, broker.url(), root);
    let work = once(&mirror, &broker, context);
    let written = context.ui.wait("fetching the list", work).await?;
    if !args.watch {
        tell_once(&mirror, &written, context);
        return Ok(());
    }
    tell(&written, context);
    tokio::select! {
        () = Watch { mirror: &mirror, broker: &broker, context, complained: None }.run() => Ok(()),
        () = stop_signal() => {
            say(context, "stopped", "the mirror is no longer renewed; verifiers that follow it alone will grow strict");
            Ok(())
        }
    }
}

/// The head that is served now, with all it names.
async fn once(mirror: &Mirror, broker: &Broker, context: &Context) -> Result<Written, Failure> {
    let mut last = None;
    for _ in 0..TRIES {
        let head = broker.file("/revocations/head", MAX_HEAD as u64).await?;
        let head = head.ok_or_else(|| {
            let fix = "Check that the address is that of a Shortbread broker.";
            Failure::new(format!("{} serves no revocation list", broker.url()), fix)
        })?;
        match mirror.bring(broker, &head, context.now()).await? {
            Some(written) => return Ok(written),
            // It named files that are gone: another head has taken its place.
            None => last = Some(head.len()),
        }
    }
    let what = format!("the list changed {} times while its files were fetched", last.map_or(0, |_| TRIES));
    Err(Failure::new(what, "Try again; with --watch it goes on by itself."))
}

/// Follows a broker, whatever happens on the way.
struct Watch<'a> {
    mirror: &'a Mirror,
    broker: &'a Broker,
    context: &'a Context,
    /// What was last said to be wrong; said again only when it changes.
    complained: Option<String>,
}

impl Watch<'_> {
    async fn run(mut self) {
        loop {
            match self.broker.heads().await {
                Ok(events) => {
                    say(self.context, "stream", "following the broker's stream");
                    self.follow(events).await;
                }
                Err(failure) => self.complain(&failure),
            }
            say(self.context, "poll", "no stream now; asking every 2 s");
            for _ in 0..POLLS {
                let turn = once(self.mirror, self.broker, self.context).await;
                self.note(turn);
                tokio::time::sleep(POLL).await;
            }
        }
    }

    async fn follow(&mut self, mut events: Events) {
        loop {
            let event = match events.next().await {
                Ok(Some(event)) => event,
                Ok(None) => return,
                Err(failure) => return self.complain(&failure),
            };
            if event.kind != "head" {
                // Its file is fetched like any other: what is served must be what was checked.
                continue;
            }
            match self.mirror.bring(self.broker, event.data.as_bytes(), self.context.now()).await {
                Ok(Some(written)) => self.note(Ok(written)),
                // Another head is on its way.
                Ok(None) => {}
                Err(failure) => self.complain(&failure),
            }
        }
    }

    fn note(&mut self, turn: Result<Written, Failure>) {
        match turn {
            Ok(written) => {
                if self.complained.take().is_some() {
                    say(self.context, "recovered", "the mirror is renewed again");
                }
                tell(&written, self.context);
            }
            Err(failure) => self.complain(&failure),
        }
    }

    fn complain(&mut self, failure: &Failure) {
        let text = failure.to_string();
        if self.complained.as_ref() != Some(&text) {
            failure.report(&self.context.ui);
            self.complained = Some(text);
        }
    }
}

fn say(context: &Context, event: &str, text: &str) {
    if context.ui.is_json() {
        context.ui.json_line(&json!({ "event": event, "message": text }));
    } else {
        context.ui.line(text);
    }
}

// A list every few seconds says nothing to people; what came with it does.
fn tell(written: &Written, context: &Context) {
    if context.ui.is_json() {
        context.ui.json_line(&body(written));
    } else if written.files > 0 {
        context.ui.line(&sentence(written));
    }
}

fn tell_once(mirror: &Mirror, written: &Written, context: &Context) {
    if context.ui.is_json() {
        context.ui.json(&body(written));
        return;
    }
    context.ui.line(&sentence(written));
    if !mirror.checks_signatures() {
        context.ui.remark("signatures were not checked; name the root key with --root");
    }
}

fn sentence(written: &Written) -> String {
    let Written { seq, contents, files, bytes, removed, .. } = written;
    let old = if *removed > 0 { format!(", {} removed", count(*removed, "old file")) } else { String::new() };
    format!("list {seq} written, last change {contents}: {}, {bytes} bytes{old}", count(*files, "new file"))
}

fn body(written: &Written) -> serde_json::Value {
    let Written { seq, contents, files, bytes, removed, break_glass, checked } = written;
    json!({
        "event": "written", "seq": seq, "contents": contents, "files": files, "bytes": bytes, "removed": removed,
        "break_glass": break_glass, "signature_checked": checked,
    })
}
