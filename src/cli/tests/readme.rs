//! The table of reason codes in README.md is what the program says. SHORTBREAD_BLESS=1 writes it anew.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::process::Command;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
const BEGIN: &str = "<!-- reasons:begin -->\n";
const END: &str = "<!-- reasons:end -->";

/// What stands before, between and after the marks.
fn parts(readme: &str) -> (&str, &str, &str) {
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    (before, table, after)
}

#[test]
fn the_table_of_reasons_is_current() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_shortbread"));
    let said = program.args(["explain", "--all", "--markdown"]).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    let table = format!("\n{}\n", String::from_utf8(said.stdout).unwrap());
    let readme = std::fs::read_to_string(README).unwrap();
    let (before, kept, after) = parts(&readme);
    if std::env::var_os("SHORTBREAD_BLESS").is_some() {
        std::fs::write(README, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert!(kept == table, "the reason codes in README.md are not current; run scripts/gen-schema");
    }
}
