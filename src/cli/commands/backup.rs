//! `shortbread backup`: a copy of the store, while the broker runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use serde_json::json;
use shortbread_broker::config::Config;
use shortbread_broker::store::{Backup, BackupError, Copying, StoreError, StoreKind, back_up};

use crate::context::Context;
use crate::failure::Failure;
use crate::server::stop_signal;
use crate::text::grouped;
use crate::ui::Ui;

/// Copy the store to a file while the broker runs.
///
/// It runs on the broker's machine and needs no operator. What is copied is the store as it stood at one moment; the
/// file has its name only when it is whole and checked. Keys, policy file and configuration are files of their own: keep
/// copies of them apart from it, and the private root key apart from everything. A backup holds what the audit log holds:
/// let nobody read it who may not read that.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread backup --config /etc/shortbread/broker.toml /var/backups/shortbread-2026-11-20.db
  shortbread backup --config .shortbread/broker.toml backup.db --force --json")]
pub(crate) struct BackupArgs {
    /// The file to write.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "broker.toml")]
    config: PathBuf,
    /// Replace the file if it is there; the old one stays until the new one is whole.
    #[arg(long)]
    force: bool,
}

/// Makes a backup and says what is in it.
///
/// # Errors
/// When the store is not sound, the file is there already, or its disk is full; nothing is left of it then.
pub(crate) async fn run(args: &BackupArgs, context: &Context) -> Result<(), Failure> {
    let config = Config::read(&args.config).map_err(|error| {
        Failure::new(format!("no backup: {error}"), "Name the broker's own configuration.")
    })?;
    let at = context.now();
    let (from, issuer) = (config.store.sqlite, config.issuer);
    let (to, force) = (args.file.clone(), args.force);
    let copied = copying(context.ui, move |tell| back_up(&from, &issuer, &to, force, tell)).await;
    let Backup { facts, bytes } = copied.map_err(|error| failed(&error))?;
    if context.ui.is_json() {
        context.ui.json(&json!({
            "file": args.file, "bytes": bytes, "at": at.to_string(), "issuer": facts.issuer,
            "dev": facts.kind == StoreKind::Dev, "schema": facts.schema, "audit_entries": facts.audit,
            "seq": facts.seq, "head": facts.head.map(|head| head.to_string()),
        }));
        return Ok(());
    }
    context.ui.heading("The store is backed up, and the copy is sound.");
    let mut pairs = vec![
        ("file", args.file.display().to_string()),
        ("size", format!("{} bytes", grouped(bytes))),
        ("taken", at.to_string()),
        ("issuer", facts.issuer),
        ("audit log", entries(facts.audit)),
        ("revocation list", format!("{}, the last number in it", facts.seq)),
    ];
    pairs.extend(facts.head.map(|head| ("last head", format!("signed {head}"))));
    context.ui.pairs(&pairs);
    if facts.kind == StoreKind::Dev {
        context.ui.line("It is of a store that `shortbread dev` made; `serve` refuses it.");
    }
    Ok(())
}

/// Runs work that copies pages where it may block, says how far it is, and tells it to stop when the program is told to.
///
/// # Errors
/// As the work fails.
pub(super) async fn copying<T, E, F>(ui: Ui, work: F) -> Result<T, E>
where
    F: FnOnce(&mut (dyn FnMut(Copying) -> bool + Send)) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<BackupError> + Send + 'static,
{
    let stopped = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stopped);
    let work = tokio::task::spawn_blocking(move || {
        let mut teller = Teller { ui, said: None };
        work(&mut |copying| {
            teller.tell(copying);
            !asked.load(Ordering::Relaxed)
        })
    });
    tokio::pin!(work);
    let done = tokio::select! {
        done = &mut work => done,
        () = stop_signal() => {
            stopped.store(true, Ordering::Relaxed);
            work.await
        }
    };
    ui.progress_over();
    done.unwrap_or_else(|_| Err(BackupError::Stopped.into()))
}

/// Says how far copying is, percent by percent.
struct Teller {
    ui: Ui,
    said: Option<u64>,
}

impl Teller {
    fn tell(&mut self, copying: Copying) {
        // A line each time would fill a log.
        if !self.ui.has_progress() {
            return;
        }
        match copying {
            Copying::Checking => self.ui.progress("checking the copy"),
            Copying::Pages { done, all } => {
                let percent = (done * 100).checked_div(all).unwrap_or(100);
                if self.said.replace(percent) != Some(percent) {
                    self.ui.progress(&format!("copying: {percent} % of {} MiB", all * 4 / 1024));
                }
            }
        }
    }
}

fn failed(error: &BackupError) -> Failure {
    let fix = match error {
        BackupError::Store(StoreError::Full { .. }) => {
            "Free some space there, or name a file on another disk."
        }
        BackupError::Store(StoreError::Missing { .. }) => {
            "Name the broker's own configuration with --config."
        }
        _ => "",
    };
    Failure::new(format!("no backup: {error}"), fix)
}

/// `1 entry`, `1,000 entries`.
pub(super) fn entries(number: u64) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{} entries", grouped(number)) }
}
