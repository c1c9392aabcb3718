//! `/api/v1/console`: signing in to the pages for operators, and who is signed in.

use serde::{Deserialize, Serialize};

/// `POST /api/v1/console/links`: a link that signs its operator in, once.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsoleLinkAnswer {
    /// The link. Whoever opens it first is signed in as the operator: it is a secret.
    pub url: String,
    /// How many seconds it is good.
    pub expires_in: u64,
    /// Whom it signs in.
    pub operator: String,
}

impl std::fmt::Debug for ConsoleLinkAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsoleLinkAnswer").field("operator", &self.operator).finish_non_exhaustive()
    }
}

/// One session of the console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsoleSessionBody {
    /// Its id, `ses_…`.
    pub session: String,
    /// Whose.
    pub operator: String,
    /// How they signed in: `link` or `oidc`.
    pub means: String,
    /// When it began, in seconds since the epoch.
    pub begun: u64,
    /// When they showed who they are.
    pub signed_in: u64,
    /// When it was used last.
    pub used: u64,
    /// When it ends whatever happens.
    pub ends: u64,
}

/// `GET /api/v1/console/sessions`: the caller's own, the one that was used last first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsoleSessionsAnswer {
    /// The sessions.
    pub sessions: Vec<ConsoleSessionBody>,
    /// The broker's clock, in seconds since the epoch.
    pub now: u64,
}
