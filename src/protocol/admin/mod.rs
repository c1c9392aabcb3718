//! Bodies of the admin API under `/api/v1`.

mod approvals;
mod console;
mod health;
mod inputs;
mod keys;
mod log;
mod notices;
mod policy;
mod report;
mod revocations;
mod status;
mod workflows;

pub use approvals::{
    ApprovalAnswer, ApprovalBody, ApprovalState, ApprovalsAnswer, ApproveBody, ClosedBody, DemandBody,
    DenyBody, NarrowBody, VoteBody,
};
pub use console::{ConsoleLinkAnswer, ConsoleSessionBody, ConsoleSessionsAnswer};
pub use health::{
    BreakerBody, FindingBody, HeadHealthBody, HealthAnswer, HealthState, IssuerBody, KeyHealthBody,
    LogHealthBody, PolicyHealthBody, StoreHealthBody, WebhookBody,
};
pub use inputs::{EraseAnswer, EraseBody};
pub use keys::{KeyBody, KeyDocumentBody, KeysAnswer};
pub use log::{
    AuditAnswer, AuditEntryBody, ConsistencyAnswer, EXPORT_END, EXPORT_FROM, EXPORT_NEXT, Problem,
};
pub use notices::{DroppedNoticeBody, DroppedNoticesAnswer, WhyDropped};
pub use policy::{ActivateBody, PolicyAnswer, PolicyText, PolicyVersionBody, RollbackBody, TrialBody};
pub use report::{
    ApprovalsBody, CasesBody, ChangeBody, DenialBody, DriftBody, FiguresAnswer, FiguresBody, MarkBody,
    NextBody, OpenCaseBody, PeriodBody, QuantileBody, ReviewBody, RightBody, SegmentBody, ShareBody,
    StepBody, TimesBody, Verdict,
};
pub use revocations::{
    Bounds, ChangeAnswer, LiftBody, LiftPreview, RevocationBody, RevocationsAnswer, RevokeBody, SelectorBody,
    Touched, TouchedBy, TouchedNames,
};
pub use status::{
    AgesAnswer, AgesOfBody, InstanceBody, InstanceState, StateCounts, StatusAnswer, ToolBody, VerifierBody,
};
pub use workflows::{
    GrantApprovalBody, GrantBody, GrantVerbBody, IdentityBody, LivingBody, StoppedBody, WorkflowAnswer,
    WorkflowBody, WorkflowsAnswer,
};
