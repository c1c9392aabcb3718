//! How old the revocation list may be, by access, and where on the ladder that puts a verifier.

use shortbread_protocol::access::Access;
use shortbread_protocol::verifiers::Step;

use crate::list::Age;

/// How old the revocation list may be for calls of an access, in seconds; then they are denied.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// For verbs that only read.
    pub read: u64,
    /// For verbs that change something.
    pub write: u64,
    /// For verbs that change something that hurts.
    pub privileged: u64,
}

impl Default for Windows {
    fn default() -> Self {
        Self { read: 900, write: 300, privileged: 60 }
    }
}

impl Windows {
    pub(crate) const fn of(&self, access: Access) -> u64 {
        match access {
            Access::Read => self.read,
            Access::Write => self.write,
            Access::Privileged => self.privileged,
        }
    }

    /// Where on the ladder a verifier stands that gets its list by `source` and holds one of this age.
    #[must_use]
    pub const fn step(&self, source: Step, age: Age) -> Step {
        match age {
            Age::None | Age::Unsure | Age::Expired => Step::Deny,
            Age::Seconds(age) if age > self.read => Step::Deny,
            Age::Seconds(age) if age > self.write => Step::ReadsOnly,
            Age::Seconds(_) => source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_ends_with_reads_and_then_with_nothing() {
        let step = |age| Windows::default().step(Step::Stream, age);
        assert_eq!([step(Age::Seconds(0)), step(Age::Seconds(300))], [Step::Stream; 2]);
        assert_eq!([step(Age::Seconds(301)), step(Age::Seconds(900))], [Step::ReadsOnly; 2]);
        let none = [Age::Seconds(901), Age::None, Age::Unsure, Age::Expired];
        assert_eq!(none.map(step), [Step::Deny; 4]);
    }
}
