//! What an approver is shown, and what their vote binds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::access::Access;
use crate::constraint::Arguments;
use crate::names::{Intent, Operation, Release, Task, ToolName};

/// A request as it is shown to whoever decides it. What is granted later is never more than this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Shown {
    /// The approval's id, `apr_…`.
    pub approval_id: String,
    /// Who asks, as `workflow:refund-desk`.
    pub principal: String,
    /// The RFC 7638 thumbprint of the key that the token will be bound to.
    pub holder: String,
    /// The declared purpose.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub intent: Intent,
    /// The task.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub task: Task,
    /// The version that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub release: Option<Release>,
    /// The longest life of a token, in seconds.
    pub ttl: u64,
    /// By tool: the URL of the service at which it is good.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, String>))]
    pub audiences: BTreeMap<ToolName, String>,
    /// The verbs, unless exact calls are asked for; a verb stands there once for each way in which it is granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rights: Vec<ShownRight>,
    /// The exact calls, unless verbs are asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ShownCall>,
}

impl Shown {
    /// SHA-256 over it, in hex: what a vote binds. Its members stand in a fixed order and maps in that of their keys, so
    /// that whoever reads it from JSON comes to the same.
    #[must_use]
    pub fn digest(&self) -> String {
        // Texts, numbers and maps with text keys always serialise.
        let text = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(Sha256::new_with_prefix(b"shortbread-approval/v1\n").chain_update(text).finalize())
    }

    /// Every verb that it speaks of, each once.
    #[must_use]
    pub fn operations(&self) -> Vec<&Operation> {
        let rights = self.rights.iter().map(|right| &right.operation);
        let mut all: Vec<_> = rights.chain(self.calls.iter().map(|call| &call.operation)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// A verb, and one way in which it would be granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ShownRight {
    /// As `tool/verb`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub operation: Operation,
    /// What it can do.
    pub access: Access,
    /// What its arguments may be; absent: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<std::collections::BTreeMap<String, crate::constraint::Constraint>>))]
    pub constraints: Option<Arguments>,
}

/// An exact call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ShownCall {
    /// Its place in the request, from 0. It stays when others are dropped.
    pub place: u32,
    /// As `tool/verb`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub operation: Operation,
    /// What it can do.
    pub access: Access,
    /// All of its arguments.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub args: Map<String, Value>,
    /// SHA-256 of them in canonical JSON (RFC 8785), in hex.
    pub args_sha256: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_reads_it_comes_to_the_same_digest() {
        let shown = serde_json::json!({
            "approval_id": "apr_1", "principal": "workflow:w", "holder": "h", "intent": "triage", "task": "t",
            "ttl": 300, "rights": [{
                "operation": "github/issues.write", "access": "write", "constraints": { "title": { "any": true }, "repo": { "eq": "a/b" } },
            }],
        });
        let read = |value: &Value| serde_json::from_value::<Shown>(value.clone()).unwrap();
        let digest = read(&shown).digest();
        assert_eq!(read(&serde_json::to_value(read(&shown)).unwrap()).digest(), digest);
        let mut other = shown;
        other["rights"][0]["constraints"]["repo"]["eq"] = "a/c".into();
        assert_ne!(read(&other).digest(), digest);
    }
}
