//! What operators are told: in the log and the metrics always, and over a signed webhook where there is one.

mod approval;
mod deliver;
mod notice;
mod outbox;
mod secret;
mod webhook;

pub use approval::{ApprovalNotice, ApprovalStep};
pub use notice::{KINDS, Notice, PastLimit, Weight};
pub use secret::SecretError;
pub use webhook::WebhookError;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};
use shortbread_protocol::admin::WhyDropped;
use shortbread_protocol::clock::{Clock, Timestamp};
use shortbread_protocol::random::{Random, id};
use tokio::sync::{Notify, watch};

use self::deliver::{Carrier, delivered};
use self::outbox::Outbox;
use self::webhook::Webhook;
use crate::breaker::{BreakerKind, Maker};
use crate::config;
use crate::store::{Store, StoreError, WaitingNotice};

/// How the way to the webhook stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The receiver's host.
    pub host: String,
    /// How many notices wait for it.
    pub waiting: usize,
    /// How long the oldest of them has waited.
    pub oldest: Duration,
    /// Whether nothing is sent any more until the broker starts again: the receiver said that it is gone.
    pub disabled: bool,
}

/// Tells operators. Telling neither waits nor fails.
pub struct Notices {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    hook: Option<Hook>,
}

struct Hook {
    shared: Arc<Shared>,
    webhook: Arc<Webhook>,
    // Dropped with the notices: then the carrier ends.
    open: watch::Sender<()>,
}

/// What those who tell and the one who carries have in common.
#[derive(Debug, Default)]
struct Shared {
    outbox: Mutex<Outbox>,
    told: Notify,
    disabled: AtomicBool,
}

impl Shared {
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a notice in, to be sent or, when nothing is sent any more, to be kept as one that was not.
    fn take(&self, waiting: WaitingNotice, now: Timestamp) {
        let mut outbox = self.outbox();
        if self.disabled.load(Ordering::Relaxed) {
            delivered("dropped", 1);
            outbox.give_up(waiting, WhyDropped::Gone, now);
        } else if let Some(dropped) = outbox.push(waiting) {
            delivered("dropped", 1);
            tracing::error!(notice = dropped.kind, "too many notices wait for the webhook; one is given up");
            outbox.give_up(dropped, WhyDropped::NoRoom, now);
        }
    }

    /// Nothing is sent until the next start. Gives how many notices waited.
    fn disable(&self, now: Timestamp) -> usize {
        self.disabled.store(true, Ordering::Relaxed);
        gauge!("shortbread_webhook_disabled").set(1.0);
        self.outbox().clear(now)
    }
}

impl Notices {
    /// With the configured webhook, if there is one. Nothing is sent before [`Self::carry`].
    ///
    /// # Errors
    /// When the webhook cannot be used as it is configured.
    pub fn new(
        webhook: Option<&config::Webhook>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, WebhookError> {
        let hook = webhook.map(|webhook| {
            let webhook = Arc::new(Webhook::new(webhook)?);
            Ok::<_, WebhookError>(Hook { shared: Arc::default(), webhook, open: watch::channel(()).0 })
        });
        Ok(Self { clock, random, hook: hook.transpose()? })
    }

    /// Begins to carry notices to the webhook, those first that an earlier process left, until this is dropped.
    ///
    /// # Errors
    /// When the store cannot say what is left.
    pub async fn carry(&self, store: &Store, breakers: &Maker) -> Result<(), StoreError> {
        let Some(hook) = &self.hook else { return Ok(()) };
        for notice in store.waiting_notices().await? {
            let mut outbox = hook.shared.outbox();
            if let Some(dropped) = outbox.load(notice) {
                outbox.give_up(dropped, WhyDropped::NoRoom, self.clock.now());
                delivered("dropped", 1);
            }
        }
        gauge!("shortbread_webhook_disabled").set(0.0);
        let breaker = breakers.make(BreakerKind::Webhook, hook.webhook.host());
        let carrier = Carrier {
            shared: Arc::clone(&hook.shared),
            webhook: Arc::clone(&hook.webhook),
            breaker,
            store: store.clone(),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            save_after: Duration::ZERO,
        };
        tokio::spawn(carrier.run(hook.open.subscribe()));
        Ok(())
    }

    /// How the way to the webhook stands; `None` where none is configured.
    #[must_use]
    pub fn way(&self) -> Option<Way> {
        let hook = self.hook.as_ref()?;
        let outbox = hook.shared.outbox();
        Some(Way {
            host: hook.webhook.host().to_owned(),
            waiting: outbox.len(),
            oldest: outbox.age(self.clock.now()),
            disabled: hook.shared.disabled.load(Ordering::Relaxed),
        })
    }

    /// Tells: a line in the log and a count, now; the webhook, when it can.
    pub fn tell(&self, notice: &Notice) {
        counter!("shortbread_notices_total", "type" => notice.kind()).increment(1);
        let (kind, particulars) = (notice.kind(), notice.data().to_string());
        match notice.weight() {
            Weight::Low => tracing::info!(notice = kind, particulars, "{notice}"),
            Weight::Middle | Weight::High => tracing::warn!(notice = kind, particulars, "{notice}"),
        }
        if let Some(hook) = &self.hook {
            self.queue(hook, notice);
        }
    }

    fn queue(&self, hook: &Hook, notice: &Notice) {
        // That the webhook itself fails cannot be told over it.
        let own = matches!(
            notice,
            Notice::BreakerOpened { kind: BreakerKind::Webhook, .. }
                | Notice::BreakerClosed { kind: BreakerKind::Webhook, .. }
        );
        if own || !hook.webhook.wants(notice.kind()) {
            return;
        }
        let at = self.clock.now();
        let Ok(id) = id("ntc_", at, &*self.random) else {
            delivered("dropped", 1);
            return tracing::error!(notice = notice.kind(), "no randomness, so the webhook is not told");
        };
        let (kind, weight) = (notice.kind().to_owned(), notice.weight().number());
        let waiting = WaitingNotice { id, kind, weight, at, body: webhook::body(notice, at) };
        hook.shared.take(waiting, at);
        hook.shared.told.notify_one();
    }
}
