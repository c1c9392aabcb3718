//! Whether an export covers what was asked for: a part that is as it was signed says nothing of the rest.

use std::fmt;

use serde::Serialize;

use super::report::Report;
use super::restored::Lost;
use super::verify::Asked;

/// What was asked of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// It has to begin at this place, or before it.
    pub from: u64,
    /// It has to reach up to this place; to the end of the log when not told.
    pub until: Option<u64>,
    /// Any part will do.
    pub partial: bool,
}

impl From<&Asked> for Coverage {
    fn from(asked: &Asked) -> Self {
        Self { from: asked.from, until: asked.until, partial: asked.partial }
    }
}

impl Report {
    /// How many entries that were asked for are not in the export, before its first and after its last.
    #[must_use]
    pub fn missing(&self) -> (u64, u64) {
        let until = self.asked.until.unwrap_or(self.size);
        (self.first.saturating_sub(self.asked.from), until.saturating_sub(self.next))
    }

    pub(super) fn say_coverage(&self, said: &mut Vec<String>) {
        if self.asked.partial {
            return;
        }
        if self.asked.from > self.size {
            said.push(format!(
                "the log ends before place {}: the entries from {} on that were asked for are not in it, or not any more",
                self.size, self.asked.from
            ));
        }
        let ((before, after), (first, next)) = (self.missing(), (self.first, self.next));
        if before > 0 {
            said.push(format!(
                "the export begins at place {first}, and the {before} entries before it are not in it: they were pruned, or left out. \
                 Ask for no more with --from {first}, or for any part with --partial"
            ));
        }
        if after > 0 {
            said.push(format!(
                "the export ends before place {next}, and the {after} entries after it are not in it. Ask for no more with --until \
                 {next}, or for any part with --partial"
            ));
        }
        if first == next {
            said.push("the export is of no entry: nothing of the log is shown".to_owned());
        }
        let outside = &self.outside;
        if outside.uncompared > 0 && outside.compared > 0 {
            said.push(format!(
                "{} of {} checkpoints kept outside speak of sizes that this export, of places {first} up to {next}, does not tell: \
                 they were not compared. --partial says that this will do",
                outside.uncompared, outside.given
            ));
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { restore, checkpoints, size, .. } = self;
        write!(
            f,
            "a restore from a backup took entries away: {checkpoints} checkpoints kept outside, over up to {size} entries, are of before \
             the restore {restore}, and the log does not have what they cover any more. Look at its entry; if it is known, say \
             --restored {restore}"
        )
    }
}
