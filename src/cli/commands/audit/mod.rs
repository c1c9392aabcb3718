//! `shortbread audit`: who did what, what was decided, and proof of it.

mod case;
mod erase;
mod export;
mod line;
mod ocsf;
mod show;
mod story;
mod tail;
mod verify;

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::failure::Failure;

/// Read the audit log: who did what, and what was decided; export it, and prove it; make cases of decisions, and erase
/// what they depended on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread audit tail --follow
  shortbread audit show dec_0193a5c7e1f27d3a9b4c5d6e7f809112
  shortbread audit export --out audit.jsonl
  shortbread audit verify audit.jsonl --checkpoint anchors.txt
  shortbread audit case dec_0193a5c7e1f27d3a9b4c5d6e7f809112 --expect deny >> cases.jsonl
  shortbread audit erase --subject repo:acme/web:environment:prod --reason \"request 17\" --dry-run")]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    Tail(tail::TailArgs),
    Show(show::ShowArgs),
    Export(export::ExportArgs),
    Verify(verify::VerifyArgs),
    Case(case::CaseArgs),
    Erase(erase::EraseArgs),
}

/// Shows, exports or checks entries.
///
/// # Errors
/// When the broker cannot be reached or refuses, nothing bears the id, or the log is not as it was signed.
pub(crate) async fn run(args: &AuditArgs, context: &Context) -> Result<(), Failure> {
    match &args.command {
        AuditCommand::Tail(args) => tail::run(args, context).await,
        AuditCommand::Show(args) => show::run(args, context).await,
        AuditCommand::Export(args) => export::run(args, context).await,
        AuditCommand::Verify(args) => verify::run(args, context),
        AuditCommand::Case(args) => case::run(args, context).await,
        AuditCommand::Erase(args) => erase::run(args, context).await,
    }
}

/// Whether this can be an id, and stand in a URL as it is.
fn is_id(id: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=64).contains(&id.len()) && id.bytes().all(plain)
}
