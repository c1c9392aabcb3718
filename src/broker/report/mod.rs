//! Reports: what the audit log says in figures, by segment, each beside the period before. Pure: entries come in, an
//! answer goes out; memory is bounded whatever the log holds, and what is not told apart any more is said to be.

mod approvals;
mod ask;
mod cell;
mod course;
mod drift;
mod entry;
mod histogram;
mod marks;
mod names;
mod review;
mod rights;
mod share;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use shortbread_protocol::admin::{FiguresAnswer, PeriodBody, SegmentBody, StepBody};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::reason::Reason;

use self::approvals::Approvals;
pub use self::ask::{Ask, AskError, By, Kind, Question};
use self::cell::{Cell, Counts, STEPS};
use self::course::Course;
use self::entry::Entry;
pub use self::histogram::Histogram;
use self::marks::Marks;
use self::names::{Id, Names, OTHER};
use self::rights::Rights;
pub use self::share::{difference, share, value, verdict};

/// How many segments are told apart while counting.
const MAX_CELLS: usize = 2000;
/// How many of them an answer names.
const MAX_NAMED: usize = 200;
/// How many tokens are remembered, for the release that they were minted for.
const MAX_TOKENS: usize = 500_000;

/// The counts of one report, while entries come in.
#[derive(Debug)]
pub struct Figures {
    ask: Ask,
    names: Names,
    total: Cell,
    cells: BTreeMap<Vec<Id>, Cell>,
    // Of more segments than are told apart.
    rest: Cell,
    rested: u64,
    course: Course,
    releases: HashMap<u64, Id>,
    marks: Marks,
    rights: Rights,
    approvals: Approvals,
    entries: u64,
    unread: u64,
}

/// One decision that counts.
struct Counted {
    counts: Counts,
    refused: Option<Id>,
    denied: Option<Id>,
    observed: Option<Id>,
    latency: Option<u64>,
}

impl Figures {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(ask: Ask) -> Self {
        Self {
            ask,
            names: Names::default(),
            total: Cell::default(),
            cells: BTreeMap::new(),
            rest: Cell::default(),
            rested: 0,
            course: Course::default(),
            releases: HashMap::new(),
            marks: Marks::default(),
            rights: Rights::default(),
            approvals: Approvals::default(),
            entries: 0,
            unread: 0,
        }
    }

    /// Counts an entry of the log, where it lies in one of the two periods. In the order of the log, so that a call finds
    /// the token that it was made with.
    pub fn feed(&mut self, body: &[u8]) {
        self.entries += 1;
        let Some(entry) = Entry::read(body) else {
            self.unread += 1;
            return;
        };
        let Ok(at) = entry.time.as_str().parse::<Timestamp>() else {
            self.unread += 1;
            return;
        };
        let Some(step) = self.ask.step(at) else { return };
        let kind = entry.short();
        let approval = kind.starts_with("approval.");
        if !approval && !matches!(kind, "token.minted" | "token.refused" | "call.decision") {
            return self.marks.note(kind, &entry, at);
        }
        let release = self.release(&entry, kind);
        if !self.asked_for(&entry, release) {
            return;
        }
        match kind {
            "call.decision" => self.call(&entry, release, at, step),
            // An equal request that waits already is that one.
            "token.minted" | "token.refused" | "approval.requested" => {
                self.exchange(&entry, release, at, step);
            }
            _ => {}
        }
        if approval {
            self.approvals.note(kind, &entry, at, step);
        }
    }

    /// The release that asked; of a call, the one that its token was minted for. What a token was minted for is
    /// remembered whether it is asked for or not: its calls may be.
    fn release(&mut self, entry: &Entry<'_>, kind: &str) -> Id {
        let (said, token) = (entry.data.segment.release.as_str(), entry.data.token.as_str());
        if kind == "call.decision" && said.is_empty() {
            let known = self.releases.get(&hash(token)).copied();
            return known.unwrap_or_else(|| self.names.id("unknown"));
        }
        let release = self.names.id(entry.data.segment.release.or("unknown"));
        let granted = kind == "token.minted" && entry.data.outcome.as_str() == "allow";
        let remembers = granted && !entry.data.repeated.0 && !token.is_empty();
        if remembers && self.releases.len() < MAX_TOKENS {
            self.releases.insert(hash(token), release);
        }
        release
    }

