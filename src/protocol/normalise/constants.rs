//! The constants of a constraint in the spelling in which arguments are compared.

use super::{Form, Refused, directory, host, shown};
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

/// The same without a form at hand, as when a token is narrowed offline: `path_under` and `host_in` say themselves
/// what the argument is, everything else is left as it is given.
///
/// # Errors
/// When a directory or a host is none.
pub fn place(given: &Constraint, private: bool) -> Result<Constraint, Misfit> {
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
