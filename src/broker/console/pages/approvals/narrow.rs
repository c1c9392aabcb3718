//! Less than was asked for, as a form says it.

use std::collections::{BTreeMap, BTreeSet};

use shortbread_protocol::admin::NarrowBody;
use shortbread_protocol::approval::Shown;
use shortbread_protocol::constraint::{Arguments, Constraint, Scalar};
use shortbread_protocol::names::{ArgName, Operation};

use crate::console::visit::Form;

/// What a form leaves out of a request; `None` where that is nothing.
///
/// # Errors
/// The field and what is wrong with it.
pub(super) fn body(form: &Form, shown: &Shown) -> Result<Option<NarrowBody>, (&'static str, String)> {
    let ttl = match form.text("ttl").trim() {
        "" => None,
        text => {
            let wrong = || ("ttl", format!("write whole seconds, 1 to {}", shown.ttl));
            Some(text.parse().map_err(|_| wrong())?)
        }
    };
    let wrong = |text: &str| ("drop", format!("{text:?} is not among what is shown"));
    let drop = form.all("drop").map(|text| text.parse().map_err(|_| wrong(text)));
    let drop_calls = form.all("drop_call").map(|text| text.parse().map_err(|_| wrong(text)));
    let body = NarrowBody {
        drop: drop.collect::<Result<_, _>>()?,
        drop_calls: drop_calls.collect::<Result<_, _>>()?,
        constraints: constraints(form, shown)?,
        ttl,
    };
    Ok((body != NarrowBody::default()).then_some(body))
}

// An argument that is not named is refused, so those that stay as they are have to be named.
fn constraints(form: &Form, shown: &Shown) -> Result<BTreeMap<Operation, Arguments>, (&'static str, String)> {
    let mut all: BTreeMap<Operation, Arguments> = BTreeMap::new();
    for (field, text) in form.under("only ").filter(|(_, text)| !text.trim().is_empty()) {
        let wrong = || ("only", format!("{field:?} is not among what is shown"));
        let (operation, name) = field.split_once(' ').ok_or_else(wrong)?;
        let (operation, name): (Operation, ArgName) =
            (operation.parse().map_err(|_| wrong())?, name.parse().map_err(|_| wrong())?);
        let rights = shown.rights.iter().filter(|right| right.operation == operation);
        let names: BTreeSet<&ArgName> =
            rights.flat_map(|right| right.constraints.iter().flatten()).map(|(name, _)| name).collect();
        if !names.contains(&name) {
            return Err(wrong());
        }
        let others = || names.iter().map(|name| ((*name).clone(), Constraint::anything())).collect();
        // A text that looks like a number can be given in quotation marks.
        let value = serde_json::from_str::<Scalar>(text.trim());
        let value = value.unwrap_or_else(|_| Scalar::Text(text.to_owned()));
        let exactly = Constraint { eq: Some(value), ..Constraint::default() };
        all.entry(operation).or_insert_with(others).insert(name, exactly);
    }
    Ok(all)
}
