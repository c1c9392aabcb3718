//! Which tool services a token is for: resource, locations and the catalogue must agree (RFC 8707).

use std::collections::BTreeSet;

use shortbread_protocol::names::ToolName;
use shortbread_protocol::reason::Reason;

use super::refusal::Refusal;
use super::request::Request;
use crate::policy::{Granted, Policy};

/// The audience of each tool that is granted.
///
/// # Errors
/// When a resource is not the audience of one of the tools, or one of them is missing among the resources.
pub(super) fn targets(
    request: &Request,
    policy: &Policy,
    granted: &Granted,
) -> Result<Vec<(String, String)>, Refusal> {
    let asked: BTreeSet<&ToolName> = request.asked.iter().map(|asked| &asked.operation.tool).collect();
    let audience = |tool: &ToolName| policy.catalogue().tools.get(tool).map(|entry| entry.audience.as_str());
    let meant: Vec<&str> = asked.iter().filter_map(|tool| audience(tool)).collect();
    if let Some(other) = request.resources.iter().find(|resource| !meant.contains(&resource.as_str())) {
        let short: String = other.chars().take(200).collect();
        return refuse(format!(
            "resource {short:?} is not the audience of a tool that is asked for: {}",
            meant.join(", ")
        ));
    }
    let tools: BTreeSet<&ToolName> = granted.rights.iter().map(|right| &right.operation.tool).collect();
    let mut targets = Vec::with_capacity(tools.len());
    for tool in tools {
        let audience = audience(tool).ok_or_else(|| Refusal::plain(Reason::TargetUnknown))?;
        if !request.resources.is_empty() && !request.resources.iter().any(|resource| resource == audience) {
            return refuse(format!("the audience of {tool}, {audience}, is not among the resources; add it"));
        }
        targets.push((tool.to_string(), audience.to_owned()));
    }
    Ok(targets)
}

fn refuse<T>(detail: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(Reason::TargetUnknown, detail))
}
