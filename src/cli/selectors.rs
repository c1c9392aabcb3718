//! The selector flags that revoke and lift share, and how they combine.

use clap::Args;
use shortbread_protocol::admin::SelectorBody;
use shortbread_protocol::revocations::{Selector, SelectorError, SelectorKind};

use crate::failure::Failure;

/// What to revoke or lift. Flags can be repeated; each names one thing on its own, but `--tool` with `--access`
/// means that access of that tool.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What")]
pub(crate) struct SelectorArgs {
    /// Every token of a workflow.
    #[arg(long, value_name = "NAME")]
    workflow: Vec<String>,
    /// Every token of a task.
    #[arg(long, value_name = "ID")]
    task: Vec<String>,
    /// One token and all its narrowed copies, by the token's id.
    #[arg(long, value_name = "ID")]
    token: Vec<String>,
    /// What one approval allowed.
    #[arg(long, value_name = "ID")]
    approval: Vec<String>,
    /// Every call of a tool; with --access, that access of the tool.
    #[arg(long, value_name = "NAME")]
    tool: Vec<String>,
    /// Every call of a verb.
    #[arg(long, value_name = "TOOL/VERB")]
    verb: Vec<String>,
    /// Every call of a kind of access: read, write (privileged included) or privileged.
    #[arg(long, value_name = "ACCESS")]
    access: Vec<String>,
    /// Every token with a declared intent.
    #[arg(long, value_name = "NAME")]
    intent: Vec<String>,
    /// Every token that acts for a user.
    #[arg(long, value_name = "ID")]
    user: Vec<String>,
    /// Every token of an operator.
    #[arg(long, value_name = "NAME")]
    operator: Vec<String>,
    /// Every token bound to a key, by the key's RFC 7638 thumbprint.
    // One thumbprint in 64 begins with a hyphen.
    #[arg(long, value_name = "THUMBPRINT", allow_hyphen_values = true)]
    holder: Vec<String>,
    /// Everything that a signing key of the broker signed, by the key's name.
    #[arg(long, value_name = "NAME")]
    key: Vec<String>,
    /// Everything that an issuer issued, by its URL.
    #[arg(long, value_name = "URL")]
    issuer: Vec<String>,
    /// Everything.
    #[arg(long)]
    pub(crate) all: bool,
}

impl SelectorArgs {
    /// The selectors, each once, each with a value that fits its kind. Empty only with `--all`.
    ///
    /// # Errors
    /// When nothing is named, `--all` stands beside a selector, or a value does not fit.
    pub(crate) fn selectors(&self) -> Result<Vec<Selector>, Failure> {
        let mut selectors = Vec::new();
        for (kind, value) in self.combined()? {
            let selector = Selector::new(kind, &value).map_err(|error| unfit(kind, &value, error))?;
            if !selectors.contains(&selector) {
                selectors.push(selector);
            }
        }
        match (self.all, selectors.is_empty()) {
            (true, false) => Err(Failure::usage("--all means everything; give it without other selectors")),
            (false, true) => {
                Err(Failure::usage("name what is meant: --workflow, --task, --tool, … or --all"))
            }
            _ => Ok(selectors),
        }
    }

