//! Where decisions are counted: by who asks, what for, and which verb.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use shortbread_protocol::access::Access;
use shortbread_protocol::names::{Intent, Operation};

use super::super::Outcome;
use super::Unit;
use super::line::Was;
use super::report::{Change, Counted, Segment};
use crate::delimited::delimited;
use crate::policy::Policy;
use crate::policy::model::{Grant, Principal};

/// How many cases of a change are named.
const FIRST: usize = 5;
const OUTCOMES: [Outcome; 3] = [Outcome::Allow, Outcome::Deny, Outcome::NeedsApproval];

/// One place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) principal: Principal,
    /// `None` is any that no policy names.
    pub(super) intent: Option<Intent>,
    pub(super) verb: Operation,
}

/// Decisions of one kind.
#[derive(Clone, Debug, Default)]
struct Cell {
    decisions: u64,
    /// The first of them.
    cases: Vec<String>,
}

impl Cell {
    fn add(&mut self, id: &str, weight: u64) {
        self.decisions = self.decisions.saturating_add(weight);
        if self.cases.len() < FIRST {
            self.cases.push(id.to_owned());
        }
    }
}

#[derive(Debug)]
struct Tally {
    place: Place,
    access: Option<Access>,
    labelled: u64,
    /// Decisions that are compared with nothing.
    alone: u64,
    /// What stayed as it was, by its outcome.
    same: [u64; 3],
    /// What did not, from and to.
    moved: BTreeMap<(Outcome, Outcome), Cell>,
    /// Of what stayed allowed: on other conditions.
    altered: Cell,
}

/// Every place that came up.
#[derive(Debug, Default)]
pub(super) struct Places {
    index: HashMap<Place, usize>,
    tallies: Vec<Tally>,
}

impl Places {
    /// The number of a place; new ones have this access.
    pub(super) fn of(&mut self, place: Place, access: Option<Access>) -> usize {
        if let Some(known) = self.index.get(&place) {
            return *known;
        }
        let number = self.tallies.len();
        self.index.insert(place.clone(), number);
        self.tallies.push(Tally {
            place,
            access,
            labelled: 0,
            alone: 0,
            same: [0; 3],
            moved: BTreeMap::new(),
            altered: Cell::default(),
        });
        number
    }

    /// A labelled case asks for this verb: one try, whatever weight its author gave it.
    pub(super) fn label(&mut self, place: usize) {
        if let Some(tally) = self.tallies.get_mut(place) {
            tally.labelled = tally.labelled.saturating_add(1);
        }
    }

    /// What was recorded of the verb.
    pub(super) fn recorded(&self, place: usize, recorded: &Was<'_>) -> Outcome {
        self.tallies.get(place).map_or(recorded.outcome, |tally| recorded.of(&tally.place.verb))
    }

    /// Counts a decision.
    pub(super) fn count(&mut self, unit: &Unit, before: Option<Outcome>, id: &str, weight: u64) {
        let Some(tally) = self.tallies.get_mut(unit.place) else { return };
        let Some(before) = before else {
            tally.alone = tally.alone.saturating_add(weight);
            return;
        };
        if before == unit.after {
            let [allowed, denied, waiting] = &mut tally.same;
            let same = match before {
                Outcome::Allow => allowed,
                Outcome::Deny => denied,
                Outcome::NeedsApproval => waiting,
            };
            *same = same.saturating_add(weight);
            if unit.altered {
                tally.altered.add(id, weight);
            }
        } else {
            tally.moved.entry((before, unit.after)).or_default().add(id, weight);
        }
    }

    /// By segment, and each change.
    pub(super) fn report(mut self, now: &Policy) -> (Vec<Counted>, Vec<Change>) {
        self.tallies.sort_by(|a, b| a.place.cmp(&b.place));
        let mut segments: BTreeMap<Segment, Counted> = BTreeMap::new();
        let mut changes = Vec::new();
        for tally in self.tallies {
            let segment = tally.segment();
            let counted = segments.entry(segment.clone()).or_insert_with(|| Counted::of(segment));
            tally.add_to(counted);
            changes.extend(tally.changes(now));
        }
        (segments.into_values().collect(), changes)
    }
}

impl Tally {
    fn segment(&self) -> Segment {
        Segment {
            principal: self.place.principal.to_string(),
            intent: self.place.intent.as_ref().map(ToString::to_string),
            tool: self.place.verb.tool.to_string(),
            access: self.access,
        }
    }

    fn add_to(&self, counted: &mut Counted) {
        let [allowed, denied, waiting] = self.same;
        let moved = |wanted: &dyn Fn(Outcome, Outcome) -> bool| -> u64 {
            let cells = self.moved.iter().filter(|((from, to), _)| wanted(*from, *to));
            cells.map(|(_, cell)| cell.decisions).sum()
        };
        counted.decisions += self.alone + allowed + denied + waiting + moved(&|_, _| true);
        counted.labelled += self.labelled;
        counted.compared += allowed + denied + waiting + moved(&|_, _| true);
        counted.allowed += allowed + moved(&|from, _| from == Outcome::Allow);
        counted.waiting += waiting + moved(&|from, _| from == Outcome::NeedsApproval);
    }

    fn changes(self, now: &Policy) -> Vec<Change> {
        let segment = self.segment();
        let both = OUTCOMES.into_iter().flat_map(|from| OUTCOMES.map(|to| (from, to)));
        let mut changes = Vec::new();
        for (from, to) in both {
            let cell = if (from, to) == (Outcome::Allow, Outcome::Allow) {
                Some(&self.altered).filter(|cell| cell.decisions > 0)
            } else {
                self.moved.get(&(from, to))
            };
            let Some(cell) = cell else { continue };
            changes.push(Change {
                id: name(&self.place, from, to, now),
                segment: segment.clone(),
                verb: self.place.verb.to_string(),
                from,
                to,
                decisions: cell.decisions,
                cases: cell.cases.clone(),
            });
        }
        changes
    }
}

/// A name of a change that another run gives it too. Whoever accepts it accepts what the grants say now: on other
/// conditions it is another change.
fn name(place: &Place, from: Outcome, to: Outcome, now: &Policy) -> String {
    let grants = now.grants_of(&place.principal, &place.verb.tool).iter();
    let serving = grants.filter(|grant| {
        let any = grant.intents.is_none();
        any || place.intent.as_ref().is_some_and(|intent| grant.serves(intent))
    });
    let mut terms: Vec<String> = serving.filter_map(|grant| Some(terms(grant, place)?.to_string())).collect();
    terms.sort();
    let (principal, verb) = (place.principal.to_string(), place.verb.to_string());
    let intent = place.intent.as_ref().map_or("*", |intent| intent.as_str());
    let parts = ["shortbread-change/v1", &principal, intent, &verb, from.as_str(), to.as_str()];
    let hash = delimited(Sha256::new(), parts.into_iter().chain(terms.iter().map(String::as_str))).finalize();
    let short: String = hex::encode(hash).chars().take(12).collect();
    format!("chg_{short}")
}

fn terms(grant: &Grant, place: &Place) -> Option<Value> {
    let limits = grant.verbs.get(&place.verb.verb)?;
    let limits = limits.as_ref().map(|limits| {
        let limits = limits.iter().map(|(name, limit)| (name.to_string(), limit.to_json()));
        limits.collect::<BTreeMap<_, _>>()
    });
    Some(json!({ "limits": limits, "max_ttl": grant.max_ttl.map(|ttl| ttl.as_secs()), "proof": grant.proof }))
}