    fn asked_for(&self, entry: &Entry<'_>, release: Id) -> bool {
        self.ask.only.iter().all(|(by, value)| match part(*by, entry) {
            Some(part) => part == value.as_str(),
            None => self.names.name(release) == value,
        })
    }

    fn exchange(&mut self, entry: &Entry<'_>, release: Id, at: Timestamp, step: usize) {
        let data = &entry.data;
        if data.repeated.0 {
            return;
        }
        let n = data.count.0.unwrap_or(1).max(1);
        let refused = (data.outcome.as_str() != "allow")
            .then(|| data.reasons.0.first().map_or("unknown", |reason| reason.or("unknown")));
        let waits = refused == Some(Reason::ApprovalRequired.code());
        let counts = Counts {
            exchanges: n,
            refused: if refused.is_some() { n } else { 0 },
            needs_approval: if waits { n } else { 0 },
            ..Counts::default()
        };
        if refused.is_none() {
            self.marks.release(&entry.principal(), &data.segment.release, at);
            if step >= STEPS / 2 {
                self.rights.granted(entry);
            }
        }
        let counted = Counted {
            counts,
            refused: refused.map(|reason| self.names.id(reason)),
            denied: None,
            observed: None,
            latency: data.latency_us.0,
        };
        self.count(entry, release, step, &counted);
    }

    fn call(&mut self, entry: &Entry<'_>, release: Id, at: Timestamp, step: usize) {
        let data = &entry.data;
        let denied = (data.outcome.as_str() != "allow")
            .then(|| data.reasons.0.first().map_or("unknown", |reason| reason.or("unknown")));
        let observed = Some(data.observed.as_str()).filter(|text| denied.is_none() && !text.is_empty());
        let one = |is: bool| u64::from(is);
        let result = data.task_outcome.as_str();
        let counts = Counts {
            calls: 1,
            denied: one(denied.is_some()),
            observed: one(observed.is_some()),
            completed: one(result == "completed"),
            corrected: one(result == "corrected"),
            failed: one(result == "failed"),
            cost_micros: data.cost_micros.0.unwrap_or(0),
            costed: one(data.cost_micros.0.is_some()),
            ..Counts::default()
        };
        if step >= STEPS / 2 {
            self.rights.called(entry, at);
        }
        let counted = Counted {
            counts,
            refused: None,
            denied: denied.map(|reason| self.names.id(reason)),
            observed: observed.map(|reason| self.names.id(reason)),
            latency: None,
        };
        self.count(entry, release, step, &counted);
    }

    fn count(&mut self, entry: &Entry<'_>, release: Id, step: usize, counted: &Counted) {
        let key = self.key(entry, release);
        counted.into(&mut self.total, step);
        self.course.note(counted, step);
        let room = self.cells.len() < MAX_CELLS;
        let cell = match self.cells.get_mut(&key) {
            Some(cell) => cell,
            None if room => self.cells.entry(key).or_default(),
            None => {
                self.rested += 1;
                &mut self.rest
            }
        };
        counted.into(cell, step);
    }

    fn key(&mut self, entry: &Entry<'_>, release: Id) -> Vec<Id> {
        let names = &mut self.names;
        let parts = self.ask.by.iter().map(|by| part(*by, entry).map_or(release, |part| names.id(&part)));
        parts.collect()
    }

    /// The answer. `cut` says what of the log is missing, if anything is; nothing is compared then.
    #[must_use]
    pub fn finish(mut self, cut: Option<String>) -> FiguresAnswer {
        let whole = cut.is_none();
        let folded = self.fold();
        let marks = self.marks.told();
        let review = (self.ask.kind == Kind::Review).then(|| review::of(&self, &marks, whole));
        let total = self.total.body(BTreeMap::new(), &self.names, whole);
        let with = |kinds: &[Kind]| kinds.contains(&self.ask.kind);
        let (rights, rights_left_out) =
            if with(&[Kind::Rights, Kind::Review]) { self.rights.told() } else { (Vec::new(), 0) };
        FiguresAnswer {
            kind: self.ask.kind.as_str().to_owned(),
            by: self.ask.by.iter().map(ToString::to_string).collect(),
            only: self.ask.only.iter().map(|(by, value)| (by.to_string(), value.clone())).collect(),
            period: PeriodBody { since: self.ask.since, until: self.ask.until },
            before: PeriodBody { since: self.ask.begins().seconds(), until: self.ask.since },
            entries: self.entries,
            unread: self.unread,
            cut,
            total,
            segments: self.segments(whole),
            folded,
            series: self.series(),
            marks,
            rights,
            rights_left_out,
            approvals: with(&[Kind::Approvals, Kind::Review]).then(|| self.approvals.told()),
            review,
        }
    }

