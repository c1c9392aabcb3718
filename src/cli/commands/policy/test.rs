//! `shortbread policy test`: labelled cases, decided under a policy file by the function that decides live.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use shortbread_broker::cases::check::{Checked, check};
use shortbread_broker::cases::{Case, Outcome};

use super::junit::{Test, suite};
use super::load;
use crate::context::Context;
use crate::failure::Failure;
use crate::text::count;
use crate::ui::{Piece, Style, Ui};

pub(super) const HELP: &str = "\
Examples:
  shortbread policy test cases.toml
  shortbread policy test incidents.jsonl cases.toml --policy next.toml
  shortbread policy test cases.toml --junit results.xml --json

A case says who asks for what, and what should come of it:
  [[cases]]
  id = \"triage may not delete\"
  label = { expect = \"deny\", reason = \"policy.forbidden\" }
  [cases.input]
  identity = { principal = \"workflow:release-notes\" }
  intent = \"triage\"
  request = [{ verb = \"github/repo.delete\" }]
`expect` is allow, deny or needs_approval. Beside allow, `granted` lists exactly the verbs that must be granted.
With `issuer` and `claims`, or with `key`, the identity has to match too. `call = { verb, args }` is a call that
must be allowed as well. Files are TOML, or JSON Lines with one such object a line.

Exit codes: 0 all passed, 1 a case failed or a file cannot be read, 2 there is no case or one has no label.";

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Files of cases, TOML or JSON Lines.
    #[arg(required = true)]
    cases: Vec<PathBuf>,
    /// The policy. Key files that it names are read relative to it.
    #[arg(long, value_name = "FILE", default_value = "policy.toml")]
    policy: PathBuf,
    /// The broker's public URL [default: SHORTBREAD_BROKER, then the client config].
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Write the results as JUnit XML too.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// Decides every case and says which are not as their labels have it.
///
/// # Errors
/// When a case fails, a file cannot be used, or there is nothing to test.
pub(super) fn run(args: &TestArgs, context: &Context) -> Result<(), Failure> {
    let issuer = load::issuer(args.issuer.as_deref(), context)?;
    let cases = load::cases(&args.cases)?;
    labelled(&cases)?;
    let policy = load::policy(&args.policy, &issuer, context)?;
    let checked: Vec<Checked> = cases.iter().filter_map(|case| check(&policy, case)).collect();
    let failed = checked.iter().filter(|one| !one.passed).count();
    if let Some(file) = &args.junit {
        let tests: Vec<Test> = checked.iter().map(test).collect();
        load::report(file, &suite(&format!("shortbread policy test {}", args.policy.display()), &tests))?;
    }
    if context.ui.is_json() {
        let passed = checked.len() - failed;
        context
            .ui
            .json(&json!({"policy": policy.digest(), "passed": passed, "failed": failed, "cases": checked}));
    } else {
        tell(&checked, failed, context.ui);
    }
    if failed == 0 { Ok(()) } else { Err(Failure::Told) }
}

fn labelled(cases: &[Case]) -> Result<(), Failure> {
    if cases.is_empty() {
        return Err(Failure::usage("there is no case in these files, so nothing was tested"));
    }
    match cases.iter().find(|case| case.label.is_none()) {
        None => Ok(()),
        Some(case) => Err(Failure::usage(format!(
            "the case {} has no label, so there is nothing to hold it against; `shortbread policy replay` compares \
             recorded cases",
            case.id
        ))),
    }
}

// What failed comes first, at length; what passed is a line each.
fn tell(checked: &[Checked], failed: usize, ui: Ui) {
    for one in checked.iter().filter(|one| !one.passed) {
        ui.pieces(&[(Style::Bad, "failed  ".to_owned()), (Style::Bold, one.id.clone())]);
        for line in explained(one) {
            ui.line(&format!("        {line}"));
        }
    }
    for one in checked.iter().filter(|one| one.passed) {
        let said: Piece = (Style::Dim, format!("  {}", outcome(one)));
        ui.pieces(&[(Style::Good, "passed  ".to_owned()), (Style::Plain, one.id.clone()), said]);
    }
    let passed = count((checked.len() - failed) as u64, "case");
    ui.line(&format!("{passed} passed, {failed} failed"));
}

fn outcome(one: &Checked) -> String {
    match (one.got, &one.reason) {
        (Outcome::Allow, _) => format!("allow {}", one.granted.join(", ")),
        (Outcome::Deny, Some(reason)) => format!("deny ({reason})"),
        (other, _) => other.as_str().to_owned(),
    }
}

fn explained(one: &Checked) -> Vec<String> {
    let mut lines: Vec<String> = one
        .differs
        .iter()
        .map(|differs| format!("{}: expected {}, got {}", differs.what, differs.expected, differs.got))
        .collect();
    lines.extend(one.detail.iter().map(|detail| format!("why: {detail}")));
    if !one.grants.is_empty() {
        lines.push(format!("by: {}", one.grants.join(", ")));
    }
    let origin = [one.mechanism, one.note.as_deref()];
    let origin: Vec<&str> = origin.into_iter().flatten().collect();
    if !origin.is_empty() {
        lines.push(format!("from: {}", origin.join(", ")));
    }
    lines
}

fn test(one: &Checked) -> Test {
    let failure = one.differs.first().map(|first| {
        let message = format!("{}: expected {}, got {}", first.what, first.expected, first.got);
        (message, explained(one).join("\n"))
    });
    Test { class: "policy.test", name: one.id.clone(), failure }
}
