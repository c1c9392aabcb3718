//! `shortbread restore`: a backup takes the store's place, and nothing revoked comes back to life.

mod seen;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Value, json};
use shortbread_broker::activation::{Actor, PolicyHolder, Scope, read_policy};
use shortbread_broker::audit::{Scribe, begin};
use shortbread_broker::config::Config;
use shortbread_broker::policy::Options;
use shortbread_broker::store::{
    BackupError, Former, KnownLog, Restore, RestoreError, Restored, Restoring, Settle, Store, StoreError,
    StoreKind,
};
use shortbread_protocol::clock::{Clock, Timestamp};
use shortbread_protocol::random::Random;

use super::backup::{copying, entries};
use crate::context::Context;
use crate::failure::Failure;
use crate::server::surroundings;
use crate::ui::Style;

/// Put a backup in the place of the store, so that nothing revoked comes back to life.
///
/// Stop the broker first. The store that is there is moved aside, never deleted. Every token issued so far is dead
/// afterwards, every assertion from before is refused, and heads go on above --seq-floor: give the highest number of the
/// revocation list that anyone ever saw, since verifiers refuse a lower one. Read it where the list arrives: `SEQ` of
/// `shortbread revocations status` or the metric shortbread_revocation_seq of a verifier, or the line `seq` of the head in
/// a mirror (`curl https://mirror.acme.example/revocations/head`). Too high does no harm, too low is never right.
///
/// The audit log goes on after the backup's last entry. Unless the store that is there shows that nothing came after the
/// backup, its checkpoints bear a new origin from then on, named after the restore: one origin never has two roots of one
/// size. --checkpoint adds what was kept outside, where the store that is there may itself be an older copy.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread restore --config /etc/shortbread/broker.toml /var/backups/shortbread-2026-11-20.db --seq-floor 18342
  shortbread restore --config broker.toml backup.db --seq-floor 18342 --checkpoint anchors.jsonl
  shortbread restore --config broker.toml backup.db --seq-floor 18342 --activate-policy --json")]
pub(crate) struct RestoreArgs {
    /// The backup, as `shortbread backup` made it. It is read, not changed.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "broker.toml")]
    config: PathBuf,
    /// The highest number of the revocation list that any verifier or mirror ever saw, or a higher one.
    #[arg(long, value_name = "N")]
    seq_floor: u64,
    /// Checkpoints of the audit log that were kept outside, the newest included: the file of [log] anchor_file, or notes
    /// one after another. Can be repeated.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Put the policy file in force too: the backup may have an older policy, with operators who have been taken out since.
    #[arg(long)]
    activate_policy: bool,
}

const ALONE: &str = "(That nothing came after the backup is known from the store that was there alone: no checkpoint that was \
                     kept outside was looked at. If that store was itself an older copy, restore again with --checkpoint.)";

/// The policy that is in force in the restored store.
struct InForce {
    version: u64,
    since: Timestamp,
    by: String,
    /// Whether the policy file says the same; `None` when it cannot be read.
    is_file: Option<bool>,
}

/// Restores, and says what was done and what is to be done.
///
/// # Errors
/// When a broker runs, the backup is not sound or not of this broker, or the floor is too low.
pub(crate) async fn run(args: &RestoreArgs, context: &Context) -> Result<(), Failure> {
    let config = Config::read(&args.config).map_err(|error| {
        Failure::new(format!("nothing was restored: {error}"), "Name the broker's own configuration.")
    })?;
    let (clock, random) = surroundings();
    let held = seen::read(&args.checkpoint)?;
    let restoring = take(args, &config, context).await?;
    let seen = seen::all(&held, restoring.store(), &config).await?;
    if let Some(doubt) = &seen.doubt {
        context.ui.remark(&format!("{doubt}; so the audit log goes on under a new origin"));
    }
    let (is_alone, doubt) = (seen.is_nothing(), seen.doubt.clone());
    if args.activate_policy {
        activate(restoring.store().clone(), &config, &clock, &random).await?;
    }
    let policy = in_force(restoring.store(), &config).await?;
    let decision = begin(&*clock, &*random, None)?;
    let (scribe, id) = (Scribe::new(&config.issuer), decision.id.clone());
    let version = policy.as_ref().map(|policy| policy.version);
    let entry = move |restored: &Restored| scribe.restored(&decision, restored, version);
    let now = clock.now();
    let settle = Settle { now, id: id.clone(), unsure: seen.doubt.is_some(), seen: seen.logs };
    let (settled, restored) = restoring.settle(settle, entry).await.map_err(|error| failed(&error))?;
    let placed = tokio::task::spawn_blocking(move || settled.put_in_place(now)).await;
    let placed = placed.map_err(|_| failed(&BackupError::Stopped.into()))?;
    let aside = placed.map_err(|error| failed(&error))?;
    if context.ui.is_json() {
        let mut body = body(args, &config, &restored, policy.as_ref(), aside.as_deref(), &id);
        if let Some(log) = body.get_mut("log").and_then(Value::as_object_mut) {
            log.insert("outside".to_owned(), json!({ "looked_at": !is_alone, "doubt": doubt }));
        }
        context.ui.json(&body);
    } else {
        say(args, &config, &restored, policy.as_ref(), aside.as_deref(), &id, context);
        if is_alone && !restored.log.is_new() {
            context.ui.remark(ALONE);
        }
    }
    Ok(())
}

