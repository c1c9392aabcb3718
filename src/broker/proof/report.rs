//! What a check came to, in words for someone in an emergency and in a form for programs.

use std::fmt;

use serde::Serialize;
use shortbread_protocol::clock::Timestamp;

use super::coverage::Coverage;
use super::restored::{Lost, Restore};

/// An entry by what people look for it with. As it says: nobody has vouched for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// The decision's id.
    pub id: String,
    /// When, in RFC 3339.
    pub time: String,
}

/// A size of the log that a checkpoint speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// How many entries it covers.
    pub size: u64,
    /// The last of them.
    pub last: Option<Named>,
    /// The entry after it.
    pub next: Option<Named>,
    /// When it was kept, where that is known: milliseconds since 1970.
    pub at: Option<Timestamp>,
}

/// What was found between the export and the leaves of the proof. Places count from 0, lines from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// `entries` lines are not what was logged at their places.
    Changed,
    /// `entries` entries have no line.
    Removed,
    /// `lines` lines were never logged.
    Inserted,
    /// Lines stand in another order than they were logged in.
    Reordered,
    /// `lines` lines stand where `entries` others were logged.
    Replaced,
    /// The export ends, and `entries` entries follow.
    Cut,
}

/// One damage of the export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind.
    pub fault: Fault,
    /// The place in the log at which it begins.
    pub place: u64,
    /// How many logged entries it reaches.
    pub entries: u64,
    /// The line at which it begins.
    pub line: u64,
    /// How many lines it reaches.
    pub lines: u64,
    /// The entry that stands before it.
    pub after: Option<Named>,
    /// What the damaged line claims to be.
    pub claims: Option<Named>,
    /// The place whose entry the damaged line really is.
    pub belongs: Option<u64>,
    /// What can be told from the line itself: it is too long, or ends otherwise.
    pub hint: Option<&'static str>,
}

/// What checkpoints from outside said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outside {
    /// How many were given.
    pub given: u64,
    /// How many of them speak of a part of the log that this export holds, and were compared.
    pub compared: u64,
    /// How many speak of what was asked for, and the export does not tell the root over as many entries.
    pub uncompared: u64,
    /// How many speak of what was not asked for, and were not compared.
    pub elsewhere: u64,
    /// Those whose entries restores took away, by restore.
    pub lost: Vec<Lost>,
    /// The size of the smallest that fits: what lies before the export's first entry is what it signed.
    pub first_match: Option<u64>,
    /// The largest that fits.
    pub last_match: Option<Mark>,
    /// The smallest that does not.
    pub first_failure: Option<Mark>,
    /// How many do not fit.
    pub failed: u64,
    /// The largest size that a signed one speaks of and this log does not have.
    pub beyond: Option<u64>,
    /// How many are not signed by an audit key of this log, and why the first is not.
    pub unsigned: Option<(u64, String)>,
    /// Sizes for which two different roots were signed.
    pub forks: Vec<u64>,
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The log.
    pub origin: String,
    /// The place of the first entry that the export should have.
    pub first: u64,
    /// The place after the last.
    pub next: u64,
    /// How many entries the signed checkpoint of the proof covers.
    pub size: u64,
    /// How many lines the export has.
    pub lines: u64,
    /// The version of the key document that names the audit keys; `None` when a key was given.
    pub keys: Option<u64>,
    /// The first damages of the export, in order.
    pub findings: Vec<Finding>,
    /// How many there are.
    pub damages: u64,
    /// Why the checkpoint of the proof is not believed.
    pub unsigned: Option<String>,
    /// Whether the leaves of the proof come to the root that its checkpoint signs.
    pub root: bool,
    /// Whether the lines of the export, where they are not the leaves, come to that root themselves.
    pub lines_root: bool,
    /// What checkpoints from outside said.
    pub outside: Outside,
    /// Restores after which the log got another origin, of which the export tells.
    pub restores: Vec<Restore>,
    /// What was asked of the export.
    pub asked: Coverage,
    /// The last entry of the export that is as it was logged.
    pub last: Option<Named>,
}

