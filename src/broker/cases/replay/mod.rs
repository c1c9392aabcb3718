//! Recorded cases decided again under another policy: each distinct input once, every changed decision counted by segment.
//!
//! What is compared is verb by verb, and so is what is counted: a request for three verbs is three decisions. A verb that no
//! policy knows is denied by all: it is left out, so that invented ones fill no memory.

mod line;
mod places;
mod report;

use std::collections::{HashMap, HashSet};

use sha2::{Digest as _, Sha256};
use shortbread_protocol::access::Access;
use shortbread_protocol::names::{Intent, Operation};

pub use report::{Change, Counted, Report, Segment};

use super::check::{Checked, compare};
use super::decide::{Asking, Decided};
use super::read::{Fault, Hashes, Ids, check, of_json, parse};
use super::{Case, Input, Outcome};
use crate::policy::{Policy, worst_access};
use line::{Line, Was};
use places::{Place, Places};

/// How many distinct inputs are remembered; others are decided each time they come.
const MAX_KNOWN: usize = 2_000_000;

/// What a decision is compared with.
#[derive(Clone, Debug)]
pub enum Before {
    /// What this policy decides of the same case.
    Policy(Policy),
    /// What was decided when the case was recorded.
    Recorded,
}

/// A replay under way.
pub struct Replay {
    now: Policy,
    before: Before,
    /// Intents that a grant or forbid of either policy names: all others are treated alike.
    named: HashSet<Intent>,
    /// Where among the units the verdict on an input is, by a hash of the input.
    known: HashMap<u128, Span>,
    units: Vec<Unit>,
    hashes: Hashes,
    places: Places,
    ids: Ids,
    labelled_ids: Ids,
    digest: Sha256,
    read: u64,
    labels: Vec<Checked>,
}

/// The units of a verdict, one for each verb.
#[derive(Clone, Copy)]
struct Span {
    from: usize,
    count: usize,
}

/// A verdict: what becomes of each verb of an input.
enum Found {
    /// Among those that are remembered.
    Kept(Span),
    /// Here alone.
    Once(Vec<Unit>),
}

/// What becomes of one verb.
#[derive(Clone, Copy)]
struct Unit {
    place: usize,
    /// `None` where it is as it was recorded.
    before: Option<Outcome>,
    after: Outcome,
    /// Whether both allow it, on other conditions.
    altered: bool,
}

impl Replay {
    /// Of cases under the policy `now`.
    #[must_use]
    pub fn new(now: Policy, before: Before) -> Self {
        let old = match &before {
            Before::Policy(old) => Some(old.clone()),
            Before::Recorded => None,
        };
        let named = [Some(&now), old.as_ref()].into_iter().flatten().flat_map(intents).cloned().collect();
        Self {
            now,
            before,
            named,
            known: HashMap::new(),
            units: Vec::new(),
            hashes: Hashes::default(),
            places: Places::default(),
            ids: Ids::default(),
            labelled_ids: Ids::default(),
            digest: Sha256::new(),
            read: 0,
            labels: Vec::new(),
        }
    }

    /// How many cases were read.
    #[must_use]
    pub const fn read(&self) -> u64 {
        self.read
    }

    /// Whether a labelled case of this id was read.
    #[must_use]
    pub fn has_label(&self, id: &str) -> bool {
        self.labelled_ids.contains(id)
    }

    /// Takes a case from its line. A labelled one is held against its label; all others are compared and counted.
    ///
    /// # Errors
    /// When it is no case.
    pub fn line(&mut self, text: &[u8]) -> Result<(), Fault> {
        let line: Line<'_> = serde_json::from_slice(text).map_err(|error| of_json(&error))?;
        if line.label.is_some() {
            return self.label(&parse(text)?, text);
        }
        line.check()?;
        self.take(&line.id, text)?;
        let verdict = self.verdict(line.input.get(), line.recorded.as_ref())?;
        self.count(&verdict, line.recorded.as_ref(), &line.id, line.weight);
        Ok(())
    }

    /// Takes a case. The digest is that of its line, as this program writes it.
    ///
    /// # Errors
    /// When it says what cannot be, or its id came before.
    pub fn case(&mut self, case: &Case) -> Result<(), Fault> {
        check(case)?;
        // Texts, numbers and maps with text keys always serialise.
        let text = serde_json::to_vec(case).unwrap_or_default();
        if case.label.is_some() {
            return self.label(case, &text);
        }
        self.take(&case.id, &text)?;
        let (input, recorded) = (serde_json::to_string(&case.input), case.recorded.as_ref().map(Was::from));
        let verdict = self.verdict(&input.unwrap_or_default(), recorded.as_ref())?;
        self.count(&verdict, recorded.as_ref(), &case.id, case.weight);
        Ok(())
    }

    /// All that was found.
    #[must_use]
    pub fn finish(self) -> Report {
        let against = match &self.before {
            Before::Policy(policy) => Some(policy.digest().to_owned()),
            Before::Recorded => None,
        };
        let (segments, changes) = self.places.report(&self.now);
        Report {
            policy: self.now.digest().to_owned(),
            against,
            cases: self.read,
            inputs: self.known.len() as u64,
            digest: format!("sha256:{}", hex::encode(self.digest.finalize())),
            segments,
            changes,
            labels: self.labels,
        }
    }

