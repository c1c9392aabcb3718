//! What revoke and lift say alike: what a change touches, its bounds, and what to mind.

use shortbread_protocol::admin::{Bounds, ChangeAnswer, Touched, TouchedBy};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::revocations::Selector;

use crate::context::Context;
use crate::selectors::words;
use crate::text::{count, span};
use crate::ui::{Piece, Style};

/// What a change did or would do.
pub(super) fn say(context: &Context, done: &str, selectors: &[Selector], answer: &ChangeAnswer) {
    let ui = context.ui;
    for warning in &answer.warnings {
        ui.pieces(&[(Style::Warn, "mind: ".to_owned()), (Style::Plain, warning.clone())]);
    }
    ui.heading(&format!("{done}: {}", words(selectors)));
    let mut pairs = vec![("touches", touched(&answer.touched))];
    pairs.extend(names(&answer.touched));
    if let Some(seq) = answer.seq {
        let head = answer.head.map(|head| format!(", in list {head}")).unwrap_or_default();
        pairs.push(("change", format!("{seq}{head}")));
    }
    pairs.extend(bounds(answer).into_iter().map(|(call, at)| ("bound", bound(call, at, context.now()))));
    pairs.push(("decision", answer.decision_id.clone()));
    ui.pairs(&pairs);
    if !answer.each.is_empty() {
        let head = ["each on its own", "tokens", "workflows and operators", "tools"];
        ui.table(&head, answer.each.iter().map(row).collect());
    }
}

fn touched(touched: &Touched) -> String {
    if touched.uncounted {
        return "not counted: the store did not say in time".to_owned();
    }
    let tokens = count(touched.tokens, "living token");
    format!("{tokens} (workflows and operators: {}, tools: {})", touched.workflows, touched.tools)
}

fn names(touched: &Touched) -> Vec<(&'static str, String)> {
    let Some(names) = &touched.names else { return Vec::new() };
    let all = [
        ("workflows", &names.workflows, touched.workflows),
        ("tools", &names.tools, touched.tools),
        ("tokens", &names.tokens, touched.tokens),
    ];
    all.into_iter()
        .filter(|(_, names, _)| !names.is_empty())
        .map(|(what, names, of)| (what, named(names, of)))
        .collect()
}

// The first of them, and how many more there are.
fn named(names: &[String], of: u64) -> String {
    let listed = names.join(", ");
    match of.saturating_sub(names.len() as u64) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}

fn row(by: &TouchedBy) -> Vec<Piece> {
    let empty = Default::default();
    let names = by.touched.names.as_ref().unwrap_or(&empty);
    let cell = |count: u64, names: &[String]| match names {
        [] => count.to_string(),
        names => format!("{count}: {}", named(names, count)),
    };
    [
        by.selector.clone(),
        by.touched.tokens.to_string(),
        cell(by.touched.workflows, &names.workflows),
        cell(by.touched.tools, &names.tools),
    ]
    .map(|text| (Style::Plain, text))
    .to_vec()
}

// The worst calls first. A broker that says one bound alone means writing.
fn bounds(answer: &ChangeAnswer) -> Vec<(&'static str, u64)> {
    let told = match answer.bounds {
        Some(bounds) => bounds,
        None => Bounds { write: answer.bound, ..Bounds::default() },
    };
    let all = [("a privileged call", told.privileged), ("a write", told.write), ("a read", told.read)];
    all.into_iter().filter_map(|(call, at)| Some((call, at?))).collect()
}

fn bound(call: &str, at: u64, now: Timestamp) -> String {
    let at = Timestamp::from_seconds(at);
    format!("no conforming verifier allows {call} after {at} (in {})", span(at.since(now).as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_first_are_counted() {
        let names = ["a".to_owned(), "b".to_owned()];
        assert_eq!(named(&names, 2), "a, b");
        assert_eq!(named(&names, 12), "a, b and 10 more");
    }

    #[test]
    fn each_bound_is_said_and_the_worst_call_first() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let said = bound("a write", now.seconds() + 300, now);
        assert_eq!(said, "no conforming verifier allows a write after 2026-11-20T12:05:00Z (in 5m)");
        let answer: ChangeAnswer = serde_json::from_value(serde_json::json!({
            "touched": { "tokens": 0, "workflows": 0, "tools": 0 }, "decision_id": "dec_1", "bound": 900,
            "bounds": { "privileged": 60, "write": null, "read": 900 },
        }))
        .unwrap();
        assert_eq!(bounds(&answer), [("a privileged call", 60), ("a read", 900)]);
        let older = ChangeAnswer { bounds: None, ..answer };
        assert_eq!(bounds(&older), [("a write", 900)]);
    }
}
