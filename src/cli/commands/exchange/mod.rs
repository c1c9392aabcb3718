//! `shortbread exchange`: an identity for a token.

mod calls;
mod show;
mod wait;
mod who;

use std::path::PathBuf;

use clap::Args;
use shortbread_protocol::dpop::ProofKey;
use shortbread_protocol::json;
use shortbread_protocol::names::{Intent, Operation, Release, Task, WorkflowName};
use shortbread_protocol::oauth::{AuthorizationDetail, TokenAnswer};

use self::wait::Ask;
use self::who::Client;

use crate::cli::Connection;
use crate::client::Broker;
use crate::config::Settings;
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::text::parse_span;

/// Ask the broker for a token, with a workflow's key, a platform's JWT, or a token that is passed on to a sub-agent.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread exchange --workflow demo --key keys/demo.pem --scope github:issues.read
  shortbread exchange --jwt token.jwt --scope \"github:issues.read github:issues.write\" --intent triage --ttl 10m
  shortbread exchange --workflow demo --key keys/demo.pem --dpop-key agent.pem --scope github:issues.write
  shortbread exchange --parent @token --dpop-key agent.pem --for-key sub-agent.pub.pem --ttl 60s
  shortbread exchange --workflow demo --key keys/demo.pem --details @request.json --token
  shortbread exchange --workflow refund-desk --key keys/desk.pem --dpop-key agent.pem --wait \\
    --call payments/refunds.create --args '{\"charge\":\"ch_1\",\"amount\":1200}'")]
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
    #[arg(long, value_name = "TOOL:VERB", value_delimiter = ' ', required_unless_present_any = ["details", "parent", "call"], value_parser = Operation::from_scope)]
    scope: Vec<Operation>,
    /// authorization_details as JSON, or @FILE: verbs with constraints.
    #[arg(long, value_name = "JSON", conflicts_with_all = ["scope", "intent", "task", "release", "ttl"])]
    details: Option<String>,
    /// One exact call, for a token that is good for it once; given several times: a plan that is decided as a whole.
    #[arg(long, value_name = "TOOL/VERB", conflicts_with_all = ["scope", "details", "parent"])]
    call: Vec<Operation>,
    /// All arguments of a call as JSON, or @FILE: one --args for each --call, in the same order.
    #[arg(long, value_name = "JSON", requires = "call")]
    args: Vec<String>,
    /// Where a person has to approve it, wait until they have decided. What they approve is for the key of --dpop-key alone.
    #[arg(long, requires = "dpop_key", conflicts_with = "parent")]
    wait: bool,
    /// Wait so long at most, then take the request back: seconds, or 90s, 15m, 1h [default: until it expires].
    #[arg(long, value_name = "SPAN", value_parser = parse_span, requires = "wait")]
    wait_for: Option<u64>,
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
    /// Print the token and nothing else; of several calls a token each, on lines of their own.
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
    let answer = ask(args, context, &broker).await?;
    match (args.token, context.ui.is_json()) {
        (true, _) => show::tokens(&answer).into_iter().for_each(|token| context.ui.line(token)),
        (false, true) => context.ui.json(&answer),
        (false, false) => show::answer(context, &answer),
    }
    Ok(())
}

async fn ask(args: &ExchangeArgs, context: &Context, broker: &Broker) -> Result<TokenAnswer, Failure> {
    let request = fields(args)?;
    let passphrase = context.passphrase();
    let bound =
        args.dpop_key.as_deref().map(|key| files::private_key(key, passphrase.as_ref())).transpose()?;
    let bound = bound.map(ProofKey::new);
    let (ui, what) = (context.ui, "asking for a token");
    if let (Some(parent), Some(key), Some(heir)) = (&args.parent, &bound, &args.for_key) {
        let (token, holder) = (files::argument(parent)?, files::public_key(heir)?.thumbprint());
        let request = plain(&request);
        return ui.wait(what, broker.pass_on(context, key, token.trim(), &holder, &request)).await;
    }
    let client = Client::of(args, context)?;
    if let (true, Some(key)) = (args.wait, &bound) {
        let ask = Ask { context, broker, client: &client, key, limit: args.wait_for };
        return ask.run(request).await;
    }
    let mut all = client.fields(context, broker)?;
    all.extend(request);
    let answer = ui.wait(what, broker.token_form(context, bound.as_ref(), &plain(&all))).await;
    answer.map_err(|failure| {
        failure.advise("approval.required", || {
            "Ask again with --wait and --dpop-key FILE: it waits until a person has decided. \
             Or ask for verbs that need no approval."
                .to_owned()
        })
    })
}

fn plain<'f>(fields: &'f [(&'static str, String)]) -> Vec<(&'f str, &'f str)> {
    fields.iter().map(|(name, value)| (*name, value.as_str())).collect()
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
    if !args.call.is_empty() {
        // What is said beside it are members of the details then.
        let details = serde_json::to_string(&calls::details(args)?).unwrap_or_default();
        fields.push(("authorization_details", details));
        fields.extend(args.resource.clone().map(|resource| ("resource", resource)));
        return Ok(fields);
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

    #[test]
    fn exact_calls_become_details_with_all_their_arguments() {
        let who = ["--workflow", "demo", "--key", "k.pem", "--intent", "refund", "--ttl", "90s"];
        let one = ["--call", "payments/refunds.create", "--args", r#"{"amount":1}"#];
        let read = |rest: &[&str]| read(&[&who[..], rest].concat());
        let details =
            |rest: &[&str]| serde_json::from_str::<serde_json::Value>(&read(rest).unwrap()[0].1).unwrap();
        let single = details(&one);
        assert_eq!(
            single[0]["call"],
            serde_json::json!({ "verb": "refunds.create", "args": { "amount": 1 } })
        );
        assert_eq!(
            (&single[0]["ttl"], &single[0]["intent"], single[0].get("calls")),
            (&90.into(), &"refund".into(), None)
        );
        let plan = details(
            &[
                &one[..],
                &["--call", "payments/refunds.create", "--args", "{}", "--call", "a/b", "--args", "{}"],
            ]
            .concat(),
        );
        assert_eq!((plan[0]["calls"].as_array().unwrap().len(), &plan[1]["call"]["verb"]), (2, &"b".into()));
        for (bad, why) in [
            (&["--call", "a/b", "--args", r#"{"x":1.5}"#][..], "minor units"),
            (&["--call", "a/b", "--args", "[]"], "a/b"),
            (&["--call", "a/b", "--call", "a/c", "--args", "{}"], "one --args after each"),
            (&["--call", "a/b", "--scope", "a:b"], "cannot be used with"),
            (&["--call", "a/b", "--wait"], "--dpop-key"),
            (&["--call", "a/b", "--wait-for", "1m"], "--wait"),
        ] {
            let told = read(bad).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
        assert!(read(&["--call", "a/b"].repeat(33)).unwrap_err().contains("at most 32"));
    }
}
