//! `[[tripwires]]`: each has a name of its own, trips at something that can happen, and is bounded.

use std::collections::BTreeSet;
use std::time::Duration;

use shortbread_protocol::access::Access;
use toml::Spanned;

use super::super::builtin;
use super::super::model::Tripwire;
use super::super::source::TripwireSource;
use super::{Check, Known, list};

/// How many there may be: each counts for itself.
const MAX: usize = 32;
const MAX_NAME: usize = 64;
const MAX_REFUSALS: i64 = 100;
const MAX_WITHIN: Duration = Duration::from_secs(3600);
const MAX_PER_HOUR: i64 = 1000;
const DEFAULT_PER_HOUR: u32 = 20;

pub(super) fn compile(
    check: &mut Check<'_>,
    raw: &[Spanned<TripwireSource>],
    known: &Known<'_>,
) -> Vec<Tripwire> {
    if let Some(extra) = raw.get(MAX) {
        let message = format!("there are more than {MAX} tripwires");
        check.problem(extra.span(), message, "take some out; one may watch every tool and workflow");
    }
    let mut names = BTreeSet::new();
    let compiled = raw.iter().map(|entry| {
        let source = entry.get_ref();
        name(check, &source.name, &mut names);
        concerned(check, entry, known);
        Tripwire {
            name: source.name.get_ref().clone(),
            access: source.access,
            refusals: bounded(check, &source.refusals, "refusals", MAX_REFUSALS),
            within: within(check, source),
            tool: source.tool.as_ref().map(|tool| tool.get_ref().clone()),
            workflow: source.workflow.as_ref().map(|workflow| workflow.get_ref().clone()),
            max_per_hour: source
                .max_per_hour
                .as_ref()
                .map_or(DEFAULT_PER_HOUR, |most| bounded(check, most, "max_per_hour", MAX_PER_HOUR)),
        }
    });
    compiled.collect()
}

fn name<'a>(check: &mut Check<'_>, name: &'a Spanned<String>, names: &mut BTreeSet<&'a str>) {
    let text = name.get_ref().as_str();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    if text.is_empty() || text.len() > MAX_NAME || !text.bytes().all(plain) {
        let message = format!("{text:?} is no name of a tripwire");
        check.problem(name.span(), message, "use 1 to 64 of a-z 0-9 . _ -");
    }
    if !names.insert(text) {
        check.problem(name.span(), format!("two tripwires are named {text}"), "name each for itself");
    }
}

fn bounded(check: &mut Check<'_>, number: &Spanned<i64>, what: &str, most: i64) -> u32 {
    let value = *number.get_ref();
    if !(1..=most).contains(&value) {
        let message = format!("{what} = {value} is none of 1 to {most}");
        check.problem(number.span(), message, format!("write a number from 1 to {most}"));
    }
    u32::try_from(value.clamp(1, most)).unwrap_or(1)
}

fn within(check: &mut Check<'_>, source: &TripwireSource) -> Duration {
    let span = source.within.get_ref().0;
    if span.is_zero() || span > MAX_WITHIN {
        let message = "a tripwire counts refusals within at most an hour, and within some time";
        check.problem(source.within.span(), message, "write a span from 1s to 1h");
    }
    span
}

fn concerned(check: &mut Check<'_>, entry: &Spanned<TripwireSource>, known: &Known<'_>) {
    let source = entry.get_ref();
    if let Some(workflow) = &source.workflow
        && !known.people.workflows.contains(workflow.get_ref())
    {
        let fix = format!("name one of: {}", list(&known.people.workflows));
        check.problem(
            workflow.span(),
            format!("no identity is workflow:{workflow}, so this never trips"),
            fix,
        );
    }
    if let Some(tool) = &source.tool {
        if builtin::is(tool.get_ref()) {
            let message = "operators alone use the tool shortbread, and no tripwire stops them";
            return check.problem(tool.span(), message, "name another tool, or leave it out for all");
        }
        if !known.catalogue.tools.contains_key(tool.get_ref()) {
            let fix = format!("name one of: {}", list(known.catalogue.tools.keys()));
            return check.problem(tool.span(), format!("there is no tool {tool}, so this never trips"), fix);
        }
    }
    if !has_verb(source, known) {
        let message = format!("no verb here has {} access, so this never trips", source.access);
        check.problem(entry.span(), message, "choose an access that the catalogue has");
    }
}

fn has_verb(source: &TripwireSource, known: &Known<'_>) -> bool {
    let wanted = source.tool.as_ref().map(Spanned::get_ref);
    let access: Access = source.access;
    known.catalogue.tools.iter().any(|(name, tool)| {
        !builtin::is(name)
            && wanted.is_none_or(|wanted| wanted == name)
            && tool.verbs.values().any(|verb| access.covers(verb.access))
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::policy;
    use super::super::tests::{base, refused};

    fn wire(more: &str) -> String {
        format!("{}\n[[tripwires]]\n{more}\n", base())
    }

    #[test]
    fn a_tripwire_is_read_with_its_defaults() {
        let policy = policy(&wire("name = \"writes\"\naccess = \"write\"\nrefusals = 10\nwithin = \"1m\""));
        let [one] = policy.tripwires() else { panic!("one") };
        assert_eq!((one.refusals, one.within.as_secs(), one.max_per_hour), (10, 60, 20));
        assert_eq!((one.tool.as_ref(), one.workflow.as_ref()), (None, None));
        assert!(super::super::super::fixture::policy(&base()).tripwires().is_empty(), "off unless asked for");
    }

    #[test]
    fn nonsense_is_refused() {
        let sound = "name = \"w\"\naccess = \"write\"\nrefusals = 10\nwithin = \"1m\"\ntool = \"t\"\nworkflow = \"w\"\nmax_per_hour = 5";
        policy(&wire(sound));
        for (from, to, says) in [
            ("refusals = 10", "refusals = 0", "refusals = 0 is none of 1 to 100"),
            ("refusals = 10", "refusals = 101", "is none of"),
            ("refusals = 10", "refusals = -1", "is none of"),
            ("within = \"1m\"", "within = \"0s\"", "within at most an hour"),
            ("within = \"1m\"", "within = \"61m\"", "within at most an hour"),
            ("max_per_hour = 5", "max_per_hour = 0", "max_per_hour = 0 is none of"),
            ("tool = \"t\"", "tool = \"nowhere\"", "there is no tool nowhere"),
            ("tool = \"t\"", "tool = \"shortbread\"", "operators alone"),
            ("workflow = \"w\"", "workflow = \"nobody\"", "no identity is workflow:nobody"),
            ("name = \"w\"", "name = \"a b\"", "is no name of a tripwire"),
        ] {
            assert!(sound.contains(from), "{from}");
            refused(&wire(&sound.replace(from, to)), to, says);
        }
        let unreachable = sound.replace("tool = \"t\"", "tool = \"u\"");
        refused(&wire(&unreachable), "[[tripwires]]", "never trips");
        refused(&wire(&format!("{sound}\n[[tripwires]]\n{sound}")), "name = \"w\"", "two tripwires");
    }
}
