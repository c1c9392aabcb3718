//! A request in full: who asks, what would run, who decides, and how.

use shortbread_protocol::admin::{ApprovalAnswer, ApprovalBody, ApprovalState, DemandBody, VoteBody};
use shortbread_protocol::approval::{Shown, ShownCall, ShownRight};
use shortbread_protocol::clock::Timestamp;

use super::fold;
use crate::commands::revocations::view::clock;
use crate::text::{count, span, width};
use crate::ui::{Piece, Style, columns};
use shortbread_broker::words;

/// How long a name is at most that a value stands beside.
const NAME: usize = 24;

type Row = Vec<Piece>;

/// All there is to say, in lines.
pub(super) fn rows(answer: &ApprovalAnswer, full: bool) -> Vec<Row> {
    let mut rows = vec![heading(answer)];
    rows.extend(who(answer));
    rows.push(Vec::new());
    rows.extend(what(&answer.shown, full));
    rows.push(Vec::new());
    rows.extend(deciders(answer));
    rows.push(Vec::new());
    rows.extend(how(answer));
    rows
}

fn heading(answer: &ApprovalAnswer) -> Row {
    let body = &answer.approval;
    let asked = format!(", asked {} ago", span(answer.now.saturating_sub(body.asked)));
    let (style, left) = left(body, answer.now);
    let mut row = vec![
        (Style::Bold, format!("{}  ", answer.shown.approval_id)),
        state(body.state),
        (Style::Plain, asked),
    ];
    if body.state.is_open() {
        row.extend([(Style::Plain, "; ".to_owned()), (style, left)]);
    }
    row
}

/// A state, as it is coloured everywhere.
pub(super) fn state(state: ApprovalState) -> Piece {
    let style = match state {
        ApprovalState::Pending => Style::Warn,
        ApprovalState::Approved | ApprovalState::Redeemed => Style::Good,
        ApprovalState::Denied => Style::Bad,
        ApprovalState::Expired | ApprovalState::Cancelled => Style::Dim,
    };
    (style, state.as_str().to_owned())
}

/// What happens next if nobody does anything, and when.
pub(super) fn left(body: &ApprovalBody, now: u64) -> Piece {
    let until = |at: u64| span(at.saturating_sub(now));
    match (body.state, body.escalates) {
        (ApprovalState::Approved, _) => {
            (Style::Good, format!("to be fetched within {}", until(body.expires)))
        }
        (ApprovalState::Pending, _) if body.late => {
            (Style::Bad, format!("late, expires in {}", until(body.expires)))
        }
        (ApprovalState::Pending, Some(at)) => (Style::Plain, format!("escalates in {}", until(at))),
        (ApprovalState::Pending, None) => (Style::Plain, format!("expires in {}", until(body.expires))),
        _ => (Style::Dim, "-".to_owned()),
    }
}

fn pairs(pairs: Vec<(&str, String)>) -> Vec<Row> {
    columns(
        pairs
            .into_iter()
            .map(|(name, value)| vec![(Style::Dim, name.to_owned()), (Style::Plain, value)])
            .collect(),
    )
}

fn who(answer: &ApprovalAnswer) -> Vec<Row> {
    let shown = &answer.shown;
    let mut said = vec![
        ("who asks", shown.principal.replacen(':', " ", 1)),
        ("intent", shown.intent.to_string()),
        ("task", shown.task.to_string()),
    ];
    said.extend(shown.release.as_ref().map(|release| ("release", release.to_string())));
    said.push(("life", format!("{} at most", span(shown.ttl))));
    said.extend(shown.audiences.iter().map(|(tool, url)| ("good at", format!("{url} ({tool})"))));
    said.push(("bound to", format!("the key {}", shown.holder)));
    said.push(("decision", answer.decision_id.clone()));
    said.push(("trace", answer.trace_id.clone()));
    pairs(said)
}

fn what(shown: &Shown, full: bool) -> Vec<Row> {
    let heading = match (shown.calls.len(), shown.rights.len()) {
        (0, _) => "what would be allowed, as often as the token lives".to_owned(),
        (1, _) => "what would run: this call alone, once".to_owned(),
        (many, _) => format!("what would run: these {many} calls alone, each once"),
    };
    let mut rows = vec![vec![(Style::Bold, heading)]];
    rows.extend(shown.rights.iter().flat_map(|one| right(one, full)));
    rows.extend(shown.calls.iter().flat_map(|one| call(one, full)));
    rows
}

