//! `shortbread drill`: the emergency, walked through without changing anything, and timed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::json;
use shortbread_protocol::admin::{ChangeAnswer, LiftBody, RevokeBody, StateCounts, StatusAnswer};
use shortbread_protocol::clock::{FOREVER, Timestamp};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::revocations::{BreakGlass, Cause, origin};

use super::break_glass::head;
use super::keys::root;
use crate::cli::Connection;
use crate::client::{Broker, Session};
use crate::config::Settings;
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::published;
use crate::text::{count, span};
use crate::ui::{Piece, Style};

/// A list that is older than so many seconds stops the first calls at verifiers that have nothing better.
const STALE: u64 = 60;

/// Walk through the emergency without changing anything, and see how long each step takes.
///
/// The switch (`revoke --all`, as a dry run), what it would hit, who has the list, the break-glass file (signed into a
/// temporary file and checked), the mirrors that would serve it, and the way back. A step that cannot be done here is named,
/// and the command then ends with 1: in an emergency it could not be done either.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread drill --dry-run
  shortbread drill --dry-run --root root.pem --mirror https://lists.acme.example")]
pub(crate) struct DrillArgs {
    /// Change nothing. A drill is always dry; this says that you know.
    #[arg(long)]
    dry_run: bool,
    /// The private root key, to practise break glass with.
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// A file that holds the passphrase of the root key [default: SHORTBREAD_KEY_PASSPHRASE].
    #[arg(long, value_name = "FILE", requires = "root")]
    passphrase_file: Option<PathBuf>,
    /// A mirror of the broker's lists, to see whether it serves them. Can be repeated.
    #[arg(long, value_name = "URL")]
    mirror: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Done,
    NotDone,
}

#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    outcome: Outcome,
    milliseconds: u64,
    detail: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    fix: String,
}

/// The steps so far, each with its time.
struct Drill<'a> {
    args: &'a DrillArgs,
    context: &'a Context,
    steps: Vec<Step>,
}

/// Walks through.
///
/// # Errors
/// When a step could not be done; the table says which.
pub(crate) async fn run(args: &DrillArgs, context: &Context) -> Result<(), Failure> {
    if !args.dry_run {
        return Err(Failure::usage(
            "a drill changes nothing, and there is no other kind: say so with --dry-run",
        ));
    }
    let mut drill = Drill { args, context, steps: Vec::new() };
    let begun = context.clock.monotonic();
    drill.list().await;
    drill.switch().await;
    drill.verifiers().await;
    drill.break_glass();
    drill.mirrors().await;
    drill.restore().await;
    drill.tell(context.clock.monotonic().saturating_sub(begun))
}

