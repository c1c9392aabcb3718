//! `shortbread keys`: makes keys, shows those that a broker signs with, and replaces them.

mod activate;
mod generate;
mod list;
mod rotate;
mod sign;

pub(super) use sign::root;

use clap::{Args, Subcommand};
use shortbread_protocol::clock::{FOREVER, Timestamp};
use shortbread_protocol::key_document::{Difference, DocumentKey, KeyDocument};

use crate::context::Context;
use crate::failure::Failure;
use crate::ui::{Piece, Style};

/// Make keys, show those that a broker signs with, and replace them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread keys generate --purpose operator --out keys/alice.pem
  shortbread keys list --root keys/root.pub.pem
  shortbread keys rotate --purpose token
  shortbread keys sign key-document-2.unsigned.txt --root root.pem
  shortbread keys activate key-document-2.txt")]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    Generate(generate::GenerateArgs),
    List(list::ListArgs),
    Rotate(rotate::RotateArgs),
    Sign(sign::SignArgs),
    Activate(activate::ActivateArgs),
}

/// Makes, shows or replaces keys.
///
/// # Errors
/// When a file is there already or cannot be written; when a key document cannot be had, believed or put in force.
pub(crate) async fn run(args: &KeysArgs, context: &Context) -> Result<(), Failure> {
    match &args.command {
        KeysCommand::Generate(args) => generate::run(args, context),
        KeysCommand::List(args) => list::run(args, context).await,
        KeysCommand::Rotate(args) => rotate::run(args, context).await,
        KeysCommand::Sign(args) => sign::run(args, context),
        KeysCommand::Activate(args) => activate::run(args, context).await,
    }
}

/// What a document changes against the one before, line by line.
fn say_differences(context: &Context, document: &KeyDocument, before: &KeyDocument) {
    let rows: Vec<Vec<Piece>> = document.differences(before).iter().map(difference).collect();
    if rows.is_empty() {
        context.ui.line("it changes nothing but its version");
    } else {
        context.ui.table(&["change", "purpose", "name", "from", "until"], rows);
    }
}

fn difference(difference: &Difference) -> Vec<Piece> {
    let key = |style, word: &str, key: &DocumentKey| {
        let mut cells = vec![(style, word.to_owned())];
        cells.extend(
            [
                key.purpose.as_str().to_owned(),
                key.name.to_string(),
                second(key.not_before),
                until(key.not_after),
            ]
            .map(|cell| (Style::Plain, cell)),
        );
        cells
    };
    match difference {
        Difference::Added(added) => key(Style::Good, "new", added),
        Difference::Dropped(dropped) => key(Style::Bad, "dropped", dropped),
        Difference::Validity { is, .. } => key(Style::Warn, "validity", is),
        Difference::BreakGlass { was, is } => vec![
            (Style::Warn, "break-glass".to_owned()),
            (Style::Plain, "lowest".to_owned()),
            (Style::Plain, format!("{was} -> {is}")),
        ],
    }
}

/// The same for programs.
fn differences(document: &KeyDocument, before: &KeyDocument) -> Vec<serde_json::Value> {
    let key = |change: &str, key: &DocumentKey| {
        serde_json::json!({
            "change": change, "purpose": key.purpose.as_str(), "name": key.name, "not_before": key.not_before,
            "not_after": key.not_after,
        })
    };
    let one = |difference: &Difference| match difference {
        Difference::Added(added) => key("new", added),
        Difference::Dropped(dropped) => key("dropped", dropped),
        Difference::Validity { is, .. } => key("validity", is),
        Difference::BreakGlass { was, is } => {
            serde_json::json!({ "change": "break_glass", "was": was, "is": is })
        }
    };
    document.differences(before).iter().map(one).collect()
}

fn second(seconds: u64) -> String {
    Timestamp::from_seconds(seconds).to_string()
}

fn until(seconds: u64) -> String {
    if seconds >= FOREVER { "for good".to_owned() } else { second(seconds) }
}
