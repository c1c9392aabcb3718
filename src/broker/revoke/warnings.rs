//! What an operator should know before the switch is pressed.

use shortbread_protocol::names::ToolName;
use shortbread_protocol::revocations::{Selector, SelectorKind};

use super::Caller;
use crate::broker::Broker;
use crate::policy::builtin;
use crate::store::Target;

/// One sentence for each thing that is more than it seems.
pub(super) fn of(broker: &Broker, targets: &[Target], caller: &Caller) -> Vec<String> {
    let mut warnings: Vec<String> = targets.iter().filter_map(|target| one(broker, target, caller)).collect();
    warnings.dedup();
    warnings
}

fn one(broker: &Broker, target: &Target, caller: &Caller) -> Option<String> {
    let Target::Selector(selector) = target else { return Some(everything()) };
    let value = selector.value();
    let own = |mine: Option<&str>| mine == Some(value);
    match selector.kind() {
        SelectorKind::Issuer if value == broker.issuer => Some(everything()),
        SelectorKind::Key => key(broker, value),
        SelectorKind::Operator if own(Some(caller.operator.as_str())) => {
            Some(format!("{value} is you: you lose the switch, and another operator has to lift this"))
        }
        SelectorKind::Token if own(caller.token.as_deref()) => {
            Some("this is the very token that you sign in with: it ends, and you sign in again".to_owned())
        }
        SelectorKind::Holder if own(caller.holder.as_deref()) => Some(
            "this is the key that your own token is bound to: sign in with another one after this".to_owned(),
        ),
        _ if reaches_admin(selector) => Some(format!(
            "{selector} reaches the broker's own tool shortbread: operators keep revoking, lifting and reading what is revoked, and lose what else it names until it is lifted"
        )),
        _ => unknown(broker, selector),
    }
}

// A slip of the pen would otherwise stop nothing and look as if it did.
fn unknown(broker: &Broker, selector: &Selector) -> Option<String> {
    let policy = broker.policy.in_force()?;
    let (catalogue, value) = (policy.catalogue(), selector.value());
    let tool = |name: &str| name.parse().is_ok_and(|name: ToolName| catalogue.tools.contains_key(&name));
    let known = match selector.kind() {
        SelectorKind::Tool => tool(value),
        SelectorKind::Access => value.split_once('/').is_none_or(|(name, _)| tool(name)),
        SelectorKind::Verb => value.parse().is_ok_and(|operation| catalogue.verb(&operation).is_some()),
        _ => true,
    };
    let (kind, value) = match (selector.kind(), value.split_once('/')) {
        (SelectorKind::Access, Some((tool, _))) => ("tool", tool),
        (kind, _) => (kind.as_str(), value),
    };
    (!known).then(|| {
        format!("the policy in force has no {kind} {value}: unless the spelling is right, this stops nothing")
    })
}

fn everything() -> String {
    "this stops every workflow at every tool; operators keep revoking and lifting and lose the rest of the admin API"
        .to_owned()
}

fn key(broker: &Broker, name: &str) -> Option<String> {
    let list = broker.store.mirror();
    let signs = broker.keyring.token(&list).is_some_and(|signer| signer.name().as_str() == name);
    if !signs {
        return None;
    }
    let revoked = |other: &str| list.entry(SelectorKind::Key, other).is_some();
    let signers = broker.keyring.token_signers();
    let mut others = signers.iter().map(|signer| signer.name().as_str()).filter(|other| *other != name);
    Some(match others.find(|other| !revoked(other)) {
        Some(next) => format!(
            "{name} signs tokens now: every token that it signed ends, operators' too, and {next} signs from then on; sign in again"
        ),
        None => format!(
            "{name} is the only key that signs tokens: every operator loses the switch, and nobody gets a token, until there is another one; put it in the key document first (`shortbread keys rotate`, `keys sign`, `keys activate`), or stop everything with `--all`"
        ),
    })
}

// Whether it takes verbs of the admin API away.
fn reaches_admin(selector: &Selector) -> bool {
    let of_tool = |value: &str| value.split_once('/').is_none_or(|(tool, _)| is_builtin(tool));
    match selector.kind() {
        SelectorKind::Tool => is_builtin(selector.value()),
        SelectorKind::Verb | SelectorKind::Access => of_tool(selector.value()),
        _ => false,
    }
}

fn is_builtin(tool: &str) -> bool {
    tool.parse().is_ok_and(|tool| builtin::is(&tool))
}
