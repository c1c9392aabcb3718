//! `shortbread keys list`: the key document, its keys, and what each does.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use shortbread_protocol::admin::{KeyBody, KeysAnswer};
use shortbread_protocol::key_document::{DocumentKey, KeyDocument};

use super::{second, until};
use crate::cli::Connection;
use crate::client::Session;
use crate::config::Settings;
use crate::context::Context;
use crate::failure::Failure;
use crate::published;
use crate::text::{count, span};
use crate::ui::{Piece, Style};

/// The keys of the broker's key document, as its root key signed it; for an operator also which signs and which waits.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  shortbread keys list --root keys/root.pub.pem\n  shortbread keys list --json"
)]
pub(super) struct ListArgs {
    /// The broker's public root key [default: SHORTBREAD_ROOT, then the client config].
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// Shows the document. What the broker says of its keys is added where an operator's key is at hand.
///
/// # Errors
/// When the key document cannot be had or believed.
pub(super) async fn run(args: &ListArgs, context: &Context) -> Result<(), Failure> {
    let settings = Settings::of(context, &args.connection)?;
    let broker = settings.broker()?;
    let root = settings.root(args.root.as_deref())?.ok_or_else(|| {
        Failure::usage("the key document is believed only with the root key: name it with --root FILE")
    })?;
    let work = published::key_document(&broker, &root);
    let document = context.ui.wait("fetching the key document", work).await?;
    let told = told(args, context, &settings).await;
    say(context, &document, told.as_ref().filter(|told| told.version == document.version));
    Ok(())
}

async fn told(args: &ListArgs, context: &Context, settings: &Settings) -> Option<KeysAnswer> {
    settings.values.key.as_ref()?;
    let asked = async {
        let mut session = Session::open(context, &args.connection, "keys.read")?;
        session.get::<KeysAnswer>("/api/v1/keys").await
    };
    match asked.await {
        Ok(told) => Some(told),
        Err(failure) => {
            context.ui.remark(&format!("which key signs is not known: {failure}"));
            None
        }
    }
}

/// A document with what the broker says of its keys.
pub(super) fn say(context: &Context, document: &KeyDocument, told: Option<&KeysAnswer>) {
    let now = context.now().seconds();
    let of = |key: &DocumentKey| {
        told.and_then(|told| {
            told.keys
                .iter()
                .find(|body| body.name == key.name.as_str() && body.purpose == key.purpose.as_str())
        })
    };
    if context.ui.is_json() {
        let keys: Vec<_> = document.keys.iter().map(|key| body(key, of(key), now)).collect();
        return context.ui.json(&json!({
            "version": document.version, "issuer": document.issuer, "break_glass": document.break_glass, "keys": keys,
        }));
    }
    context
        .ui
        .line(&format!("key document {} of {}, signed by the root key", document.version, document.issuer));
    let rows = document.keys.iter().map(|key| row(key, of(key), now)).collect();
    context.ui.table(&["purpose", "name", "state", "from", "until", "thumbprint"], rows);
}

fn state(key: &DocumentKey, now: u64) -> &'static str {
    match () {
        () if now < key.not_before => "not yet",
        () if now >= key.not_after => "over",
        () => "good",
    }
}

fn body(key: &DocumentKey, told: Option<&KeyBody>, now: u64) -> serde_json::Value {
    json!({
        "purpose": key.purpose.as_str(), "name": key.name, "state": state(key, now), "not_before": key.not_before,
        "not_after": key.not_after, "thumbprint": key.key.thumbprint(), "does": told.map(|told| &told.state),
        "behind": told.and_then(|told| told.behind), "latest": told.and_then(|told| told.latest),
    })
}

fn row(key: &DocumentKey, told: Option<&KeyBody>, now: u64) -> Vec<Piece> {
    let plain = state(key, now);
    let (style, state) = match told {
        Some(told) => (style(&told.state), words(told, now)),
        None if plain == "good" => (Style::Good, plain.to_owned()),
        None => (Style::Dim, plain.to_owned()),
    };
    vec![
        (Style::Plain, key.purpose.as_str().to_owned()),
        (Style::Bold, key.name.to_string()),
        (style, state),
        (Style::Plain, second(key.not_before)),
        (Style::Plain, until(key.not_after)),
        (Style::Plain, key.key.thumbprint()),
    ]
}

fn style(state: &str) -> Style {
    match state {
        "signs" => Style::Good,
        "waits" => Style::Warn,
        "revoked" | "no private half here" => Style::Bad,
        _ => Style::Dim,
    }
}

fn words(told: &KeyBody, now: u64) -> String {
    let Some(latest) = told.latest else { return told.state.clone() };
    let left = span(latest.saturating_sub(now));
    let why = match told.behind.unwrap_or_default() {
        0 => "for verifiers that do not report".to_owned(),
        behind => format!("for {} to know it", count(behind, "verifier")),
    };
    format!("waits {why}, {left} at most")
}
