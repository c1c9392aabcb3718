//! `shortbread exchange`: an identity for a token.

use std::path::PathBuf;

use clap::Args;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::dpop::ProofKey;
use shortbread_protocol::json;
use shortbread_protocol::names::{Intent, Operation, Release, Task, WorkflowName};
use shortbread_protocol::oauth::{AuthorizationDetail, JWT, TOKEN_EXCHANGE, TokenAnswer};
use shortbread_protocol::reason::Reason;

use crate::cli::Connection;
use crate::client::{Broker, Signer};
use crate::config::Settings;
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::text::{parse_span, span};
use crate::ui::{Piece, Style};
use crate::words;

/// Ask the broker for a token, with a workflow's key, a platform's JWT, or a token that is passed on to a sub-agent.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread exchange --workflow demo --key keys/demo.pem --scope github:issues.read
  shortbread exchange --jwt token.jwt --scope \"github:issues.read github:issues.write\" --intent triage --ttl 10m
  shortbread exchange --workflow demo --key keys/demo.pem --dpop-key agent.pem --scope github:issues.write
  shortbread exchange --parent @token --dpop-key agent.pem --for-key sub-agent.pub.pem --ttl 60s
  shortbread exchange --workflow demo --key keys/demo.pem --details @request.json --token")]
pub(crate) struct ExchangeArgs {
    /// The workflow that asks. Needed with --key; with --jwt only where the identity may be several workflows.
    #[arg(long, value_name = "NAME")]
    workflow: Option<WorkflowName>,
    /// The workflow's private key.
    #[arg(
        long,
        value_name = "FILE",
        requires = "workflow",
        required_unless_present_any = ["jwt", "parent"],
        conflicts_with_all = ["jwt", "parent"]
    )]
    key: Option<PathBuf>,
    /// The platform's JWT for this workflow: a file, or `-` for standard input.
    #[arg(long, value_name = "FILE")]
    jwt: Option<PathBuf>,
    /// A token that is bound to --dpop-key and is passed on to a sub-agent's key: `-` for standard input, or @FILE.
    #[arg(long, value_name = "TOKEN", requires_all = ["dpop_key", "for_key"],
        conflicts_with_all = ["jwt", "workflow", "details", "intent", "task", "resource"])]
    parent: Option<String>,
    /// The sub-agent's public key (Ed25519, SPKI PEM): the token is for it alone.
    #[arg(long, value_name = "FILE", requires = "parent")]
    for_key: Option<PathBuf>,
    /// The private key (Ed25519, PKCS#8 PEM) that the token is to be bound to: each call then needs a DPoP proof by it.
    #[arg(long, value_name = "FILE")]
    dpop_key: Option<PathBuf>,
    /// Verbs as tool:verb, several in one text or the flag repeated.
    #[arg(long, value_name = "TOOL:VERB", value_delimiter = ' ', required_unless_present_any = ["details", "parent"], value_parser = Operation::from_scope)]
    scope: Vec<Operation>,
    /// authorization_details as JSON, or @FILE: verbs with constraints.
    #[arg(long, value_name = "JSON", conflicts_with_all = ["scope", "intent", "task", "release", "ttl"])]
    details: Option<String>,
    /// The declared purpose.
    #[arg(long, value_name = "NAME")]
    intent: Option<Intent>,
    /// Your id for this piece of work.
    #[arg(long, value_name = "ID")]
    task: Option<Task>,
    /// The prompt, model or code version that asks.
    #[arg(long, value_name = "VERSION")]
    release: Option<Release>,
    /// The wished life: seconds, or 90s, 10m, 1h.
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    ttl: Option<u64>,
    /// The audience of the tool that the token is for.
    #[arg(long, value_name = "URL")]
    resource: Option<String>,
    /// Print the token and nothing else.
    #[arg(long, conflicts_with = "json")]
    token: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Asks, and shows what was granted.
///
/// # Errors
/// When the request makes no sense, or the broker cannot be reached or refuses.
pub(crate) async fn run(args: &ExchangeArgs, context: &Context) -> Result<(), Failure> {
    let broker = Settings::of(context, &args.connection)?.broker()?;
    let work = ask(args, context, &broker);
    let answer = context.ui.wait("asking for a token", work).await?;
    match (args.token, context.ui.is_json()) {
        (true, _) => context.ui.line(&answer.access_token),
        (false, true) => context.ui.json(&answer),
        (false, false) => show(context, &answer),
    }
    Ok(())
}

async fn ask(args: &ExchangeArgs, context: &Context, broker: &Broker) -> Result<TokenAnswer, Failure> {
    let request = fields(args)?;
    let passphrase = context.passphrase();
    let bound =
        args.dpop_key.as_deref().map(|key| files::private_key(key, passphrase.as_ref())).transpose()?;
    let bound = bound.map(ProofKey::new);
    if let (Some(parent), Some(key), Some(heir)) = (&args.parent, &bound, &args.for_key) {
        let fields: Vec<_> = request.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (token, holder) = (files::argument(parent)?, files::public_key(heir)?.thumbprint());
        return broker.pass_on(context, key, token.trim(), &holder, &fields).await;
    }
    let mut fields: Vec<(&str, &str)> = request.iter().map(|(name, value)| (*name, value.as_str())).collect();
    if let (Some(key), Some(workflow)) = (&args.key, &args.workflow) {
        let signer = Signer::workflow(workflow, files::private_key(key, passphrase.as_ref())?);
        return broker.token(context, &signer, bound.as_ref(), &fields).await;
    }
    let Some(jwt) = &args.jwt else {
        return Err(Failure::usage("say who asks: --workflow with --key, or --jwt"));
    };
    let jwt = files::file_or_stdin(jwt)?;
    let client = args.workflow.as_ref().map(|name| format!("workflow:{name}"));
    fields.extend([("grant_type", TOKEN_EXCHANGE), ("subject_token", &jwt), ("subject_token_type", JWT)]);
    if let Some(client) = &client {
        fields.push(("client_id", client));
    }
    broker.token_form(context, bound.as_ref(), &fields).await
}

