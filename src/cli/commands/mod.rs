//! One file per command: its flags, what it does, what it says.

pub(crate) mod approvals;
pub(crate) mod attenuate;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod break_glass;
mod change;
pub(crate) mod console;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod drill;
pub(crate) mod exchange;
pub(crate) mod explain;
pub(crate) mod health;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod keys;
pub(crate) mod lift;
pub(crate) mod login;
pub(crate) mod notices;
pub(crate) mod policy;
pub(crate) mod report;
pub(crate) mod restore;
pub(crate) mod revocations;
pub(crate) mod revoke;
pub(crate) mod runbook;
pub(crate) mod serve;
pub(crate) mod verify;
pub(crate) mod workflows;

use crate::cli::Command;
use crate::context::Context;
use crate::failure::Failure;

/// Runs a command.
///
/// # Errors
/// As the command fails.
pub(crate) async fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Approvals(args) => approvals::run(args, context).await,
        Command::Attenuate(args) => attenuate::run(args, context),
        Command::Dev(args) => dev::run(args, context).await,
        Command::Init(args) => init::run(args, context).await,
        Command::Serve(args) => serve::run(args, context).await,
        Command::Login(args) => login::run(args, context).await,
        Command::Exchange(args) => exchange::run(args, context).await,
        Command::Inspect(args) => inspect::run(args, context).await,
        Command::Verify(args) => verify::run(args, context).await,
        Command::Revoke(args) => revoke::run(args, context).await,
        Command::Lift(args) => lift::run(args, context).await,
        Command::Revocations(args) => revocations::run(args, context).await,
        Command::Console(args) => console::run(args, context).await,
        Command::Notices(args) => notices::run(args, context).await,
        Command::Workflows(args) => workflows::run(args, context).await,
        Command::Policy(args) => policy::run(args, context).await,
        Command::Audit(args) => audit::run(args, context).await,
        Command::Report(args) => report::run(args, context).await,
        Command::Keys(args) => keys::run(args, context).await,
        Command::Backup(args) => backup::run(args, context).await,
        Command::Restore(args) => restore::run(args, context).await,
        Command::BreakGlass(args) => break_glass::run(args, context),
        Command::Drill(args) => drill::run(args, context).await,
        Command::Doctor(args) => doctor::run(args, context).await,
        Command::Health(args) => health::run(args, context).await,
        Command::Explain(args) => explain::run(args, context),
        Command::Runbook(args) => runbook::run(args, context),
    }
}
