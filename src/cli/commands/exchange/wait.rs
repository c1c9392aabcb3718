//! `shortbread exchange --wait`: asks, and waits until a person has decided.

use std::pin::{Pin, pin};
use std::time::Duration;

use shortbread_protocol::dpop::ProofKey;
use shortbread_protocol::oauth::{COMPLETION_DEFERRED, DEFERRED, DeferralCode, OAuthError, TokenAnswer};
use shortbread_protocol::reason::Reason;

use super::who::{Client, Fields};
use crate::client::{Broker, Reply};
use crate::context::Context;
use crate::failure::{Failure, Refusal};
use crate::server::stop_signal;
use crate::text::span;

/// How long to leave between two attempts where nothing is said about it, in seconds, and what `slow_down` adds.
const INTERVAL: u64 = 5;
/// An attempt may reach the broker so much faster than the one before.
const SLACK: Duration = Duration::from_millis(500);
/// How long to leave where the broker is not there.
const AWAY: Duration = Duration::from_secs(2);
/// How long taking a request back may take.
const CANCEL: Duration = Duration::from_secs(10);
/// How often the line on the terminal is drawn.
const TICK: Duration = Duration::from_secs(1);

/// A request that may wait, and whose it is.
pub(super) struct Ask<'a> {
    pub(super) context: &'a Context,
    pub(super) broker: &'a Broker,
    pub(super) client: &'a Client,
    pub(super) key: &'a ProofKey,
    /// How long to wait at most, in seconds.
    pub(super) limit: Option<u64>,
}

/// What waits.
struct Pending {
    code: DeferralCode,
    said: OAuthError,
    interval: u64,
    /// When it is over, by the monotonic clock.
    deadline: Duration,
    away: bool,
}

