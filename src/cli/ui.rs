//! The one way out: everything that people or programs read goes through here.

use std::future::Future;
use std::io::{ErrorKind, IsTerminal as _, Write};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::context::Env;
use crate::text::{escape, escape_json, width};

/// Whether a part of the answer could not be written.
static LOST: AtomicBool = AtomicBool::new(false);

/// How a piece of text is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Bold,
    Dim,
    Good,
    Warn,
    Bad,
}

impl Style {
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Bold => Some("1"),
            Self::Dim => Some("2"),
            Self::Good => Some("32"),
            Self::Warn => Some("33"),
            Self::Bad => Some("31"),
        }
    }
}

/// A piece of a line.
pub(crate) type Piece = (Style, String);

/// Output as the user asked for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ui {
    json: bool,
    colour_out: bool,
    colour_err: bool,
    progress: bool,
    // Whether somebody can be asked a question.
    asks: bool,
    // Whether lines of the answer can be drawn anew.
    live: bool,
}

impl Ui {
    /// For this process: colour and progress only on a terminal, and no colour with `NO_COLOR` or a dumb terminal.
    pub(crate) fn of_process(json: bool, env: &Env) -> Self {
        let able = env("TERM").is_none_or(|term| term != "dumb");
        let colour = able && env("NO_COLOR").is_none();
        let (out, err) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        Self {
            json,
            colour_out: colour && out,
            colour_err: colour && err,
            progress: err && !json,
            asks: err && !json && std::io::stdin().is_terminal(),
            live: able && out && !json,
        }
    }

    /// Whether a part of the answer could not be written, as on a full disk.
    pub(crate) fn has_lost(self) -> bool {
        LOST.load(Ordering::Relaxed)
    }

    /// Whether programs read the answer.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// A line of the answer.
    pub(crate) fn line(&self, text: &str) {
        self.pieces(&[(Style::Plain, text.to_owned())]);
    }

    /// A line of the answer in styled pieces.
    pub(crate) fn pieces(&self, pieces: &[Piece]) {
        answer(&paint(pieces, self.colour_out));
    }

    /// A heading of the answer.
    pub(crate) fn heading(&self, text: &str) {
        self.pieces(&[(Style::Bold, text.to_owned())]);
    }

    /// Names and values, the values below each other.
    pub(crate) fn pairs(&self, pairs: &[(&str, String)]) {
        let rows = pairs
            .iter()
            .map(|(name, value)| vec![(Style::Dim, (*name).to_owned()), (Style::Plain, value.clone())]);
        for row in columns(rows.collect()) {
            self.pieces(&row);
        }
    }

    /// A table with a head; columns line up.
    pub(crate) fn table(&self, head: &[&str], rows: Vec<Vec<Piece>>) {
        let head = head.iter().map(|name| (Style::Dim, (*name).to_owned())).collect();
        for row in columns(std::iter::once(head).chain(rows).collect()) {
            self.pieces(&row);
        }
    }

    /// The whole answer as one JSON value over several lines.
    pub(crate) fn json(&self, value: &impl Serialize) {
        // What commands hand over are plain structs and JSON values, which always serialise.
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        answer(&escape_json(&text));
    }

    /// One JSON value on one line, for answers that are a stream of them.
    pub(crate) fn json_line(&self, value: &impl Serialize) {
        let text = serde_json::to_string(value).unwrap_or_default();
        answer(&escape_json(&text));
    }

    /// Whole lines of JSON, byte for byte where they do not go to a terminal. Answers whether there is still a reader.
    pub(crate) fn raw(&self, lines: &[u8]) -> bool {
        let mut out = std::io::stdout().lock();
        let wrote = if out.is_terminal() {
            let text = escape_json(&String::from_utf8_lossy(lines)).into_owned();
            out.write_all(text.as_bytes())
        } else {
            out.write_all(lines)
        };
        let Err(error) = wrote.and_then(|()| out.flush()) else { return true };
        LOST.fetch_or(error.kind() != ErrorKind::BrokenPipe, Ordering::Relaxed);
        false
    }

    /// An error's first line, on stderr.
    pub(crate) fn complain(&self, text: &str) {
        let pieces = [(Style::Bad, "error: ".to_owned()), (Style::Plain, text.to_owned())];
        complaint(&paint(&pieces, self.colour_err));
    }

    /// More lines about an error, on stderr.
    pub(crate) fn complain_lines(&self, text: &str) {
        for line in text.lines() {
            complaint(&escape(line));
        }
    }

    /// More about an error, on stderr.
    pub(crate) fn complain_pairs(&self, pairs: &[(&str, String)]) {
        let rows = pairs
            .iter()
            .map(|(name, value)| vec![(Style::Dim, format!("  {name}")), (Style::Plain, value.clone())]);
        for row in columns(rows.collect()) {
            complaint(&paint(&row, self.colour_err));
        }
    }

    /// An error as JSON, on stderr.
    pub(crate) fn complain_json(&self, value: &impl Serialize) {
        let text = serde_json::to_string(value).unwrap_or_default();
        complaint(&escape_json(&text));
    }

    /// A remark that is no part of the answer, on stderr; programs do not get it.
    pub(crate) fn remark(&self, text: &str) {
        if !self.json {
            complaint(&paint(&[(Style::Dim, text.to_owned())], self.colour_err));
        }
    }

    /// Whether the answer goes to a terminal on which lines can be drawn anew.
    pub(crate) const fn is_live(&self) -> bool {
        self.live
    }

