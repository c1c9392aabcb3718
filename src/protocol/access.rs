//! What kind of harm a verb can do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The access of a verb, from harmless to dangerous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Access {
    /// Looks and changes nothing.
    Read,
    /// Changes something.
    Write,
    /// Changes something that hurts: money, deletion, permissions.
    Privileged,
}

impl Access {
    /// All three, mildest first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Privileged];

    /// The word used in facts, policies and lists.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Privileged => "privileged",
        }
    }

    /// Whether a demand, a forbid or a revocation of `self` reaches a verb of `access`:
    /// write includes privileged.
    #[must_use]
    pub fn covers(self, access: Self) -> bool {
        self == access || (self == Self::Write && access == Self::Privileged)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Access {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|access| access.as_str() == text)
            .ok_or("access is one of read, write, privileged")
    }
}
