//! What an instance is told of tools that are observed and not enforced for now.

use shortbread_protocol::jws;
use shortbread_protocol::names::{ToolName, VerifierName};
use shortbread_protocol::observe::{OBSERVE_TYPE, Statement};

use crate::broker::Broker;
use crate::policy::Policy;

/// The signed statement for one message of an instance; `None` where all its tools are enforced, or when nobody can sign
/// now: then they are.
pub(super) fn statement(
    broker: &Broker,
    policy: &Policy,
    verifier: &VerifierName,
    instance: &str,
    tools: &[ToolName],
    n: u64,
) -> Option<String> {
    let now = broker.clock.now();
    let observed = policy.observed(now);
    let tools = tools.iter().filter_map(|tool| Some((tool.clone(), observed.get(tool)?.seconds())));
    let statement = Statement {
        iss: broker.issuer.clone(),
        verifier: verifier.clone(),
        instance: instance.to_owned(),
        n,
        iat: now.seconds(),
        tools: tools.collect(),
    };
    if statement.tools.is_empty() {
        return None;
    }
    let signer = broker.keyring.heads()?.signer;
    let signed = jws::sign_by(OBSERVE_TYPE, signer.name().as_str(), &statement, |bytes| signer.sign(bytes));
    signed.inspect_err(|error| tracing::warn!(error = %error, "observed tools are enforced: nobody can say that they are not")).ok()
}