fn operation(mark: &str, operation: &str, access: &str) -> Row {
    let style = if access == "privileged" { Style::Bad } else { Style::Warn };
    let style = if access == "read" { Style::Dim } else { style };
    vec![
        (Style::Dim, format!("  {mark}")),
        (Style::Bold, operation.to_owned()),
        (style, format!("  {access}")),
    ]
}

fn right(right: &ShownRight, full: bool) -> Vec<Row> {
    let mut rows = vec![operation("", &right.operation.to_string(), right.access.as_str())];
    match &right.constraints {
        None => rows.push(vec![(Style::Warn, "    with any arguments".to_owned())]),
        Some(arguments) if arguments.is_empty() => rows.push(plain("    with no argument".to_owned())),
        Some(arguments) => rows.extend(arguments.iter().flat_map(|(name, rule)| {
            let said = fold::text(&format!("{name} {}", words::constraint(rule)), full);
            said.into_iter().map(|line| plain(format!("    {line}")))
        })),
    }
    rows
}

fn call(call: &ShownCall, full: bool) -> Vec<Row> {
    let mark = format!("call {}: ", call.place);
    let mut rows = vec![operation(&mark, &call.operation.to_string(), call.access.as_str())];
    if call.args.is_empty() {
        rows.push(plain("    without arguments".to_owned()));
    }
    let names: Vec<String> = call.args.keys().map(|name| fold::name(name)).collect();
    let short = names.iter().map(|name| width(name)).filter(|width| *width <= NAME);
    let widest = short.max().unwrap_or_default();
    for (name, value) in names.iter().zip(call.args.values()) {
        let folded = fold::value(value, fold::LINE - widest, full);
        if width(name) <= NAME {
            let gap = " ".repeat(widest - width(name) + 2);
            rows.push(vec![(Style::Dim, format!("    {name}{gap}")), (Style::Plain, folded.beside)]);
        } else {
            rows.extend(
                fold::text(name, full).into_iter().map(|line| vec![(Style::Dim, format!("    {line}"))]),
            );
            rows.push(plain(format!("      {}", folded.beside)));
        }
        rows.extend(folded.below.into_iter().map(|line| plain(format!("      {line}"))));
    }
    rows
}

fn plain(text: String) -> Row {
    vec![(Style::Plain, text)]
}

fn deciders(answer: &ApprovalAnswer) -> Vec<Row> {
    let mut rows = vec![vec![(Style::Bold, "who decides".to_owned())]];
    rows.extend(answer.demands.iter().flat_map(|demand| asked(demand, answer)));
    if !answer.owners.is_empty() {
        let owners = answer.owners.join(", ");
        rows.push(vec![(
            Style::Plain,
            format!("  not {owners}: who owns the workflow does not approve its requests"),
        )]);
    }
    if !answer.votes.is_empty() {
        rows.push(vec![(Style::Bold, "votes".to_owned())]);
        rows.extend(columns(answer.votes.iter().map(vote).collect()));
    }
    rows
}

fn asked(demand: &DemandBody, answer: &ApprovalAnswer) -> Vec<Row> {
    let met = demand.have >= demand.quorum;
    let members =
        if demand.members.is_empty() { "nobody who may vote".to_owned() } else { demand.members.join(", ") };
    let mut rows = vec![vec![
        (Style::Plain, format!("  {} ({members})  ", demand.asked.join(", "))),
        (if met { Style::Good } else { Style::Warn }, format!("{} of {}", demand.have, demand.quorum)),
        (Style::Plain, format!("  for {}, within {}", demand.verbs.join(", "), span(demand.sla_seconds))),
    ]];
    if let (Some(next), Some(at), false) = (&demand.next, answer.approval.escalates, met) {
        let left = span(at.saturating_sub(answer.now));
        rows.push(vec![(Style::Dim, format!("    {next} are asked too in {left}"))]);
    }
    rows
}

fn vote(vote: &VoteBody) -> Row {
    let counts = if vote.counts { (Style::Good, "counts") } else { (Style::Dim, "does not count any more") };
    vec![
        (Style::Plain, format!("  {}", vote.operator)),
        (Style::Plain, format!("{} UTC", clock(vote.at))),
        (counts.0, counts.1.to_owned()),
        (Style::Plain, vote.note.as_ref().map(|note| format!("{note:?}")).unwrap_or_default()),
    ]
}

