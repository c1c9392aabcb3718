//! `shortbread audit case`: a recorded decision becomes a case with a label.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use shortbread_broker::cases::{Case, Label, Mechanism, Outcome};
use shortbread_protocol::reason::Reason;

use super::is_id;
use crate::cli::Connection;
use crate::client::Session;
use crate::config::Settings;
use crate::context::Context;
use crate::failure::Failure;

/// How a case is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Jsonl,
    Toml,
}

/// Make a case of a recorded decision: what was asked for, and what ought to come of it, for `policy test` and the gate.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread audit case dec_0193a5c7e1f27d3a9b4c5d6e7f809112 --expect deny \\
      --mechanism over-broad-grant --note INC-482 >> cases.jsonl
  shortbread audit case dec_0193a5c7e1f27d3a9b4c5d6e7f809112 --expect allow --format toml")]
pub(super) struct CaseArgs {
    /// The decision's id.
    #[arg(value_name = "DECISION")]
    id: String,
    /// What ought to have been decided.
    #[arg(long, value_parser = outcomes())]
    expect: Outcome,
    /// The reason code that a refusal must have.
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    /// What went wrong in the incident that it comes from.
    #[arg(long, value_parser = mechanisms())]
    mechanism: Option<Mechanism>,
    /// Why, such as the incident's number.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// One JSON object on a line, or a table of a TOML file.
    #[arg(long, default_value = "jsonl", value_parser = formats())]
    format: Format,
    #[command(flatten)]
    connection: Connection,
}

fn outcomes() -> impl TypedValueParser<Value = Outcome> {
    let all = [Outcome::Allow, Outcome::Deny, Outcome::NeedsApproval];
    PossibleValuesParser::new(all.map(Outcome::as_str))
        .map(move |word| all.into_iter().find(|one| one.as_str() == word).unwrap_or(Outcome::Deny))
}

fn mechanisms() -> impl TypedValueParser<Value = Mechanism> {
    PossibleValuesParser::new(Mechanism::ALL.map(Mechanism::as_str))
        .map(|word| Mechanism::ALL.into_iter().find(|one| one.as_str() == word).unwrap_or(Mechanism::Other))
}

fn formats() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(["jsonl", "toml"])
        .map(|word| if word == "toml" { Format::Toml } else { Format::Jsonl })
}

/// Prints the case.
///
/// # Errors
/// When the label makes no sense, or the decision is unknown or cannot be made a case.
pub(super) async fn run(args: &CaseArgs, context: &Context) -> Result<(), Failure> {
    if !is_id(&args.id) {
        return Err(Failure::usage("give a decision id (dec_…)"));
    }
    let label = label(args)?;
    let by = Settings::of(context, &args.connection)?.signer()?.subject().to_owned();
    let mut session = Session::open(context, &args.connection, "audit.read")?;
    let case: Case = session.get(&format!("/api/v1/audit/cases/{}", args.id)).await?;
    let by = by.strip_prefix("operator:").unwrap_or(&by).to_owned();
    let case = Case { label: Some(Label { by: Some(by), ..label }), ..case };
    match args.format {
        Format::Toml if !context.ui.is_json() => {
            for line in toml(case)?.lines() {
                context.ui.line(line);
            }
        }
        _ => context.ui.json_line(&case),
    }
    Ok(())
}

fn label(args: &CaseArgs) -> Result<Label, Failure> {
    if let Some(code) = &args.reason {
        if args.expect != Outcome::Deny {
            return Err(Failure::usage(
                "--reason is for a case that is expected to be refused: --expect deny",
            ));
        }
        if Reason::from_code(code).is_none() {
            return Err(Failure::usage(format!(
                "{code:?} is no reason code; `shortbread explain` lists them all"
            )));
        }
    }
    Ok(Label {
        expect: args.expect,
        granted: None,
        reason: args.reason.clone(),
        mechanism: args.mechanism,
        by: None,
        note: args.note.clone(),
    })
}

fn toml(case: Case) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct File {
        cases: [Case; 1],
    }
    toml::to_string(&File { cases: [case] }).map_err(|error| {
        let what = format!("the case cannot be written as TOML: {error}");
        Failure::new(what, "Write it as JSON: --format jsonl.")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        case: CaseArgs,
    }

    fn labelled(words: &[&str]) -> Result<Label, String> {
        let line = Line::try_parse_from([&["case", "dec_1"], words].concat()).map_err(|e| e.to_string())?;
        label(&line.case).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_label_says_what_is_expected() {
        let words = ["--expect", "deny", "--reason", "policy.not_granted", "--mechanism", "over-broad-grant"];
        let label = labelled(&words).unwrap();
        assert_eq!((label.expect, label.mechanism), (Outcome::Deny, Some(Mechanism::OverBroadGrant)));
        assert_eq!(labelled(&["--expect", "needs_approval"]).unwrap().expect, Outcome::NeedsApproval);
        for (wrong, said) in [
            (&["--expect", "allow", "--reason", "policy.not_granted"][..], "expected to be refused"),
            (&["--expect", "deny", "--reason", "because"], "no reason code"),
            (&["--expect", "maybe"], "possible values"),
            (&["--expect", "deny", "--mechanism", "magic"], "possible values"),
            (&[], "--expect"),
        ] {
            assert!(labelled(wrong).unwrap_err().contains(said), "{wrong:?}");
        }
    }

    #[test]
    fn a_case_in_toml_is_read_back() {
        let line = r#"{"v":1,"id":"dec_1","at":"2026-11-20T12:00:00Z","input":{"identity":{"principal":"workflow:x","issuer":"i","claims":{"a":{"b":[1,true]}}},"possession":"proved","request":[{"verb":"github/issues.write","constraints":{"repo":{"eq":"a"}}}]},"segment":{"workflow":"x"}}"#;
        let case: Case = serde_json::from_str(line).unwrap();
        let text = toml(case.clone()).unwrap();
        let read: std::collections::BTreeMap<String, Vec<Case>> = toml::from_str(&text).unwrap();
        assert_eq!(read["cases"], [case]);
    }
}
