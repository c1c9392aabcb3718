//! Exact calls: a token for each, good for it once.

use shortbread_protocol::call::Args;
use shortbread_protocol::json;
use shortbread_protocol::names::Operation;
use shortbread_protocol::oauth::{AuthorizationDetail, ExactCall, MAX_CALLS};

use super::ExchangeArgs;
use crate::failure::Failure;
use crate::files;

/// The calls that are asked for, as `authorization_details`; those of one tool that follow each other stand together.
pub(super) fn details(args: &ExchangeArgs) -> Result<Vec<AuthorizationDetail>, Failure> {
    let (calls, given) = (&args.call, &args.args);
    if calls.len() > MAX_CALLS {
        return Err(Failure::usage(format!(
            "{} calls are asked for; a plan has at most {MAX_CALLS}",
            calls.len()
        )));
    }
    if !given.is_empty() && given.len() != calls.len() {
        return Err(Failure::usage(format!(
            "there are {} --call and {} --args; give one --args after each --call, and {{}} for a call without arguments",
            calls.len(),
            given.len()
        )));
    }
    let mut details: Vec<AuthorizationDetail> = Vec::new();
    for (at, operation) in calls.iter().enumerate() {
        let call = exact(operation, given.get(at).map(String::as_str))?;
        match details.last_mut().filter(|last| last.tool == operation.tool) {
            Some(last) => last.calls.get_or_insert_default().push(call),
            None => details.push(AuthorizationDetail { calls: Some(vec![call]), ..detail(args, operation)? }),
        }
    }
    for detail in &mut details {
        // A single call has a member of its own.
        if let Some(one) = detail.calls.take_if(|calls| calls.len() == 1) {
            detail.call = one.into_iter().next();
        }
    }
    Ok(details)
}

fn detail(args: &ExchangeArgs, operation: &Operation) -> Result<AuthorizationDetail, Failure> {
    let ttl = args.ttl.map(u32::try_from).transpose();
    let ttl = ttl.map_err(|_| Failure::usage("--ttl is longer than any token lives"))?;
    Ok(AuthorizationDetail {
        task: args.task.clone(),
        intent: args.intent.clone(),
        release: args.release.clone(),
        ttl,
        ..AuthorizationDetail::of(operation.tool.clone())
    })
}

fn exact(operation: &Operation, args: Option<&str>) -> Result<ExactCall, Failure> {
    let wrong = |why: String| Failure::usage(format!("the --args of {operation} cannot be approved: {why}"));
    let text = args.map(files::argument).transpose()?.unwrap_or_else(|| "{}".to_owned());
    let members: serde_json::Map<_, _> =
        json::read_as(text.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    let read = Args::from_members(members.clone()).map_err(|error| wrong(error.to_string()))?;
    if read.digest().is_none() {
        return Err(wrong(
            "a number is no integer within 2^53 either way; write money in minor units".to_owned(),
        ));
    }
    Ok(ExactCall { verb: operation.verb.clone(), args: members })
}
