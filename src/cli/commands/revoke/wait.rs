//! `shortbread revoke --wait`: until every verifier has said that it enforces the change, or none that conforms can allow
//! it any more.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use shortbread_protocol::admin::{ChangeAnswer, InstanceState, StatusAnswer};
use shortbread_protocol::revocations::{Selector, SelectorKind};

use crate::cli::Connection;
use crate::client::Session;
use crate::commands::revocations::view::{clock, name, totals};
use crate::context::Context;
use crate::failure::Failure;
use crate::text::{grouped, parse_span, span};

/// How long one question waits at the broker, in seconds.
const POLL: u64 = 1;
/// How long to wait where asking again at once is in vain.
const PAUSE: Duration = Duration::from_millis(500);
/// How many instances are asked for, and how many named.
const LISTED: usize = 16;
const NAMED: usize = 3;

/// Refusals after which asking again is in vain.
const NEVER: [&str; 5] =
    ["policy.not_granted", "policy.forbidden", "admin.not_permitted", "scope.unknown", "not_found"];

/// How long to wait at most: for the bound alone, or a time of the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience(Option<u64>);

impl Patience {
    /// What stands for no time of the user's.
    pub(super) const BOUND: &'static str = "bound";

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == Self::BOUND { Ok(Self(None)) } else { parse_span(text).map(|seconds| Self(Some(seconds))) }
    }
}

/// What ended the wait.
#[derive(Debug)]
enum Ended {
    /// Everybody reported it.
    Reported,
    /// The bound passed.
    Bound,
}

/// Waits, and says what ended it.
///
/// # Errors
/// When the time is over or the user ends it before; the change stands all the same.
pub(super) async fn wait(
    context: &Context,
    connection: &Connection,
    selectors: &[Selector],
    answer: &ChangeAnswer,
    patience: Patience,
) -> Result<Value, Failure> {
    // Reading may be allowed for longer; what is waited for is that nothing is changed any more.
    let bound = answer.bounds.and_then(|bounds| bounds.write).or(answer.bound);
    let (Some(seq), Some(bound)) = (answer.seq, bound) else {
        let fix = "Look at `shortbread revocations status`.";
        return Err(Failure::new("the broker did not say which change to wait for, or until when", fix));
    };
    let session = Session::open(context, connection, "revocations.read")?;
    // An operator's own clock may be ahead, and the bound would seem to have passed.
    let left = left(bound, answer.now.unwrap_or_else(|| context.now().seconds()));
    let mut wait =
        Wait { context, session, selectors, seq, bound, left, status: None, may_look: true, told: None };
    let ended = tokio::select! {
        ended = wait.until_over() => Ok(ended),
        () = limit(patience) => Err("it was not over in the time given"),
        _ = tokio::signal::ctrl_c() => Err("it was interrupted"),
    };
    context.ui.progress_over();
    let standing = wait.standing();
    match ended {
        Ok(ended) => {
            let (by, text) = match ended {
                Ended::Reported => ("reports", enforced(wait.status.as_ref(), selectors, &standing)),
                Ended::Bound => (
                    "bound",
                    format!(
                        "the bound has passed: no conforming verifier allows a write any more, reported or not ({standing})"
                    ),
                ),
            };
            if !context.ui.is_json() {
                context.ui.line(&text);
            }
            Ok(json!({ "ended_by": by, "bound": bound, "status": wait.status }))
        }
        Err(why) => Err(Failure::new(
            format!("the change stands, but the wait for its verifiers ended early: {why} ({standing})"),
            format!(
                "No conforming verifier allows a write after {} UTC. `shortbread revocations status --watch` shows on.",
                clock(bound)
            ),
        )),
    }
}

// Others than those of its tools may be behind or silent.
fn enforced(status: Option<&StatusAnswer>, selectors: &[Selector], standing: &str) -> String {
    let everybody = status.is_some_and(|status| status.instances.all_enforce());
    match tools(selectors) {
        Some(tools) if !everybody => {
            let tools = tools.into_iter().collect::<Vec<_>>().join(", ");
            format!("all verifiers of {tools} enforce it (of all tools: {standing})")
        }
        _ => format!("all verifiers enforce it: {standing}"),
    }
}

async fn limit(patience: Patience) {
    match patience.0 {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => std::future::pending().await,
    }
}

struct Wait<'c> {
    context: &'c Context,
    session: Session<'c>,
    selectors: &'c [Selector],
    seq: u64,
    /// In seconds since the epoch, by the broker's clock.
    bound: u64,
    /// How long that was when the broker answered.
    left: Duration,
    /// What the broker said last.
    status: Option<StatusAnswer>,
    /// Whether this operator may see who enforces it.
    may_look: bool,
    told: Option<String>,
}

