//! A refused exchange: the reason for programs, the words for people, the cause for operators alone.

use std::time::Duration;

use shortbread_protocol::dpop::ProofError;
use shortbread_protocol::oauth::DeferralCode;
use shortbread_protocol::reason::Reason;

use super::record::Trail;
use super::request::GrantType;
use crate::identity::{Degraded, IdentityError};
use crate::mint::MintError;
use crate::policy;
use crate::store::{RecordError, StoreError};

/// Why no token is answered.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The stable reason.
    pub reason: Reason,
    /// What was wrong and what to do, for the caller.
    pub detail: String,
    /// The exact cause, for the audit log.
    pub cause: Option<String>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// The OAuth code, where the reason alone does not decide it.
    pub error: Option<&'static str>,
    /// Which part of the service is degraded, where that is why.
    pub degraded: Option<Degraded>,
    /// What waits for a person, where that is why.
    pub waiting: Option<Box<Waiting>>,
    /// How far the exchange came, for the log.
    pub trail: Option<Box<Trail>>,
}

/// A request that waits for a person, or waited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// The approval's id.
    pub approval_id: String,
    /// What the answer is fetched with.
    pub code: Option<DeferralCode>,
    /// For how many seconds more it waits.
    pub expires_in: Option<u64>,
    /// How many seconds to leave between two attempts.
    pub interval: Option<u64>,
    /// Within how many seconds the approvers should decide.
    pub sla_seconds: Option<u64>,
    /// Who is asked now: the groups, separated by commas.
    pub approvers: Option<String>,
    /// Where an approver looks.
    pub status_uri: Option<String>,
}

impl Refusal {
    /// For a reason, with words for the caller.
    #[must_use]
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            cause: None,
            retry_after: None,
            error: None,
            degraded: None,
            waiting: None,
            trail: None,
        }
    }

    /// With the reason's own words.
    #[must_use]
    pub fn plain(reason: Reason) -> Self {
        Self::new(reason, reason.meaning())
    }

    /// About `authorization_details` (RFC 9396, section 5).
    #[must_use]
    pub fn details(self) -> Self {
        Self { error: Some("invalid_authorization_details"), ..self }
    }

    /// With a cause that only the audit log tells.
    #[must_use]
    pub fn because(self, cause: impl ToString) -> Self {
        Self { cause: Some(cause.to_string()), ..self }
    }

    /// With a time after which to try again.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// About what waits for a person.
    #[must_use]
    pub fn waiting(self, waiting: Waiting) -> Self {
        Self { waiting: Some(Box::new(waiting)), ..self }
    }

    /// Whether nothing is decided yet, so that there is nothing to record: the client asks again.
    #[must_use]
    pub const fn is_undecided(&self) -> bool {
        matches!(self.reason, Reason::ApprovalPending | Reason::PollTooSoon)
    }

    /// A bad identity is `invalid_client` where it was client authentication (RFC 6749, section 5.2).
    #[must_use]
    pub fn of(self, grant_type: GrantType) -> Self {
        match (self.reason, grant_type) {
            (Reason::IdentityInvalid, GrantType::ClientCredentials) => {
                Self { error: Some("invalid_client"), ..self }
            }
            _ => self,
        }
    }

    /// What kind of trouble it is: `refusal`, `limit`, `dependency` or `fault`.
    #[must_use]
    pub const fn error_class(&self) -> &'static str {
        match self.reason {
            Reason::StoreUnavailable | Reason::Internal => "fault",
            Reason::IssuerUnavailable | Reason::PolicyMissing => "dependency",
            Reason::RateLimited
            | Reason::Overloaded
            | Reason::ProofsFull
            | Reason::ApprovalsFull
            | Reason::BudgetSpent => "limit",
            _ => "refusal",
        }
    }

    /// The OAuth error code and HTTP status.
    #[must_use]
    pub fn code(&self) -> (&'static str, u16) {
        let (code, status) = match self.reason {
            Reason::GrantTypeUnknown => ("unsupported_grant_type", 400),
            Reason::IdentityInvalid | Reason::ParentRefused | Reason::DeferralUnknown => {
                ("invalid_grant", 400)
            }
            Reason::ApprovalPending => ("authorization_pending", 400),
            Reason::PollTooSoon => ("slow_down", 400),
            Reason::ApprovalExpired => ("expired_token", 400),
            Reason::IdentityUnmatched | Reason::WorkflowUnlisted => ("unauthorized_client", 400),
            Reason::TargetUnknown => ("invalid_target", 400),
            Reason::ScopeUnknown => ("invalid_scope", 400),
            Reason::PolicyDenied
            | Reason::PolicyForbidden
            | Reason::IntentRefused
            | Reason::ConstraintRefused
            | Reason::ApprovalRequired
            | Reason::ApprovalDenied
            | Reason::ApprovalCancelled
            | Reason::BudgetSpent
            | Reason::Revoked(_)
            | Reason::RevokedAll
            | Reason::RevokedBlock => ("access_denied", 400),
            Reason::ProofRequired
            | Reason::ProofMalformed
            | Reason::ProofMismatch
            | Reason::ProofStale
            | Reason::ProofSignature
            | Reason::ProofReplayed
            | Reason::WrongHolder => ("invalid_dpop_proof", 400),
            Reason::RateLimited | Reason::ApprovalsFull => ("slow_down", 429),
            Reason::IssuerUnavailable
            | Reason::PolicyMissing
            | Reason::StoreUnavailable
            | Reason::ProofsFull
            | Reason::Overloaded => ("temporarily_unavailable", 503),
            Reason::Internal => ("server_error", 500),
            _ => ("invalid_request", 400),
        };
        match self.error {
            Some("invalid_client") => ("invalid_client", 401),
            Some(error) => (error, status),
            None => (code, status),
        }
    }
}

