//! The limits of the gate.

use shortbread_protocol::access::Access;
use shortbread_protocol::names::{Intent, ToolName, WorkflowName};

use super::PerMille;

/// `[gate]`: what a new version must hold up to before it takes this one's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The largest share of a segment's allowed decisions that may be denied, or need an approval, from then on.
    pub max_newly_denied: PerMille,
    /// How much the share of decisions that need an approval may change.
    pub max_approval_load: PerMille,
    /// How many decisions of a segment that changes must have been tried.
    pub min_cases: u64,
    /// The file of labelled cases, as the policy names it.
    pub cases: Option<String>,
    /// Segments with limits of their own; the first that fits counts.
    pub segments: Vec<GateSegment>,
}

/// Without a `[gate]` no evidence is asked for, so that the first policies of a new broker can come into force.
impl Default for Gate {
    fn default() -> Self {
        Self {
            max_newly_denied: PerMille::of(0.01),
            max_approval_load: PerMille::of(0.10),
            min_cases: 0,
            cases: None,
            segments: Vec::new(),
        }
    }
}

/// Limits for a part of the decisions: all its conditions together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateSegment {
    /// Of this workflow.
    pub workflow: Option<WorkflowName>,
    /// For this intent.
    pub intent: Option<Intent>,
    /// For this tool.
    pub tool: Option<ToolName>,
    /// For verbs of this access; `write` includes `privileged`.
    pub access: Option<Access>,
    /// The largest share of its allowed decisions that may be denied, or need an approval, from then on.
    pub max_newly_denied: PerMille,
    /// How many of its decisions must have been tried.
    pub min_cases: u64,
}
