//! Tools and verbs: where they are, what they do, and how they are enforced.

use std::collections::BTreeSet;

use shortbread_protocol::names::{ToolName, VerbName};

use super::super::Policy;
use super::super::model::{Tool, Verb, Windows};
use super::{Class, Effect};

pub(super) fn effects(old: &Policy, new: &Policy) -> Vec<Effect> {
    let (before, now) = (&old.catalogue().tools, &new.catalogue().tools);
    let names: BTreeSet<&ToolName> = before.keys().chain(now.keys()).collect();
    let mut effects = Vec::new();
    for name in names {
        match (before.get(name), now.get(name)) {
            (None, Some(tool)) => {
                let text = format!("is in the catalogue now, at {}", tool.audience);
                effects.push(Effect::new(Class::Changes, about(name), text));
            }
            (Some(_), None) => {
                effects.push(Effect::new(Class::Changes, about(name), "is not in the catalogue any more"));
            }
            (Some(was), Some(is)) => effects.extend(of_tool(name, was, is)),
            (None, None) => {}
        }
    }
    effects
}

fn about(tool: &ToolName) -> String {
    format!("tool {tool}")
}

fn of_tool(name: &ToolName, was: &Tool, is: &Tool) -> Vec<Effect> {
    let mut effects = Vec::new();
    let mut note = |class: Class, text: String| effects.push(Effect::new(class, about(name), text));
    if was.audience != is.audience {
        // Tokens for it are good at another place.
        note(Class::Widens, format!("audience {} -> {}", was.audience, is.audience));
    }
    windows(was.windows, is.windows).into_iter().for_each(|(class, text)| note(class, text));
    match (was.observe.map(|one| one.until), is.observe.map(|one| one.until)) {
        (was, Some(until)) if was.is_none_or(|was| was < until) => {
            note(Class::Widens, format!("is not enforced until {until}"));
        }
        (Some(was), now) if now != Some(was) => {
            let until = now.map_or_else(|| "now".to_owned(), |until| until.to_string());
            note(Class::Narrows, format!("is enforced from {until} on instead of {was}"));
        }
        _ => {}
    }
    let names: BTreeSet<&VerbName> = was.verbs.keys().chain(is.verbs.keys()).collect();
    for verb in names {
        let told = match (was.verbs.get(verb), is.verbs.get(verb)) {
            (None, Some(new)) => vec![(Class::Changes, format!("has {verb} now, access {}", new.access))],
            (Some(_), None) => vec![(Class::Changes, format!("has no {verb} any more"))],
            (Some(old), Some(new)) => of_verb(verb, old, new),
            (None, None) => Vec::new(),
        };
        told.into_iter().for_each(|(class, text)| note(class, text));
    }
    effects
}

fn windows(was: Windows, is: Windows) -> Vec<(Class, String)> {
    let each = [("write", was.write, is.write), ("privileged", was.privileged, is.privileged)];
    let changed = each.into_iter().filter(|(_, was, is)| was != is).map(|(access, was, is)| {
        let class = if is > was { Class::Widens } else { Class::Narrows };
        (class, format!("a revocation list may be {is}s old for {access} calls, {was}s before"))
    });
    changed.collect()
}

fn of_verb(name: &VerbName, was: &Verb, is: &Verb) -> Vec<(Class, String)> {
    let mut told = Vec::new();
    if was.access != is.access {
        let class = if is.access < was.access { Class::Widens } else { Class::Narrows };
        told.push((class, format!("{name}: access {} -> {}", was.access, is.access)));
    }
    let names: BTreeSet<_> = was.forms.keys().chain(is.forms.keys()).collect();
    for arg in names {
        let (before, now) = (was.forms.get(arg), is.forms.get(arg));
        if before != now {
            let word = |form: Option<&shortbread_protocol::normalise::Form>| {
                form.map_or("plain", |form| form.as_str())
            };
            // What was inside may not be any more, either way.
            told.push((
                Class::Widens,
                format!("{name}: {arg} is compared as {} -> {}", word(before), word(now)),
            ));
        }
    }
    told
}
