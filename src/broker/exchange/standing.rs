//! Everything a token can be revoked by, before there is a token.

use shortbread_protocol::access::Access;
use shortbread_protocol::names::{Intent, Operation, Task};
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::SelectorKind;

use crate::policy::model::Principal;
use crate::policy::{Granted, builtin};
use crate::store::{Revocations, Revoked, Standing};

/// How far ahead of the clock a token may be issued, in seconds: as far as verifiers put up with.
pub(super) const AHEAD: u64 = 30;

/// What the token will stand for, whatever its rights.
pub(crate) struct Bearer<'a> {
    /// The broker.
    pub(crate) issuer: &'a str,
    /// The token key's name.
    pub(crate) key: &'a str,
    /// Whose token.
    pub(crate) principal: &'a Principal,
    /// For what.
    pub(crate) intent: &'a Intent,
    /// In which task.
    pub(crate) task: Option<&'a Task>,
    /// The token's id, once it has one.
    pub(crate) token: Option<&'a str>,
    /// The key that it is bound to.
    pub(crate) holder: Option<&'a str>,
    /// The approval that it comes from.
    pub(crate) approval: Option<&'a str>,
}

/// Drops rights that are revoked, and gives what the token that remains can be revoked by. Its issue date is
/// moved past revocations that ended moments ago, by `ahead` seconds at most, so that it is not born dead.
///
/// # Errors
/// When no right remains: the reason of the first.
pub(super) fn stand(
    granted: &mut Granted,
    bearer: &Bearer<'_>,
    list: &Revocations,
    (now, ahead): (u64, u64),
) -> Result<Standing, Reason> {
    let (mut kept, mut union) = (Vec::with_capacity(granted.rights.len()), None);
    let mut first = None;
    for right in granted.rights.drain(..) {
        let standing = standing(bearer, Some((&right.operation, right.access)), now);
        match list.earliest(&standing) {
            earliest if earliest <= now.saturating_add(ahead) => {
                let issued = now.max(earliest);
                union = Some(join(union, Standing { issued, ..standing }));
                kept.push(right);
            }
            _ => {
                let reason = list.standing(&standing).err().map_or(Reason::RevokedAll, reason);
                first.get_or_insert(reason);
                granted.dropped.push((right.operation, reason));
            }
        }
    }
    granted.rights = kept;
    granted.settle();
    union.ok_or(first.unwrap_or(Reason::PolicyDenied))
}

/// Whether a token of this bearer could be made now: of this verb, or without one, of any that is not revoked itself.
pub(super) fn may_stand(
    bearer: &Bearer<'_>,
    verb: Option<(&Operation, Access)>,
    list: &Revocations,
    now: u64,
) -> bool {
    list.earliest(&standing(bearer, verb, now)) <= now + AHEAD
}

pub(crate) const fn reason(revoked: Revoked) -> Reason {
    match revoked {
        Revoked::All => Reason::RevokedAll,
        Revoked::Block => Reason::RevokedBlock,
        Revoked::Selector(kind) => Reason::Revoked(kind),
    }
}

fn join(union: Option<Standing>, next: Standing) -> Standing {
    let Some(mut union) = union else {
        return next;
    };
    union.issued = union.issued.max(next.issued);
    union.exempt_global &= next.exempt_global;
    for selector in next.selectors {
        if !union.selectors.contains(&selector) {
            union.selectors.push(selector);
        }
    }
    union
}

/// What whatever this bearer does can be revoked by: of a verb, or without one of none.
pub(crate) fn standing(bearer: &Bearer<'_>, verb: Option<(&Operation, Access)>, now: u64) -> Standing {
    let mut selectors = vec![
        (bearer.principal.kind(), bearer.principal.name().to_owned()),
        (SelectorKind::Key, bearer.key.to_owned()),
    ];
    selectors.extend(bearer.token.map(|token| (SelectorKind::Token, token.to_owned())));
    selectors.extend(bearer.holder.map(|holder| (SelectorKind::Holder, holder.to_owned())));
    selectors.extend(bearer.approval.map(|approval| (SelectorKind::Approval, approval.to_owned())));
    // Nobody can lock the operators out of the switch.
    let switch = matches!(bearer.principal, Principal::Operator(_))
        && verb.is_some_and(|(operation, _)| builtin::is_switch(operation));
    if !switch {
        selectors.extend([
            (SelectorKind::Issuer, bearer.issuer.to_owned()),
            (SelectorKind::Intent, bearer.intent.as_str().to_owned()),
        ]);
        selectors.extend(bearer.task.map(|task| (SelectorKind::Task, task.as_str().to_owned())));
        selectors.extend(verb.into_iter().flat_map(|(operation, access)| of_verb(operation, access)));
    }
    Standing { issued: now, selectors, blocks: Vec::new(), exempt_global: switch }
}

/// What every token of this verb can be revoked by.
pub(super) fn of_verb(operation: &Operation, access: Access) -> Vec<(SelectorKind, String)> {
    let mut selectors = vec![
        (SelectorKind::Tool, operation.tool.as_str().to_owned()),
        (SelectorKind::Verb, operation.to_string()),
    ];
    for access in Access::ALL.into_iter().filter(|covering| covering.covers(access)) {
        selectors.push((SelectorKind::Access, access.as_str().to_owned()));
        selectors.push((SelectorKind::Access, format!("{}/{access}", operation.tool)));
    }
    selectors
}
