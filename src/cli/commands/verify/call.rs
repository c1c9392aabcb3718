//! One call, checked with the verifier that tool services embed and a list that was just fetched.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use shortbread_protocol::call::Args as Arguments;
use shortbread_protocol::dpop::{ProofKey, Statement, token_hash};
use shortbread_protocol::random::SystemRandom;
use shortbread_verifier::decision::{Call, Caller, Checker as _, Decision, Presented, SentProof};
use shortbread_verifier::feed::{Feed, FeedConfig};
use shortbread_verifier::list::{Pin, Trust};
use shortbread_verifier::{Verifier, VerifierConfig};

use super::CallArgs;
use crate::cli::Connection;
use crate::config::Settings;
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::server::surroundings;
use crate::ui::Style;

/// How the call is made, as far as its proof is concerned.
const METHOD: &str = "POST";

/// Polls before it is said that there is no list: the first brings it, unless a head comes in between.
const POLLS: usize = 3;

/// Decides and says how.
///
/// # Errors
/// When the call is denied, or there is no list to decide with.
pub(super) async fn run(args: &CallArgs, connection: &Connection, context: &Context) -> Result<(), Failure> {
    let token = files::argument(&args.token)?;
    let text = args.args.as_deref().map(files::argument).transpose()?.unwrap_or_default();
    let arguments =
        Arguments::from_json(text.as_bytes()).map_err(|error| Failure::usage(format!("--args: {error}")))?;
    let trust = trust(args, connection, context).await?;
    let verifier = Verifier::new(trust, VerifierConfig { audience: args.audience.clone() })?;
    let (tool, verb) = (args.call.tool.as_str(), args.call.verb.as_str());
    let proof =
        args.dpop_key.as_deref().map(|file| prove(args, file, &token, &arguments, context)).transpose()?;
    let proof = proof.as_deref().map(|text| SentProof { text, method: METHOD, url: &args.audience });
    let presented = Presented { token: Some(&token), proof, trace: None };
    let decision = verifier.check(&presented, &Call { tool, verb, args: Some(&arguments) });
    if context.ui.is_json() {
        context.ui.json(&body(&decision));
    } else {
        show(&decision, args, context);
    }
    if decision.is_allowed() { Ok(()) } else { Err(Failure::Told) }
}

/// The proof that the client of this call would send.
fn prove(
    args: &CallArgs,
    file: &Path,
    token: &str,
    arguments: &Arguments,
    context: &Context,
) -> Result<String, Failure> {
    let statement = Statement {
        method: METHOD,
        url: &args.audience,
        token: Some(token_hash(token)),
        operation: Some(&args.call.to_string()),
        args: arguments.digest(),
        holder: None,
    };
    // The verifier has only just started, and takes no proof from before.
    let now = context.now().plus(Duration::from_secs(1));
    let key = files::private_key(file, context.passphrase().as_ref())?;
    Ok(ProofKey::new(key).prove(&statement, now, &*context.random)?)
}

/// What a tool service would know that has just started and reached the broker.
async fn trust(args: &CallArgs, connection: &Connection, context: &Context) -> Result<Arc<Trust>, Failure> {
    let settings = Settings::of(context, connection)?;
    let broker = settings.broker()?;
    let root = settings.root(args.root.as_deref())?.ok_or_else(|| {
        Failure::usage("the revocation list is believed only with the root key: name it with --root FILE")
    })?;
    let (clock, _) = surroundings();
    let failed = |cause: &dyn std::error::Error| {
        let fix = "Check that the broker runs (`shortbread doctor`) and that the root key is its own.";
        Failure::new(format!("there is no revocation list to decide with: {cause}"), fix)
    };
    let pin = Pin { issuer: broker.url().to_owned(), root };
    let trust = Arc::new(Trust::new(pin, clock, None).map_err(|e| failed(&e))?);
    let mut feed = Feed::new(Arc::clone(&trust), &FeedConfig::new(broker.url()), Arc::new(SystemRandom))
        .map_err(|e| failed(&e))?;
    let fetch = async {
        let mut outcome = Ok(());
        for _ in 0..POLLS {
            outcome = feed.step().await.map(drop);
            if trust.state().set().is_some() {
                return Ok(());
            }
        }
        outcome
    };
    context.ui.wait("fetching the revocation list", fetch).await.map_err(|e| failed(&e))?;
    Ok(trust)
}

fn show(decision: &Decision, args: &CallArgs, context: &Context) {
    let (ui, call) = (context.ui, &args.call);
    let mut pairs: Vec<(&str, String)> = Vec::new();
    match decision.reason {
        None => ui.pieces(&[(Style::Good, "allow ".to_owned()), (Style::Bold, call.to_string())]),
        Some(reason) => {
            ui.pieces(&[(Style::Bad, "deny ".to_owned()), (Style::Bold, call.to_string())]);
            pairs.push(("reason", reason.code().to_owned()));
            pairs.push(("meaning", reason.meaning().to_owned()));
            pairs.extend(decision.detail.clone().map(|detail| ("detail", detail)));
            pairs.push(("what to do", reason.action().to_owned()));
        }
    }
    let caller = caller(decision);
    let ids = [
        ("workflow", &caller.workflow),
        ("operator", &caller.operator),
        ("intent", &caller.intent),
        ("task", &caller.task),
        ("token", &caller.token),
    ];
    pairs.extend(ids.into_iter().filter_map(|(name, id)| Some((name, id.clone()?))));
    pairs.extend(decision.access.map(|access| ("access", access.to_string())));
    let age = decision.list_age.map(|age| format!(", {age}s old")).unwrap_or_default();
    pairs.push(("list", format!("{}{age}", decision.list_seq)));
    pairs.extend(decision.id.map(|id| ("decision", id.to_string())));
    ui.pairs(&pairs);
}

fn caller(decision: &Decision) -> Caller {
    decision.caller.as_deref().cloned().unwrap_or_default()
}

fn body(decision: &Decision) -> serde_json::Value {
    let caller = caller(decision);
    json!({
        "outcome": if decision.is_allowed() { "allow" } else { "deny" },
        "reason": decision.reason, "detail": decision.detail, "decision_id": decision.id.map(|id| id.to_string()),
        "workflow": caller.workflow, "operator": caller.operator, "intent": caller.intent,
        "task": caller.task, "token": caller.token, "access": decision.access,
        "list": { "seq": decision.list_seq, "age": decision.list_age },
    })
}
