//! Files of cases: JSON Lines or TOML, read strictly, each fault with its place and what to do about it.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead, Read as _};

use serde::Deserialize;
use shortbread_protocol::json;
use shortbread_protocol::names::Operation;
use shortbread_protocol::reason::Reason;
use thiserror::Error;
use toml::Spanned;

use super::{Case, Input, Outcome, VERSION};
use crate::policy::model::Principal;

/// The most bytes that one line, and so one case, may have.
pub const MAX_LINE: usize = 256 * 1024;
/// The most bytes that a TOML file of cases may have.
pub const MAX_TOML: usize = 16 * 1024 * 1024;
/// The most verbs that one case may ask for: as many as a request may.
const MAX_VERBS: usize = 64;
const MAX_ID: usize = 128;
/// For how many requests one case may stand.
pub const MAX_WEIGHT: u64 = 1_000_000;

/// What is wrong with a file of cases, where, and what to do.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{file}:{line}: {message}\n    fix: {fix}")]
pub struct ReadError {
    /// The file, as it was named.
    pub file: String,
    /// The line, counted from one; 0 where the file as a whole is at fault.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub fix: String,
}

/// How a file of cases is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Lines,
    /// `[[cases]]` tables.
    Toml,
}

impl Format {
    /// By the file's name; where that says nothing, by how the file begins.
    #[must_use]
    pub fn of(name: &str, beginning: &[u8]) -> Self {
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("toml") => Self::Toml,
            Some("jsonl" | "ndjson" | "json") => Self::Lines,
            _ if beginning.trim_ascii_start().starts_with(b"{") => Self::Lines,
            _ => Self::Toml,
        }
    }
}

/// Hashes of 128 bits under keys that nobody who writes a file knows, so that no two texts pass for one.
#[derive(Debug, Default)]
pub(super) struct Hashes([RandomState; 2]);

impl Hashes {
    pub(super) fn of(&self, text: &str) -> u128 {
        let [low, high] = &self.0;
        u128::from(high.hash_one(text)) << 64 | u128::from(low.hash_one(text))
    }
}

/// The ids that were read: over all files each names one case. Of millions, 16 bytes each are kept.
#[derive(Debug, Default)]
pub struct Ids {
    hashes: Hashes,
    taken: HashSet<u128>,
}

impl Ids {
    /// Whether a case of this id was read.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.taken.contains(&self.hashes.of(id))
    }

    /// Takes an id in; false when it is there already.
    pub fn take(&mut self, id: &str) -> bool {
        self.taken.insert(self.hashes.of(id))
    }
}

/// Reads a whole file of cases.
///
/// # Errors
/// With the first thing that is wrong.
pub fn read(file: &str, mut from: impl BufRead, ids: &mut Ids) -> Result<Vec<Case>, ReadError> {
    let beginning = from.fill_buf().map_err(|error| unreadable(file, 0, &error))?;
    match Format::of(file, beginning) {
        Format::Toml => read_toml(file, from, ids),
        Format::Lines => {
            let (mut lines, mut cases) = (Lines::new(file, from), Vec::new());
            while let Some(line) = lines.next()? {
                let read = parse(line);
                let case = read.map_err(|fault| lines.fault(&fault))?;
                if !ids.take(&case.id) {
                    return Err(lines.fault(&Fault::twice(&case.id)));
                }
                cases.push(case);
            }
            Ok(cases)
        }
    }
}

/// What is wrong with one case, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub fix: &'static str,
}

impl Fault {
    fn new(message: impl Into<String>, fix: &'static str) -> Self {
        Self { message: message.into(), fix }
    }

    /// Two cases of one name.
    #[must_use]
    pub fn twice(id: &str) -> Self {
        let short: String = id.chars().take(MAX_ID).collect();
        Self::new(
            format!("a case with the id {short:?} stands here for the second time"),
            "give each case an id of its own, and name no file twice",
        )
    }
}

