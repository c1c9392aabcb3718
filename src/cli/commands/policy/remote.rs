//! What a broker has of policies and recorded cases.

use std::collections::BTreeMap;
use std::path::Path;

use shortbread_broker::policy::{Options, Policy};
use shortbread_protocol::admin::{PolicyAnswer, PolicyText};

use super::load;
use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;

/// The most cases of one answer.
const PAGE: usize = 1000;

/// Which policy an argument names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Which<'a> {
    /// The version in force.
    Active,
    /// A version by its number.
    Version(u64),
    /// A file on this machine.
    File(&'a Path),
}

impl<'a> Which<'a> {
    /// `active`, a number, or a file.
    pub(super) fn of(text: &'a str) -> Self {
        match (text, text.parse()) {
            ("active", _) => Self::Active,
            (_, Ok(version)) => Self::Version(version),
            (path, Err(_)) => Self::File(Path::new(path)),
        }
    }

    /// Reads and compiles it.
    ///
    /// # Errors
    /// When the file or the broker's version cannot be used.
    pub(super) async fn policy(
        &self,
        issuer: Option<&str>,
        connection: &Connection,
        context: &Context,
    ) -> Result<Policy, Failure> {
        let version = match self {
            Self::File(file) => return load::policy(file, &load::issuer(issuer, context)?, context),
            Self::Version(version) => Some(*version),
            Self::Active => None,
        };
        version_of_broker(version, connection, context).await
    }
}

async fn version_of_broker(
    version: Option<u64>,
    connection: &Connection,
    context: &Context,
) -> Result<Policy, Failure> {
    let mut session = Session::open(context, connection, "policy.read")?;
    let version = match version {
        Some(version) => version,
        None => {
            let answer: PolicyAnswer = session.get("/api/v1/policy").await?;
            let active = answer.versions.into_iter().find(|version| version.active);
            let none = || {
                Failure::new(
                    "the broker has no policy in force",
                    "Activate one with `shortbread policy activate`.",
                )
            };
            active.ok_or_else(none)?.version
        }
    };
    let text: PolicyText = session.document(&format!("/api/v1/policy/versions/{version}")).await?;
    compiled(&text, session.broker().url(), context)
}

fn compiled(text: &PolicyText, issuer: &str, context: &Context) -> Result<Policy, Failure> {
    let files: &BTreeMap<String, String> = &text.files;
    let load = |name: &str| files.get(name).cloned().ok_or_else(|| "the broker does not have it".to_owned());
    let shown = format!("version {}", text.version);
    let policy = Policy::compile(&text.source, &shown, &load, &Options { issuer: issuer.to_owned() });
    let policy = policy.map_err(|problems| {
        load::unsound(&problems, context);
        Failure::Told
    })?;
    if policy.digest() == text.digest {
        return Ok(policy);
    }
    let fix = "Use a program of the broker's version.";
    Err(Failure::new(format!("{shown} is not what its digest {} says", text.digest), fix))
}

/// Recorded cases since a moment, in seconds since the epoch, page by page: `take` is given each as JSON Lines.
///
/// # Errors
/// When the broker cannot be asked, or `take` refuses.
pub(super) async fn cases(
    since: u64,
    connection: &Connection,
    context: &Context,
    mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut session = Session::open(context, connection, "audit.read")?;
    let mut from = None;
    loop {
        let place = from.map(|from: u64| format!("&from={from}")).unwrap_or_default();
        let path = format!("/api/v1/audit/cases?since={since}&limit={PAGE}{place}");
        let (lines, next) = session.lines(&path).await?;
        take(lines.as_bytes())?;
        match next {
            // A place that does not move on would be asked for without an end.
            Some(next) if from.is_none_or(|from| next > from) => from = Some(next),
            _ => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_named_by_number_word_or_file() {
        assert_eq!(Which::of("active"), Which::Active);
        assert_eq!(Which::of("7"), Which::Version(7));
        assert_eq!(Which::of("policy.toml"), Which::File(Path::new("policy.toml")));
        assert_eq!(Which::of("./7"), Which::File(Path::new("./7")));
    }
}