    /// Draws lines of the answer in place of the last `above` ones; answers how many there are now.
    pub(crate) fn redraw(&self, above: usize, rows: &[Vec<Piece>]) -> usize {
        // Up and clear; a line that is too long is cut, so that it stays one line.
        let mut text = if above > 0 { format!("\u{1b}[{above}A\r\u{1b}[J") } else { String::new() };
        text.push_str("\u{1b}[?7l");
        rows.iter().for_each(|row| text.extend([paint(row, self.colour_out).as_str(), "\n"]));
        text.push_str("\u{1b}[?7h");
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        rows.len()
    }

    /// Says on stderr how far something is: on a terminal in one line that is drawn anew, else in a line of its own.
    /// Programs do not get it.
    pub(crate) fn progress(&self, text: &str) {
        if self.progress {
            status(&format!("\r\u{1b}[?7l{}\u{1b}[K\u{1b}[?7h", escape(text)));
        } else {
            self.remark(text);
        }
    }

    /// Whether [`Ui::progress`] draws one line anew.
    pub(crate) const fn has_progress(&self) -> bool {
        self.progress
    }

    /// Takes away what [`Ui::progress`] drew.
    pub(crate) fn progress_over(&self) {
        if self.progress {
            status("\r\u{1b}[K");
        }
    }

    /// Whether somebody sits at a terminal and can answer [`Ui::ask`].
    pub(crate) const fn can_ask(&self) -> bool {
        self.asks
    }

    /// Asks a question on stderr and takes a line for an answer; `None` when there is nobody to ask.
    pub(crate) fn ask(&self, question: &str) -> Option<String> {
        if !self.asks {
            return None;
        }
        status(&paint(&[(Style::Bold, question.to_owned())], self.colour_err));
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).ok()?;
        Some(answer)
    }

    /// Waits for `work` and, on a terminal and after a second, shows that it does and for how long.
    pub(crate) async fn wait<F: Future>(&self, what: &str, work: F) -> F::Output {
        const FRAMES: [char; 4] = ['|', '/', '-', '\\'];
        let mut work = pin!(work);
        if !self.progress {
            return work.await;
        }
        let tick = Duration::from_millis(250);
        for (count, frame) in (1u32..).zip(FRAMES.into_iter().cycle()) {
            tokio::select! {
                output = &mut work => {
                    if count > 4 {
                        status("\r\u{1b}[K");
                    }
                    return output;
                }
                () = tokio::time::sleep(tick) => {}
            }
            if count >= 4 {
                status(&format!("\r{frame} {} ({} s)\u{1b}[K", escape(what), count / 4));
            }
        }
        work.await
    }
}

fn status(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

// A reader that went away (`| head`) is no failure of the command; a disk that took half a token is.
fn answer(text: &str) {
    if let Err(error) = put(&mut std::io::stdout().lock(), text)
        && error.kind() != ErrorKind::BrokenPipe
    {
        LOST.store(true, Ordering::Relaxed);
    }
}

// Nobody is left to tell that there is no place for an error.
fn complaint(text: &str) {
    let _ = put(&mut std::io::stderr().lock(), text);
}

fn put(to: &mut impl Write, text: &str) -> std::io::Result<()> {
    to.write_all(format!("{text}\n").as_bytes()).and_then(|()| to.flush())
}

fn paint(pieces: &[Piece], colour: bool) -> String {
    let mut line = String::new();
    for (style, text) in pieces {
        let text = escape(text);
        match style.code().filter(|_| colour && !text.trim().is_empty()) {
            Some(code) => line.extend(["\u{1b}[", code, "m", &text, "\u{1b}[0m"]),
            None => line.push_str(&text),
        }
    }
    line
}

/// Pads every cell but a row's last to the width of its column, and two spaces between.
pub(crate) fn columns(rows: Vec<Vec<Piece>>) -> Vec<Vec<Piece>> {
    let shown = |text: &str| width(&escape(text));
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        for (at, (_, text)) in row.iter().enumerate() {
            match widths.get_mut(at) {
                Some(widest) => *widest = (*widest).max(shown(text)),
                None => widths.push(shown(text)),
            }
        }
    }
    let pad = |row: Vec<Piece>| {
        let last = row.len().saturating_sub(1);
        let cells = row.into_iter().zip(&widths).enumerate();
        cells
            .flat_map(|(at, ((style, text), widest))| {
                let gap = if at == last { 0 } else { widest + 2 - shown(&text) };
                [(style, text), (Style::Plain, " ".repeat(gap))]
            })
            .collect()
    };
    rows.into_iter().map(pad).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<Piece> {
        cells.iter().map(|cell| (Style::Plain, (*cell).to_owned())).collect()
    }

    #[test]
    fn columns_line_up_by_what_is_shown() {
        let rows = columns(vec![row(&["a", "b", "c"]), row(&["\u{e9}t\u{e9}", "\u{1b}", "x"])]);
        let lines: Vec<String> = rows.iter().map(|row| paint(row, false)).collect();
        assert_eq!(lines, ["a    b       c", "\u{e9}t\u{e9}  \\u{1b}  x"]);
    }

    #[test]
    fn colour_only_where_asked_for() {
        let pieces = [(Style::Bad, "no\u{1b}".to_owned()), (Style::Plain, " way".to_owned())];
        assert_eq!(paint(&pieces, false), "no\\u{1b} way");
        assert_eq!(paint(&pieces, true), "\u{1b}[31mno\\u{1b}\u{1b}[0m way");
    }
}