    // Keeps the largest segments and sums up the others; answers how many these were.
    fn fold(&mut self) -> u64 {
        let mut sizes: Vec<(u64, Vec<Id>)> =
            self.cells.iter().map(|(key, cell)| (cell.volume(), key.clone())).collect();
        sizes.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let small = sizes.split_off(sizes.len().min(MAX_NAMED));
        for (_, key) in &small {
            if let Some(cell) = self.cells.remove(key) {
                self.rest.merge(&cell);
            }
        }
        small.len() as u64 + u64::from(self.rested > 0)
    }

    fn segments(&self, whole: bool) -> Vec<SegmentBody> {
        let mut cells: Vec<(&Vec<Id>, &Cell)> = self.cells.iter().collect();
        let size = |cell: &Cell| (cell.now.counts.exchanges + cell.now.counts.calls, cell.volume());
        cells.sort_by(|a, b| {
            size(b.1).cmp(&size(a.1)).then_with(|| self.segment(a.0).cmp(&self.segment(b.0)))
        });
        let mut bodies: Vec<SegmentBody> =
            cells.into_iter().map(|(key, cell)| cell.body(self.segment(key), &self.names, whole)).collect();
        if self.rest.volume() > 0 {
            let other = self.ask.by.iter().map(|by| (by.to_string(), OTHER.to_owned()));
            bodies.push(self.rest.body(other.collect(), &self.names, whole));
        }
        bodies
    }

    fn segment(&self, key: &[Id]) -> BTreeMap<String, String> {
        let parts = self.ask.by.iter().zip(key);
        parts.map(|(by, id)| (by.to_string(), self.names.name(*id).to_owned())).collect()
    }

    fn series(&self) -> Vec<StepBody> {
        let none = vec![Counts::default(); STEPS];
        let counted = if self.total.steps.is_empty() { &none } else { &self.total.steps };
        let mut series: Vec<StepBody> = counted
            .iter()
            .enumerate()
            .map(|(step, counts)| StepBody {
                at: self.ask.step_at(step),
                exchanges: counts.exchanges,
                refused: counts.refused,
                needs_approval: counts.needs_approval,
                calls: counts.calls,
                denied: counts.denied,
                observed: counts.observed,
                results: counts.results(),
                corrected: counts.corrected,
                cost_micros: counts.cost_micros,
                ..StepBody::default()
            })
            .collect();
        self.course.tell(&self.names, &mut series);
        self.approvals.tell(&mut series);
        series
    }
}

impl Counted {
    fn into(&self, cell: &mut Cell, step: usize) {
        let (figures, course) = cell.at(step);
        figures.counts.add(&self.counts);
        if let Some(course) = course {
            course.add(&self.counts);
        }
        for (reasons, reason, n) in [
            (&mut figures.refused, self.refused, self.counts.refused),
            (&mut figures.denied, self.denied, self.counts.denied),
            (&mut figures.observed, self.observed, self.counts.observed),
        ] {
            if let Some(reason) = reason {
                *reasons.entry(reason).or_default() += n;
            }
        }
        if let Some(latency) = self.latency {
            figures.latency.add(latency);
        }
    }
}

/// What an entry says of a part; nothing of the release, which calls do not say.
fn part<'e>(by: By, entry: &'e Entry<'_>) -> Option<Cow<'e, str>> {
    let segment = &entry.data.segment;
    Some(match by {
        By::Workflow => entry.principal(),
        By::Intent => segment.intent.or("undeclared").into(),
        By::Tool => segment.tool.or("unknown").into(),
        By::Access => segment.access.or("unknown").into(),
        By::Stage => entry.data.stage.or("unknown").into(),
        By::Release => return None,
    })
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
