//! What was granted.

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::oauth::{AuthorizationDetail, CallToken, TokenAnswer};
use shortbread_protocol::reason::Reason;

use crate::context::Context;
use crate::text::span;
use crate::ui::{Piece, Style};
use shortbread_broker::words;

/// The token, or the token of each exact call.
pub(super) fn tokens(answer: &TokenAnswer) -> Vec<&str> {
    let calls: Vec<&str> = answer.shortbread.calls.iter().map(|call| call.access_token.as_str()).collect();
    if calls.is_empty() { vec![&answer.access_token] } else { calls }
}

/// All of it.
pub(super) fn answer(context: &Context, answer: &TokenAnswer) {
    let ui = context.ui;
    let until = Timestamp::from_seconds(context.now().seconds().saturating_add(answer.expires_in));
    let calls = &answer.shortbread.calls;
    ui.heading(&format!("granted until {until} (in {})", span(answer.expires_in)));
    if calls.is_empty() {
        let rows: Vec<_> = answer.authorization_details.iter().flat_map(granted).collect();
        ui.table(&["verb", "arguments"], rows);
    } else {
        ui.table(&["call", "verb, once", "token id", "arguments sha256"], calls.iter().map(call).collect());
    }
    if !answer.shortbread.dropped.is_empty() {
        ui.heading("asked for and not granted");
        let dropped = answer.shortbread.dropped.iter().map(|(verb, reason)| {
            let meaning = Reason::from_code(reason).map(Reason::meaning).unwrap_or_default();
            let cells = [verb.clone(), reason.clone(), meaning.to_owned()];
            cells.map(|cell| (Style::Plain, cell)).to_vec()
        });
        ui.table(&["verb", "reason", "meaning"], dropped.collect());
    }
    let mut pairs: Vec<(&str, String)> = Vec::new();
    if let Some(detail) = answer.authorization_details.first() {
        pairs.extend(detail.task.as_ref().map(|task| ("task", task.to_string())));
        pairs.extend(detail.intent.as_ref().map(|intent| ("intent", intent.to_string())));
    }
    pairs.push(("token type", answer.token_type.clone()));
    if calls.is_empty() {
        pairs.push(("token id", answer.shortbread.token_id.clone()));
    }
    pairs.extend(answer.shortbread.approval_id.clone().map(|id| ("approval", id)));
    pairs.push(("decision", answer.shortbread.decision_id.clone()));
    pairs.extend(answer.shortbread.degraded.clone().map(|step| ("degraded", step)));
    let names: Vec<String> = calls.iter().map(|call| format!("token of call {}", call.place)).collect();
    match names.is_empty() {
        true => pairs.push(("token", answer.access_token.clone())),
        false => pairs
            .extend(names.iter().zip(calls).map(|(name, call)| (name.as_str(), call.access_token.clone()))),
    }
    ui.pairs(&pairs);
}

fn call(call: &CallToken) -> Vec<Piece> {
    let cells = [call.token_id.clone(), call.args_sha256.clone()];
    let mut row = vec![(Style::Plain, call.place.to_string()), (Style::Bold, call.operation.to_string())];
    row.extend(cells.map(|cell| (Style::Plain, cell)));
    row
}

fn granted(detail: &AuthorizationDetail) -> Vec<Vec<Piece>> {
    let mut rows = Vec::new();
    for verb in &detail.actions {
        let first = detail.constraints.get(verb);
        let others = detail.alternatives.get(verb).into_iter().flatten();
        let mut ways: Vec<String> = first.into_iter().chain(others).map(words::arguments).collect();
        if ways.is_empty() {
            ways.push("any".to_owned());
        }
        let name = format!("{}/{verb}", detail.tool);
        rows.push(vec![(Style::Bold, name), (Style::Plain, ways.join(", or "))]);
    }
    rows
}
