//! The constants of a constraint in the spelling in which arguments are compared.

use super::{Facet, Form, Refused, directory, host, shown};
use crate::constraint::{Constraint, Scalar};

/// A constraint that does not go with its argument's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// What is wrong, in words that follow the argument's name.
    pub cause: String,
    /// What to write instead.
    pub fix: &'static str,
}

/// A constraint as it is compared, shown and met with others: each constant in the one spelling of the argument's form.
/// `None` is an argument that the catalogue gives no form.
///
/// # Errors
/// When a kind does not go with the form, or a constant is not of it.
pub fn constraint(form: Option<Form>, given: &Constraint) -> Result<Constraint, Misfit> {
    let Some(form) = form else {
        return formless(given);
    };
    form.takes(given)?;
    let value = |value: &Scalar| {
        form.value(value).map_err(|why| misfit(&shown_scalar(value), why, "write it as the form has it"))
    };
    let private = form == Form::PrivateUrl;
    Ok(Constraint {
        eq: given.eq.as_ref().map(value).transpose()?,
        one_of: given.one_of.as_ref().map(|set| set.iter().map(value).collect()).transpose()?,
        ..place(given, private)?
    })
}

/// The directory and the hosts in their spelling, everything else as it is given.
fn place(given: &Constraint, private: bool) -> Result<Constraint, Misfit> {
    let directory = |text: &String| {
        let fix = "write an absolute directory, such as /srv/data";
        directory(text).map(|path| shown(&path)).map_err(|why| misfit(text, why, fix))
    };
    let host = |text: &String| {
        let fix = "write a host such as api.acme.example, with :PORT where it is not 443 and http:// where it is not https";
        host(text, private).map_err(|why| misfit(text, why, fix))
    };
    Ok(Constraint {
        path_under: given.path_under.as_ref().map(directory).transpose()?,
        host_in: given.host_in.as_ref().map(|set| set.iter().map(host).collect()).transpose()?,
        ..given.clone()
    })
}

/// A constraint as a token compares it: the facet that it asks for, and what that must be, in the kinds `eq`, `in`,
/// `prefix`, `min` and `max`. No facet is the argument as it is sent, with the constraint as it is given.
///
/// # Errors
/// As [`constraint`]; where there is no form, `path_under` and `host_in` say themselves what the argument is, and a host
/// may be a private one.
pub fn compared(form: Option<Form>, given: &Constraint) -> Result<(Option<Facet>, Constraint), Misfit> {
    let said = given.path_under.as_ref().map(|_| Form::Path);
    let Some(form) = form.or(said).or(given.host_in.as_ref().map(|_| Form::PrivateUrl)) else {
        return Ok((None, given.clone()));
    };
    let normal = constraint(Some(form), given)?;
    if let (Some(hosts), facet @ Some(_)) = (&normal.host_in, form.host()) {
        let hosts = hosts.iter().cloned().map(Scalar::Text).collect();
        return Ok((facet, Constraint { one_of: Some(hosts), ..Constraint::default() }));
    }
    let value = |value: &Scalar| {
        form.whole().read(value).map_err(|why| misfit(&shown_scalar(value), why, form.kinds()))
    };
    let prefix =
        normal.path_under.as_ref().map(|path| directory(path).map_err(|why| misfit(path, why, form.kinds())));
    let compared = Constraint {
        eq: normal.eq.as_ref().map(value).transpose()?,
        one_of: normal.one_of.as_ref().map(|set| set.iter().map(value).collect()).transpose()?,
        prefix: prefix.transpose()?,
        min: normal.min,
        max: normal.max,
        any: normal.any,
        ..Constraint::default()
    };
    Ok((Some(form.whole()), compared))
}

impl Form {
    /// Whether the kinds of this constraint go with the form.
    fn takes(self, constraint: &Constraint) -> Result<(), Misfit> {
        let bounds = constraint.min.is_some() || constraint.max.is_some();
        let integer = self == Self::Integer;
        for (there, allowed, kind) in [
            (constraint.subset.is_some(), false, "subset"),
            (constraint.prefix.is_some(), false, "prefix"),
            (bounds, integer, "min or max"),
            (constraint.path_under.is_some(), self == Self::Path, "path_under"),
            (constraint.host_in.is_some(), self.host().is_some(), "host_in"),
        ] {
            if there && !allowed {
                let cause = format!("uses {kind}, which does not go with the form {}", self.as_str());
                return Err(Misfit { cause, fix: self.kinds() });
            }
        }
        Ok(())
    }

    const fn kinds(self) -> &'static str {
        match self {
            Self::Path => "use path_under for a directory, or eq, in or any",
            Self::Url | Self::PrivateUrl => "use host_in, eq, in or any",
            Self::Repository => "use eq, in or any",
            Self::Integer => "use eq, in, min, max or any",
        }
    }
}

fn formless(given: &Constraint) -> Result<Constraint, Misfit> {
    let (kind, fix) = match (&given.path_under, &given.host_in) {
        (Some(_), _) => ("path_under", "give the argument the form path in the catalogue"),
        (_, Some(_)) => ("host_in", "give the argument the form url in the catalogue"),
        (None, None) => return Ok(given.clone()),
    };
    Err(Misfit { cause: format!("uses {kind}, but the catalogue gives the argument no such form"), fix })
}

fn shown_scalar(value: &Scalar) -> String {
    match value {
        Scalar::Int(number) => number.to_string(),
        Scalar::Text(text) => text.clone(),
        Scalar::Bool(flag) => flag.to_string(),
    }
}

fn misfit(value: &str, why: Refused, fix: &'static str) -> Misfit {
    let short: String = value.chars().take(64).collect();
    let more = if short.len() < value.len() { "…" } else { "" };
    Misfit { cause: format!("names {short:?}{more}, which {why}"), fix }
}
