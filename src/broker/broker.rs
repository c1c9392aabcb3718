//! One broker: its keys, store, policy and limits, and the chores that run beside the requests.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use metrics::gauge;
use shortbread_protocol::clock::{Clock, Timestamp};
use shortbread_protocol::event::{Decision, EventType};
use shortbread_protocol::random::{Random, RandomError};
use shortbread_protocol::revocations::Cause;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc};

use crate::activation::{Actor, PolicyHolder};
use crate::approval::Polls;
pub use crate::audit::begin;
use crate::audit::{Scribe, Strangers};
use crate::break_glass::BreakGlassWatch;
use crate::breaker::{BreakerState, Maker, Moved, Watcher};
use crate::config::Config;
use crate::identity::{Fetch, Identities};
use crate::instances::{Ages, Instances, Now};
use crate::keyring::{BeginError, Keyring};
use crate::limits::Limits;
use crate::log::Log;
use crate::notices::{Notice, Notices, WebhookError};
use crate::oidc::{RelyingParty, SetupError};
use crate::otel::{Otel, OtelError};
use crate::proofs::Proofs;
use crate::publish::{PERIOD, PublishError, Published, Publisher};
use crate::sessions::{Links, Sessions};
use crate::signals::Signals;
use crate::store::{PolicyAction, Store, StoreError, Target};
use crate::tripwire::{Publish, Switch, Tripwires};
use crate::watch::{Breached, Outcomes};

/// The most steps of one pruning: more than can have come since the last, so that nothing piles up.
const MAX_PRUNINGS: usize = 64;

/// How many batches of call decisions are worked on at once: the rest wait, so that exchanges and revocations never
/// wait for more.
const UPLOADS: usize = 4;

/// How many reports are made at once: they read much of the log.
const REPORTS: usize = 2;

/// How many versions are held against recorded requests at once: each takes memory for what it was asked.
const GATES: usize = 2;

