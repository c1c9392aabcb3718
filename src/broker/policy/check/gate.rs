//! `[gate]`: what a new version must hold up to before it takes this one's place.

use shortbread_protocol::names::ToolName;
use toml::Spanned;

use super::super::Policy;
use super::super::model::{Gate, GateSegment, PerMille};
use super::super::problem::{Problem, Problems};
use super::super::source::{self, GateSegmentSource, GateSource};
use super::{Check, Known, list};

/// How many segments may have limits of their own.
const MAX: usize = 64;
const MAX_CASES: i64 = 1_000_000;
/// The largest file of labelled cases.
const MAX_BYTES: usize = 512 * 1024;
/// Whoever writes the table asks that what changes was tried at all.
const LEAST_CASES: u64 = 1;

pub(super) fn compile(
    check: &mut Check<'_>,
    raw: Option<&Spanned<GateSource>>,
    known: &Known<'_>,
) -> Option<Gate> {
    let source = raw?.get_ref();
    for entry in &source.segments {
        concerned(check, entry.get_ref(), known);
    }
    if let Some(path) = &source.cases {
        // Part of the policy from then on, like a key: whoever reviews the one reviews the other.
        check.file(path, MAX_BYTES);
    }
    Some(limits(&mut check.problems, source))
}

impl Policy {
    /// The `[gate]` of a text: a policy's, or one that stands alone. The usual limits where it has none.
    ///
    /// # Errors
    /// Everything that is wrong with it. The other parts of a policy are not judged here.
    pub fn read_gate(text: &str, file: &str) -> Result<Gate, Vec<Problem>> {
        let mut problems = Problems::new(file, text);
        let raw = source::read(text, &mut problems);
        let gate = raw.gate.map(|entry| limits(&mut problems, entry.get_ref()));
        if problems.is_empty() { Ok(gate.unwrap_or_default()) } else { Err(problems.into_sorted()) }
    }
}

fn limits(problems: &mut Problems, source: &GateSource) -> Gate {
    let usual = Gate::default();
    if let Some(extra) = source.segments.get(MAX) {
        let message = format!("there are more than {MAX} segments with limits of their own");
        problems.add(extra.span(), message, "take some out; the limits above hold for all others");
    }
    let mut share =
        |told: Option<&Spanned<f64>>, usual: PerMille| told.map_or(usual, |share| per_mille(problems, share));
    let max_newly_denied = share(source.max_newly_denied.as_ref(), usual.max_newly_denied);
    let max_approval_load = share(source.max_approval_load.as_ref(), usual.max_approval_load);
    let min_cases = source.min_cases.as_ref().map_or(LEAST_CASES, |number| cases(problems, number));
    let segments = source.segments.iter().map(|entry| {
        let own = entry.get_ref();
        if (&own.workflow, &own.intent, &own.tool, own.access) == (&None, &None, &None, None) {
            let fix = "name a workflow, an intent, a tool or an access, or write the limits in [gate] itself";
            problems.add(entry.span(), "this segment is everything", fix);
        }
        GateSegment {
            workflow: own.workflow.as_ref().map(|name| name.get_ref().clone()),
            intent: own.intent.clone(),
            tool: own.tool.as_ref().map(|name| name.get_ref().clone()),
            access: own.access,
            max_newly_denied: own
                .max_newly_denied
                .as_ref()
                .map_or(max_newly_denied, |share| per_mille(problems, share)),
            min_cases: own.min_cases.as_ref().map_or(min_cases, |number| cases(problems, number)),
        }
    });
    let segments = segments.collect();
    let cases = source.cases.as_ref().map(|path| path.get_ref().clone());
    Gate { max_newly_denied, max_approval_load, min_cases, cases, segments }
}

fn per_mille(problems: &mut Problems, share: &Spanned<f64>) -> PerMille {
    let value = *share.get_ref();
    if !(0.0..=1.0).contains(&value) {
        let fix = "write a number from 0 to 1, such as 0.01 for one in a hundred";
        problems.add(share.span(), format!("{value} is no share"), fix);
    }
    PerMille::of(value)
}

fn cases(problems: &mut Problems, number: &Spanned<i64>) -> u64 {
    let value = *number.get_ref();
    if !(0..=MAX_CASES).contains(&value) {
        let message = format!("min_cases = {value} is none of 0 to {MAX_CASES}");
        problems.add(number.span(), message, format!("write a number from 0 to {MAX_CASES}"));
    }
    u64::try_from(value).unwrap_or(LEAST_CASES)
}

fn concerned(check: &mut Check<'_>, own: &GateSegmentSource, known: &Known<'_>) {
    if let Some(name) = &own.workflow
        && !known.people.workflows.contains(name.get_ref())
    {
        let fix = format!("name one of: {}", list(&known.people.workflows));
        check.problem(name.span(), format!("no identity is workflow:{name}"), fix);
    }
    if let Some(name) = &own.tool {
        let tools = &known.catalogue.tools;
        let absent = |tool: &ToolName| !tools.contains_key(tool);
        if absent(name.get_ref()) {
            let fix = format!("name one of: {}", list(tools.keys()));
            check.problem(name.span(), format!("there is no tool {name}"), fix);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::policy;
    use super::super::tests::{base, refused};
    use super::*;

    fn with(more: &str) -> String {
        format!("{}\n[gate]\n{more}\n", base())
    }

    #[test]
    fn limits_are_read_with_their_defaults() {
        let none = policy(&base());
        assert_eq!((none.gate(), Gate::default().min_cases), (None, 0));
        let some = policy(&with("max_newly_denied = 0.05"));
        let gate = some.gate().unwrap();
        assert_eq!((gate.max_newly_denied, gate.max_approval_load), (PerMille::of(0.05), PerMille::of(0.1)));
        assert_eq!(gate.min_cases, 1, "whoever writes the table wants some evidence");
        let own = policy(&with("min_cases = 5\n[[gate.segments]]\nworkflow = \"w\"\nmax_newly_denied = 1"));
        let [segment] = own.gate().unwrap().segments.as_slice() else { panic!("one") };
        assert_eq!((segment.max_newly_denied, segment.min_cases), (PerMille::of(1.0), 5));
    }

    #[test]
    fn limits_stand_alone_or_in_a_policy() {
        let alone = Policy::read_gate("[gate]\nmin_cases = 7\n", "limits.toml").unwrap();
        assert_eq!(alone.min_cases, 7);
        assert_eq!(Policy::read_gate("", "limits.toml").unwrap(), Gate::default());
        assert_eq!(Policy::read_gate(&with("min_cases = 7"), "policy.toml").unwrap().min_cases, 7);
        let problems = Policy::read_gate("[gate]\n\nmin_cases = -1\n", "limits.toml").unwrap_err();
        assert_eq!((problems[0].line, problems[0].file.as_str()), (3, "limits.toml"));
    }

    #[test]
    fn nonsense_is_refused() {
        for (text, says) in [
            ("max_newly_denied = 1.5", "1.5 is no share"),
            ("max_approval_load = -0.1", "is no share"),
            ("min_cases = -1", "is none of 0 to"),
            ("colour = 1", "colour"),
            ("[[gate.segments]]\nmin_cases = 2", "is everything"),
            ("[[gate.segments]]\nworkflow = \"nobody\"", "no identity is workflow:nobody"),
            ("[[gate.segments]]\ntool = \"nowhere\"", "there is no tool nowhere"),
        ] {
            let at = if says == "is everything" { text.lines().next() } else { text.lines().last() };
            refused(&with(text), at.unwrap_or_default(), says);
        }
    }
}