impl Report {
    /// Whether everything was as it was signed, and as much as was asked for.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.complaints().is_empty()
    }

    /// What is wrong, the gravest first; empty when nothing is.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let mut said = Vec::new();
        self.say_outside(&mut said);
        if let Some(why) = &self.unsigned {
            said.push(format!(
                "the checkpoint of the proof is not believed: {why}. Nothing vouches for these {} entries",
                self.size
            ));
        }
        if !self.root {
            said.push(self.rootless());
        }
        if let Some(first) = self.findings.first() {
            let more = match self.damages - 1 {
                0 => String::new(),
                more => format!(" ({more} more follow)"),
            };
            said.push(format!("{}{more}", self.blame(first)));
        }
        self.say_coverage(&mut said);
        if self.outside.given > 0 && self.outside.compared == 0 && said.is_empty() {
            said.push(format!(
                "none of the {} checkpoints speaks of a part that this export holds ({} to {}): nothing was compared",
                self.outside.given, self.first, self.next
            ));
        }
        said
    }

    // Where the leaves were changed and not the lines, the export is whole.
    fn blame(&self, first: &Finding) -> String {
        if self.lines_root {
            return format!(
                "the export is as it was signed, but its proof was changed, first at the leaf of place {}: make the proof anew",
                first.place
            );
        }
        first.to_string()
    }

    fn rootless(&self) -> String {
        let lines = if self.lines_root { "; the lines of the export do" } else { "" };
        format!(
            "the leaves of the proof do not come to the root that its checkpoint signs over {} entries{lines}: {}",
            self.size,
            self.span(self.size)
        )
    }

    // Between what still fits and what does not any more.
    fn span(&self, end: u64) -> String {
        let outside = &self.outside;
        let from = outside.last_match.as_ref().map_or(self.first, |mark| mark.size);
        let to = outside.first_failure.as_ref().map_or(end, |mark| mark.size);
        if from >= to {
            return format!("a leaf or a subtree's root before place {to} was changed");
        }
        let began = outside.last_match.as_ref().map(|mark| (&mark.next, &mark.last));
        let start = began.and_then(|(next, _)| next.as_ref()).map(Named::to_string).unwrap_or_default();
        let after = match began.and_then(|(_, last)| last.as_ref()) {
            Some(last) => format!("; the log fits up to place {}{last}", from - 1),
            None => String::new(),
        };
        let failed = outside.first_failure.as_ref().and_then(|mark| mark.last.as_ref());
        let end = failed.map(Named::to_string).unwrap_or_default();
        format!("what was changed lies in places {from}{start} to {}{end}{after}", to - 1)
    }

    fn say_outside(&self, said: &mut Vec<String>) {
        let outside = &self.outside;
        if let Some(size) = outside.forks.first() {
            let more = outside.forks.len() - 1;
            said.push(format!(
                "two logs were shown: an audit key signed two different roots over {size} entries{}",
                if more == 0 { String::new() } else { format!(", and so over {more} other sizes") }
            ));
        }
        if let Some(beyond) = outside.beyond {
            said.push(format!(
                "the log was cut: it has {} entries now, and a checkpoint kept outside covers {beyond}. At least {} entries \
                 are gone from its end, after place {}{}",
                self.size,
                beyond - self.size,
                self.size.saturating_sub(1),
                self.last.as_ref().map(Named::to_string).unwrap_or_default(),
            ));
        }
        if let Some(failure) = &outside.first_failure {
            said.push(format!(
                "the log was rewritten: {} of {} checkpoints kept outside do not fit it, the first at {} entries; {}",
                outside.failed,
                outside.compared,
                failure.size,
                self.span(failure.size)
            ));
        }
        for lost in outside.lost.iter().filter(|lost| !lost.known) {
            said.push(lost.to_string());
        }
        if let Some((count, why)) = &outside.unsigned {
            said.push(format!(
                "{count} of {} checkpoints kept outside are not believed; the first: {why}",
                outside.given
            ));
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " ({}, {})", self.id, self.time)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, line) = (self.place, self.line);
        let span = |count: u64| match count {
            0 | 1 => String::new(),
            many => format!(" to {}", place + many - 1),
        };
        let lines = |count: u64| match count {
            0 | 1 => format!("line {line}"),
            many => format!("lines {line} to {}", line + many - 1),
        };
        match self.fault {
            Fault::Changed => {
                let (places, lines) = (span(self.entries), lines(self.lines));
                write!(f, "changed: {lines} of the export is not what was logged at place {place}{places}")
            }
            Fault::Removed => {
                let (many, places) = (self.entries, span(self.entries));
                write!(f, "removed: place {place}{places} of the log ({many}) is missing before line {line}")
            }
            Fault::Inserted => write!(
                f,
                "inserted: {} of the export was never logged there; it stands before place {place}",
                lines(self.lines)
            ),
            Fault::Reordered => {
                let (places, lines) = (span(self.entries), lines(self.lines));
                write!(
                    f,
                    "reordered: {lines} of the export does not stand in the order of the log, place {place}{places}"
                )
            }
            Fault::Replaced => write!(
                f,
                "replaced: {} of the export stands where place {place}{} was logged",
                lines(self.lines),
                span(self.entries)
            ),
            Fault::Cut => write!(
                f,
                "cut: the export ends after line {}, and {} logged entries follow from place {place} on",
                line.saturating_sub(1),
                self.entries
            ),
        }?;
        if let Some(place) = self.belongs {
            write!(f, "; it is the entry of place {place}")?;
        } else if let Some(claims) = &self.claims {
            write!(f, "; it claims to be{claims}")?;
        }
        if let Some(after) = &self.after {
            write!(f, "; before it stands{after}")?;
        }
        self.hint.map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}
