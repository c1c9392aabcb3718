//! Changes to the text of a policy that leave every other line as it is, comments included.

use std::collections::BTreeSet;
use std::ops::Range;

use shortbread_protocol::constraint::Constraint;
use shortbread_protocol::names::{ArgName, VerbName};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::propose::spelled;

/// What to change in one grant.
#[derive(Debug, Default)]
pub(super) struct Edit {
    /// Its place in the policy, counted from one.
    pub(super) number: usize,
    /// The verbs that stay; none at all takes the whole grant out. `None` leaves them.
    pub(super) verbs: Option<BTreeSet<VerbName>>,
    /// What an argument of a verb is to be.
    pub(super) limits: Vec<(VerbName, ArgName, Constraint)>,
}

/// One replacement.
type Change = (Range<usize>, String);

/// The text with the changes made, and what has to be done by hand because it is written in another way.
pub(super) fn apply(text: &str, edits: &[Edit]) -> (String, Vec<String>) {
    let (mut changes, mut by_hand) = (Vec::new(), Vec::new());
    let Ok(root) = DeTable::parse(text) else { return (text.to_owned(), by_hand) };
    let grants = root.get_ref().get("grants").and_then(|grants| grants.get_ref().as_array());
    for edit in edits {
        let grant = grants.and_then(|grants| grants.get(edit.number.wrapping_sub(1)));
        let table = grant.and_then(|grant| grant.get_ref().as_table());
        match table.and_then(|table| changed(text, table, edit)) {
            Some(made) => changes.extend(made),
            None => by_hand.push(format!(
                "grant:{} is written in a way that this command does not change; narrow it by hand",
                edit.number
            )),
        }
    }
    changes.sort_by_key(|(at, _): &Change| at.start);
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (at, new) in changes.into_iter().filter(|(at, _)| at.end <= text.len()) {
        if at.start >= done {
            out.push_str(text.get(done..at.start).unwrap_or_default());
            out.push_str(&new);
            done = at.end;
        }
    }
    out.push_str(text.get(done..).unwrap_or_default());
    (out, by_hand)
}

/// The changes of one grant; `None` when one of them cannot be made, so that it is left whole.
fn changed(text: &str, table: &DeTable<'_>, edit: &Edit) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    if let Some(verbs) = &edit.verbs {
        if verbs.is_empty() {
            return Some(vec![(block(text, table)?, String::new())]);
        }
        let listed = table.get("verbs")?.span();
        text.get(listed.clone()).filter(|old| old.starts_with('['))?;
        let names: Vec<String> = verbs.iter().map(|verb| quoted(verb.as_str())).collect();
        changes.push((listed, format!("[{}]", names.join(", "))));
        for (name, value) in constraints(table) {
            if verbs.iter().all(|verb| verb.as_str() != name.get_ref().as_ref()) {
                changes.push((statement(text, &name.span(), &value.span())?, String::new()));
            }
        }
    }
    for (verb, arg, constraint) in &edit.limits {
        let of_verb = constraints(table).find(|(name, _)| name.get_ref().as_ref() == verb.as_str())?.1;
        let limit = of_verb.get_ref().as_table()?.get(arg.as_str())?.span();
        text.get(limit.clone()).filter(|old| old.starts_with('{') && old.ends_with('}'))?;
        changes.push((limit, spelled(constraint)));
    }
    Some(changes)
}

type Entry<'t, 'i> = (&'t Spanned<std::borrow::Cow<'i, str>>, &'t Spanned<DeValue<'i>>);

fn constraints<'t, 'i>(table: &'t DeTable<'i>) -> impl Iterator<Item = Entry<'t, 'i>> {
    let found = table.get("constraints").and_then(|all| all.get_ref().as_table());
    found.into_iter().flat_map(DeTable::iter)
}

/// The lines of `constraints."verb" = { … }`, where they hold nothing else.
fn statement(text: &str, key: &Range<usize>, value: &Range<usize>) -> Option<Range<usize>> {
    let start = text.get(..key.start)?.rfind('\n').map_or(0, |at| at + 1);
    let before = text.get(start..key.start)?.trim_start();
    let inline = text.get(value.clone())?.starts_with('{');
    let end = text.get(value.end..)?.find('\n').map_or(text.len(), |at| value.end + at + 1);
    let after = text.get(value.end..end)?.trim();
    let alone = after.is_empty() || after.starts_with('#');
    (before.replace(' ', "") == "constraints." && inline && alone).then_some(start..end)
}

/// The lines of a whole grant: from its header up to the next, without the blank lines and comments before that.
fn block(text: &str, table: &DeTable<'_>) -> Option<Range<usize>> {
    let first = table.iter().map(|(key, _)| key.span().start).min()?;
    let start = text.get(..first)?.rfind("[[grants]]")?;
    let line = text.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
    text.get(line..start).filter(|before| before.trim().is_empty())?;
    let mut end = text.len();
    let mut at = text.get(first..)?.find('\n').map_or(text.len(), |at| first + at + 1);
    // What stands last in it; whatever follows belongs to what comes next.
    let mut last = at;
    for line in text.get(at..)?.split_inclusive('\n') {
        let trimmed = line.trim_start();
        if trimmed.starts_with('[') && !trimmed.starts_with("[grants.") {
            end = last;
            break;
        }
        at += line.len();
        if !trimmed.is_empty() && !trimmed.starts_with('#') {
            last = at;
        }
    }
    Some(line..end)
}

/// A text in quotes, as TOML spells it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