fn how(answer: &ApprovalAnswer) -> Vec<Row> {
    if let Some(closed) = &answer.closed {
        let at = Timestamp::from_seconds(closed.at).to_string();
        let mut said = vec![(answer.approval.state.as_str(), at)];
        said.extend(closed.by.clone().map(|by| ("by", by)));
        said.extend(closed.reason.as_ref().map(|why| ("why", format!("{why:?}"))));
        said.extend((!closed.tokens.is_empty()).then(|| ("tokens", closed.tokens.join(", "))));
        return pairs(said);
    }
    let (id, digest) = (&answer.shown.approval_id, &answer.digest);
    let mut said = vec![("digest", digest.clone())];
    if answer.approval.state == ApprovalState::Pending {
        let dropped = count(answer.shown.calls.len() as u64, "call");
        said.push(("to approve", format!("shortbread approvals approve {id} --digest {digest}")));
        if answer.shown.calls.len() > 1 {
            said.push(("a part of it", format!("add --drop-call N to leave out any of the {dropped}")));
        }
        said.push(("to deny", format!("shortbread approvals deny {id} --digest {digest} --reason \"why\"")));
    }
    pairs(said)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answer, short};
    use super::*;

    fn text(answer: &ApprovalAnswer) -> String {
        let line = |row: Row| row.into_iter().map(|(_, text)| text).collect::<String>() + "\n";
        rows(answer, false).into_iter().map(line).collect()
    }

    #[test]
    fn calls_are_shown_as_they_would_run() {
        let text = text(&answer(true));
        for part in [
            "apr_1  pending, asked 1m 40s ago; escalates in 3m 20s\n",
            "who asks  workflow refund-desk\n",
            "life      5m at most\n",
            "these 2 calls alone, each once\n",
            "  call 0: payments/refunds.create  privileged\n    amount  1200\n    charge  \"ch_1\"\n  call 1: ",
            "  oncall (bob, carol)  1 of 2  for payments/refunds.create, within 5m\n    leads are asked too in 3m 20s\n",
            "  not alice: who owns",
            "  carol  00:16:50 UTC  counts  \"seen the ticket\"\n",
            "a part of it  add --drop-call N to leave out any of the 2 calls\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let digest = answer(true).digest;
        assert!(text.contains(&format!("shortbread approvals approve apr_1 --digest {digest}\n")), "{text}");
    }

    #[test]
    fn verbs_are_shown_with_what_their_arguments_may_be() {
        let mut answer = answer(false);
        let said = text(&answer);
        assert!(
            said.contains("  github/issues.write  write\n    repo is \"acme/web\"\n    title is anything\n"),
            "{said}"
        );
        answer.shown.rights[0].constraints = None;
        assert!(text(&answer).contains("with any arguments"));
    }

    #[test]
    fn a_long_name_or_rule_cannot_pass_for_a_line_of_ours() {
        let mut answer = answer(true);
        let name = format!("x{}to approve  shortbread", " ".repeat(100));
        answer.shown.calls[0].args.insert(name, 1.into());
        let said = text(&answer);
        assert!(
            said.contains("    | \"x   ")
                && said.lines().all(|line| line.trim_start() != "to approve  shortbread\""),
            "{said}"
        );
        assert!(
            said.lines().filter(|line| line.contains("| ")).all(|line| line.chars().count() <= 80),
            "{said}"
        );
        assert!(said.contains("    amount  1200\n"), "short names line up on their own: {said}");
    }

    #[test]
    fn how_it_ended_is_said_and_no_command_to_vote() {
        let mut answer = answer(true);
        answer.approval.state = ApprovalState::Denied;
        answer.closed =
            serde_json::from_value(serde_json::json!({"at": 1090, "by": "bob", "reason": "no\u{202e}"})).ok();
        let said = text(&answer);
        assert!(
            said.contains("by      bob\nwhy     \"no\\u{202e}\"\n") && !said.contains("--digest"),
            "{said}"
        );
    }

    #[test]
    fn what_happens_next_is_told_by_the_clock_of_the_broker() {
        let mut body: ApprovalBody = serde_json::from_value(short("apr_1", "pending", 1)).unwrap();
        assert_eq!(left(&body, 1048).1, "escalates in 4m 12s");
        body.late = true;
        assert_eq!(left(&body, 1400), (Style::Bad, "late, expires in 8m 20s".to_owned()));
        (body.late, body.escalates) = (false, None);
        assert_eq!(left(&body, 1400).1, "expires in 8m 20s");
        body.state = ApprovalState::Denied;
        assert_eq!(left(&body, 1400).1, "-");
    }
}
