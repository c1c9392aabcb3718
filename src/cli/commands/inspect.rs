//! `shortbread inspect`: a token as people read it, and whether it would pass a call.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use shortbread_protocol::biscuit::{Container, Proof, print};
use shortbread_protocol::call::Args as CallArgs;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::Operation;
use shortbread_protocol::revocations::SelectorKind;
use shortbread_verifier::chain::{self, Token};
use shortbread_verifier::scope::{Demand, Refusal, Scope};

use crate::cli::Connection;
use crate::config::Settings;
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::published::{KeysAt, key_document};
use crate::text::{count, span};
use crate::ui::Style;

/// Show what a token says: for whom, how long, which verbs, and whether a call would pass.
///
/// The token's bytes are never shown. Nothing is sent anywhere unless --root asks for the broker's key document.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread inspect @token.txt
  shortbread exchange … --token | shortbread inspect -
  shortbread inspect @token.txt --blocks
  shortbread inspect @token.txt --call github/issues.write --args '{\"repo\":\"acme/web\"}'")]
pub(crate) struct InspectArgs {
    /// The token, `-` for standard input, or @FILE.
    token: String,
    /// Would this call pass?
    #[arg(long, value_name = "TOOL/VERB")]
    call: Option<Operation>,
    /// The call's arguments as a JSON object, or @FILE.
    #[arg(long, value_name = "JSON", requires = "call")]
    args: Option<String>,
    /// The tool service that is called [default: the token's audience, if it has just one].
    #[arg(long, value_name = "URL", requires = "call")]
    audience: Option<String>,
    /// Show the facts and checks of the token as issued too, not only those of its narrowings.
    #[arg(long)]
    blocks: bool,
    /// The broker's public root key: fetch the key document and check the token's signature.
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

struct Read {
    scope: Scope,
    sealed: bool,
    /// The key document that the signature was checked with.
    checked: Option<u64>,
}

/// Shows it.
///
/// # Errors
/// When it is no token, its signature is wrong, or the call would be refused.
pub(crate) async fn run(args: &InspectArgs, context: &Context) -> Result<(), Failure> {
    let read = read(args, context).await?;
    let call = args.call.as_ref().map(|call| decide(args, call, &read.scope, context.now())).transpose()?;
    if context.ui.is_json() {
        context.ui.json(&body(&read, call.as_ref(), context.now()));
    } else {
        show(&read, args.blocks, context);
        if let (Some(operation), Some(verdict)) = (&args.call, &call) {
            show_call(operation, verdict, &read.scope, context);
        }
    }
    if call.is_some_and(|verdict| verdict.is_err()) { Err(Failure::Told) } else { Ok(()) }
}

async fn read(args: &InspectArgs, context: &Context) -> Result<Read, Failure> {
    let fix = "Give the token exactly as the broker answered it, or @FILE that holds it.";
    let bytes =
        chain::decode(&files::argument(&args.token)?).map_err(|flaw| Failure::new(flaw.to_string(), fix))?;
    let scope = chain::peek(&bytes).map_err(|flaw| Failure::new(flaw.to_string(), fix))?;
    let container = Container::read(&bytes).map_err(|flaw| Failure::new(flaw.to_string(), fix))?;
    let sealed = matches!(container.proof, Proof::Sealed(_));
    let Some(root) = &args.root else {
        return Ok(Read { scope, sealed, checked: None });
    };
    let broker = Settings::of(context, &args.connection)?.broker()?;
    let root = files::public_key(root)?;
    let document = context.ui.wait("fetching the key document", key_document(&broker, &root)).await?;
    let keys = KeysAt { document: &document, now: context.now().seconds() };
    let token = Token::open(&bytes, &keys)
        .map_err(|error| Failure::new(error.to_string(), error.reason().action()))?;
    Ok(Read { scope: token.scope().clone(), sealed: token.is_sealed(), checked: Some(document.version) })
}

/// As a verifier would decide that has a fresh list and was shown every proof.
fn decide(
    args: &InspectArgs,
    call: &Operation,
    scope: &Scope,
    now: Timestamp,
) -> Result<Result<(), Refusal>, Failure> {
    let text = args.args.as_deref().map(files::argument).transpose()?.unwrap_or_default();
    let read =
        CallArgs::from_json(text.as_bytes()).map_err(|error| Failure::usage(format!("--args: {error}")))?;
    let mut audiences = scope.audiences();
    let audience = match (&args.audience, audiences.next(), audiences.next()) {
        (Some(audience), ..) => audience.as_str(),
        (None, Some(one), None) => one,
        _ => {
            return Err(Failure::usage(
                "the token has several audiences; say which one is called with --audience URL",
            ));
        }
    };
    let demand = Demand {
        now: now.seconds(),
        audience,
        tool: call.tool.as_str(),
        verb: call.verb.as_str(),
        args: Some(&read),
        holder: scope.id(SelectorKind::Holder),
        unused: scope.id(SelectorKind::Token),
        revocation_age: Some(0),
        args_sha256: read.digest(),
    };
    Ok(scope.evaluate(&demand).map(drop))
}

fn show(read: &Read, authority: bool, context: &Context) {
    let (ui, scope, now) = (context.ui, &read.scope, context.now());
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for (kind, name) in IDS {
        pairs.extend(scope.id(kind).map(|value| (name, value.to_owned())));
    }
    pairs.push(("issued", Timestamp::from_seconds(scope.issued()).to_string()));
    pairs.push(("valid", validity((scope.window().0, scope.end()), now)));
    if scope.end() < scope.window().1 {
        pairs.push(("as issued", format!("until {}", Timestamp::from_seconds(scope.window().1))));
    }
    pairs.extend(scope.audiences().map(|audience| ("audience", audience.to_owned())));
    pairs.push(("can be narrowed", if read.sealed { "no, it is sealed" } else { "yes" }.to_owned()));
    pairs.push((
        "signature",
        match read.checked {
            Some(version) => format!("good, by key document {version}"),
            None => "not checked; name the broker's root key with --root".to_owned(),
        },
    ));
    ui.pairs(&pairs);
    ui.line("");
    let rights = scope.rights().map(|(tool, verb, access)| {
        vec![(Style::Bold, format!("{tool}/{verb}")), (Style::Plain, access.to_string())]
    });
    ui.table(&["verb", "access"], rights.collect());
    ui.line("");
    for (block, checks) in blocks(scope) {
        ui.line(&format!("{}: {}", block_name(block), count(checks, "check")));
        if block > 0 || authority {
            for line in print::block(scope.program(), block) {
                ui.line(&format!("  {line}"));
            }
        }
    }
}

fn show_call(call: &Operation, verdict: &Result<(), Refusal>, scope: &Scope, context: &Context) {
    let ui = context.ui;
    ui.line("");
    match verdict {
        Ok(()) => ui.pieces(&[(Style::Good, format!("{call} would pass"))]),
        Err(refusal) => {
            ui.pieces(&[(Style::Bad, format!("{call} would be refused: {}", refusal.reason.code()))]);
            let mut pairs =
                vec![("why", refusal.detail.clone().unwrap_or_else(|| refusal.reason.meaning().to_owned()))];
            pairs.extend(refusal.check.map(|place| ("by", place_words(place))));
            pairs.extend(refused_by(scope, refusal).map(|line| ("which says", line)));
            pairs.push(("what to do", refusal.reason.action().to_owned()));
            ui.pairs(&pairs);
        }
    }
    let proof = if scope.id(SelectorKind::Holder).is_some() { ", a proof by its holder" } else { "" };
    ui.remark(&format!(
        "(assuming a fresh revocation list that does not name the token{proof} and no earlier use)"
    ));
}

const IDS: [(SelectorKind, &str); 10] = [
    (SelectorKind::Workflow, "workflow"),
    (SelectorKind::Operator, "operator"),
    (SelectorKind::Intent, "intent"),
    (SelectorKind::Task, "task"),
    (SelectorKind::User, "acts for user"),
    (SelectorKind::Approval, "approval"),
    (SelectorKind::Holder, "bound to key"),
    (SelectorKind::Token, "token id"),
    (SelectorKind::Issuer, "issuer"),
    (SelectorKind::Key, "signing key"),
];

fn validity((from, until): (u64, u64), now: Timestamp) -> String {
    let (starts, ends) = (Timestamp::from_seconds(from), Timestamp::from_seconds(until));
    match now.seconds() {
        at if at >= until => format!("expired at {ends} ({} ago)", span(now.since(ends).as_secs())),
        at if at < from => {
            format!("not before {starts} (in {}), until {ends}", span(starts.since(now).as_secs()))
        }
        _ => format!("until {ends} (in {})", span(ends.since(now).as_secs())),
    }
}

fn block_name(block: u8) -> String {
    if block == 0 { "as issued".to_owned() } else { format!("narrowing {block}") }
}

fn place_words((block, place): (u8, u8)) -> String {
    format!(
        "check {} {}",
        u16::from(place) + 1,
        if block == 0 { "as issued".to_owned() } else { format!("of narrowing {block}") }
    )
}

/// The check that refuses, as it stands in the token.
fn refused_by(scope: &Scope, refusal: &Refusal) -> Option<String> {
    let (block, place) = refusal.check?;
    print::check(scope.program(), block, place)
}

/// Blocks with the number of their checks.
fn blocks(scope: &Scope) -> Vec<(u8, u64)> {
    let last = u8::try_from(scope.narrowings()).unwrap_or(u8::MAX);
    let checks = |block| scope.program().checks.iter().filter(|check| check.block == block).count() as u64;
    (0..=last).map(|block| (block, checks(block))).collect()
}

fn body(read: &Read, call: Option<&Result<(), Refusal>>, now: Timestamp) -> Value {
    let scope = &read.scope;
    let ids: serde_json::Map<_, _> = IDS
        .iter()
        .filter_map(|(kind, _)| Some((kind.as_str().to_owned(), scope.id(*kind)?.into())))
        .collect();
    let rights: Vec<_> = scope
        .rights()
        .map(|(tool, verb, access)| json!({"verb": format!("{tool}/{verb}"), "access": access}))
        .collect();
    let (from, until) = (scope.window().0, scope.end());
    let shown = |(block, checks): (u8, u64)| json!({"block": block, "checks": checks, "lines": print::block(scope.program(), block)});
    let blocks: Vec<_> = blocks(scope).into_iter().map(shown).collect();
    let mut body = json!({
        "ids": ids, "issued": scope.issued(), "not_before": from, "expires": until,
        "expired": now.seconds() >= until, "audiences": scope.audiences().collect::<Vec<_>>(), "rights": rights,
        "blocks": blocks, "sealed": read.sealed, "signature_checked": read.checked.is_some(),
    });
    if let (Some(verdict), Some(members)) = (call, body.as_object_mut()) {
        let verdict = match verdict {
            Ok(()) => json!({"pass": true}),
            Err(refusal) => json!({
                "pass": false, "reason": refusal.reason, "detail": refusal.detail,
                "block": refusal.check.map(|(block, _)| block), "check": refusal.check.map(|(_, place)| place),
                "line": refused_by(scope, refusal),
            }),
        };
        members.insert("call".to_owned(), verdict);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validity_reads_well() {
        let at = |seconds: u64| Timestamp::from_seconds(1_795_176_000 + seconds);
        let window = (at(0).seconds(), at(600).seconds());
        assert_eq!(validity(window, at(2)), "until 2026-11-20T12:10:00Z (in 9m 58s)");
        assert_eq!(validity(window, at(600)), "expired at 2026-11-20T12:10:00Z (0s ago)");
        assert!(validity((at(5).seconds(), at(9).seconds()), at(0)).starts_with("not before"));
    }
}
