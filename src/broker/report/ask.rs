//! What can be asked for: a kind of report, a period, and what to tell segments apart by.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use shortbread_protocol::clock::Timestamp;
use thiserror::Error;

use super::cell::STEPS;

/// The shortest period, in seconds: its parts are a second long at least.
const SHORTEST: u64 = (STEPS / 2) as u64;
/// The longest period, in seconds.
const LONGEST: u64 = 400 * 86_400;
/// The longest value that a part can be held to, in bytes.
const MAX_VALUE: usize = 512;

/// Which report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Volumes, refusals, results, times and cost by segment.
    Segments,
    /// What was granted against what was used.
    Rights,
    /// What needed an approval, and how those went.
    Approvals,
    /// Times, by segment and stage.
    Latency,
    /// The weekly page.
    Review,
}

/// What segments are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// The workflow or operator.
    Workflow,
    /// The declared purpose.
    Intent,
    /// The tool: of an exchange, the first that was asked for.
    Tool,
    /// The worst access that was asked for.
    Access,
    /// The release that asked; of a call, the one that its token was minted for.
    Release,
    /// The step at which it was decided.
    Stage,
}

/// What cannot be asked for.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AskError {
    /// The kind is none.
    #[error("kind is segments, rights, approvals, latency or review, not {0:?}")]
    Kind(String),
    /// What segments would be told apart by is none of their parts.
    #[error(
        "by lists workflow, intent, tool, access, release or stage, with commas between; {0:?} is none of them"
    )]
    By(String),
    /// What alone is to be counted is not said as parts and their values.
    #[error(
        "only lists each part once with its value, as workflow=release-notes,tool=github; {0:?} is none of workflow, intent, tool, access, release or stage with a value, or stands there twice"
    )]
    Only(String),
    /// The period is empty, too short or too long.
    #[error(
        "the period is from `since` up to `until`, in seconds since the epoch, and has 28 seconds at least and 400 days at most"
    )]
    Period,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Ask {
    pub(super) kind: Kind,
    pub(super) by: Vec<By>,
    pub(super) only: BTreeMap<By, String>,
    pub(super) since: u64,
    pub(super) until: u64,
}

/// What is asked for again and again: the same of a period of this length, whenever it ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    kind: Kind,
    by: Vec<By>,
    only: BTreeMap<By, String>,
    long: u64,
}

impl Kind {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Segments => "segments",
            Self::Rights => "rights",
            Self::Approvals => "approvals",
            Self::Latency => "latency",
            Self::Review => "review",
        }
    }

    const fn by(self) -> &'static [By] {
        match self {
            Self::Segments => &[By::Workflow],
            Self::Rights => &[By::Workflow, By::Intent],
            Self::Approvals | Self::Review => &[By::Workflow, By::Tool],
            Self::Latency => &[By::Workflow, By::Stage],
        }
    }
}

impl FromStr for Kind {
    type Err = AskError;

    fn from_str(text: &str) -> Result<Self, AskError> {
        let all = [Self::Segments, Self::Rights, Self::Approvals, Self::Latency, Self::Review];
        all.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| AskError::Kind(text.to_owned()))
    }
}

impl By {
    const ALL: [Self; 6] =
        [Self::Workflow, Self::Intent, Self::Tool, Self::Access, Self::Release, Self::Stage];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workflow => "workflow",
            Self::Intent => "intent",
            Self::Tool => "tool",
            Self::Access => "access",
            Self::Release => "release",
            Self::Stage => "stage",
        }
    }
}

impl FromStr for By {
    type Err = AskError;

    fn from_str(text: &str) -> Result<Self, AskError> {
        Self::ALL.into_iter().find(|by| by.as_str() == text).ok_or_else(|| AskError::By(text.to_owned()))
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Question {
    /// As [`Ask::new`] and [`Ask::only`] take them; the period has this many seconds.
    ///
    /// # Errors
    /// When a word is not known, or the period is too short or too long.
    pub fn new(kind: &str, long: u64, by: Option<&str>, only: Option<&str>) -> Result<Self, AskError> {
        let Ask { kind, by, only, .. } =
            Ask::new(kind, LONGEST, LONGEST.saturating_add(long), by)?.only(only)?;
        Ok(Self { kind, by, only, long })
    }

    /// What is asked for of the period that ends at this second.
    #[must_use]
    pub fn ask(&self, until: u64) -> Ask {
        let (by, only) = (self.by.clone(), self.only.clone());
        // There is no moment so early that the period before it would lie before the epoch.
        let until = until.max(self.long.saturating_mul(2));
        Ask { kind: self.kind, by, only, since: until - self.long, until }
    }
}

impl Ask {
    /// A kind, a period in seconds since the epoch, and what to tell segments apart by: words with commas between, or
    /// none for what the kind has by itself.
    ///
    /// # Errors
    /// When a word is not known, or the period is empty, too short or too long.
    pub fn new(kind: &str, since: u64, until: u64, by: Option<&str>) -> Result<Self, AskError> {
        let kind: Kind = kind.parse()?;
        let mut by = match by.filter(|by| !by.is_empty()) {
            Some(by) => by.split(',').map(str::parse).collect::<Result<Vec<By>, _>>()?,
            None => kind.by().to_vec(),
        };
        by.sort_unstable();
        by.dedup();
        let long = until.checked_sub(since).filter(|long| (SHORTEST..=LONGEST).contains(long));
        if long.is_none_or(|long| long > since) || until > 1 << 33 {
            return Err(AskError::Period);
        }
        Ok(Self { kind, by, only: BTreeMap::new(), since, until })
    }

    /// The same, of some segments alone: each part once with the value that it must have, with commas between, as
    /// `workflow=release-notes,tool=github`; none or an empty text for all. A value is what answers say of that part, so
    /// `unknown` and `undeclared` are values too. What concerns no segment, such as policies that came into force, stays.
    ///
    /// # Errors
    /// When a part is not known or stands there twice, or has no value.
    pub fn only(mut self, only: Option<&str>) -> Result<Self, AskError> {
        self.only.clear();
        for pair in only.into_iter().filter(|only| !only.is_empty()).flat_map(|only| only.split(',')) {
            let wrong = || AskError::Only(pair.chars().take(100).collect());
            let (part, value) = pair.split_once('=').ok_or_else(wrong)?;
            let by: By = part.parse().map_err(|_| wrong())?;
            let sound = !value.is_empty() && value.len() <= MAX_VALUE;
            if !sound || self.only.insert(by, value.to_owned()).is_some() {
                return Err(wrong());
            }
        }
        Ok(self)
    }

    /// Where the period before begins: from here on entries matter.
    #[must_use]
    pub fn begins(&self) -> Timestamp {
        Timestamp::from_seconds(self.since - self.long())
    }

    pub(super) const fn long(&self) -> u64 {
        self.until - self.since
    }

    /// The part of the time axis that a moment lies in.
    pub(super) fn step(&self, at: Timestamp) -> Option<usize> {
        let begins = self.begins();
        if at < begins || at.seconds() >= self.until {
            return None;
        }
        let passed = at.millis() - begins.millis();
        usize::try_from(passed * STEPS as u64 / (self.long() * 2 * 1000)).ok()
    }

    /// Where a part of the time axis begins, in seconds since the epoch.
    pub(super) fn step_at(&self, step: usize) -> u64 {
        self.begins().seconds() + self.long() * 2 * step as u64 / STEPS as u64
    }
}
