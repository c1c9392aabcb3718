//! The one who carries notices to the webhook, beside everything else: whoever tells never waits for it.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use shortbread_protocol::clock::Clock;
use shortbread_protocol::random::Random;
use tokio::sync::watch;

use super::Shared;
use super::webhook::{Refused, Webhook};
use crate::breaker::{Breaker, Broken};
use crate::store::{SettleNotices, Store, WaitingNotice};

/// How often it looks whether something is due again.
const LOOK: Duration = Duration::from_millis(100);

/// How long it leaves the store alone after a failure.
const STORE_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Carrier {
    pub(super) shared: Arc<Shared>,
    pub(super) webhook: Arc<Webhook>,
    pub(super) breaker: Breaker,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) save_after: Duration,
}

impl Carrier {
    /// Carries until the other end of `open` is dropped. What is under way then is sent again by the next process.
    pub(super) async fn run(mut self, mut open: watch::Receiver<()>) {
        loop {
            self.save().await;
            tokio::select! {
                biased;
                _ = open.changed() => break,
                () = self.round() => {}
            }
        }
        self.save_after = Duration::ZERO;
        self.save().await;
    }

    async fn round(&self) {
        let resting = self.breaker.refuses().is_some();
        let due = if resting { None } else { self.shared.outbox().due(self.clock.monotonic()) };
        match due {
            Some(notice) => self.send(notice).await,
            None if self.shared.outbox().is_idle() => self.shared.told.notified().await,
            None => {
                let _ = tokio::time::timeout(LOOK, self.shared.told.notified()).await;
            }
        }
        self.show();
    }

    async fn send(&self, notice: WaitingNotice) {
        let WaitingNotice { id, kind, body, .. } = notice;
        let outcome = self.breaker.call(self.webhook.post(&id, body, self.clock.now())).await;
        match outcome {
            Ok(()) => {
                delivered("delivered", 1);
                self.shared.outbox().remove(&id);
            }
            Err(Broken::Failed(refused)) if refused.is_gone() => self.give_up(),
            Err(Broken::Failed(refused)) => self.postpone(&id, &kind, refused),
            Err(Broken::Open(_)) => {}
        }
    }

    fn postpone(&self, id: &str, kind: &str, refused: Refused) {
        delivered("failed", 1);
        let host = self.webhook.host();
        tracing::warn!(webhook = host, notice = kind, notice_id = id, cause = %refused, "a notice was not taken; it is sent again");
        let now = self.clock.monotonic();
        self.shared.outbox().postpone(id, now, refused.after(), self.chance());
    }

    // The receiver says that it is there no more: asking on would be a nuisance, and nobody would notice.
    fn give_up(&self) {
        let left = self.shared.disable(self.clock.now());
        delivered("dropped", left as u64);
        tracing::error!(
            webhook = self.webhook.host(),
            notices.dropped = left,
            "the webhook's receiver answered 410 Gone: nothing is sent any more; correct [webhook] and restart the broker"
        );
    }

    // Written down before it is sent: a process that ends leaves it for the next.
    async fn save(&mut self) {
        let old = self.shared.outbox().expire(self.clock.now());
        if old > 0 {
            delivered("dropped", old as u64);
            tracing::error!(
                webhook = self.webhook.host(),
                notices.dropped = old,
                "notices waited for three days and are given up"
            );
        }
        if self.clock.monotonic() < self.save_after {
            return;
        }
        let unsaved = self.shared.outbox().unsaved();
        if unsaved == SettleNotices::default() {
            return;
        }
        let kept = self.store.settle_notices(unsaved.clone()).await;
        if let Err(error) = kept {
            tracing::warn!(error = %error, "notices could not be written down; they are in memory alone");
            self.shared.outbox().not_saved(unsaved);
            self.save_after = self.clock.monotonic() + STORE_PAUSE;
        }
    }

    fn show(&self) {
        let outbox = self.shared.outbox();
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        gauge!("shortbread_webhook_waiting").set(outbox.len() as f64);
        gauge!("shortbread_webhook_oldest_seconds").set(outbox.age(self.clock.now()).as_secs_f64());
    }

    fn chance(&self) -> u16 {
        let mut byte = [0; 2];
        // Without randomness the pause is the shortest.
        match self.random.fill(&mut byte) {
            Ok(()) => u16::from_be_bytes(byte) % 1001,
            Err(_) => 0,
        }
    }
}

pub(super) fn delivered(outcome: &'static str, count: u64) {
    counter!("shortbread_webhook_deliveries_total", "outcome" => outcome).increment(count);
}
