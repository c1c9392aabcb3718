//! `/api/v1/notices/dropped`: what operators were never told over the webhook.

use serde::{Deserialize, Serialize};

/// Why a notice did not reach the webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum WhyDropped {
    /// It waited for three days, and the receiver did not take it.
    TooOld,
    /// The receiver said that it is there no more.
    Gone,
    /// Too many notices waited, and it mattered least.
    NoRoom,
}

impl WhyDropped {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::TooOld, Self::Gone, Self::NoRoom];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooOld => "too_old",
            Self::Gone => "gone",
            Self::NoRoom => "no_room",
        }
    }

    /// What it means, for people.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::TooOld => "not taken within three days",
            Self::Gone => "the receiver answered 410 Gone",
            Self::NoRoom => "too many waited",
        }
    }
}

/// A notice that did not reach the webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DroppedNoticeBody {
    /// Its id: the `webhook-id` that it was sent with, if it was sent.
    pub id: String,
    /// Its kind, such as `revocation.set`.
    pub kind: String,
    /// When it was told, in seconds since the epoch.
    pub at: u64,
    /// When it was given up, in seconds since the epoch.
    pub dropped: u64,
    /// Why.
    pub why: WhyDropped,
    /// What would have been posted.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub notice: serde_json::Value,
}

/// `GET /api/v1/notices/dropped`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DroppedNoticesAnswer {
    /// What was given up last comes first. At most a thousand are kept.
    pub dropped: Vec<DroppedNoticeBody>,
}