async fn take(args: &RestoreArgs, config: &Config, context: &Context) -> Result<Restoring, Failure> {
    let (backup, floor) = (args.file.clone(), args.seq_floor);
    let (store, issuer) = (config.store.sqlite.clone(), config.issuer.clone());
    let taken = copying(context.ui, move |tell| {
        let restore = Restore { backup: &backup, store: &store, issuer: &issuer, floor };
        Restoring::begin(&restore, tell)
    });
    taken.await.map_err(|error| failed(&error))
}

// As `init` does it: the host's own doing.
async fn activate(
    store: Store,
    config: &Config,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| {
        let fix = "Correct the policy file until `shortbread policy check` finds it sound, or leave --activate-policy out.";
        Failure::new(format!("nothing was restored: {error}"), fix)
    };
    let holder = PolicyHolder::load(store, &config.issuer, Scribe::new(&config.issuer))
        .await
        .map_err(|error| failed(&error))?;
    let actor = Actor::Host("restore");
    let decision = begin(&**clock, &**random, None)?;
    let version = holder.take_in(&config.policy, actor.name(), &decision).await.map_err(|e| failed(&e))?.n;
    if holder.version() == version {
        return Ok(());
    }
    let decision = begin(&**clock, &**random, None)?;
    let done = holder.activate(Some(version), Scope::default(), &actor, &decision, clock.monotonic()).await;
    done.map_err(|error| failed(&error))?;
    Ok(())
}

async fn in_force(store: &Store, config: &Config) -> Result<Option<InForce>, Failure> {
    let active = store.active_policy().await.map_err(|error| failed(&error.into()))?;
    let options = Options { issuer: config.issuer.clone() };
    let file = read_policy(&config.policy, store.meta().kind, &options).ok();
    Ok(active.map(|active| InForce {
        version: active.version.n,
        since: active.activation.at,
        by: active.activation.operator,
        is_file: file.map(|file| file.is(&active.version.digest)),
    }))
}

fn body(
    args: &RestoreArgs,
    config: &Config,
    restored: &Restored,
    policy: Option<&InForce>,
    aside: Option<&Path>,
    decision: &str,
) -> Value {
    let Restored { backup, floor, seq, not_before, made_from, taken, log, .. } = restored;
    let known =
        |log: &KnownLog| json!({ "origin": log.origin, "size": log.size, "root": STANDARD.encode(log.root) });
    json!({
        "store": config.store.sqlite, "backup": args.file, "former": aside, "former_state": state(&restored.former),
        "audit_entries": backup.audit, "backup_seq": backup.seq, "floor": floor, "seq": seq,
        "not_before": not_before, "made_from": made_from, "revocations_taken": taken,
        "policy": policy.map(|policy| json!({
            "version": policy.version, "since": policy.since.to_string(), "by": policy.by, "is_file": policy.is_file,
        })),
        "log": { "origin": log.origin, "new_origin": log.is_new(), "kept": known(&log.kept), "last": log.last.as_ref().map(known) },
        "decision_id": decision,
    })
}

fn state(former: &Former) -> &'static str {
    match former {
        Former::Absent => "absent",
        Former::Damaged(_) => "damaged",
        Former::Read(_) => "read",
    }
}

/// What was done, for people.
fn say(
    args: &RestoreArgs,
    config: &Config,
    restored: &Restored,
    policy: Option<&InForce>,
    aside: Option<&Path>,
    decision: &str,
    context: &Context,
) {
    let (ui, backup) = (&context.ui, &restored.backup);
    ui.heading("The store is restored.");
    let mut pairs = vec![("store", config.store.sqlite.display().to_string())];
    pairs.push(("from", args.file.display().to_string()));
    pairs.extend(aside.map(|aside| ("former store", format!("{} (kept)", aside.display()))));
    pairs.push(("audit log", format!("{}; what came after the backup is not in it", entries(backup.audit))));
    pairs.push(("log origin", origin(restored)));
    pairs.push(("revocation list", format!("goes on at {}, above {}", restored.seq, restored.floor)));
    pairs.push(("tokens", format!("dead if issued before {}", moment(restored.not_before))));
    pairs.push(("assertions", format!("refused if made before {}", moment(restored.made_from))));
    pairs.push(("revocations", taken(restored)));
    pairs.extend(policy.map(|policy| {
        let InForce { version, since, by, .. } = policy;
        ("policy", format!("version {version}, in force since {since} (by {by})"))
    }));
    pairs.push(("decision", decision.to_owned()));
    ui.pairs(&pairs);
    for warning in warnings(restored, policy) {
        ui.pieces(&[(Style::Warn, "! ".to_owned()), (Style::Plain, warning)]);
    }
    ui.heading("What to do now");
    next(args, restored).iter().for_each(|step| ui.line(step));
}

