//! `shortbread runbook`: what to type when it matters.

use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::ui::{Piece, Style};

/// The text, for people who read it here and for tests that run it.
const TEXT: &str = include_str!("../runbook.md");

/// What to do, command by command: who decides what, an approver is away, the switch is pulled, a key leaks, the broker is
/// gone. It needs no broker and no network.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread runbook --list
  shortbread runbook leak
  shortbread runbook > runbook.txt")]
pub(crate) struct RunbookArgs {
    /// One topic, as --list names it [default: all].
    topic: Option<String>,
    /// Name the topics.
    #[arg(long, conflicts_with = "topic")]
    list: bool,
}

/// A part of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Topic {
    name: &'static str,
    title: &'static str,
    text: &'static str,
}

/// Shows one topic or all.
///
/// # Errors
/// When there is no such topic.
pub(crate) fn run(args: &RunbookArgs, context: &Context) -> Result<(), Failure> {
    let (intro, topics) = parts();
    let ui = context.ui;
    if args.list {
        if ui.is_json() {
            let named = |topic: &Topic| json!({ "topic": topic.name, "title": topic.title });
            ui.json(&topics.iter().map(named).collect::<Vec<_>>());
        } else {
            ui.pairs(&topics.iter().map(|topic| (topic.name, topic.title.to_owned())).collect::<Vec<_>>());
            ui.remark("`shortbread runbook TOPIC` shows one");
        }
        return Ok(());
    }
    let shown: Vec<Topic> = match args.topic.as_deref() {
        None => topics,
        Some(name) => vec![find(&topics, name)?],
    };
    if ui.is_json() {
        let whole =
            |topic: &Topic| json!({ "topic": topic.name, "title": topic.title, "text": topic.text.trim() });
        ui.json(&json!({ "intro": intro.trim(), "topics": shown.iter().map(whole).collect::<Vec<_>>() }));
        return Ok(());
    }
    // Every topic goes by the names that are set there.
    show(context, intro);
    for topic in shown {
        ui.line("");
        ui.heading(&format!("{} ({})", topic.title, topic.name));
        show(context, topic.text);
    }
    Ok(())
}

fn find(topics: &[Topic], name: &str) -> Result<Topic, Failure> {
    topics.iter().find(|topic| topic.name == name).copied().ok_or_else(|| {
        let short: String = name.chars().take(64).collect();
        let names: Vec<&str> = topics.iter().map(|topic| topic.name).collect();
        Failure::usage(format!("{short:?} is no topic; there are {}", names.join(", ")))
    })
}

/// What stands before the first topic, without its title, and the topics.
fn parts() -> (&'static str, Vec<Topic>) {
    let mut parts = TEXT.split("\n## ");
    let intro = parts.next().unwrap_or_default();
    let intro = intro.split_once('\n').map_or(intro, |(_, rest)| rest);
    let topic = |part: &'static str| {
        let (heading, text) = part.split_once('\n')?;
        let (name, title) = heading.split_once(": ")?;
        Some(Topic { name, title, text })
    };
    (intro, parts.filter_map(topic).collect())
}

/// A line of the text, as it is shown.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Text(String),
    Command(String),
    Row(Vec<String>),
}

fn show(context: &Context, text: &str) {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for line in lines(text) {
        if let Line::Row(cells) = line {
            rows.push(cells);
            continue;
        }
        table(context, &mut rows);
        match line {
            Line::Command(command) => context.ui.pieces(&[(Style::Bold, format!("    {command}"))]),
            Line::Text(text) => context.ui.line(&text),
            Line::Row(_) => {}
        }
    }
    table(context, &mut rows);
}

fn table(context: &Context, rows: &mut Vec<Vec<String>>) {
    let mut rows = std::mem::take(rows).into_iter();
    let Some(head) = rows.next() else { return };
    let plain =
        |cells: Vec<String>| cells.into_iter().map(|cell| (Style::Plain, cell)).collect::<Vec<Piece>>();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    context.ui.table(&head, rows.map(plain).collect());
}

// Fences and the rule of a table are for other readers.
fn lines(text: &str) -> Vec<Line> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.trim_start_matches('\n').lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            lines.push(Line::Command(line.to_owned()));
        } else if let Some(row) = line.strip_prefix('|') {
            let cells: Vec<String> =
                row.trim_end_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
            if !cells.iter().all(|cell| cell.bytes().all(|byte| byte == b'-')) {
                lines.push(Line::Row(cells));
            }
        } else {
            lines.push(Line::Text(line.to_owned()));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser as _;

    #[test]
    fn every_topic_has_a_name_a_title_and_something_to_type() {
        let (intro, topics) = parts();
        let names: Vec<&str> = topics.iter().map(|topic| topic.name).collect();
        assert_eq!(names, ["who", "away", "stop", "switch", "leak", "gone", "restore"]);
        assert_eq!(TEXT.matches("\n## ").count(), topics.len());
        assert!(intro.contains("export WORKFLOW="));
        assert!(topics.iter().all(|topic| topic.text.contains("```sh\n")));
        assert_eq!(find(&topics, "leak").unwrap().title, "A key leaks");
        assert!(find(&topics, "lunch").unwrap_err().to_string().contains("there are who, away"));
    }

    #[test]
    fn every_command_is_one_that_the_program_takes() {
        let (intro, topics) = parts();
        let set: Vec<(&str, &str)> = intro
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .map(|(name, rest)| (name, rest.split_whitespace().next().unwrap()))
            .collect();
        let mut seen = 0;
        for line in topics.iter().flat_map(|topic| lines(topic.text)) {
            let Line::Command(line) = line else { continue };
            let Some(rest) = line.strip_prefix("shortbread ") else { continue };
            let mut line = rest.replace("\"$seq\"", "7");
            for (name, value) in &set {
                line = line.replace(&format!("${name}"), value);
            }
            assert!(!line.contains('$'), "{line}");
            // Texts in quotation marks are one word each.
            let words = line.split('"').enumerate().flat_map(|(at, part)| match at % 2 {
                0 => part.split_whitespace().collect::<Vec<_>>(),
                _ => vec![part],
            });
            if let Err(error) = Cli::try_parse_from(std::iter::once("shortbread").chain(words)) {
                panic!("{line}: {error}");
            }
            seen += 1;
        }
        assert!(seen > 25, "{seen}");
    }

    #[test]
    fn fences_and_rules_are_not_shown() {
        let text = "\nsay\n```sh\nls -l\n```\n| a | b |\n|---|---|\n| 1 | 2 |\n";
        let row = |cells: [&str; 2]| Line::Row(cells.map(str::to_owned).to_vec());
        let said = |text: &str| Line::Text(text.to_owned());
        assert_eq!(
            lines(text),
            [said("say"), Line::Command("ls -l".to_owned()), row(["a", "b"]), row(["1", "2"])]
        );
    }
}
