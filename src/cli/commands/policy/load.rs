//! Policies and cases from files on this machine.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde_json::{Value, json};
use shortbread_broker::cases::Case;
use shortbread_broker::cases::read::{Fault, Ids, ReadError, read};
use shortbread_broker::config::check_issuer;
use shortbread_broker::policy::{Options, Policy, Problem};

use crate::cli::Connection;
use crate::config::Settings;
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::text::{count, sentence};
use crate::ui::Style;

/// Stands for the broker where none is known: only the built-in tool's audience follows from it.
pub(super) const NO_BROKER: &str = "https://broker.invalid";

/// The broker's public URL that a policy is compiled for. A client config that is damaged is no reason to refuse one.
///
/// # Errors
/// When it is given and cannot be one.
pub(super) fn issuer(given: Option<&str>, context: &Context) -> Result<String, Failure> {
    let Some(issuer) = given else {
        let settings = Settings::load(&Connection::default(), &context.env).ok();
        let known = settings.and_then(|settings| settings.values.broker);
        return Ok(known.unwrap_or_else(|| NO_BROKER.to_owned()));
    };
    check_issuer(issuer).map_err(Failure::usage)?;
    Ok(issuer.to_owned())
}

/// Reads and checks a policy; key files stand relative to it. Its problems are told.
///
/// # Errors
/// When it cannot be read or has problems.
pub(super) fn policy(file: &Path, issuer: &str, context: &Context) -> Result<Policy, Failure> {
    let source = files::read_text(file)?;
    let options = Options { issuer: issuer.to_owned() };
    Policy::compile(&source, &file.display().to_string(), &beside(file), &options).map_err(|problems| {
        unsound(&problems, context);
        Failure::Told
    })
}

/// Reads what a policy refers to, relative to it.
pub(super) fn beside(policy: &Path) -> impl Fn(&str) -> Result<String, String> {
    let folder = policy.parent().unwrap_or(Path::new("")).to_owned();
    move |name| std::fs::read_to_string(folder.join(name)).map_err(|error| error.to_string())
}

/// Reads files of cases; over all of them each id names one case.
///
/// # Errors
/// With the first thing that is wrong, and where.
pub(super) fn cases(files: &[impl AsRef<Path>]) -> Result<Vec<Case>, Failure> {
    let (mut cases, mut ids) = (Vec::new(), Ids::default());
    for file in files {
        let (name, reader) = open(file.as_ref())?;
        cases.extend(read(&name, reader, &mut ids).map_err(|error| wrong(&error))?);
    }
    Ok(cases)
}

/// Opens a file of cases, with how errors name it.
///
/// # Errors
/// When it cannot be opened.
pub(super) fn open(file: &Path) -> Result<(String, BufReader<File>), Failure> {
    let name = file.display().to_string();
    let opened = File::open(file).map_err(|error| {
        let fix = "Check the path and its permissions.";
        Failure::new(format!("{name} cannot be read: {error}"), fix)
    })?;
    Ok((name, BufReader::with_capacity(1 << 20, opened)))
}

/// A fault in a file of cases.
pub(super) fn wrong(error: &ReadError) -> Failure {
    Failure::new(format!("{}:{}: {}", error.file, error.line, error.message), sentence(&error.fix))
}

/// A fault of one case in a file.
pub(super) fn faulty(file: &str, id: &str, fault: &Fault) -> Failure {
    Failure::new(format!("{file}: the case {id}: {}", fault.message), sentence(fault.fix))
}

/// Writes a report for other programs, over an older one.
///
/// # Errors
/// When it cannot be written.
pub(super) fn report(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text).map_err(|error| {
        let fix = "Check the path and its permissions.";
        Failure::new(format!("{} cannot be written: {error}", file.display()), fix)
    })
}

/// Tells each problem of a policy, with its line and what to write instead.
pub(super) fn unsound(problems: &[Problem], context: &Context) {
    let ui = context.ui;
    if ui.is_json() {
        let problem = |problem: &Problem| json!({"file": problem.file, "line": problem.line, "message": problem.message, "fix": problem.fix});
        let problems: Vec<Value> = problems.iter().map(problem).collect();
        return ui.json(&json!({"sound": false, "problems": problems}));
    }
    for problem in problems {
        let place = format!("{}:{}: ", problem.file, problem.line);
        ui.pieces(&[(Style::Bold, place), (Style::Plain, problem.message.clone())]);
        ui.line(&format!("    fix: {}", problem.fix));
    }
    ui.line(&count(problems.len() as u64, "problem"));
}