fn next(args: &RestoreArgs, restored: &Restored) -> [String; 4] {
    let serve = match restored.backup.kind {
        StoreKind::Broker => format!("shortbread serve --config {}", args.config.display()),
        StoreKind::Dev => "shortbread dev".to_owned(),
    };
    let from = moment(restored.made_from);
    [
        format!("1. Start the broker: {serve}. Verifiers and mirrors take its next head by themselves."),
        format!("2. Sign in again, from {from} on; workflows do so with new assertions, verifiers take new leases."),
        "3. Compare `shortbread revocations list` and `policy history` with what you know; revoke again what is missing.".to_owned(),
        "4. `shortbread lift --all` takes the stop off the list once no token of before can live, an hour from now; without --revive.".to_owned(),
    ]
}

fn moment(seconds: u64) -> String {
    Timestamp::from_seconds(seconds).to_string()
}

fn origin(restored: &Restored) -> String {
    let log = &restored.log;
    let why = if log.is_new() { "new" } else { "as before: nothing came after the backup" };
    format!("{} ({why})", log.origin)
}

fn taken(restored: &Restored) -> String {
    match &restored.former {
        Former::Absent => "the backup's alone: there was no store".to_owned(),
        Former::Damaged(_) => {
            format!("the backup's, and {} of what could be read of the former store", restored.taken)
        }
        Former::Read(_) => format!("the backup's, and {} from the former store", restored.taken),
    }
}

fn warnings(restored: &Restored, policy: Option<&InForce>) -> Vec<String> {
    let mut warnings = Vec::new();
    let backup = &restored.backup;
    match &restored.former {
        Former::Read(_) => {}
        Former::Absent if restored.floor == backup.seq => {}
        Former::Absent | Former::Damaged(_) => warnings.push(format!(
            "What was revoked for good after the backup, numbers {} to {} of the list, may be missing: a workflow or key that was revoked then is let in again. Mirrors and verifiers still have that list; revoke it again before others sign in.",
            backup.seq + 1,
            restored.floor
        )),
    }
    if let Former::Damaged(trouble) = &restored.former {
        warnings.push(format!("The former store could not be read to its end: {trouble}"));
    }
    match policy.map(|policy| policy.is_file) {
        None => warnings.push("No policy is in force: nothing is granted until one is activated.".to_owned()),
        Some(Some(true)) => {}
        Some(_) => warnings.push(
            "The policy in force is not that of the policy file: an operator, workflow or grant that a later policy took out is back. `restore --activate-policy` puts the file in force with the restore; or activate it first of all.".to_owned(),
        ),
    }
    warnings
        .push("Inputs that `audit erase` took away after the backup are back: erase them again.".to_owned());
    warnings.extend(lost(restored));
    warnings
}

/// What the audit log lost, and how that shows outside.
fn lost(restored: &Restored) -> Option<String> {
    let log = &restored.log;
    if !log.is_new() {
        return None;
    }
    let (kept, origin) = (entries(log.kept.size), &log.origin);
    let was = match &log.last {
        Some(last) => format!(
            "The newest that is known of the log that was there has {} (origin {}).",
            entries(last.size),
            last.origin
        ),
        None => "What came after it is not known.".to_owned(),
    };
    Some(format!(
        "The audit log goes on after {kept} under a NEW ORIGIN, {origin}: what came later was signed under {}, and is lost. {was} Tell whoever keeps its checkpoints. `audit verify` holds the old ones against what was kept, and takes it that the others are lost with `--restored ID`, the id of this restore.",
        log.kept.origin
    ))
}

fn failed(error: &RestoreError) -> Failure {
    let fix = match error {
        RestoreError::FloorTooLow { .. } => "Look at the verifiers and mirrors; `restore --help` says where.",
        RestoreError::Store(StoreError::InUse { .. }) => {
            "Stop the broker; it starts again with the restored store."
        }
        RestoreError::Backup(BackupError::Store(StoreError::Full { .. })) => {
            "Free some space there: the backup is copied beside the store that it replaces."
        }
        _ => "",
    };
    Failure::new(format!("nothing was restored: {error}"), fix)
}