impl Drill<'_> {
    async fn list(&mut self) {
        let begun = self.begin();
        let found = async {
            let settings = self.settings()?;
            let (broker, root) = (settings.broker()?, settings.root(None)?);
            let head = published::head(&broker, root.as_ref()).await?;
            let age = self.context.now().since(Timestamp::from_seconds(head.issued)).as_secs();
            let stopped = match head.global {
                0 => "",
                FOREVER => "; everything is stopped already",
                _ => "; everything issued before a moment is stopped",
            };
            let checked =
                if head.checked { "" } else { ", signature not checked (no root key in the settings)" };
            Ok(format!("list {}, signed {} ago{checked}{stopped}", head.seq, span(age)))
        };
        let found = found.await;
        self.end("the list is served", begun, found);
    }

    async fn switch(&mut self) {
        let begun = self.begin();
        let asked = async {
            let mut session = self.session("revocations.revoke")?;
            let body = RevokeBody {
                selectors: Vec::new(),
                all: true,
                issued_so_far: false,
                cause: Cause::Incident,
                reason: "drill".to_owned(),
                dry_run: true,
            };
            let answer: ChangeAnswer = session.post("/api/v1/revocations", &body).await?;
            Ok(format!("revoke --all would stop {}", touched(&answer)))
        };
        let asked = asked.await;
        self.end("the switch, dry", begun, asked);
    }

    async fn verifiers(&mut self) {
        let begun = self.begin();
        let asked = async {
            let mut session = self.session("revocations.read")?;
            let status: StatusAnswer = session.get("/api/v1/revocations/status").await?;
            enforced(&status)
        };
        let asked = asked.await;
        self.end("who has the list", begun, asked);
    }

    fn break_glass(&mut self) {
        let begun = self.begin();
        let done = self.root().and_then(|(root, issuer)| practise(&root, &issuer, self.context.now()));
        self.end("break glass, signed and checked", begun, done);
    }

    async fn mirrors(&mut self) {
        if self.args.mirror.is_empty() {
            let begun = self.begin();
            let fix = "Name each mirror that verifiers follow with --mirror URL; set one up with `shortbread revocations publish`.";
            let none =
                Failure::new("no mirror is named: with the broker gone, nobody would serve the file", fix);
            return self.end("the mirrors", begun, Err(none));
        }
        for mirror in &self.args.mirror {
            let begun = self.begin();
            let found = mirrored(mirror, self.context.now()).await;
            self.end("a mirror", begun, found);
        }
    }

    async fn restore(&mut self) {
        let begun = self.begin();
        let asked = async {
            let mut session = self.session("revocations.lift")?;
            let body = LiftBody {
                selectors: Vec::new(),
                all: true,
                revive: false,
                reason: "drill".to_owned(),
                dry_run: true,
            };
            let answer: ChangeAnswer = session.post("/api/v1/revocations/lift", &body).await?;
            Ok(format!("lift --all would concern {}", touched(&answer)))
        };
        let asked = asked.await;
        self.end("the way back, dry", begun, asked);
    }

    fn settings(&self) -> Result<Settings, Failure> {
        Settings::of(self.context, &self.args.connection)
    }

    fn session(&self, verb: &str) -> Result<Session<'_>, Failure> {
        Session::open(self.context, &self.args.connection, verb)
    }

    fn root(&self) -> Result<(PrivateKey, String), Failure> {
        let fix = "Fetch it from where it is kept, and name it with --root FILE. Where nobody can, nobody can break the glass.";
        let path = self
            .args
            .root
            .as_deref()
            .ok_or_else(|| Failure::new("the private root key is not at hand", fix))?;
        let issuer = self.settings()?.broker()?.url().to_owned();
        let key = root(self.context, path, self.args.passphrase_file.as_deref())?;
        let pinned = self.settings()?.root(None)?;
        if pinned.is_some_and(|pinned| pinned != key.public()) {
            let what = format!("{} is not the root key that your settings pin", path.display());
            return Err(Failure::new(what, "Verifiers would not believe it. Find the right one."));
        }
        Ok((key, issuer))
    }

    fn begin(&self) -> Duration {
        self.context.clock.monotonic()
    }

    fn end(&mut self, step: &'static str, begun: Duration, done: Result<String, Failure>) {
        let spent = self.context.clock.monotonic().saturating_sub(begun);
        let milliseconds = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
        let (outcome, detail, fix) = match done {
            Ok(detail) => (Outcome::Done, detail, String::new()),
            Err(failure) => (Outcome::NotDone, failure.to_string(), failure.fix()),
        };
        self.steps.push(Step { step, outcome, milliseconds, detail, fix });
    }

    fn tell(&self, spent: Duration) -> Result<(), Failure> {
        let (ui, whole) = (self.context.ui, u64::try_from(spent.as_millis()).unwrap_or(u64::MAX));
        let lacking = self.steps.iter().filter(|step| step.outcome == Outcome::NotDone).count();
        if ui.is_json() {
            ui.json(
                &json!({ "dry_run": true, "steps": self.steps, "not_done": lacking, "milliseconds": whole }),
            );
        } else {
            ui.table(&["step", "outcome", "time", "what"], self.steps.iter().map(row).collect());
            for step in self.steps.iter().filter(|step| !step.fix.is_empty()) {
                ui.line(&format!("{}: {}", step.step, step.fix));
            }
            let sum = match lacking {
                0 => "every step could be done".to_owned(),
                lacking => format!("{} could not be done", count(lacking as u64, "step")),
            };
            ui.line(&format!("nothing was changed; {sum}, in {whole} ms"));
        }
        if lacking == 0 { Ok(()) } else { Err(Failure::Told) }
    }
}