    fn take(&mut self, id: &str, text: &[u8]) -> Result<(), Fault> {
        if !self.ids.take(id) {
            return Err(Fault::twice(id));
        }
        self.note(text);
        Ok(())
    }

    fn note(&mut self, text: &[u8]) {
        self.read += 1;
        self.digest.update(text);
        self.digest.update(b"\n");
    }

    // It is held against its label, and hides no recorded case of its id: nobody labels away what speaks against a policy.
    fn label(&mut self, case: &Case, text: &[u8]) -> Result<(), Fault> {
        let Some(label) = &case.label else { return Ok(()) };
        if !self.labelled_ids.take(&case.id) {
            return Err(Fault::twice(&case.id));
        }
        self.note(text);
        let asking = Asking::from(case.input.clone());
        let decided = asking.decide(&self.now);
        for verb in asking.verbs() {
            if let Some(place) = self.place(&asking, verb, self.access(verb)) {
                self.places.label(place);
            }
        }
        self.labels.push(compare(&case.id, label, &decided));
        Ok(())
    }

    /// The verdict on an input by its bytes: decided once, however often it comes.
    fn verdict(&mut self, input: &str, recorded: Option<&Was<'_>>) -> Result<Found, Fault> {
        let hash = self.hashes.of(input);
        if let Some(known) = self.known.get(&hash) {
            return Ok(Found::Kept(*known));
        }
        let read: Input = serde_json::from_str(input).map_err(|error| of_json(&error))?;
        let asking = line::sound(read)?;
        let from = self.units.len();
        let lasts = self.decide(&asking, recorded);
        if lasts && self.known.len() < MAX_KNOWN {
            let span = Span { from, count: self.units.len() - from };
            self.known.insert(hash, span);
            return Ok(Found::Kept(span));
        }
        Ok(Found::Once(self.units.split_off(from)))
    }

    // Adds the units of a verdict; whether it is the same the next time.
    fn decide(&mut self, asking: &Asking, recorded: Option<&Was<'_>>) -> bool {
        let after = asking.decide(&self.now);
        let before = match &self.before {
            Before::Policy(old) => Some(asking.decide(old)),
            Before::Recorded => None,
        };
        let mut lasts = true;
        for verb in asking.verbs() {
            let access = self.access(verb);
            if access.is_none() {
                // What was recorded of a verb that no policy knows any more is another time something else.
                lasts &= !self.is_recorded();
                let was_given = recorded.is_some_and(|was| was.of(verb) != Outcome::Deny);
                if !(self.is_recorded() && was_given) {
                    continue;
                }
            }
            let Some(place) = self.place(asking, verb, access) else { continue };
            self.units.push(Unit {
                place,
                before: before.as_ref().map(|decided| decided.of(verb)),
                after: after.of(verb),
                altered: before.as_ref().is_some_and(|before| is_altered(before, &after, verb)),
            });
        }
        lasts
    }

    const fn is_recorded(&self) -> bool {
        matches!(self.before, Before::Recorded)
    }

    // None of a verb that neither policy knows.
    fn access(&self, verb: &Operation) -> Option<Access> {
        let old = match &self.before {
            Before::Policy(old) => Some(old),
            Before::Recorded => None,
        };
        worst_access(old.into_iter().chain([&self.now]), verb)
    }

    fn place(&mut self, asking: &Asking, verb: &Operation, access: Option<Access>) -> Option<usize> {
        let intent = Some(asking.intent()).filter(|intent| self.named.contains(intent));
        let place = Place { principal: asking.principal()?.clone(), intent, verb: verb.clone() };
        Some(self.places.of(place, access))
    }

    fn count(&mut self, found: &Found, recorded: Option<&Was<'_>>, id: &str, weight: u64) {
        let Self { units, places, .. } = self;
        let units = match found {
            Found::Kept(span) => units.get(span.from..span.from + span.count).unwrap_or_default(),
            Found::Once(units) => units,
        };
        for unit in units {
            let before =
                unit.before.or_else(|| recorded.map(|recorded| places.recorded(unit.place, recorded)));
            places.count(unit, before, id, weight);
        }
    }
}

fn intents(policy: &Policy) -> impl Iterator<Item = &Intent> {
    let granted = policy.grants().iter().flat_map(|grant| grant.intents.iter().flatten());
    granted.chain(policy.forbids().iter().flat_map(|forbid| forbid.intents.iter().flatten()))
}

/// Whether both give the verb, and not on the same conditions. Which grants gave it says nothing.
fn is_altered(before: &Decided, after: &Decided, verb: &Operation) -> bool {
    let right = |decided: &'_ Decided| decided.rights.iter().position(|right| right.operation == *verb);
    let (Some(old), Some(new)) = (right(before), right(after)) else { return false };
    let (Some(old), Some(new)) = (before.rights.get(old), after.rights.get(new)) else { return false };
    let ways = |a: &crate::policy::Right, b: &crate::policy::Right| {
        a.alternatives.iter().all(|way| b.alternatives.iter().any(|other| other.arguments == way.arguments))
    };
    before.ttl != after.ttl
        || (old.access, old.windows, &old.forms) != (new.access, new.windows, &new.forms)
        || !ways(old, new)
        || !ways(new, old)
}

#[cfg(test)]
mod tests;
