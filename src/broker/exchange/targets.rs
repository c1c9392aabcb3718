//! Which tool services a token is for: resource, locations and the catalogue must agree (RFC 8707).

use std::collections::BTreeSet;

use shortbread_protocol::names::ToolName;
use shortbread_protocol::reason::Reason;

use super::refusal::Refusal;
use crate::policy::{Policy, Right};

/// The audience of each tool that is granted.
///
/// # Errors
/// When a resource is not the audience of one of the tools, or one of them is missing among the resources.
pub(super) fn targets<'t>(
    asked: impl Iterator<Item = &'t ToolName>,
    resources: &[String],
    policy: &Policy,
    rights: &[Right],
) -> Result<Vec<(String, String)>, Refusal> {
    let asked: BTreeSet<&ToolName> = asked.collect();
    let audience = |tool: &ToolName| policy.catalogue().tools.get(tool).map(|entry| entry.audience.as_str());
    let meant: Vec<&str> = asked.iter().filter_map(|tool| audience(tool)).collect();
    if let Some(other) = resources.iter().find(|resource| !meant.contains(&resource.as_str())) {
        let short: String = other.chars().take(200).collect();
        return refuse(format!(
            "resource {short:?} is not the audience of a tool that is asked for: {}",
            meant.join(", ")
        ));
    }
    let tools: BTreeSet<&ToolName> = rights.iter().map(|right| &right.operation.tool).collect();
    let mut targets = Vec::with_capacity(tools.len());
    for tool in tools {
        let audience = audience(tool).ok_or_else(|| Refusal::plain(Reason::TargetUnknown))?;
        if !resources.is_empty() && !resources.iter().any(|resource| resource == audience) {
            return refuse(format!("the audience of {tool}, {audience}, is not among the resources; add it"));
        }
        targets.push((tool.to_string(), audience.to_owned()));
    }
    Ok(targets)
}

fn refuse<T>(detail: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(Reason::TargetUnknown, detail))
}