fn row(step: &Step) -> Vec<Piece> {
    let outcome = match step.outcome {
        Outcome::Done => (Style::Good, "done".to_owned()),
        Outcome::NotDone => (Style::Bad, "not done".to_owned()),
    };
    vec![
        (Style::Bold, step.step.to_owned()),
        outcome,
        (Style::Plain, format!("{} ms", step.milliseconds)),
        (Style::Plain, step.detail.clone()),
    ]
}

fn enforced(status: &StatusAnswer) -> Result<String, Failure> {
    let StateCounts { enforcing, behind, silent, .. } = status.instances;
    let told =
        format!("{} of {} known verifiers enforce the last change", enforcing, enforcing + behind + silent);
    if silent > 0 {
        let fix = "`shortbread revocations status` names those that are silent: find out whether they still decide calls.";
        return Err(Failure::new(format!("{told}; {} silent", count(silent, "verifier")), fix));
    }
    if !status.unreported.is_empty() {
        let unreported = status.unreported.join(", ");
        return Ok(format!("{told}; nobody reports for {unreported}: there the bound alone holds"));
    }
    Ok(told)
}

fn touched(answer: &ChangeAnswer) -> String {
    if answer.touched.uncounted {
        return "what could not be counted in time".to_owned();
    }
    let touched = &answer.touched;
    let holders = match touched.workflows {
        1 => "1 workflow or operator".to_owned(),
        many => format!("{many} workflows or operators"),
    };
    format!("{} of {holders}", count(touched.tokens, "living token"))
}

/// Signs a stop and its lift into temporary files, and reads them back as a verifier would.
fn practise(root: &PrivateKey, issuer: &str, now: Timestamp) -> Result<String, Failure> {
    let origin = origin(issuer);
    let stop = head(false, false, None, now);
    let lift = head(true, false, Some(stop.seq + 1), now);
    for (name, meant) in [("stop", stop), ("lift", lift)] {
        let file = Temporary::at(name, now);
        files::create(&file.0, meant.sign(&origin, root).as_bytes(), true)?;
        let read = BreakGlass::open(&files::read(&file.0)?, &origin, &root.public());
        if read != Ok(meant) {
            let what = format!("the {name} that was signed is not read back as it was meant");
            return Err(Failure::new(what, "Do not rely on this key or this machine; report this."));
        }
    }
    Ok(format!("a stop for {origin} and its lift are signed by the root key; neither is kept"))
}

/// A file that goes when this goes: a stop must not lie about.
struct Temporary(PathBuf);

impl Temporary {
    fn at(name: &str, now: Timestamp) -> Self {
        let name = format!("shortbread-drill-{}-{}-{name}.txt", std::process::id(), now.millis());
        Self(std::env::temp_dir().join(Path::new(&name)))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What was never written needs no removing.
        let _ = std::fs::remove_file(&self.0);
    }
}

// Who serves a mirror's files is no broker.
fn without_broker(text: &str, mirror: &str) -> String {
    text.replace(&format!("no connection to the broker at {mirror}"), "no connection")
}

async fn mirrored(mirror: &str, now: Timestamp) -> Result<String, Failure> {
    let source = Broker::new(mirror)?;
    let head = published::head(&source, None).await.map_err(|failure| {
        let fix = "Start the web server of this mirror, and renew its files with `shortbread revocations publish --watch`.";
        Failure::new(format!("{mirror} serves no list: {}", without_broker(&failure.to_string(), mirror)), fix)
    })?;
    let age = now.since(Timestamp::from_seconds(head.issued)).as_secs();
    if now.seconds() >= head.expires {
        let fix = "Find out why it is not refreshed; verifiers that follow it deny everything.";
        return Err(Failure::new(format!("{mirror} serves list {}, which is over", head.seq), fix));
    }
    if age > STALE {
        let fix = "Renew its files all the time: `shortbread revocations publish DIR --watch`.";
        let what = format!("{mirror} serves list {}, signed {} ago: it is not renewed", head.seq, span(age));
        return Err(Failure::new(what, fix));
    }
    let there = match source.get("/revocations/break-glass").await?.status {
        200 => "and a break-glass file",
        _ => "and no break-glass file yet",
    };
    Ok(format!("{mirror} serves list {}, {} old, {there}", head.seq, span(age)))
}
