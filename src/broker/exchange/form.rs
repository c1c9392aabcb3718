//! A form body, read strictly.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};
use shortbread_protocol::reason::Reason;

use super::refusal::Refusal;
use crate::delimited::delimited;

/// A form in which no parameter stands twice, but for `resource` and `audience` (RFC 8707, RFC 8693).
/// Parameters that are not known are ignored, as RFC 6749, section 3.2, has it.
pub(crate) struct Form {
    parameters: HashMap<String, String>,
    resources: Vec<String>,
}

impl Form {
    /// Reads a body.
    ///
    /// # Errors
    /// When it is no UTF-8, or a parameter is given twice.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Refusal> {
        if std::str::from_utf8(body).is_err() {
            return Err(malformed("the body is not UTF-8"));
        }
        let mut form = Self { parameters: HashMap::new(), resources: Vec::new() };
        for (name, value) in form_urlencoded::parse(body) {
            if name == "resource" || name == "audience" {
                form.resources.push(value.into_owned());
            } else if let Some(doubled) = form.put(name.into_owned(), value.into_owned()) {
                return Err(malformed(format!("parameter {} is given twice", shown(&doubled))));
            }
        }
        Ok(form)
    }

    /// `resource` (RFC 8707) and `audience` (RFC 8693), which may be given more than once.
    pub(crate) fn resources(&self) -> &[String] {
        &self.resources
    }

    /// SHA-256 over all that is asked for: every parameter but the proofs of identity, which are fresh each time.
    pub(super) fn digest(&self) -> [u8; 32] {
        let proofs = ["subject_token", "assertion", "client_assertion"];
        let mut asked: Vec<(&str, &str)> = self
            .parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| !proofs.contains(name))
            .chain(self.resources.iter().map(|resource| ("resource", resource.as_str())))
            .collect();
        asked.sort_unstable();
        let texts = asked.into_iter().flat_map(|(name, value)| [name, value]);
        delimited(Sha256::new(), texts).finalize().into()
    }

    // Gives the name back when it was there. An empty parameter is an absent one (RFC 6749, section 3.2).
    fn put(&mut self, name: String, value: String) -> Option<String> {
        if value.is_empty() {
            return None;
        }
        let twice = self.parameters.insert(name.clone(), value).is_some();
        twice.then_some(name)
    }

    /// A parameter, if it is there.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.one(name).ok_or_else(|| malformed(format!("parameter {name} is missing")))
    }

    /// Whether a parameter has one of the served values.
    ///
    /// # Errors
    /// When it is missing or has another.
    pub(crate) fn is_one_of(&self, name: &str, served: &[&str]) -> Result<(), Refusal> {
        let value = self.need(name)?;
        if served.contains(&value) {
            return Ok(());
        }
        Err(malformed(format!("{name} {} is not served; use {}", shown(value), served.join(" or "))))
    }

    /// A parameter as what it is to be, if it is there.
    ///
    /// # Errors
    /// When it does not read as that.
    pub(crate) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Refusal> {
        let parsed = self.one(name).map(str::parse::<T>).transpose();
        parsed.map_err(|e| malformed(format!("parameter {name}: {e}")))
    }
}

pub(super) fn malformed(detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::RequestMalformed, detail)
}

pub(super) fn shown(value: &str) -> String {
    let short: String = value.chars().take(64).collect();
    format!("{short:?}")
}
