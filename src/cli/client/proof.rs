//! Proofs of a key (DPoP, RFC 9449): one for each request that is bound to it.

use shortbread_protocol::call::Args;
use shortbread_protocol::dpop::{ProofKey, Statement, token_hash};

use crate::context::Context;
use crate::failure::Failure;

/// A call of the admin API, as its proof speaks of it.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    pub(super) token: &'a str,
    /// `shortbread/VERB`, where one verb alone can be meant.
    pub(super) operation: Option<&'a str>,
    pub(super) body: &'a [u8],
}

/// The text of the `DPoP` header of a request for a token at this URL.
pub(super) fn of_exchange(context: &Context, key: &ProofKey, url: &str) -> Result<String, Failure> {
    let statement = Statement { method: "POST", url, ..Statement::default() };
    Ok(key.prove(&statement, context.now(), &*context.random)?)
}

/// The text of the `DPoP` header of a request at this URL to pass a token on to another key, by its thumbprint.
pub(super) fn of_passing_on(
    context: &Context,
    key: &ProofKey,
    url: &str,
    token: &str,
    holder: &str,
) -> Result<String, Failure> {
    let (token, holder) = (Some(token_hash(token)), Some(holder));
    let statement = Statement { method: "POST", url, token, holder, ..Statement::default() };
    Ok(key.prove(&statement, context.now(), &*context.random)?)
}

/// The text of the `DPoP` header of a call.
pub(super) fn of_call(context: &Context, key: &ProofKey, call: &Call<'_>) -> Result<String, Failure> {
    let statement = Statement {
        method: call.method,
        // The query is no part of what is proved (RFC 9449, section 4.2).
        url: call.url.split('?').next().unwrap_or(call.url),
        token: Some(token_hash(call.token)),
        operation: call.operation,
        args: Args::from_json(call.body).ok().and_then(|args| args.digest()),
        holder: None,
    };
    Ok(key.prove(&statement, context.now(), &*context.random)?)
}
