//! Arguments in one spelling each, before anything is compared. `/srv/data/../../etc/passwd` starts with `/srv/data`,
//! and `http://2130706433/` names this host: what looks right to a check must mean the same to whoever acts on it.
//!
//! The catalogue gives an argument a [`Form`]. A token then asks for a [`Facet`] of it, `arg("path#path", …)`, and not
//! for the argument as it was sent. Whoever checks computes the facet; where an argument is not of the form there is
//! none, so that the check fails. Wherever two readers could take a text for two things it is refused, never repaired.

mod constants;
mod integer;
mod path;
mod percent;
mod repository;
#[cfg(test)]
mod tests;
mod url;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use constants::{Misfit, compared, constraint};

use crate::constraint::Scalar;
use crate::names::ArgName;

/// Longer paths, URLs and hosts are of no form, in bytes.
pub const MAX_BYTES: usize = 4096;

/// What stands between an argument's name and a facet of it. No [`ArgName`] has it.
pub const MARK: char = '#';

/// What an argument is, as the catalogue says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// An absolute path of a file or directory.
    Path,
    /// An http or https URL on the public internet.
    Url,
    /// An http or https URL that may also lead to a private network, the same link or this host.
    PrivateUrl,
    /// A repository, `owner/name`.
    Repository,
    /// An integer, also one that is sent as a text.
    Integer,
}

/// The arguments of one verb that have a form.
pub type Forms = BTreeMap<ArgName, Form>;

/// What a token may ask of an argument that has a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Facet {
    /// The path, dots resolved, with a slash at its end: `/srv/data/`.
    Path,
    /// The whole URL.
    Url,
    /// Its host, with what is not https at port 443: `api.example`, `api.example:8443`, `http://api.example`.
    Host,
    /// As [`Facet::Url`], private places too.
    PrivateUrl,
    /// As [`Facet::Host`], private places too.
    PrivateHost,
    /// `owner/name` in lower case.
    Repository,
    /// The integer.
    Integer,
}

/// Why a value is not of a form, in words that follow the argument's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refused(pub(crate) &'static str);

impl Refused {
    /// The words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Facet {
    /// Every facet.
    pub const ALL: [Self; 7] = [
        Self::Path,
        Self::Url,
        Self::Host,
        Self::PrivateUrl,
        Self::PrivateHost,
        Self::Repository,
        Self::Integer,
    ];

    /// The word in tokens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Url => "url",
            Self::Host => "host",
            Self::PrivateUrl => "private_url",
            Self::PrivateHost => "private_host",
            Self::Repository => "repository",
            Self::Integer => "integer",
        }
    }

    /// The name under which a token asks for this facet of an argument: `path#path`.
    #[must_use]
    pub fn of(self, argument: &str) -> String {
        format!("{argument}{MARK}{}", self.as_str())
    }

    /// Splits `path#path` into the argument and its facet; `None` when it is no facet that anyone knows.
    #[must_use]
    pub fn split(name: &str) -> Option<(&str, Self)> {
        let (argument, word) = name.split_once(MARK)?;
        let facet = Self::ALL.into_iter().find(|facet| facet.as_str() == word)?;
        Some((argument, facet))
    }

    /// The facet of one value of a call. Takes work in proportion to the value's length, [`MAX_BYTES`] at most.
    ///
    /// # Errors
    /// When the value is not of the form.
    pub fn read(self, value: &Scalar) -> Result<Scalar, Refused> {
        let text = match (self, value) {
            (_, Scalar::Text(text)) if text.len() > MAX_BYTES => return Err(Refused("is too long")),
            (Self::Integer, value) => return integer::read(value).map(Scalar::Int),
            (_, Scalar::Text(text)) => text,
            _ => return Err(Refused("is no text")),
        };
        let read = match self {
            Self::Path => path::read(text),
            Self::Url => url::read(text, false).map(|url| url.whole),
            Self::Host => url::read(text, false).map(|url| url.host),
            Self::PrivateUrl => url::read(text, true).map(|url| url.whole),
            Self::PrivateHost => url::read(text, true).map(|url| url.host),
            Self::Repository => repository::read(text),
            Self::Integer => Err(Refused("is no integer")),
        };
        read.map(Scalar::Text)
    }
}

/// The directory of `path_under` as it is compared: dots resolved, a slash at its end.
///
/// # Errors
/// When it is no absolute path.
pub fn directory(text: &str) -> Result<String, Refused> {
    if text.len() > MAX_BYTES { Err(Refused("is too long")) } else { path::read(text) }
}

/// A member of `host_in` as it is compared. `private` lets it lead to a private network or this host.
///
/// # Errors
/// When it is no host as [`Facet::Host`] spells them.
pub fn host(text: &str, private: bool) -> Result<String, Refused> {
    if text.len() > MAX_BYTES { Err(Refused("is too long")) } else { url::host(text, private) }
}

impl Form {
    /// The facet that `eq`, `in`, `path_under`, `min` and `max` compare.
    #[must_use]
    pub const fn whole(self) -> Facet {
        match self {
            Self::Path => Facet::Path,
            Self::Url => Facet::Url,
            Self::PrivateUrl => Facet::PrivateUrl,
            Self::Repository => Facet::Repository,
            Self::Integer => Facet::Integer,
        }
    }

    /// The facet that `host_in` compares; `None` where there is no host.
    #[must_use]
    pub const fn host(self) -> Option<Facet> {
        match self {
            Self::Url => Some(Facet::Host),
            Self::PrivateUrl => Some(Facet::PrivateHost),
            Self::Path | Self::Repository | Self::Integer => None,
        }
    }

    /// The word in the catalogue.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.whole().as_str()
    }

    /// One value in the spelling that policies, answers and claims show.
    ///
    /// # Errors
    /// When the value is not of this form.
    pub fn value(self, value: &Scalar) -> Result<Scalar, Refused> {
        let read = self.whole().read(value)?;
        Ok(match (self, read) {
            (Self::Path, Scalar::Text(path)) => Scalar::Text(shown(&path)),
            (_, read) => read,
        })
    }
}

/// The path without the slash that a facet has at its end.
fn shown(path: &str) -> String {
    match path.strip_suffix('/') {
        Some("") | None => path.to_owned(),
        Some(rest) => rest.to_owned(),
    }
}