    fn combined(&self) -> Result<Vec<(SelectorKind, String)>, Failure> {
        let plain = [
            (SelectorKind::Workflow, &self.workflow),
            (SelectorKind::Task, &self.task),
            (SelectorKind::Token, &self.token),
            (SelectorKind::Approval, &self.approval),
            (SelectorKind::Verb, &self.verb),
            (SelectorKind::Intent, &self.intent),
            (SelectorKind::User, &self.user),
            (SelectorKind::Operator, &self.operator),
            (SelectorKind::Holder, &self.holder),
            (SelectorKind::Key, &self.key),
            (SelectorKind::Issuer, &self.issuer),
        ];
        let each = |(kind, values): (SelectorKind, &Vec<String>)| {
            values.iter().map(move |value| (kind, value.clone())).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = plain.into_iter().flat_map(each).collect();
        if self.tool.is_empty() || self.access.is_empty() {
            all.extend(each((SelectorKind::Tool, &self.tool)));
            all.extend(each((SelectorKind::Access, &self.access)));
            return Ok(all);
        }
        for access in &self.access {
            if access.contains('/') {
                return Err(Failure::usage(format!(
                    "--access {access} names a tool already; give it without --tool, or as `--tool payments --access write`"
                )));
            }
            all.extend(self.tool.iter().map(|tool| (SelectorKind::Access, format!("{tool}/{access}"))));
        }
        Ok(all)
    }
}

// In the words of the flag: the rule alone, and what it was held against.
fn unfit(kind: SelectorKind, value: &str, error: SelectorError) -> Failure {
    let cause = match error {
        SelectorError::Value { cause, .. } => cause,
        other @ SelectorError::Kind(_) => other.to_string(),
    };
    let rule = cause.split_once(" is not valid: ").map_or(cause.as_str(), |(_, rule)| rule);
    Failure::usage(format!("--{kind} {value:?} is not valid: {rule}"))
}

/// The selectors as the admin API takes them.
pub(crate) fn bodies(selectors: &[Selector]) -> Vec<SelectorBody> {
    let body =
        |selector: &Selector| SelectorBody { kind: selector.kind(), value: selector.value().to_owned() };
    selectors.iter().map(body).collect()
}

/// The selectors in words: `workflow release-notes, access payments/write`.
pub(crate) fn words(selectors: &[Selector]) -> String {
    match selectors {
        [] => "everything".to_owned(),
        some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// The operator's words for the audit log.
///
/// # Errors
/// When there are none, or more than 500 characters.
pub(crate) fn reason(text: &str) -> Result<String, Failure> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(Failure::usage("--reason is empty; say why in a few words")),
        1..=500 => Ok(text.to_owned()),
        _ => Err(Failure::usage("--reason has more than 500 characters")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        what: SelectorArgs,
    }

    fn read(line: &str) -> Result<String, String> {
        let args = std::iter::once("x").chain(line.split_whitespace());
        let what = Line::try_parse_from(args).map_err(|error| error.to_string())?.what;
        what.selectors().map(|selectors| words(&selectors)).map_err(|error| error.to_string())
    }

    #[test]
    fn each_flag_is_a_selector_of_its_own() {
        assert_eq!(
            read("--workflow a --workflow b --verb github/issues.write --tool github").unwrap(),
            "workflow a, workflow b, verb github/issues.write, tool github"
        );
        assert_eq!(read("--workflow a --workflow a").unwrap(), "workflow a");
        assert_eq!(read("--all").unwrap(), "everything");
        assert_eq!(read("--holder -aClLb3RqHX2N").unwrap(), "holder -aClLb3RqHX2N");
    }

    #[test]
    fn tool_and_access_combine() {
        assert_eq!(read("--tool payments --access write").unwrap(), "access payments/write");
        assert_eq!(read("--access write").unwrap(), "access write");
        assert_eq!(read("--access payments/write").unwrap(), "access payments/write");
        assert_eq!(
            read("--tool a --tool b --access read --task t").unwrap(),
            "task t, access a/read, access b/read"
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "",
            "--all --workflow a",
            "--tool a --access b/write",
            "--tool a --access everything",
            "--verb issues.write",
            "--workflow A",
            "--tool github --verb issues.write",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(
            read("--verb github:issues.read").unwrap_err(),
            "--verb \"github:issues.read\" is not valid: write it as tool/verb, such as github/issues.read"
        );
        assert!(read("--access writ").unwrap_err().starts_with("--access \"writ\" is not valid: "));
        assert!(reason("  ").is_err() && reason(&"x".repeat(501)).is_err());
        assert_eq!(reason(" why ").unwrap(), "why");
    }
}
