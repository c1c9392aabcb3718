//! Whether this program decides as the vectors say.

use std::path::Path;

use serde_json::json;
use shortbread_verifier::vectors;

use crate::context::Context;
use crate::failure::Failure;
use crate::files;

/// Runs the cases of a file in the form of `schema/vectors/sb1.json`.
///
/// # Errors
/// When the file cannot be run, or a case fails.
pub(super) fn run(file: &Path, context: &Context) -> Result<(), Failure> {
    let outcomes = vectors::run(&files::read(file)?).map_err(|error| {
        let what = format!("{}: {error}", file.display());
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
