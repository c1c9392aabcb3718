//! `shortbread policy diff`: what a change of policy comes to, in effects.

use clap::{Args, ValueEnum};
use serde_json::json;
use shortbread_broker::policy::diff::{Class, Diff, diff};

use super::remote::Which;
use crate::cli::Connection;
use crate::context::Context;
use crate::failure::Failure;
use crate::text::count;
use crate::ui::{Style, Ui};

pub(super) const HELP: &str = "\
Examples:
  shortbread policy diff policy.toml next.toml
  shortbread policy diff active next.toml --fail-on widen
  shortbread policy diff 6 7 --json

Effects come from the compiled policies: comments, order and other words for the same have none. What is not narrower
for certain counts as wider.

Exit codes: 0 compared, 1 it goes the way that --fail-on names or a policy cannot be read, 2 wrong usage.";

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The older policy: a file, a version of the broker by number, or `active`.
    old: String,
    /// The newer one, likewise.
    new: String,
    /// End with 1 when somebody gains something (widen) or loses something (narrow), or at any effect.
    #[arg(long, value_name = "WAY")]
    fail_on: Option<FailOn>,
    /// The broker's public URL that policy files are compiled for [default: SHORTBREAD_BROKER, then the client config].
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// At what the command ends with 1.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FailOn {
    Widen,
    Narrow,
    Any,
}

/// Compares and tells.
///
/// # Errors
/// When a policy cannot be had, or the change goes the way that is named.
pub(super) async fn run(args: &DiffArgs, context: &Context) -> Result<(), Failure> {
    let mut policies = Vec::with_capacity(2);
    for named in [&args.old, &args.new] {
        policies.push(Which::of(named).policy(args.issuer.as_deref(), &args.connection, context).await?);
    }
    let [old, new] = policies.as_slice() else { return Err(Failure::usage("two policies are compared")) };
    let diff = diff(old, new);
    if context.ui.is_json() {
        context.ui.json(&json!({
            "old": diff.old, "new": diff.new, "widens": diff.widens(), "narrows": diff.narrows(), "effects": diff.effects,
        }));
    } else {
        tell(&diff, context.ui);
    }
    let fails = match args.fail_on {
        None => false,
        Some(FailOn::Widen) => diff.widens(),
        Some(FailOn::Narrow) => diff.narrows(),
        Some(FailOn::Any) => !diff.effects.is_empty(),
    };
    if fails { Err(Failure::Told) } else { Ok(()) }
}

fn tell(diff: &Diff, ui: Ui) {
    if diff.effects.is_empty() {
        let same =
            if diff.old == diff.new { "the policies are the same" } else { "the policies mean the same" };
        return ui.line(&format!("no effect: {same}"));
    }
    for effect in &diff.effects {
        let style = match effect.class {
            Class::Widens => Style::Bad,
            Class::Narrows => Style::Good,
            Class::Changes => Style::Plain,
        };
        ui.pieces(&[
            (style, format!("{:8}", effect.class.as_str())),
            (Style::Plain, effect.sentence.clone()),
        ]);
    }
    let many = |class: Class| diff.effects.iter().filter(|effect| effect.class == class).count();
    ui.line(&format!(
        "{}: {} widen, {} narrow, {} neither",
        count(diff.effects.len() as u64, "effect"),
        many(Class::Widens),
        many(Class::Narrows),
        many(Class::Changes)
    ));
}
