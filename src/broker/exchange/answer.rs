//! What was granted, in the words of OAuth.

use std::collections::BTreeMap;

use shortbread_protocol::constraint::Arguments;
use shortbread_protocol::names::{Intent, Release, Task, ToolName};
use shortbread_protocol::oauth::{
    ACCESS_TOKEN, AuthorizationDetail, Delegation, TOOL_CALL, TokenAnswer, TokenExtras,
};

use crate::policy::{Granted, Right};

/// What goes into the answer besides the rights.
pub(super) struct Parts<'a> {
    /// The token's text.
    pub(super) token: String,
    /// Its id.
    pub(super) token_id: String,
    /// Whether it is bound to a key.
    pub(super) bound: bool,
    /// Seconds until it ends.
    pub(super) expires_in: u64,
    /// The declared purpose, if any.
    pub(super) intent: Option<Intent>,
    /// The task.
    pub(super) task: Task,
    /// The version that asked.
    pub(super) release: Option<Release>,
    /// Whether it may be narrowed.
    pub(super) delegation: Delegation,
    /// The audience of each tool.
    pub(super) audiences: &'a [(String, String)],
    /// The decision's id.
    pub(super) decision: String,
    /// The policy's digest.
    pub(super) policy: String,
    /// The sequence of the last revocation that was considered.
    pub(super) revocation_seq: u64,
    /// The approval that it came from.
    pub(super) approval: Option<String>,
}

/// Puts the answer together.
#[must_use]
pub(super) fn answer(granted: &Granted, parts: Parts<'_>) -> TokenAnswer {
    let scopes: Vec<String> = granted.rights.iter().map(|right| right.operation.scope()).collect();
    let mut by_tool: BTreeMap<&ToolName, Vec<&Right>> = BTreeMap::new();
    for right in &granted.rights {
        by_tool.entry(&right.operation.tool).or_default().push(right);
    }
    let details = by_tool.into_iter().map(|(tool, rights)| detail(tool, &rights, &parts)).collect();
    let dropped =
        granted.dropped.iter().map(|(operation, reason)| (operation.to_string(), reason.code().to_owned()));
    TokenAnswer {
        issued_token_type: ACCESS_TOKEN.to_owned(),
        token_type: if parts.bound { "DPoP" } else { "Bearer" }.to_owned(),
        expires_in: parts.expires_in,
        scope: scopes.join(" "),
        authorization_details: details,
        shortbread: TokenExtras {
            profile: "sb1".to_owned(),
            token_id: parts.token_id,
            decision_id: parts.decision,
            policy: parts.policy,
            revocation_seq: parts.revocation_seq,
            dropped: dropped.collect(),
            degraded: None,
            approval_id: parts.approval,
            calls: Vec::new(),
        },
        access_token: parts.token,
    }
}

/// What the arguments of a verb may be, a way for each grant; none where any way leaves them free.
pub(super) fn ways(right: &Right) -> Vec<Arguments> {
    let ways: Option<Vec<_>> = right.alternatives.iter().map(|way| way.arguments.clone()).collect();
    ways.unwrap_or_default()
}

fn detail(tool: &ToolName, rights: &[&Right], parts: &Parts<'_>) -> AuthorizationDetail {
    let (mut constraints, mut alternatives) = (BTreeMap::new(), BTreeMap::new());
    for right in rights {
        let mut ways = ways(right).into_iter();
        if let Some(first) = ways.next() {
            constraints.insert(right.operation.verb.clone(), first);
        }
        let further: Vec<_> = ways.collect();
        if !further.is_empty() {
            alternatives.insert(right.operation.verb.clone(), further);
        }
    }
    let audience = parts.audiences.iter().find(|(name, _)| name == tool.as_str());
    AuthorizationDetail {
        kind: TOOL_CALL.to_owned(),
        locations: audience.map(|(_, audience)| audience.clone()).into_iter().collect(),
        tool: tool.clone(),
        actions: rights.iter().map(|right| right.operation.verb.clone()).collect(),
        constraints,
        alternatives,
        task: Some(parts.task.clone()),
        intent: parts.intent.clone(),
        release: parts.release.clone(),
        ttl: None,
        delegation: Some(parts.delegation),
        call: None,
        calls: None,
    }
}
