//! `shortbread policy check`: a policy file read as the broker would read it, and nothing else touched.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use shortbread_broker::keyring::{DEV_MARK, is_example};
use shortbread_broker::policy::{Policy, builtin};
use shortbread_protocol::keys::PublicKey;

use super::load;
use crate::context::Context;
use crate::failure::Failure;
use crate::ui::Style;

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
    let issuer = load::issuer(args.issuer.as_deref(), context)?;
    let policy = load::policy(&args.file, &issuer, context)?;
    let shown = args.file.display().to_string();
    // As if it were put in force now.
    let untimely = policy.untimely(&shown, context.now());
    if !untimely.is_empty() {
        load::unsound(&untimely, context);
        return Err(Failure::Told);
    }
    sound(&shown, &policy, context);
    Ok(())
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
