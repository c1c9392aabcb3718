//! `[tools]`: the catalogue.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shortbread_protocol::names::ToolName;
use toml::Spanned;

use super::super::builtin;
use super::super::model::{Catalogue, Observe, Tool, Verb, Windows};
use super::super::source::{ToolSource, VerbSource, WindowsSource};
use super::super::units::{Shown, Span};
use super::{Check, Options, url};

/// A shorter window would stop a tool between two heads.
const SHORTEST: Duration = Duration::from_secs(10);

pub(super) fn compile(
    check: &mut Check<'_>,
    raw: &[(Spanned<String>, ToolSource)],
    options: &Options,
) -> Catalogue {
    let mut tools = BTreeMap::from([(ToolName::shortbread(), builtin::tool(&options.issuer))]);
    let mut audiences = BTreeMap::from([(builtin::audience(&options.issuer), ToolName::shortbread())]);
    for (name, source) in raw {
        let Some(tool) = tool_name(check, name) else { continue };
        audience(check, &tool, &source.audience, &mut audiences);
        if source.verbs.is_empty() {
            check.problem(
                name.span(),
                format!("the tool {tool} has no verbs"),
                "list them, such as verbs.\"issues.read\" = { access = \"read\" }",
            );
        }
        let verbs =
            source.verbs.iter().map(|(verb, source)| (verb.get_ref().clone(), self::verb(check, source)));
        let verbs = verbs.collect();
        let windows = windows(check, &source.windows);
        let observe = observe(check, &tool, source);
        tools.insert(tool, Tool { audience: source.audience.get_ref().clone(), windows, verbs, observe });
    }
    Catalogue { tools }
}

fn tool_name(check: &mut Check<'_>, name: &Spanned<String>) -> Option<ToolName> {
    match name.get_ref().parse::<ToolName>() {
        Ok(tool) if builtin::is(&tool) => {
            let message = "the tool shortbread is the broker's own and fixed in code";
            check.problem(name.span(), message, "give this tool another name");
            None
        }
        Ok(tool) => Some(tool),
        Err(error) => {
            check.problem(name.span(), error.to_string(), "choose a name that keeps to that rule");
            None
        }
    }
}

fn audience(
    check: &mut Check<'_>,
    tool: &ToolName,
    audience: &Spanned<String>,
    taken: &mut BTreeMap<String, ToolName>,
) {
    let text = audience.get_ref();
    if let Err(why) = url::check(text, true) {
        check.problem(
            audience.span(),
            format!("the audience {text:?} of the tool {tool} {why}"),
            "use the https URL at which clients reach the tool (http only at this machine)",
        );
    }
    // A client may add or drop the last slash, so two audiences must differ in more than that.
    let plain = text.trim_end_matches('/').to_owned();
    if let Some(other) = taken.get(&plain) {
        check.problem(
            audience.span(),
            format!(
                "the tools {other} and {tool} have the same audience, so each could use the other's tokens"
            ),
            "give each tool its own URL",
        );
    } else {
        taken.insert(plain, tool.clone());
    }
}

/// Whether the tool is observed, and until when. How far off that is shows when the policy is put in force: what it says
/// does not depend on when it is read.
fn observe(check: &mut Check<'_>, tool: &ToolName, source: &ToolSource) -> Option<Observe> {
    let mode = source.mode.as_ref().map(|mode| (mode.span(), mode.get_ref().as_str()));
    match (mode, &source.until) {
        (None | Some((_, "enforce")), None) => None,
        (None | Some((_, "enforce")), Some(until)) => {
            let message = format!("{tool} has an until and is not observed, so that it says nothing");
            check.problem(until.span(), message, "take it out, or write mode = \"observe\" beside it");
            None
        }
        (Some((at, "observe")), None) => {
            let message = format!("{tool} is observed without an end");
            check.problem(
                at,
                message,
                "say until when, such as until = \"2026-12-31T00:00:00Z\"; 90 days at most",
            );
            None
        }
        (Some((_, "observe")), Some(until)) => {
            if let Ok(moment) = until.get_ref().parse() {
                return Some(Observe { until: moment, place: until.span().start });
            }
            let message = format!("{:?} is no moment in UTC", until.get_ref());
            check.problem(until.span(), message, "write it as in until = \"2026-12-31T00:00:00Z\"");
            None
        }
        (Some((at, other)), _) => {
            let message = format!("{other:?} is no mode of a tool");
            check.problem(
                at,
                message,
                "write \"enforce\", which is the default, or \"observe\" with an until",
            );
            None
        }
    }
}

fn windows(check: &mut Check<'_>, source: &WindowsSource) -> Windows {
    let usual = Windows::default();
    if let Some(read) = &source.read {
        check.problem(
            read.span(),
            "the window for reading is the verifier's own (15 minutes) and stands in no token, so no policy sets it",
            "take it out; give read-only verbs that matter access = \"write\"",
        );
    }
    let write = window(check, "write", source.write.as_ref(), usual.write);
    // Whoever shortens the window for writing means what is worse as well.
    let privileged = window(check, "privileged", source.privileged.as_ref(), usual.privileged);
    if let Some(at) = source.privileged.as_ref().filter(|_| privileged > write) {
        let message = "the window for privileged calls is longer than the one for writing";
        check.problem(at.span(), message, "make it as short, or leave it out");
    }
    Windows { write, privileged: privileged.min(write) }
}

fn window(check: &mut Check<'_>, access: &str, told: Option<&Spanned<Span>>, usual: u32) -> u32 {
    let Some(told) = told else { return usual };
    let (Span(span), longest) = (told.get_ref(), Duration::from_secs(usual.into()));
    if *span > longest || *span < SHORTEST {
        let message = format!(
            "a window of {} for {access} calls is not between {} and {}",
            Shown(*span),
            Shown(SHORTEST),
            Shown(longest)
        );
        check.problem(told.span(), message, "choose one within; windows are made shorter, never longer");
        return usual;
    }
    u32::try_from(span.as_secs()).unwrap_or(usual)
}

fn verb(check: &mut Check<'_>, source: &VerbSource) -> Verb {
    let args = source.args.as_ref().map(|listed| {
        let mut seen = BTreeSet::new();
        for arg in listed {
            if !seen.insert(arg.get_ref()) {
                check.problem(arg.span(), format!("the argument {arg} is listed twice"), "list it once");
            }
        }
        listed.iter().map(|arg| arg.get_ref().clone()).collect()
    });
    let forms = source.forms.iter().map(|(arg, form)| {
        let listed = source.args.iter().flatten().any(|listed| listed.get_ref() == arg.get_ref());
        if !listed {
            let message = format!("the argument {arg} has a form and is not among the args");
            check.problem(arg.span(), message, "list it in args as well, or take its form out");
        }
        (arg.get_ref().clone(), *form)
    });
    let forms = forms.collect();
    Verb { access: source.access, args, forms }
}
