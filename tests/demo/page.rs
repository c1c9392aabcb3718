//! How the story is printed: short lines, outcomes below each other, colour on a terminal alone.

use std::io::IsTerminal as _;

/// Where the outcomes stand.
const COLUMN: usize = 62;

/// The longest line of words.
const WIDTH: usize = 100;

const BOLD: &str = "1";
const DIM: &str = "2";
const GOOD: &str = "32";
const BAD: &str = "31";

/// Begins a scene.
pub(crate) fn scene(title: &str) {
    println!("\n{}", painted(BOLD, &format!("── {title}")));
}

/// Tells something.
pub(crate) fn say(text: &str) {
    wrapped(text, 3).iter().for_each(|line| println!("{line}"));
}

/// Shows something as it stands, such as a command.
pub(crate) fn show(text: &str) {
    text.lines().for_each(|line| println!("     {}", painted(DIM, line)));
}

/// A call that went through, and what it gave.
pub(crate) fn passed(what: &str, outcome: &str) {
    row(&painted(GOOD, "✓"), what, outcome);
}

/// A call that was refused, and the reason.
pub(crate) fn refused(what: &str, reason: &str) {
    row(&painted(BAD, "✗"), what, &format!("refused, {reason}"));
}

/// What a refused caller was told.
pub(crate) fn told(words: &str) {
    wrapped(&format!("“{words}”"), 5).iter().for_each(|line| println!("{}", painted(DIM, line)));
}

fn row(mark: &str, what: &str, outcome: &str) {
    println!("   {mark} {what:COLUMN$}  {outcome}");
}

fn painted(code: &str, text: &str) -> String {
    let plain =
        std::env::var_os("NO_COLOR").is_some() || std::env::var("TERM").is_ok_and(|term| term == "dumb");
    if plain || !std::io::stdout().is_terminal() {
        return text.to_owned();
    }
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

fn wrapped(text: &str, indent: usize) -> Vec<String> {
    let margin = " ".repeat(indent);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{margin}{word}")),
        }
    }
    lines
}