impl Wait<'_> {
    async fn until_over(&mut self) -> Ended {
        let clock = &self.context.clock;
        let mut deadline = clock.monotonic() + self.left;
        let mut measured = false;
        loop {
            let answered = self.may_look && self.look().await;
            if let Some(status) = &self.status {
                if !measured {
                    deadline = clock.monotonic() + left(self.bound, status.now);
                    measured = true;
                }
                if is_enforced(status, self.selectors) {
                    return Ended::Reported;
                }
            }
            let now = clock.monotonic();
            if now >= deadline {
                return Ended::Bound;
            }
            self.tell(deadline.saturating_sub(now));
            // Where somebody who lives is behind, the broker itself waits before it answers.
            let asked = answered && self.status.as_ref().is_some_and(|status| status.instances.behind > 0);
            if !asked {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    // Whether the broker answered. One that is away may be back in a moment.
    async fn look(&mut self) -> bool {
        let path = format!("/api/v1/revocations/status?seq={}&wait={POLL}&limit={LISTED}", self.seq);
        match self.session.poll(&path).await {
            Ok(status) => {
                self.status = Some(status);
                return true;
            }
            Err(failure) if NEVER.iter().any(|code| failure.is_for(code)) => {
                self.may_look = false;
                self.context.ui.progress_over();
                self.context
                    .ui
                    .remark(&format!("who enforces it is not told to you, so the bound decides: {failure}"));
            }
            Err(failure) => self.say(&format!("{failure}; trying again")),
        }
        false
    }

    fn tell(&mut self, left: Duration) {
        let standing = self.standing();
        if self.context.ui.has_progress() {
            let left = span(left.as_secs());
            self.context.ui.progress(&format!("{standing}; the bound is in {left}"));
        } else {
            self.say(&format!("{standing}; the bound is {} UTC", clock(self.bound)));
        }
    }

    // Once, unless it is drawn in place.
    fn say(&mut self, text: &str) {
        if self.told.as_deref() != Some(text) {
            self.context.ui.progress(text);
            self.told = Some(text.to_owned());
        }
    }

    fn standing(&self) -> String {
        self.status.as_ref().map_or_else(
            || "who enforces it is not known".to_owned(),
            |status| standing(status, self.selectors),
        )
    }
}

/// Whether there is nothing left to wait for: everybody whom it may concern reported it, and somebody reports for every
/// tool that it may concern. An instance that decides about other tools alone is not waited for.
fn is_enforced(status: &StatusAnswer, selectors: &[Selector]) -> bool {
    let reported = match tools(selectors) {
        Some(tools) => tools.iter().all(|tool| {
            let body = status.tools.iter().find(|body| body.tool == **tool);
            body.map_or(&status.instances, |body| &body.instances).all_enforce()
        }),
        None => status.instances.all_enforce(),
    };
    reported && unreported(status, selectors).is_empty()
}

/// The tools that it concerns, where each selector names one.
fn tools(selectors: &[Selector]) -> Option<BTreeSet<&str>> {
    let tools: Option<BTreeSet<&str>> = selectors.iter().map(tool_of).collect();
    tools.filter(|tools| !tools.is_empty())
}

/// The tools that the change may concern and for which nobody reports.
fn unreported<'s>(status: &'s StatusAnswer, selectors: &[Selector]) -> Vec<&'s str> {
    let concerned = |tool: &&String| selectors.is_empty() || selectors.iter().any(|one| concerns(one, tool));
    status.unreported.iter().filter(concerned).map(String::as_str).collect()
}

fn concerns(selector: &Selector, tool: &str) -> bool {
    tool_of(selector).is_none_or(|named| named == tool)
}

/// The one tool that a selector is about.
fn tool_of(selector: &Selector) -> Option<&str> {
    match selector.kind() {
        SelectorKind::Tool => Some(selector.value()),
        SelectorKind::Verb | SelectorKind::Access => selector.value().split_once('/').map(|(tool, _)| tool),
        _ => None,
    }
}

/// `998 of 1,000 enforce it; behind 1, silent 1: github/host-7, payments/host-2 silent since 12:01:03`.
fn standing(status: &StatusAnswer, selectors: &[Selector]) -> String {
    let mut text = totals(&status.instances);
    let late = |state| status.listed.iter().filter(move |body| body.state == state);
    let behind = late(InstanceState::Behind).map(name);
    let silent = late(InstanceState::Silent).map(|body| {
        let since = body.since.map(|at| format!(" since {}", clock(at))).unwrap_or_default();
        format!("{} silent{since}", name(body))
    });
    let named: Vec<String> = behind.chain(silent).take(NAMED).collect();
    let more = (status.instances.behind + status.instances.silent).saturating_sub(named.len() as u64);
    if !named.is_empty() {
        text.push_str(&format!(": {}", named.join(", ")));
    }
    if more > 0 {
        text.push_str(&format!(" and {} more", grouped(more)));
    }
    let nobody = unreported(status, selectors);
    if !nobody.is_empty() {
        text.push_str(&format!("; nobody reports for {}", nobody.join(", ")));
    }
    text
}