/// What is asked for, as form fields; who asks is added later.
fn fields(args: &ExchangeArgs) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut fields = Vec::new();
    if let Some(details) = &args.details {
        fields.push(("authorization_details", read_details(details)?));
    } else if !args.scope.is_empty() {
        let scope: Vec<String> = args.scope.iter().map(Operation::scope).collect();
        fields.push(("scope", scope.join(" ")));
    }
    let given = [
        ("intent", args.intent.as_ref().map(ToString::to_string)),
        ("task", args.task.as_ref().map(ToString::to_string)),
        ("release", args.release.as_ref().map(ToString::to_string)),
        ("ttl", args.ttl.map(|ttl| ttl.to_string())),
        ("resource", args.resource.clone()),
    ];
    fields.extend(given.into_iter().filter_map(|(name, value)| Some((name, value?))));
    Ok(fields)
}

// Read here already, so that a slip is told with its line and column before anything is signed.
fn read_details(details: &str) -> Result<String, Failure> {
    let text = files::argument(details)?;
    json::read_as::<Vec<AuthorizationDetail>>(text.as_bytes())
        .map(|_| text)
        .map_err(|error| Failure::usage(format!("--details is no list of authorization_details: {error}")))
}

fn show(context: &Context, answer: &TokenAnswer) {
    let ui = context.ui;
    let until = Timestamp::from_seconds(context.now().seconds().saturating_add(answer.expires_in));
    let rows: Vec<_> = answer.authorization_details.iter().flat_map(granted).collect();
    ui.heading(&format!("granted until {until} (in {})", span(answer.expires_in)));
    ui.table(&["verb", "arguments"], rows);
    if !answer.shortbread.dropped.is_empty() {
        ui.heading("asked for and not granted");
        let dropped = answer.shortbread.dropped.iter().map(|(verb, reason)| {
            let meaning = Reason::from_code(reason).map(Reason::meaning).unwrap_or_default();
            let cells = [verb.clone(), reason.clone(), meaning.to_owned()];
            cells.map(|cell| (Style::Plain, cell)).to_vec()
        });
        ui.table(&["verb", "reason", "meaning"], dropped.collect());
    }
    let mut pairs: Vec<(&str, String)> = Vec::new();
    if let Some(detail) = answer.authorization_details.first() {
        pairs.extend(detail.task.as_ref().map(|task| ("task", task.to_string())));
        pairs.extend(detail.intent.as_ref().map(|intent| ("intent", intent.to_string())));
    }
    pairs.push(("token type", answer.token_type.clone()));
    pairs.push(("token id", answer.shortbread.token_id.clone()));
    pairs.push(("decision", answer.shortbread.decision_id.clone()));
    pairs.extend(answer.shortbread.degraded.clone().map(|step| ("degraded", step)));
    pairs.push(("token", answer.access_token.clone()));
    ui.pairs(&pairs);
}

fn granted(detail: &AuthorizationDetail) -> Vec<Vec<Piece>> {
    let mut rows = Vec::new();
    for verb in &detail.actions {
        let first = detail.constraints.get(verb);
        let others = detail.alternatives.get(verb).into_iter().flatten();
        let mut ways: Vec<String> = first.into_iter().chain(others).map(words::arguments).collect();
        if ways.is_empty() {
            ways.push("any".to_owned());
        }
        let name = format!("{}/{verb}", detail.tool);
        rows.push(vec![(Style::Bold, name), (Style::Plain, ways.join(", or "))]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[arg(long, global = true)]
        json: bool,
        #[command(flatten)]
        args: ExchangeArgs,
    }

    fn read(line: &[&str]) -> Result<Vec<(&'static str, String)>, String> {
        let parsed =
            Line::try_parse_from(std::iter::once(&"x").chain(line)).map_err(|error| error.to_string())?;
        assert!(!parsed.json);
        fields(&parsed.args).map_err(|error| error.to_string())
    }

    #[test]
    fn scopes_and_members_become_form_fields() {
        let who = ["--workflow", "demo", "--key", "k.pem"];
        let fields = read(
            &[&who[..], &["--scope", "a:x b:y", "--scope", "c:z", "--ttl", "10m", "--task", "t1"]].concat(),
        );
        let expected = [("scope", "a:x b:y c:z"), ("task", "t1"), ("ttl", "600")];
        assert_eq!(fields.unwrap(), expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let details = r#"[{"type":"shortbread_tool_call","tool":"a","actions":["x"]}]"#;
        assert!(read(&["--jwt", "-", "--details", details]).is_ok());
        for bad in [
            &["--jwt", "-"][..],
            &["--scope", "a:x"],
            &["--key", "k", "--scope", "a:x"],
            &["--jwt", "-", "--scope", "a/x"],
            &["--jwt", "-", "--scope", "a:x", "--details", details],
            &["--jwt", "-", "--details", details, "--ttl", "60"],
            &["--jwt", "-", "--details", "[{}]"],
            &["--jwt", "-", "--workflow", "w", "--key", "k", "--scope", "a:x"],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
