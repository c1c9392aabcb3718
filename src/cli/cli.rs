//! The commands and their flags; each command's own flags stand beside its code.

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    approvals, attenuate, audit, backup, break_glass, console, dev, doctor, drill, exchange, explain, health,
    init, inspect, keys, lift, login, notices, policy, report, restore, revocations,
};
use crate::commands::{revoke, runbook, serve, verify, workflows};

/// Short-lived tokens for agent workflows, and the switch that stops them.
#[derive(Debug, Parser)]
#[command(name = "shortbread", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// Answer in JSON, for programs.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  shortbread login --broker https://broker.acme.example --key keys/alice.pem
  shortbread revoke --workflow release-notes --reason \"posts to the wrong repository\"
  shortbread explain policy.not_granted

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
Settings come from flags, then SHORTBREAD_BROKER, SHORTBREAD_KEY, SHORTBREAD_OPERATOR and
SHORTBREAD_ROOT, then the file that `shortbread login` writes (SHORTBREAD_CONFIG names another one).";

/// What the program does: one line here and one in `commands::run` for each.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Dev(dev::DevArgs),
    Init(init::InitArgs),
    Serve(serve::ServeArgs),
    Login(login::LoginArgs),
    Exchange(exchange::ExchangeArgs),
    Attenuate(attenuate::AttenuateArgs),
    Approvals(approvals::ApprovalsArgs),
    Inspect(inspect::InspectArgs),
    Verify(verify::VerifyArgs),
    Revoke(revoke::RevokeArgs),
    Lift(lift::LiftArgs),
    Revocations(revocations::RevocationsArgs),
    Policy(policy::PolicyArgs),
    Workflows(workflows::WorkflowsArgs),
    Audit(audit::AuditArgs),
    Report(report::ReportArgs),
    Notices(notices::NoticesArgs),
    Console(console::ConsoleArgs),
    Keys(keys::KeysArgs),
    Backup(backup::BackupArgs),
    Restore(restore::RestoreArgs),
    BreakGlass(break_glass::BreakGlassArgs),
    Drill(drill::DrillArgs),
    Doctor(doctor::DoctorArgs),
    Health(health::HealthArgs),
    Explain(explain::ExplainArgs),
    Runbook(runbook::RunbookArgs),
}

/// Which broker to talk to, where the settings do not say it.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Connection {
    /// The broker's public URL [default: SHORTBREAD_BROKER, then the client config].
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    pub(crate) broker: Option<String>,
    /// The client config [default: SHORTBREAD_CONFIG, then ~/.config/shortbread/client.toml].
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub(crate) config: Option<std::path::PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_and_examples() {
        fn visit(command: &clap::Command) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} says what it does");
            assert!(command.get_after_help().is_some(), "{name} has examples");
            for arg in
                command.get_arguments().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str()))
            {
                assert!(arg.get_help().is_some(), "{name} {} has help", arg.get_id());
            }
            command.get_subcommands().for_each(visit);
        }
        visit(&Cli::command());
    }
}
