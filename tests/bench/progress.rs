//! One line on a terminal that says what is under way. Nothing where the output is read by a program.

use std::io::{IsTerminal as _, Write as _};

pub fn say(what: &str) {
    let mut out = std::io::stderr();
    if out.is_terminal() {
        let _ = write!(out, "\r\x1b[K{what}");
        let _ = out.flush();
    }
}

pub fn done() {
    say("");
}
