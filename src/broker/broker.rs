//! One broker: its keys, store, policy and limits, and the chores that run beside the requests.

use std::sync::Arc;
use std::time::Duration;

use shortbread_protocol::clock::{Clock, Timestamp};
use shortbread_protocol::event::Decision;
use shortbread_protocol::random::{Random, RandomError, id};
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::activation::{Actor, PolicyHolder};
use crate::audit::{Scribe, Strangers};
use crate::break_glass::BreakGlassWatch;
use crate::config::Config;
use crate::identity::{Fetch, Identities};
use crate::instances::{Instances, Now};
use crate::keyring::{BeginError, Keyring};
use crate::limits::Limits;
use crate::notices::{Notice, Notices};
use crate::proofs::Proofs;
use crate::publish::{PERIOD, PublishError, Published, Publisher};
use crate::store::{PolicyAction, Store, StoreError};

/// The most steps of one pruning: more than can have come since the last, so that nothing piles up.
const MAX_PRUNINGS: usize = 64;

/// How many batches of call decisions are worked on at once: the rest wait, so that exchanges and revocations never
/// wait for more.
const UPLOADS: usize = 4;

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
    pub publisher: Publisher,
    /// Used DPoP proofs.
    pub proofs: Proofs,
    /// Running instances of verifiers.
    pub instances: Instances,
    /// Turns for batches of call decisions.
    pub uploads: Semaphore,
    /// Request limits.
    pub limits: Limits,
    /// Writes audit entries.
    pub scribe: Scribe,
    /// Counts refusals of strangers.
    pub strangers: Strangers,
    /// Tells operators.
    pub notices: Notices,
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
        let keyring = Arc::new(keyring);
        keyring.begin(&store, &scribe, &begin(&*clock, &*random, None)?).await?;
        let break_glass =
            BreakGlassWatch::load(store.clone(), Arc::clone(&keyring), &issuer, scribe.clone()).await?;
        let publisher = Publisher::new(store.clone(), Arc::clone(&keyring), Arc::clone(&clock), &issuer);
        publisher.publish().await?;
        let contents = store.mirror().changed_seq();
        let instances = Instances::load(store.instances().await?, contents, Now::of(&*clock));
        let broker = Arc::new(Self {
            instances,
            policy: PolicyHolder::load(store.clone(), &issuer, scribe.clone()).await?,
            identities: Identities::new(Arc::clone(&clock), fetch, &issuer),
            uploads: Semaphore::new(UPLOADS),
            limits: Limits::new(&config.limits, Arc::clone(&clock)),
            proofs: Proofs::new(clock.now(), config.limits.proofs),
            strangers: Strangers::default(),
            notices: Notices::default(),
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
        // The keyring outlives no broker, and must not keep one alive.
        let asked = Arc::downgrade(&broker);
        broker.keyring.ask(Box::new(move |version| {
            asked.upgrade().map_or(0, |broker| broker.verifiers_behind(version))
        }));
        broker.look_at_break_glass().await;
        Ok(broker)
    }

    /// A decision that begins now, as part of a trace or of a new one.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn decision(&self, trace: Option<([u8; 16], u8)>) -> Result<Decision, RandomError> {
        begin(&*self.clock, &*self.random, trace)
    }

    // Verifiers that report, and have an older key document than this.
    fn verifiers_behind(&self, version: u64) -> usize {
        let now = self.clock.monotonic();
        self.policy.in_force().map_or(0, |policy| self.instances.with_older_keys(version, &policy, now))
    }

    /// Signs a new head over the list as it stands, and notes when changes were published.
    ///
    /// # Errors
    /// When the store or the key fails; what was served stays.
    pub async fn publish(&self) -> Result<Arc<Published>, PublishError> {
        let published = self.publisher.publish().await?;
        self.instances.changed(self.store.mirror().changed_seq(), self.clock.now());
        Ok(published)
    }

    /// Another policy is in force: operators are told, and issuers that it no longer names are forgotten.
    pub fn policy_changed(&self, actor: &Actor, action: PolicyAction, decision: &Decision) {
        if let Some(policy) = self.policy.in_force() {
            self.identities.retain(policy.identities());
            let (version, digest) = (self.policy.version(), policy.digest().to_owned());
            let (by, decision) = (actor.name().to_owned(), decision.id.clone());
            self.notices.tell(&Notice::PolicyActivated { version, digest, by, action, decision });
        }
    }

    /// Takes up what the offline root key says in the file beside the key document, if it changed. A file that is not
    /// taken is told of in the log; what was taken before stays.
    pub async fn look_at_break_glass(&self) {
        let Ok(decision) = self.decision(None) else {
            return;
        };
        if let Err(error) = self.break_glass.look(&decision).await {
            tracing::error!(error = %error, "the break-glass file was not taken; what was taken before stays");
        }
    }

    /// Publishes heads on time, prunes the store and sweeps the limits until it is dropped.
    pub async fn chores(self: Arc<Self>) {
        tokio::join!(self.publisher.report_age(), self.rounds());
    }

    async fn rounds(&self) {
        let mut failing = false;
        loop {
            tokio::time::sleep(PERIOD - Duration::from_secs(1)).await;
            self.look_at_break_glass().await;
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
            self.limits.sweep();
            self.prune(self.clock.now()).await;
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

/// A decision that begins now.
///
/// # Errors
/// When there is no randomness.
pub fn begin(
    clock: &dyn Clock,
    random: &dyn Random,
    trace: Option<([u8; 16], u8)>,
) -> Result<Decision, RandomError> {
    let at = clock.now();
    let (trace, flags) = match trace {
        Some(known) => known,
        None => {
            let mut fresh = [0; 16];
            random.fill(&mut fresh)?;
            // W3C wants the last seven bytes random; with the time in the first six, the log's index grows at its end.
            let time = at.millis().to_be_bytes();
            fresh.iter_mut().zip(time.iter().skip(2)).for_each(|(to, from)| *to = *from);
            (fresh, 1)
        }
    };
    let mut span = [0; 8];
    random.fill(&mut span)?;
    Ok(Decision { id: id("dec_", at, random)?, at, trace, span, flags })
}
