//! `shortbread verify`: one call, decided as a tool service would decide it, or a file of token cases.

mod call;
mod vectors;

use std::path::PathBuf;

use clap::Args;
use shortbread_protocol::names::Operation;

use crate::cli::Connection;
use crate::context::Context;
use crate::failure::Failure;

/// Decide about one call as a tool service would, or check this verifier against a file of token cases.
///
/// The revocation list and the key document are fetched from the broker and believed only if its root key vouches
/// for them. Nothing is sent to the broker: neither the token nor the call.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread verify @token.txt --call github/issues.read --audience https://tools.acme.example/github
  shortbread verify - --call github/issues.write --audience https://tools.acme.example/github --args @call.json
  shortbread verify @token.txt --call github/repo.delete --audience https://tools.acme.example/github --dpop-key agent.pem
  shortbread verify --vectors schema/vectors/sb1.json")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    call: Option<CallArgs>,
    /// Run these cases instead: a file in the form of schema/vectors/sb1.json.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["token", "call", "audience", "args", "dpop_key", "root", "broker", "config"])]
    vectors: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[group(id = "one_call")]
struct CallArgs {
    /// The token, `-` for standard input, or @FILE.
    #[arg(required_unless_present = "vectors", required = false)]
    token: String,
    /// The call.
    #[arg(long, value_name = "TOOL/VERB", required_unless_present = "vectors", required = false)]
    call: Operation,
    /// The tool service that is called: the audience that the policy gives the tool.
    #[arg(long, value_name = "URL", required_unless_present = "vectors", required = false)]
    audience: String,
    /// The call's arguments as a JSON object, or @FILE.
    #[arg(long, value_name = "JSON")]
    args: Option<String>,
    /// The private key that the token is bound to: a DPoP proof for this call is made with it.
    #[arg(long, value_name = "FILE")]
    dpop_key: Option<PathBuf>,
    /// The broker's public root key [default: SHORTBREAD_ROOT, then the client config].
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
}

/// Decides, or runs the cases.
///
/// # Errors
/// When the call is denied or cannot be decided; when the file cannot be run, or a case fails.
pub(crate) async fn run(args: &VerifyArgs, context: &Context) -> Result<(), Failure> {
    match (&args.vectors, &args.call) {
        (Some(file), _) => vectors::run(file, context),
        (None, Some(asked)) => call::run(asked, &args.connection, context).await,
        (None, None) => Err(Failure::usage("give a token, --call and --audience, or --vectors FILE")),
    }
}
