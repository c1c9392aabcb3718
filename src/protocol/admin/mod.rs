//! Bodies of the admin API under `/api/v1`.

mod keys;
mod log;
mod policy;
mod revocations;
mod status;

pub use keys::{KeyBody, KeyDocumentBody, KeysAnswer};
pub use log::{AuditAnswer, AuditEntryBody, Problem};
pub use policy::{ActivateBody, PolicyAnswer, PolicyText, PolicyVersionBody, RollbackBody, TrialBody};
pub use revocations::{
    Bounds, ChangeAnswer, LiftBody, LiftPreview, RevocationBody, RevocationsAnswer, RevokeBody, SelectorBody,
    Touched, TouchedBy, TouchedNames,
};
pub use status::{InstanceBody, InstanceState, StateCounts, StatusAnswer, ToolBody, VerifierBody};