impl Ask<'_> {
    /// Asks, and waits where somebody has to decide. Taken back where the wait ends early.
    ///
    /// # Errors
    /// When the broker refuses, somebody denies it, its time is over, or the user ends it.
    pub(super) async fn run(&self, asked: Fields) -> Result<TokenAnswer, Failure> {
        let mut fields = self.client.fields(self.context, self.broker)?;
        fields.extend(asked);
        fields.push(("completion_mode", COMPLETION_DEFERRED.to_owned()));
        let mut stop = pin!(stop_signal());
        let (first, stopped) = self.first(&fields, stop.as_mut()).await;
        let mut pending = match first? {
            Reply::Granted(token) => return Ok(*token),
            Reply::Away(failure) => return Err(failure),
            Reply::Refused(said) => self.pending(*said)?,
        };
        if stopped {
            return Err(self.take_back(&pending, "the wait was interrupted").await);
        }
        self.announce(&pending);
        let why = tokio::select! {
            answer = self.until_decided(&mut pending) => {
                self.context.ui.progress_over();
                return answer;
            }
            () = stop => "the wait was interrupted",
            () = over(self.limit) => "it was not decided in the time given",
        };
        self.context.ui.progress_over();
        Err(self.take_back(&pending, why).await)
    }

    // Who interrupts now has it taken back all the same, which takes the answer's code.
    async fn first<S: Future<Output = ()>>(
        &self,
        fields: &Fields,
        mut stop: Pin<&mut S>,
    ) -> (Result<Reply, Failure>, bool) {
        let ask = self.context.ui.wait("asking for a token", self.send(fields, false));
        let mut ask = pin!(ask);
        tokio::select! {
            reply = ask.as_mut() => (reply, false),
            () = stop.as_mut() => (ask.await, true),
        }
    }

    async fn send(&self, fields: &Fields, patience: bool) -> Result<Reply, Failure> {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.broker.deferred(self.context, self.key, &fields, patience).await
    }

    fn pending(&self, said: OAuthError) -> Result<Pending, Failure> {
        let (true, Some(code)) = (said.error == "authorization_pending", said.deferral_code.clone()) else {
            return Err(refused(said));
        };
        let interval = said.interval.unwrap_or(INTERVAL);
        let left = Duration::from_secs(said.expires_in.unwrap_or_default());
        let deadline = self.context.clock.monotonic().saturating_add(left);
        Ok(Pending { code, said, interval, deadline, away: false })
    }

    fn announce(&self, pending: &Pending) {
        let extras = &pending.said.shortbread;
        let id = named(&pending.said);
        let place = extras.status_uri.as_ref().map(|uri| format!(" or {uri}")).unwrap_or_default();
        let sla = extras
            .sla_seconds
            .map(|sla| format!(", who should decide within {}", span(sla)))
            .unwrap_or_default();
        let who = approvers(&pending.said);
        self.context.ui.remark(&format!("a person has to approve this: {id} waits for {who}{sla}"));
        self.context
            .ui
            .remark(&format!("they look at `shortbread approvals show {id}`{place}; Ctrl-C takes it back"));
    }

    async fn until_decided(&self, pending: &mut Pending) -> Result<TokenAnswer, Failure> {
        loop {
            let began = self.context.clock.monotonic();
            let mut fields = self.client.proof(self.context, self.broker)?;
            fields.extend([("grant_type", DEFERRED.to_owned()), ("deferral_code", pending.code.0.clone())]);
            let reply = self.shown(pending, self.send(&fields, true)).await?;
            pending.away = matches!(reply, Reply::Away(_));
            let pause = match reply {
                Reply::Granted(token) => return Ok(*token),
                Reply::Away(failure) if self.context.clock.monotonic() >= pending.deadline => {
                    let id = named(&pending.said);
                    let what =
                        format!("the time of {id} is over, and what became of it is not known: {failure}");
                    return Err(Failure::new(
                        what,
                        "Start the broker, and ask again. `shortbread approvals show` says what became of it.",
                    ));
                }
                Reply::Away(_) => AWAY,
                Reply::Refused(said) => {
                    let before = approvers(&pending.said);
                    let now = self.context.clock.monotonic();
                    pending.take(*said, now)?;
                    self.tell(&before, &approvers(&pending.said));
                    // From one attempt's beginning to the next one's, as the broker sees them.
                    let least = Duration::from_secs(pending.interval).saturating_add(SLACK);
                    least.saturating_sub(now.saturating_sub(began))
                }
            };
            self.shown(pending, tokio::time::sleep(pause)).await;
        }
    }

    fn tell(&self, before: &str, now: &str) {
        if before != now {
            self.context.ui.progress_over();
            self.context.ui.remark(&format!("not decided yet: {now} are asked now"));
        }
    }

    // On a terminal with a line that says how it stands, drawn anew while something is waited for.
    async fn shown<F: Future>(&self, pending: &Pending, work: F) -> F::Output {
        let mut work = pin!(work);
        loop {
            if self.context.ui.has_progress() {
                self.context.ui.progress(&self.standing(pending));
            }
            tokio::select! {
                output = work.as_mut() => return output,
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    fn standing(&self, pending: &Pending) -> String {
        let left = pending.deadline.saturating_sub(self.context.clock.monotonic());
        let away = if pending.away { "; the broker does not answer, it is asked again" } else { "" };
        format!("waiting for {}: {} left{away}", approvers(&pending.said), span(left.as_secs()))
    }

    async fn take_back(&self, pending: &Pending, why: &str) -> Failure {
        let id = named(&pending.said);
        let work = async {
            let mut fields = self.client.proof(self.context, self.broker)?;
            fields.push(("deferral_code", pending.code.0.clone()));
            let fields: Vec<(&str, &str)> =
                fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            self.broker.cancel(self.context, self.key, &fields).await
        };
        let late = || Failure::new("the broker did not answer in time", "");
        match tokio::time::timeout(CANCEL, work).await.unwrap_or_else(|_| Err(late())) {
            Ok(()) => {
                let mut refusal = Refusal::from(pending.said.clone());
                refusal.message = format!("{id} was taken back, because {why}; nothing was granted");
                Reason::ApprovalCancelled.code().clone_into(&mut refusal.reason);
                refusal.retryable = false;
                Failure::Refused(Box::new(refusal))
            }
            Err(failure) => {
                let fix = format!(
                    "It waits until it expires. Nothing comes of it without this key; to be sure, let an approver `shortbread approvals deny {id}`."
                );
                Failure::new(format!("{why}, and {id} could not be taken back: {failure}"), fix)
            }
        }
    }
}

impl Pending {
    /// Takes in what the broker says of it now.
    ///
    /// # Errors
    /// When it is over.
    fn take(&mut self, said: OAuthError, now: Duration) -> Result<(), Failure> {
        match said.error.as_str() {
            "authorization_pending" => {
                self.interval = said.interval.unwrap_or(self.interval);
                let left = said.expires_in.map(Duration::from_secs);
                self.deadline = left.map_or(self.deadline, |left| now.saturating_add(left));
                self.said = said;
            }
            // It says no more than that.
            "slow_down" => self.interval = said.interval.unwrap_or(self.interval.saturating_add(INTERVAL)),
            _ => return Err(refused(said)),
        }
        Ok(())
    }
}

async fn over(limit: Option<u64>) {
    match limit {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => std::future::pending().await,
    }
}

fn named(said: &OAuthError) -> &str {
    said.shortbread.approval_id.as_deref().unwrap_or("the request")
}

fn refused(said: OAuthError) -> Failure {
    Failure::Refused(Box::new(said.into()))
}

fn approvers(said: &OAuthError) -> String {
    said.shortbread
        .approvers
        .clone()
        .filter(|names| !names.is_empty())
        .unwrap_or_else(|| "its approvers".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn said(error: &str, reason: &str, more: &Value) -> OAuthError {
        let mut body = json!({
            "error": error, "error_description": "x",
            "shortbread": { "decision_id": "d", "request_id": "r", "reason": reason, "retryable": true, "approvers": "oncall" },
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn the_interval_grows_and_the_time_left_is_what_was_last_said() {
        let first = said("authorization_pending", "approval.pending", &json!({}));
        let (code, second) = (DeferralCode("dfr".to_owned()), Duration::from_secs);
        let mut pending = Pending { code, said: first, interval: 5, deadline: second(900), away: false };
        pending.take(said("slow_down", "approval.poll_too_soon", &json!({})), second(10)).unwrap();
        assert_eq!((pending.interval, pending.deadline), (10, second(900)));
        pending
            .take(said("slow_down", "approval.poll_too_soon", &json!({ "interval": 20 })), second(20))
            .unwrap();
        let more = said("authorization_pending", "approval.pending", &json!({ "expires_in": 600 }));
        pending.take(more, second(30)).unwrap();
        assert_eq!((pending.interval, pending.deadline), (20, second(630)));
        let over =
            pending.take(said("expired_token", "approval.expired", &json!({})), second(40)).unwrap_err();
        assert!(over.is_for("approval.expired"));
        let other =
            pending.take(said("access_denied", "policy.forbidden", &json!({})), second(40)).unwrap_err();
        assert_eq!(other.to_string(), "refused: x");
    }
}