impl From<IdentityError> for Refusal {
    fn from(error: IdentityError) -> Self {
        let refusal = Self::new(error.reason(), error.to_string());
        match error {
            IdentityError::Invalid(cause) => refusal.because(cause),
            IdentityError::Ambiguous => refusal.because("two identity entries match"),
            IdentityError::Unavailable { retry_after } => refusal.after(retry_after),
            IdentityError::Down { retry_after } => {
                Self { degraded: Some(Degraded::NoKeys), ..refusal.after(retry_after) }
            }
            IdentityError::Unmatched | IdentityError::WorkflowUnlisted => refusal,
        }
    }
}

impl From<ProofError> for Refusal {
    fn from(error: ProofError) -> Self {
        Self::new(error.reason(), error.to_string())
    }
}

impl From<policy::Refusal> for Refusal {
    fn from(refusal: policy::Refusal) -> Self {
        Self::new(refusal.reason, refusal.detail)
    }
}

impl From<MintError> for Refusal {
    fn from(error: MintError) -> Self {
        match error {
            MintError::TooLarge(_) | MintError::Conditions(_) | MintError::Narrow(_) => {
                Self::new(Reason::TooLarge, error.to_string())
            }
            MintError::Own => Self::new(Reason::ParentRefused, error.to_string()),
            MintError::Profile(_) | MintError::Signer(_) | MintError::Random(_) => {
                Self::plain(Reason::Internal).because(error)
            }
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::plain(Reason::StoreUnavailable).because(error).after(Duration::from_secs(1))
    }
}

impl From<RecordError> for Refusal {
    fn from(error: RecordError) -> Self {
        match error {
            // The same answer as for any other bad assertion: no oracle.
            RecordError::Replayed => Self::from(IdentityError::from(crate::identity::Cause::Replayed)),
            RecordError::Pinned => {
                Self::from(RecordError::Replayed).because("another key presented it first")
            }
            RecordError::Outdated => {
                Self::from(RecordError::Replayed).because("it was made before the store was restored")
            }
            RecordError::Revoked(kind) => Self::plain(Reason::Revoked(kind)),
            RecordError::RevokedAll => Self::plain(Reason::RevokedAll),
            RecordError::RevokedBlock => Self::plain(Reason::RevokedBlock),
            RecordError::TaskTaken => Self::new(Reason::RequestMalformed, error.to_string()),
            RecordError::TooMany => Self::new(Reason::ParentRefused, error.to_string()),
            RecordError::TooManyWait(_) => {
                Self::new(Reason::ApprovalsFull, error.to_string()).after(Duration::from_secs(30))
            }
            RecordError::BudgetSpent(spent) => {
                Self { retry_after: spent.frees, ..Self::new(Reason::BudgetSpent, spent.to_string()) }
            }
            RecordError::NotApproved => Self::plain(Reason::DeferralUnknown),
            RecordError::Repeated | RecordError::NoToken => Self::plain(Reason::Internal).because(error),
            RecordError::Store(error) => error.into(),
        }
    }
}