fn left(bound: u64, now: u64) -> Duration {
    Duration::from_secs(bound.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(enforcing: u64, behind: u64, silent: u64, unreported: &[&str]) -> StatusAnswer {
        let body = |label: &str, state| {
            json!({
                "verifier": "github", "label": label, "instance": "Zk3vQ1aBxyz", "state": state, "since": 63,
                "lacks": 1, "leased": 5, "seen": 40, "seq": 9, "contents": 7, "keys_version": 1, "break_glass": 0,
                "step": null, "age": null, "propagation_ms": null, "waiting": 0, "lost": 0,
            })
        };
        let late = (0..behind).map(|n| body(&format!("b{n}"), "behind"));
        let listed: Vec<_> = late.chain((0..silent).map(|n| body(&format!("s{n}"), "silent"))).collect();
        serde_json::from_value(json!({
            "now": 90, "head": 9, "issued": 88, "contents": 8, "keys_version": 1, "change": 8,
            "instances": { "enforcing": enforcing, "behind": behind, "silent": silent, "gone": 0 },
            "tools": [], "unreported": unreported, "verifiers": [], "listed": listed, "left_off": 0,
        }))
        .unwrap()
    }

    fn selector(kind: SelectorKind, value: &str) -> Vec<Selector> {
        vec![Selector::new(kind, value).unwrap()]
    }

    #[test]
    fn it_is_over_when_all_reported_and_someone_reports_for_all() {
        let workflow = selector(SelectorKind::Workflow, "demo");
        assert!(is_enforced(&status(2, 0, 0, &[]), &workflow));
        assert!(!is_enforced(&status(2, 1, 0, &[]), &workflow));
        assert!(!is_enforced(&status(2, 0, 1, &[]), &workflow), "a silent one may still allow");
        assert!(!is_enforced(&status(0, 0, 0, &[]), &workflow), "nobody is not everybody");
        let nobody = status(2, 0, 0, &["payments"]);
        assert!(!is_enforced(&nobody, &workflow) && !is_enforced(&nobody, &[]));
        for (kind, value) in [(SelectorKind::Tool, "payments"), (SelectorKind::Access, "payments/write")] {
            assert!(!is_enforced(&nobody, &selector(kind, value)), "{value}");
        }
        for (kind, value) in [
            (SelectorKind::Tool, "github"),
            (SelectorKind::Verb, "github/issues.write"),
            (SelectorKind::Access, "github/write"),
        ] {
            assert!(is_enforced(&nobody, &selector(kind, value)), "{value}");
        }
        assert!(!is_enforced(&nobody, &selector(SelectorKind::Access, "write")));
    }

    #[test]
    fn an_instance_of_another_tool_is_not_waited_for() {
        let mut late = status(1, 0, 1, &[]);
        let body = |tool: &str, silent: u64| {
            json!({
                "tool": tool, "enforced": silent == 0,
                "instances": { "enforcing": 1, "behind": 0, "silent": silent, "gone": 0 },
            })
        };
        late.tools = serde_json::from_value(json!([body("github", 1), body("payments", 0)])).unwrap();
        let payments = selector(SelectorKind::Access, "payments/write");
        assert!(is_enforced(&late, &payments));
        assert!(
            enforced(Some(&late), &payments, "1 of 2").starts_with("all verifiers of payments enforce it")
        );
        let both = [payments.clone(), selector(SelectorKind::Tool, "github")].concat();
        assert!(!is_enforced(&late, &both) && !is_enforced(&late, &selector(SelectorKind::Tool, "github")));
        assert!(!is_enforced(&late, &selector(SelectorKind::Workflow, "demo")), "it may use any tool");
        assert!(!is_enforced(&late, &[]) && !is_enforced(&late, &selector(SelectorKind::Tool, "stripe")));
    }

    #[test]
    fn those_who_are_late_are_named_and_the_rest_counted() {
        assert_eq!(
            standing(&status(998, 1, 1, &["stripe"]), &[]),
            "998 of 1,000 enforce it; behind 1; silent 1: github/b0 (Zk3vQ1aB), github/s0 (Zk3vQ1aB) silent since 00:01:03; nobody reports for stripe"
        );
        assert!(standing(&status(0, 5, 0, &[]), &[]).ends_with("github/b2 (Zk3vQ1aB) and 2 more"));
    }

    #[test]
    fn patience_is_read() {
        assert_eq!(Patience::parse("bound"), Ok(Patience(None)));
        assert_eq!(Patience::parse("90s"), Ok(Patience(Some(90))));
        assert!(Patience::parse("soon").is_err());
    }
}
