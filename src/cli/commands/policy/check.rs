//! `shortbread policy check`: a policy file read as the broker would read it, and nothing else touched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use shortbread_broker::config::check_issuer;
use shortbread_broker::keyring::{DEV_MARK, is_example};
use shortbread_broker::policy::{Options, Policy, Problem, builtin};
use shortbread_protocol::keys::PublicKey;

use crate::cli::Connection;
use crate::config::Settings;
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::text::count;
use crate::ui::Style;

/// Stands for the broker where none is known: only the built-in tool's audience follows from it.
pub(super) const NO_BROKER: &str = "https://broker.invalid";

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The policy. Key files that it names are read relative to it.
    file: PathBuf,
    /// The broker's public URL [default: SHORTBREAD_BROKER, then the client config].
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
}

/// Says every problem, or what the policy holds.
///
/// # Errors
/// When the file cannot be read or has a problem.
pub(super) fn run(args: &CheckArgs, context: &Context) -> Result<(), Failure> {
    let issuer = issuer_of(args.issuer.as_deref(), context)?;
    let source = files::read_text(&args.file)?;
    let load = beside(&args.file);
    let shown = args.file.display().to_string();
    let compiled = Policy::compile(&source, &shown, &load, &Options { issuer });
    // As if it were put in force now.
    let timely = compiled.and_then(|policy| match policy.untimely(&shown, context.now()) {
        problems if problems.is_empty() => Ok(policy),
        problems => Err(problems),
    });
    match timely {
        Ok(policy) => {
            sound(&shown, &policy, context);
            Ok(())
        }
        Err(problems) => {
            unsound(&problems, context);
            Err(Failure::Told)
        }
    }
}

/// Reads what a policy refers to, relative to it.
pub(super) fn beside(policy: &Path) -> impl Fn(&str) -> Result<String, String> {
    let folder = policy.parent().unwrap_or(Path::new("")).to_owned();
    move |name| std::fs::read_to_string(folder.join(name)).map_err(|error| error.to_string())
}

// A client config that is damaged is no reason to refuse a policy.
pub(super) fn issuer_of(named: Option<&str>, context: &Context) -> Result<String, Failure> {
    let Some(issuer) = named else {
        let settings = Settings::load(&Connection::default(), &context.env).ok();
        let known = settings.and_then(|settings| settings.values.broker);
        return Ok(known.unwrap_or_else(|| NO_BROKER.to_owned()));
    };
    check_issuer(issuer).map_err(Failure::usage)?;
    Ok(issuer.to_owned())
}

fn unsound(problems: &[Problem], context: &Context) {
    let ui = context.ui;
    if ui.is_json() {
        let problem = |problem: &Problem| json!({"file": problem.file, "line": problem.line, "message": problem.message, "fix": problem.fix});
        let problems: Vec<Value> = problems.iter().map(problem).collect();
        return ui.json(&json!({"sound": false, "problems": problems}));
    }
    for problem in problems {
        let place = format!("{}:{}: ", problem.file, problem.line);
        ui.pieces(&[(Style::Bold, place), (Style::Plain, problem.message.clone())]);
        ui.line(&format!("    fix: {}", problem.fix));
    }
    ui.line(&count(problems.len() as u64, "problem"));
}

fn sound(file: &str, policy: &Policy, context: &Context) {
    let (ui, parts, refused) = (context.ui, parts(policy), refused_keys(policy));
    if ui.is_json() {
        return ui.json(&json!({
            "sound": true, "digest": policy.digest(), "tools": parts.tools, "verbs": parts.verbs,
            "identities": parts.identities, "grants": policy.grants().len(), "forbids": policy.forbids().len(),
            "observed": observed(policy, context), "refused_by_serve": refused,
        }));
    }
    ui.pieces(&[(Style::Good, format!("{file} is sound"))]);
    let counted = |names: &[String]| match names {
        [] => "none".to_owned(),
        some => format!("{}: {}", some.len(), some.join(", ")),
    };
    ui.pairs(&[
        ("tools", counted(&parts.tools)),
        ("verbs", parts.verbs.to_string()),
        ("identities", counted(&parts.identities)),
        ("grants", policy.grants().len().to_string()),
        ("forbids", policy.forbids().len().to_string()),
        ("digest", policy.digest().to_owned()),
    ]);
    for (tool, until) in observed(policy, context) {
        let text = format!("{tool} is observed and not enforced until {until}");
        ui.pieces(&[(Style::Warn, text)]);
    }
    for name in refused {
        ui.remark(&format!("(only `shortbread dev` takes {name}: it made that key, or it is a sample key)"));
    }
}

/// What a policy brings, the built-in tool left out.
struct Parts {
    tools: Vec<String>,
    verbs: usize,
    identities: Vec<String>,
}

fn parts(policy: &Policy) -> Parts {
    let own = || policy.catalogue().tools.iter().filter(|(name, _)| !builtin::is(name));
    let words = |entry: &shortbread_broker::policy::model::Identity| {
        let names: Vec<String> =
            entry.principals.iter().map(|principal| principal.to_string().replacen(':', " ", 1)).collect();
        names.join(" or ")
    };
    Parts {
        tools: own().map(|(name, _)| name.to_string()).collect(),
        verbs: own().map(|(_, tool)| tool.verbs.len()).sum(),
        identities: policy.identities().iter().map(words).collect(),
    }
}

fn observed(policy: &Policy, context: &Context) -> BTreeMap<String, String> {
    let observed = policy.observed(context.now());
    observed.into_iter().map(|(tool, until)| (tool.to_string(), until.to_string())).collect()
}

fn refused_keys(policy: &Policy) -> Vec<String> {
    let sample = |text: &str| PublicKey::from_pem(text).is_ok_and(|key| is_example(&key));
    let refused = policy.files().iter().filter(|(_, text)| text.starts_with(DEV_MARK) || sample(text));
    refused.map(|(name, _)| name.clone()).collect()
}