/// Reads one case from its line.
///
/// # Errors
/// When it is no JSON object of the form, has a member twice, or says what cannot be.
pub fn parse(line: &[u8]) -> Result<Case, Fault> {
    let case: Case = json::read_as(line).map_err(|error| of_json(&error))?;
    check(&case)?;
    Ok(case)
}

/// What serde says about a line, without its own count of lines.
pub(super) fn of_json(error: &serde_json::Error) -> Fault {
    let text = error.to_string();
    let message = match text.rsplit_once(" at line ") {
        Some((message, _)) => format!("{message} (column {})", error.column()),
        None => text,
    };
    Fault::new(message, "write one case of the documented form on each line, every member once")
}

/// Whether a case says what can be.
///
/// # Errors
/// With the first thing that cannot.
pub fn check(case: &Case) -> Result<(), Fault> {
    check_head(case.v, &case.id, case.weight)?;
    check_input(&case.input)?;
    check_label(case)
}

/// Whether version, id and weight are ones.
pub(super) fn check_head(v: u32, id: &str, weight: u64) -> Result<(), Fault> {
    if v != VERSION {
        let message = format!("the case is of version {v} of the format");
        return Err(Fault::new(message, "this program reads version 1; use a program that wrote it"));
    }
    if id.is_empty() || id.len() > MAX_ID || id.chars().any(char::is_control) {
        return Err(Fault::new(
            "the id has no letter, more than 128 bytes, or control characters",
            "name the case in a few words",
        ));
    }
    if weight == 0 {
        return Err(Fault::new("a weight of 0 stands for no request", "leave it out, or write 1 or more"));
    }
    if weight > MAX_WEIGHT {
        let message = format!("the weight {weight} is more than {MAX_WEIGHT}");
        return Err(Fault::new(message, "write how many requests the case stands for, 1000000 at most"));
    }
    Ok(())
}

/// Whether an input says what can be.
pub(super) fn check_input(input: &Input) -> Result<(), Fault> {
    let identity = &input.identity;
    match identity.principal.parse() {
        Ok(Principal::Workflow(_) | Principal::Operator(_)) => {}
        Ok(Principal::Verifier(_)) => {
            return Err(Fault::new("a verifier asks for nothing", "name a workflow or an operator"));
        }
        Err(why) => {
            let message = format!("the principal {:?} is none", short(&identity.principal));
            let fix = "write it as workflow:NAME or operator:NAME";
            return Err(Fault::new(
                if why.contains("write it") { message } else { format!("{message}: {why}") },
                fix,
            ));
        }
    }
    if identity.key.is_some() && identity.issuer.is_some() {
        let fix = "keep the one that proved the identity";
        return Err(Fault::new("the identity has a key and an issuer", fix));
    }
    match input.request.len() {
        0 => Err(Fault::new(
            "the request asks for no verb",
            "add one, such as { verb = \"github/issues.read\" }",
        )),
        1..=MAX_VERBS => Ok(()),
        more => Err(Fault::new(
            format!("the request asks for {more} verbs"),
            "no request may ask for more than 64",
        )),
    }
}