/// Why a broker does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The store is another broker's.
    #[error(
        "the store belongs to {stored}, the configuration says {configured}; correct `issuer` or name another store"
    )]
    OtherIssuer {
        /// What the store says.
        stored: String,
        /// What the configuration says.
        configured: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key document is none that may be published, or could not be kept.
    #[error(transparent)]
    Keys(#[from] BeginError),
    /// There is no randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The webhook cannot be used as it is configured.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// Operators cannot sign in by the identity provider as it is configured.
    #[error(transparent)]
    Oidc(#[from] SetupError),
    /// Spans cannot be exported as it is configured.
    #[error(transparent)]
    Otel(#[from] OtelError),
    /// The first head could not be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// What a broker is made of, handed in.
pub struct Parts {
    /// `broker.toml`.
    pub config: Config,
    /// The keys, checked.
    pub keyring: Keyring,
    /// The store, open.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The network, for issuers' keys.
    pub fetch: Arc<dyn Fetch>,
}

/// A broker.
pub struct Broker {
    /// The public URL.
    pub issuer: String,
    /// What it was configured with.
    pub config: Config,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The record.
    pub store: Store,
    /// The policy in force.
    pub policy: PolicyHolder,
    /// Checks identities.
    pub identities: Identities,
    /// The keys.
    pub keyring: Arc<Keyring>,
    /// What the offline root key says, beside the list.
    pub break_glass: BreakGlassWatch,
    /// The served revocation list.
    pub publisher: Arc<Publisher>,
    /// Used DPoP proofs.
    pub proofs: Proofs,
    /// Running instances of verifiers.
    pub instances: Instances,
    /// How old their lists were.
    pub ages: Ages,
    /// Turns for batches of call decisions.
    pub uploads: Semaphore,
    /// Turns for reports.
    pub reports: Semaphore,
    /// Figures at hand for pages.
    pub signals: Signals,
    /// Turns for the gate.
    pub gates: Semaphore,
    /// Request limits.
    pub limits: Limits,
    /// Who waits for what a person decides.
    pub polls: Polls,
    /// Who is signed in to the console.
    pub sessions: Sessions,
    /// Links that sign in to the console.
    pub links: Links,
    /// The identity provider that operators sign in by, where there is one.
    pub oidc: Option<RelyingParty>,
    /// Writes audit entries.
    pub scribe: Scribe,
    /// Counts refusals of strangers.
    pub strangers: Strangers,
    /// The tree over the audit log, and its checkpoints.
    pub log: Log,
    /// Tells operators.
    pub notices: Arc<Notices>,
    /// The breakers before issuers and the webhook.
    pub breakers: Maker,
    /// Exports decisions as spans, where `[otel]` says so.
    pub otel: Otel,
    /// Count refusals of tasks.
    pub tripwires: Tripwires,
    /// Counts what becomes of requests, and judges it while a policy version is watched.
    pub outcomes: Outcomes,
    // What passed a limit, until somebody takes it.
    breached: Mutex<Option<mpsc::Receiver<Breached>>>,
}

impl Broker {
    /// Puts a broker together and publishes its first head.
    ///
    /// # Errors
    /// When the store is another broker's or fails.
    pub async fn start(parts: Parts) -> Result<Arc<Self>, StartError> {
        let Parts { config, keyring, store, clock, random, fetch } = parts;
        let issuer = config.issuer.clone();
        if store.meta().issuer != issuer {
            return Err(StartError::OtherIssuer { stored: store.meta().issuer.clone(), configured: issuer });
        }
        let scribe = Scribe::new(&issuer);
        // Before anything is logged.
        let otel = Otel::start(config.otel.as_ref(), &store, &*clock, &*random)?;
        let keyring = Arc::new(keyring);
        keyring.begin(&store, &scribe, &begin(&*clock, &*random, None)?).await?;
        let break_glass =
            BreakGlassWatch::load(store.clone(), Arc::clone(&keyring), &issuer, scribe.clone()).await?;
        let publisher = Publisher::new(store.clone(), Arc::clone(&keyring), Arc::clone(&clock), &issuer);
        let publisher = Arc::new(publisher);
        publisher.publish().await?;
        let tellers = (store.clone(), scribe.clone(), Arc::clone(&clock), Arc::clone(&random));
        let (notices, breakers) = told(&config, tellers).await?;
        let log = Log::load(
            store.clone(),
            Arc::clone(&keyring),
            Arc::clone(&clock),
            Arc::clone(&notices),
            &config.log,
        );
        let log = log.await?;
        let oidc = config.console.oidc.clone();
        let oidc =
            oidc.map(|provider| RelyingParty::new(provider, &issuer, Arc::clone(&clock), Arc::clone(&fetch)));
        let oidc = oidc.transpose()?;
        let identities = Identities::new(Arc::clone(&clock), fetch, &issuer).guarded(breakers.clone());
        let policy = PolicyHolder::load(store.clone(), &issuer, scribe.clone()).await?;
        let (tripwires, tripped) = Tripwires::new(Arc::clone(&clock));
        policy.in_force().iter().for_each(|policy| tripwires.follow(policy));
        let (outcomes, breached) = Outcomes::new();
        outcomes.follow(policy.on_trial().as_deref());
        let contents = store.mirror().changed_seq();
        let instances = Instances::load(store.instances().await?, contents, Now::of(&*clock));
        let broker = Arc::new(Self {
            instances,
            ages: Ages::new(clock.now()),
            uploads: Semaphore::new(UPLOADS),
            reports: Semaphore::new(REPORTS),
            signals: Signals::default(),
            gates: Semaphore::new(GATES),
            policy,
            identities,
            limits: Limits::new(&config.limits, Arc::clone(&clock)),
            polls: Polls::default(),
            sessions: Sessions::default(),
            links: Links::default(),
            oidc,
            proofs: Proofs::new(clock.now(), config.limits.proofs),
            strangers: Strangers::default(),
            log,
            notices,
            breakers,
            otel,
            tripwires,
            outcomes,
            breached: Mutex::new(Some(breached)),
            issuer,
            config,
            clock,
            random,
            store,
            keyring,
            break_glass,
            publisher,
            scribe,
        });
        let watching = Arc::downgrade(&broker);
        broker
            .keyring
            .ask(Box::new(move |version| watching.upgrade().map_or(0, |broker| broker.behind(version))));
        broker.look_at_break_glass().await;
        tokio::spawn(broker.switch().run(tripped));
        Ok(broker)
    }

    // What tripwires revoke with; it does not keep the broker from ending.
    fn switch(self: &Arc<Self>) -> Switch {
        let broker = Arc::downgrade(self);
        let publish: Publish = Box::new(move || {
            let broker = broker.clone();
            Box::pin(async move {
                let Some(broker) = broker.upgrade() else { return Ok(()) };
                broker.publish().await.map(drop).map_err(|error| error.to_string())
            })
        });
        Switch {
            store: self.store.clone(),
            publish,
            scribe: self.scribe.clone(),
            notices: Arc::clone(&self.notices),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
        }
    }

    /// A decision that begins now, as part of a trace or of a new one.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn decision(&self, trace: Option<([u8; 16], u8)>) -> Result<Decision, RandomError> {
        begin(&*self.clock, &*self.random, trace)
    }

    // Instances that report, and report an earlier key document. Those that are silent or gone are not waited for.
    fn behind(&self, version: u64) -> usize {
        let now = self.clock.monotonic();
        self.policy.in_force().map_or(0, |policy| self.instances.with_older_keys(version, &policy, now))
    }

    /// Signs a new head over the list as it stands, and notes when changes were published.
    ///
    /// # Errors
    /// When the store or the key fails; what was served stays.
    pub async fn publish(&self) -> Result<Arc<Published>, PublishError> {
        let published = self.publisher.publish().await?;
        self.instances.changed(published.contents, self.clock.now());
        Ok(published)
    }

    /// What the watch finds; for the one who takes versions back. None when it was taken before.
    pub fn breached(&self) -> Option<mpsc::Receiver<Breached>> {
        self.breached.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Another policy is in force: operators are told, and issuers that it no longer names are forgotten.
    pub fn policy_changed(&self, actor: &Actor, action: PolicyAction, decision: &Decision) {
        self.forget_issuers();
        if let Some(policy) = self.policy.in_force() {
            self.tripwires.follow(&policy);
            let (version, digest) = (self.policy.version(), policy.digest().to_owned());
            let (by, decision) = (actor.name().to_owned(), decision.id.clone());
            self.notices.tell(&Notice::PolicyActivated { version, digest, by, action, decision });
        }
    }

    /// Forgets issuers that neither the policy in force names nor the one that requests are held against.
    pub fn forget_issuers(&self) {
        let change = self.outcomes.change_for_all(self.clock.now());
        let policies = self.policy.in_force().into_iter().chain(change.map(|change| change.before));
        let policies: Vec<_> = policies.collect();
        self.identities.retain(policies.iter().flat_map(|policy| policy.identities()));
    }

    /// Takes up what the offline root key says in the file beside the key document, if it changed. A file that is not
    /// taken is told of in the log; what was taken before stays.
    pub async fn look_at_break_glass(&self) {
        let Ok(decision) = self.decision(None) else {
            return;
        };
        match self.break_glass.look(&decision).await {
            Ok(true) => self.tell_break_glass(decision.id),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(error = %error, "the break-glass file was not taken; what was taken before stays");
            }
        }
    }

    // Operators hear of it like of every revocation, all the more if it was none of them.
    fn tell_break_glass(&self, decision: String) {
        let Some(head) = self.break_glass.current() else { return };
        let (what, by) = (vec![Target::All.to_string()], "root key".to_owned());
        let seq = self.store.mirror().changed_seq();
        self.notices.tell(&match head.head.global {
            0 => Notice::Lifted { what, by, seq, revive: true, tokens: None, decision },
            _ => Notice::Revoked { what, by, seq, cause: Cause::Incident, tokens: None, decision },
        });
    }

    /// Publishes heads and checkpoints on time, prunes the store and sweeps the limits until it is dropped.
    pub async fn chores(self: Arc<Self>) {
        let watched = (self.follow_break_glass(), self.tidy());
        tokio::join!(self.publisher.report_age(), self.rounds(), watched.0, watched.1, self.log.chores());
    }

    async fn rounds(&self) {
        let mut failing = false;
        loop {
            tokio::time::sleep(PERIOD - Duration::from_secs(1)).await;
            match self.publish().await {
                Ok(_) if failing => {
                    failing = false;
                    tracing::info!("revocation heads are published again");
                }
                Ok(_) => {}
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(error = %error, "no revocation head could be published; verifiers will grow strict");
                }
                Err(_) => {}
            }
            self.show();
        }
    }

    // Beside the heads: a file that cannot be read to its end, as on a disk that hangs, must not end them.
    async fn follow_break_glass(&self) {
        loop {
            tokio::time::sleep(PERIOD - Duration::from_secs(1)).await;
            self.look_at_break_glass().await;
        }
    }

    // Beside the heads: pruning waits in line with the exchanges, and no flood of them may make a head late.
    async fn tidy(&self) {
        loop {
            tokio::time::sleep(PERIOD - Duration::from_secs(1)).await;
            self.limits.sweep();
            self.prune(self.clock.now()).await;
        }
    }

    // What alerts are made of and nothing else would show.
    fn show(&self) {
        gauge!("shortbread_store_failing").set(f64::from(u8::from(self.store.healthy().is_err())));
        let observed = self.policy.in_force().map_or(0, |policy| policy.observed(self.clock.now()).len());
        gauge!("shortbread_tools_observed").set(f64::from(u32::try_from(observed).unwrap_or(u32::MAX)));
        for key in &self.keyring.current().document.keys {
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
            gauge!("shortbread_key_end_seconds", "purpose" => key.purpose.as_str(), "name" => key.name.to_string())
                .set(key.not_after as f64);
        }
    }

    /// Removes what nobody needs any more, in steps between which others may write.
    pub async fn prune(&self, now: Timestamp) {
        for _ in 0..MAX_PRUNINGS {
            match self.store.prune(now).await {
                Ok(pruned) => {
                    tracing::debug!(replays = pruned.replays, delisted = pruned.delisted, "pruned the store");
                    if !pruned.more {
                        return;
                    }
                }
                Err(error) => {
                    return tracing::warn!(error = %error, "the store could not be pruned");
                }
            }
        }
    }
}

/// The way to operators, and breakers whose moves go that way.
async fn told(
    config: &Config,
    (store, scribe, clock, random): (Store, Scribe, Arc<dyn Clock>, Arc<dyn Random>),
) -> Result<(Arc<Notices>, Maker), StartError> {
    let notices = Notices::new(config.webhook.as_ref(), Arc::clone(&clock), Arc::clone(&random))?;
    let notices = Arc::new(notices);
    let watch = Watch {
        notices: Arc::downgrade(&notices),
        store: store.clone(),
        scribe,
        clock: Arc::clone(&clock),
        random,
    };
    let watcher: Watcher = Arc::new(move |moved: &Moved| watch.moved(moved));
    let breakers = Maker::new(config.breakers, clock, watcher);
    notices.carry(&store, &breakers).await?;
    Ok((notices, breakers))
}

/// Sees breakers open and close: in the log, the audit log, and to operators.
struct Watch {
    notices: Weak<Notices>,
    store: Store,
    scribe: Scribe,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Watch {
    fn moved(&self, moved: &Moved) {
        let (source, kind, retry_after) = (moved.source.clone(), moved.kind, moved.retry_after);
        let (event, notice) = match (moved.from, moved.to) {
            // A trial that failed: it was open before, and operators know.
            (BreakerState::HalfOpen, BreakerState::Open) | (_, BreakerState::HalfOpen) => return,
            (_, BreakerState::Open) => {
                (EventType::BreakerOpened, Notice::BreakerOpened { source, kind, retry_after })
            }
            (_, BreakerState::Closed) => (EventType::BreakerClosed, Notice::BreakerClosed { source, kind }),
        };
        if let Some(notices) = self.notices.upgrade() {
            notices.tell(&notice);
        }
        let (Ok(decision), Ok(runtime)) =
            (begin(&*self.clock, &*self.random, None), tokio::runtime::Handle::try_current())
        else {
            return tracing::error!(notice = notice.kind(), "a breaker's change could not be recorded");
        };
        let subject = format!("{}/{}", kind.as_str(), moved.source);
        let entry = self.scribe.entry(event, &decision, subject, notice.data());
        let store = self.store.clone();
        runtime.spawn(async move {
            if let Err(error) = store.record_denial(None, entry).await {
                tracing::error!(error = %error, "a breaker's change could not be recorded");
            }
        });
    }
}
