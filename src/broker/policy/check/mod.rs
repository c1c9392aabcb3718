//! From the file to a policy: every rule is checked, all problems are told at once, and only a policy
//! without any is ever made.

mod admin;
mod approval;
mod approvers;
mod budget;
mod forbids;
mod gate;
mod grants;
mod identities;
mod key_file;
mod limits;
mod membership;
mod platforms;
mod proof;
mod rollback;
mod spiffe;
mod tools;
mod tripwires;
mod url;

#[cfg(test)]
mod form_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use shortbread_protocol::names::{OperatorName, WorkflowName};
use toml::Spanned;

use super::model::{Approvers, Catalogue, Forbid, Gate, Grant, Identity, Rollback, Tripwire};
use super::problem::{Problem, Problems};
use super::source::{self, IdentitySource};

/// What a policy is compiled for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The broker's public URL, equal to `iss`: the built-in tool's audience follows from it.
    pub issuer: String,
}

/// Gives the contents of a file that the policy refers to, by its path as written there. The error says
/// what went wrong, without the path.
pub type Files<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// The parts of a policy that passed every check.
pub(super) struct Compiled {
    pub(super) files: BTreeMap<String, String>,
    pub(super) catalogue: Catalogue,
    pub(super) identities: Vec<Identity>,
    pub(super) grants: Vec<Grant>,
    pub(super) approvers: BTreeMap<String, Approvers>,
    pub(super) forbids: Vec<Forbid>,
    pub(super) tripwires: Vec<Tripwire>,
    pub(super) rollback: Option<Rollback>,
    pub(super) gate: Option<Gate>,
}

/// Reads and checks a policy.
///
/// # Errors
/// Everything that is wrong with it, from the top of the file to its end.
pub(super) fn compile(
    text: &str,
    file: &str,
    files: Files<'_>,
    options: &Options,
) -> Result<Compiled, Vec<Problem>> {
    let mut problems = Problems::new(file, text);
    let raw = source::read(text, &mut problems);
    if !problems.is_empty() {
        // What could not be read would be missed everywhere below, in problems that are none.
        return Err(problems.into_sorted());
    }
    let mut check = Check { problems, load: files, files: BTreeMap::new() };
    let catalogue = tools::compile(&mut check, &raw.tools, options);
    let identities = identities::compile(&mut check, &raw.identities, &catalogue);
    let people = People::of(&raw.identities);
    let approvers = approvers::compile(&mut check, &raw.approvers, &people);
    let known = Known { catalogue: &catalogue, people: &people, approvers: &approvers };
    let grants = grants::compile(&mut check, &raw.grants, &known);
    let forbids = forbids::compile(&mut check, &raw.forbids, &known);
    let tripwires = tripwires::compile(&mut check, &raw.tripwires, &known);
    let rollback = rollback::compile(&mut check, raw.rollback.as_ref(), &known);
    let gate = gate::compile(&mut check, raw.gate.as_ref(), &known);
    forbids::check_intents(&mut check, &forbids, &grants, &catalogue);
    let grants: Vec<Grant> = grants.into_iter().map(|(_, grant)| grant).collect();
    admin::check(&mut check, &raw, &people, &grants, &forbids);
    if check.problems.is_empty() {
        Ok(Compiled {
            files: check.files,
            catalogue,
            identities,
            grants,
            approvers,
            forbids,
            tripwires,
            rollback,
            gate,
        })
    } else {
        Err(check.problems.into_sorted())
    }
}

/// What the checks share: where problems go and where files come from.
struct Check<'a> {
    problems: Problems,
    load: Files<'a>,
    files: BTreeMap<String, String>,
}

impl Check<'_> {
    fn problem(&mut self, at: Range<usize>, message: impl AsRef<str>, fix: impl AsRef<str>) {
        self.problems.add(at, message, fix);
    }

    /// The contents of a file, which from then on is part of the policy.
    fn file(&mut self, path: &Spanned<String>, max_bytes: usize) -> Option<String> {
        let name = path.get_ref();
        if let Some(text) = self.files.get(name) {
            // Read once: what is checked, compiled and digested is one and the same.
            return Some(text.clone());
        }
        let text = match (self.load)(name) {
            Ok(text) if text.len() <= max_bytes => text,
            Ok(_) => {
                let fix = "name the right file; a key is one PEM block, a JWKS is small";
                self.problem(path.span(), format!("{name:?} is larger than {max_bytes} bytes"), fix);
                return None;
            }
            Err(error) => {
                let fix = "put the file there, or correct the path; it is relative to the policy";
                self.problem(path.span(), format!("{name:?} cannot be read: {error}"), fix);
                return None;
            }
        };
        self.files.insert(name.clone(), text.clone());
        Some(text)
    }
}

/// Who the identities can be.
#[derive(Default)]
struct People {
    workflows: BTreeSet<WorkflowName>,
    operators: BTreeSet<OperatorName>,
    /// Workflows that sign their own assertions, so that their claims prove nothing.
    self_asserted: BTreeSet<WorkflowName>,
}

impl People {
    /// From the file, so that a name whose proof is at fault is not unknown as well.
    fn of(raw: &[Spanned<IdentitySource>]) -> Self {
        let mut people = Self::default();
        for source in raw.iter().map(Spanned::get_ref) {
            let one = source.workflow.iter().map(Spanned::get_ref);
            for name in one.chain(source.workflows.iter().flat_map(Spanned::get_ref)) {
                people.workflows.insert(name.clone());
                if source.key.is_some() {
                    people.self_asserted.insert(name.clone());
                }
            }
            let one = source.operator.iter().chain(source.operators.iter().flat_map(Spanned::get_ref));
            people.operators.extend(one.map(|name| name.get_ref().clone()));
        }
        people
    }
}

/// What grants and forbids refer to.
struct Known<'a> {
    catalogue: &'a Catalogue,
    people: &'a People,
    approvers: &'a BTreeMap<String, Approvers>,
}

/// Names for a message: `a, b, c`, or `none`.
fn list<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