fn check_label(case: &Case) -> Result<(), Fault> {
    let Some(label) = &case.label else { return Ok(()) };
    if label.granted.is_some() && label.expect != Outcome::Allow {
        let message = format!("the label expects {} and says what is granted", label.expect.as_str());
        return Err(Fault::new(message, "take granted out, or expect allow"));
    }
    if label.reason.is_some() && label.expect == Outcome::Allow {
        return Err(Fault::new(
            "the label expects allow and gives a reason",
            "take the reason out, or expect deny",
        ));
    }
    if let Some(code) = label.reason.as_deref().filter(|code| Reason::from_code(code).is_none()) {
        let message = format!("{:?} is no reason code", short(code));
        return Err(Fault::new(message, "`shortbread explain` lists them all"));
    }
    let mut granted = label.granted.iter().flatten();
    match granted.find(|verb| verb.parse::<Operation>().is_err()) {
        Some(verb) => {
            let message = format!("{:?} is no verb of a tool", short(verb));
            Err(Fault::new(message, "write it as tool/verb, such as github/issues.read"))
        }
        None => Ok(()),
    }
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

/// The lines of a file, one at a time and none longer than [`MAX_LINE`].
#[derive(Debug)]
pub struct Lines<R> {
    file: String,
    from: R,
    line: usize,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Of this file, as errors name it.
    pub fn new(file: &str, from: R) -> Self {
        Self { file: file.to_owned(), from, line: 0, buffer: Vec::new() }
    }

    /// The next line that is not blank, without its end.
    ///
    /// # Errors
    /// When the file cannot be read further, or a line is too long.
    #[expect(clippy::should_implement_trait, reason = "it lends its own buffer, so that no line is copied")]
    pub fn next(&mut self) -> Result<Option<&[u8]>, ReadError> {
        loop {
            self.buffer.clear();
            self.line += 1;
            let most = MAX_LINE as u64 + 2;
            let count = (&mut self.from).take(most).read_until(b'\n', &mut self.buffer);
            if count.map_err(|error| unreadable(&self.file, self.line, &error))? == 0 {
                return Ok(None);
            }
            if self.buffer.trim_ascii().len() > MAX_LINE {
                let fix = "split what is no case of its own; a request is never as large";
                return Err(self.fault(&Fault::new("the line has more than 256 KiB", fix)));
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        Ok(Some(self.buffer.trim_ascii()))
    }

    /// An error at this line.
    pub fn fault(&self, fault: &Fault) -> ReadError {
        ReadError {
            file: self.file.clone(),
            line: self.line,
            message: fault.message.clone(),
            fix: fault.fix.to_owned(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    #[serde(default)]
    cases: Vec<Spanned<Case>>,
}

fn read_toml(file: &str, from: impl BufRead, ids: &mut Ids) -> Result<Vec<Case>, ReadError> {
    let at = |line: usize, fault: Fault| ReadError {
        file: file.to_owned(),
        line,
        message: fault.message,
        fix: fault.fix.to_owned(),
    };
    let mut bytes = Vec::new();
    from.take(MAX_TOML as u64 + 1).read_to_end(&mut bytes).map_err(|error| unreadable(file, 0, &error))?;
    if bytes.len() > MAX_TOML {
        return Err(at(0, Fault::new("the file has more than 16 MiB", "write as many cases as JSON Lines")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| at(0, Fault::new("the file is no text", "name a file of cases: JSON Lines or TOML")))?;
    let line = |offset: usize| text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
    let tables: Tables = toml::from_str(&text).map_err(|error| {
        let place = error.span().map_or(0, |span| line(span.start));
        at(place, Fault::new(error.message(), "write [[cases]] of the documented form, every member once"))
    })?;
    let mut cases = Vec::with_capacity(tables.cases.len());
    for case in tables.cases {
        let place = line(case.span().start);
        check(case.get_ref()).map_err(|fault| at(place, fault))?;
        if !ids.take(&case.get_ref().id) {
            return Err(at(place, Fault::twice(&case.get_ref().id)));
        }
        cases.push(case.into_inner());
    }
    Ok(cases)
}

fn unreadable(file: &str, line: usize, error: &std::io::Error) -> ReadError {
    ReadError {
        file: file.to_owned(),
        line,
        message: format!("the file cannot be read further: {error}"),
        fix: "check the disk and the file's permissions".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: &str = r#"{"id":"x","input":{"identity":{"principal":"workflow:demo"},"request":[{"verb":"github/issues.read"}]},"label":{"expect":"allow"}}"#;
    const TABLE: &str = "[[cases]]\nid = \"x\"\nlabel = { expect = \"allow\" }\n[cases.input]\n\
        identity = { principal = \"workflow:demo\" }\nrequest = [{ verb = \"github/issues.read\" }]\n";

    fn of(file: &str, text: &str) -> Result<Vec<Case>, ReadError> {
        read(file, text.as_bytes(), &mut Ids::default())
    }

    fn refused(file: &str, text: &str) -> (usize, String) {
        let error = of(file, text).unwrap_err();
        assert!(error.to_string().starts_with(&format!("{file}:{}: ", error.line)) && !error.fix.is_empty());
        (error.line, error.message)
    }

    #[test]
    fn both_forms_say_the_same() {
        let lines = of("a.jsonl", &format!("\n{SHORT}\r\n\n")).unwrap();
        assert_eq!(lines, of("a.toml", TABLE).unwrap());
        assert_eq!(lines, of("-", SHORT).unwrap(), "by how it begins");
        assert_eq!(lines, of("cases", TABLE).unwrap());
        assert_eq!(of("a.jsonl", "").unwrap(), []);
        assert_eq!(of("a.toml", "").unwrap(), []);
    }

    #[test]
    fn a_fault_is_told_with_its_line() {
        let (line, said) =
            refused("a.jsonl", &format!("{SHORT}\n\n{}", SHORT.replace("\"expect\"", "\"expects\"")));
        assert!(line == 3 && said.contains("unknown field `expects`") && said.contains("column"), "{said}");
        let (line, said) = refused("a.toml", &format!("{TABLE}{}", TABLE.replace("expect =", "expects =")));
        assert!(line == 9 && said.contains("unknown field `expects`"), "{line} {said}");
        let twice = refused("a.jsonl", &format!("{SHORT}\n{SHORT}"));
        assert!(twice.0 == 2 && twice.1.contains("\"x\" stands here for the second time"));
        assert_eq!(refused("a.toml", &format!("{TABLE}{TABLE}")).0, 7);
        assert!(
            refused("a.jsonl", &SHORT.replace("\"id\":\"x\"", "\"id\":\"x\",\"id\":\"y\""))
                .1
                .contains("twice")
        );
        let long = format!("{SHORT}\n{}", "x".repeat(MAX_LINE + 1));
        assert_eq!(refused("a.jsonl", &long), (2, "the line has more than 256 KiB".to_owned()));
        assert!(refused("a.toml", "[[case]]\n").1.contains("unknown field"));
        assert!(refused("a.jsonl", "nonsense").1.contains("expected"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (from, to, says) in [
            ("\"id\":\"x\"", "\"id\":\"x\",\"v\":2", "version 2"),
            ("\"id\":\"x\"", "\"id\":\"\"", "the id has no letter"),
            ("\"id\":\"x\"", "\"id\":\"a\\nb\"", "control characters"),
            ("\"id\":\"x\"", "\"id\":\"x\",\"weight\":0", "stands for no request"),
            ("\"id\":\"x\"", "\"id\":\"x\",\"weight\":1000001", "weight 1000001 is more than 1000000"),
            ("workflow:demo\"", "workflow:demo\",\"key\":\"k\",\"issuer\":\"i\"", "a key and an issuer"),
            ("workflow:demo", "verifier:github", "asks for nothing"),
            ("workflow:demo", "demo", "principal \"demo\" is none"),
            ("workflow:demo", "workflow:De mo", "is not valid"),
            (r#"[{"verb":"github/issues.read"}]"#, "[]", "asks for no verb"),
            (
                "\"expect\":\"allow\"",
                "\"expect\":\"allow\",\"reason\":\"policy.not_granted\"",
                "gives a reason",
            ),
            ("\"expect\":\"allow\"", "\"expect\":\"deny\",\"reason\":\"policy.nope\"", "is no reason code"),
            ("\"expect\":\"allow\"", "\"expect\":\"deny\",\"granted\":[]", "says what is granted"),
            ("\"expect\":\"allow\"", "\"expect\":\"allow\",\"granted\":[\"x\"]", "no verb of a tool"),
        ] {
            let text = SHORT.replacen(from, to, 1);
            assert_ne!(text, SHORT, "{from}");
            let said = refused("a.jsonl", &text).1;
            assert!(said.contains(says), "{says}: {said}");
        }
        let many = vec![r#"{"verb":"github/issues.read"}"#; 65].join(",");
        let text = SHORT.replacen(r#"{"verb":"github/issues.read"}"#, &many, 1);
        assert!(refused("a.jsonl", &text).1.contains("65 verbs"));
    }
}
