//! `[rollback]`: how much worse a watched version may make things before it is taken back.

use shortbread_protocol::names::ToolName;
use toml::Spanned;

use super::super::builtin;
use super::super::model::{PerMille, Rollback, RollbackSegment};
use super::super::source::{RollbackSegmentSource, RollbackSource};
use super::{Check, Known, list};

/// How many segments may have limits of their own.
const MAX: usize = 64;
const MAX_REQUESTS: i64 = 100_000;

pub(super) fn compile(
    check: &mut Check<'_>,
    raw: Option<&Spanned<RollbackSource>>,
    known: &Known<'_>,
) -> Option<Rollback> {
    let source = raw?.get_ref();
    let usual = Rollback::default();
    if let Some(extra) = source.segments.get(MAX) {
        let message = format!("there are more than {MAX} segments with limits of their own");
        check.problem(extra.span(), message, "take some out; the limits above hold for all others");
    }
    let max_denied = source.max_denied.as_ref().map_or(usual.max_denied, |share| per_mille(check, share));
    let max_needs_approval =
        source.max_needs_approval.as_ref().map_or(usual.max_needs_approval, |share| per_mille(check, share));
    let min_requests =
        source.min_requests.as_ref().map_or(usual.min_requests, |number| requests(check, number));
    let segments = source.segments.iter().map(|entry| {
        concerned(check, entry, known);
        let own = entry.get_ref();
        RollbackSegment {
            workflow: own.workflow.as_ref().map(|name| name.get_ref().clone()),
            tool: own.tool.as_ref().map(|name| name.get_ref().clone()),
            access: own.access,
            max_denied: own.max_denied.as_ref().map_or(max_denied, |share| per_mille(check, share)),
            max_needs_approval: own
                .max_needs_approval
                .as_ref()
                .map_or(max_needs_approval, |share| per_mille(check, share)),
        }
    });
    Some(Rollback { segments: segments.collect(), max_denied, max_needs_approval, min_requests })
}

fn per_mille(check: &mut Check<'_>, share: &Spanned<f64>) -> PerMille {
    let value = *share.get_ref();
    if !(0.0..=1.0).contains(&value) {
        let message = format!("{value} is no share");
        check.problem(
            share.span(),
            message,
            "write a number from 0 to 1, such as 0.05 for five in a hundred",
        );
    }
    PerMille::of(value)
}

fn requests(check: &mut Check<'_>, number: &Spanned<i64>) -> u64 {
    let value = *number.get_ref();
    if !(1..=MAX_REQUESTS).contains(&value) {
        let message = format!("min_requests = {value} is none of 1 to {MAX_REQUESTS}");
        check.problem(number.span(), message, format!("write a number from 1 to {MAX_REQUESTS}"));
    }
    u64::try_from(value).unwrap_or(1)
}

fn concerned(check: &mut Check<'_>, entry: &Spanned<RollbackSegmentSource>, known: &Known<'_>) {
    let RollbackSegmentSource { workflow, tool, access, .. } = entry.get_ref();
    if (workflow, tool, access) == (&None, &None, &None) {
        let fix = "name a workflow, a tool or an access, or write the limits in [rollback] itself";
        check.problem(entry.span(), "this segment is everything", fix);
    }
    if let Some(name) = workflow
        && !known.people.workflows.contains(name.get_ref())
    {
        let fix = format!("name one of: {}", list(&known.people.workflows));
        check.problem(name.span(), format!("no identity is workflow:{name}"), fix);
    }
    if let Some(name) = tool {
        let known_tool = |tool: &ToolName| known.catalogue.tools.contains_key(tool) && !builtin::is(tool);
        if !known_tool(name.get_ref()) {
            let own = known.catalogue.tools.keys().filter(|tool| !builtin::is(tool));
            check.problem(
                name.span(),
                format!("there is no tool {name}"),
                format!("name one of: {}", list(own)),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::policy;
    use super::super::super::model::PerMille;
    use super::super::tests::{base, refused};

    fn with(more: &str) -> String {
        format!("{}\n[rollback]\n{more}\n", base())
    }

    #[test]
    fn limits_are_read_with_their_defaults() {
        assert!(policy(&base()).rollback().is_none());
        let limits = policy(&with("max_denied = 0.05")).rollback().cloned().unwrap();
        assert_eq!((limits.max_denied, limits.min_requests), (PerMille::of(0.05), 20));
        let own = policy(&with(
            "max_denied = 0.05\n[[rollback.segments]]\nworkflow = \"w\"\nmax_needs_approval = 1",
        ));
        let [segment] = own.rollback().unwrap().segments.as_slice() else { panic!("one") };
        assert_eq!((segment.max_denied, segment.max_needs_approval), (PerMille::of(0.05), PerMille::of(1.0)));
    }

    #[test]
    fn nonsense_is_refused() {
        for (text, says) in [
            ("max_denied = 1.5", "1.5 is no share"),
            ("max_denied = -0.1", "is no share"),
            ("max_denied = nan", "is no share"),
            ("min_requests = 0", "is none of 1 to"),
            ("colour = 1", "colour"),
            ("[[rollback.segments]]\nmax_denied = 0.1", "is everything"),
            ("[[rollback.segments]]\nworkflow = \"nobody\"", "no identity is workflow:nobody"),
            ("[[rollback.segments]]\ntool = \"shortbread\"", "there is no tool shortbread"),
        ] {
            let at = if says == "is everything" { text.lines().next() } else { text.lines().last() };
            refused(&with(text), at.unwrap_or_default(), says);
        }
    }
}
