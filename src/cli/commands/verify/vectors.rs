//! `shortbread verify`: whether this program decides as the vectors say.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use shortbread_verifier::vectors;

use crate::context::Context;
use crate::failure::Failure;
use crate::files;

/// Check this verifier against a file of token cases.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread verify --vectors schema/vectors/sb1.json
  shortbread verify --vectors schema/vectors/sb1.json --json")]
pub(crate) struct VerifyArgs {
    /// The file, in the form of schema/vectors/sb1.json.
    #[arg(long, value_name = "FILE")]
    vectors: PathBuf,
}

/// Runs the cases.
///
/// # Errors
/// When the file cannot be run, or a case fails.
pub(crate) fn run(args: &VerifyArgs, context: &Context) -> Result<(), Failure> {
    let outcomes = vectors::run(&files::read(&args.vectors)?).map_err(|error| {
        let what = format!("{}: {error}", args.vectors.display());
        Failure::new(what, "Compare the file with schema/vectors/sb1.json.")
    })?;
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed).collect();
    let passed = outcomes.len() - failed.len();
    if context.ui.is_json() {
        let failures = failed.iter().map(|o| json!({"name": o.name, "expect": o.expect, "got": o.got}));
        let failures: Vec<_> = failures.collect();
        context.ui.json(&json!({"passed": passed, "failed": failed.len(), "failures": failures}));
    } else {
        for outcome in &failed {
            context.ui.line(&format!("{}: expected {}, got {}", outcome.name, outcome.expect, outcome.got));
        }
        context.ui.line(&format!("{passed} passed, {} failed", failed.len()));
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Told) }
}
