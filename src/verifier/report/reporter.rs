//! One instance as the broker knows it: a lease, reports while it runs, a goodbye.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shortbread_protocol::clock::{Clock, Timestamp};
use shortbread_protocol::jws;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::names::{ToolName, VerifierName};
use shortbread_protocol::random::Random;
use shortbread_protocol::verifiers::{
    GOODBYE, GOODBYE_TYPE, Goodbye, LeaseBody, Message, REPORT, REPORT_EVERY, REPORT_TYPE, ReportAnswer, Uses,
};

use super::backoff::Backoff;
use super::client::{Client, ReportError};
use super::identity::Identity;
use super::link::Link;
use super::recorder::Recorder;
use super::watch::{Position, Watch};
use crate::list::Trust;
use crate::observe::{Answered, Observe};
use crate::pace::spread;
use crate::uses::BrokerUses;
use crate::windows::Windows;

/// How long a change may wait for others, so that a thousand instances do not answer in the same millisecond.
const SPREAD: Duration = Duration::from_millis(200);
/// How often is looked whether the list grew too old for something: that changes without anybody's doing.
const LOOK: Duration = Duration::from_millis(500);
/// How long the end may take: what is left to upload, and the goodbye.
const END: Duration = Duration::from_secs(2);
const LAST_UPLOADS: Duration = Duration::from_millis(1500);
const MAX_LABEL: usize = 64;

/// Whom an instance reports to, and how.
#[derive(Clone, Debug)]
pub struct ReporterConfig {
    /// The broker's URL: what stands before `/verifiers/lease`. A mirror does not take reports.
    pub base_url: String,
    /// What people call the instance, such as a host name. Other characters than printable ASCII are left out.
    pub label: Option<String>,
    /// The windows of the verifier: they say when its step changes.
    pub windows: Windows,
    /// How long a request may take.
    pub timeout: Duration,
    /// How long a decision may wait for others before it is uploaded, give or take a quarter.
    pub upload_every: Duration,
    /// How long to wait after a failure; after each one that follows twice as long, 30 s at most.
    pub retry: Duration,
    /// Allows `http` to hosts other than this machine. Whoever is on the way can then take an assertion or token that
    /// proves the verifier's identity, and read which names call what.
    pub allow_http: bool,
}

impl ReporterConfig {
    /// Reports over `https` unless the host is this machine, with the default windows, a timeout of 5 s, and uploads
    /// after 5 s.
    #[must_use]
    pub fn new(base_url: impl Into<String>) -> Self {
        let wait = Duration::from_secs(5);
        Self {
            base_url: base_url.into(),
            label: None,
            windows: Windows::default(),
            timeout: wait,
            upload_every: wait,
            retry: Duration::from_secs(1),
            allow_http: false,
        }
    }
}

/// Reports one instance to its broker, and uploads its decisions.
pub struct Reporter {
    pub(super) config: ReporterConfig,
    pub(super) recorder: Option<Arc<Recorder>>,
    pub(super) random: Arc<dyn Random>,
    clock: Arc<dyn Clock>,
    identity: Identity,
    client: Client,
    watch: Watch,
    lease: Mutex<Option<Arc<Lease>>>,
    /// Losses that the broker was told of, under any lease.
    lost_told: AtomicU64,
    observe: Option<Arc<Observe>>,
    uses: Option<Arc<BrokerUses>>,
    keeps: Uses,
}

/// What the broker knows the instance by.
pub(super) struct Lease {
    key: PrivateKey,
    instance: String,
    verifier: VerifierName,
    issuer: String,
    report_every: Duration,
    /// Losses that were told under earlier leases.
    lost_before: u64,
    n: AtomicU64,
}

/// What was last logged; said again only when it changes.
pub(super) struct Mood<'a> {
    url: &'a str,
    failing: Option<&'static str>,
}

impl Reporter {
    /// A reporter that has said nothing yet. It watches `trust` from now on; `clock` is the one that the trust has.
    ///
    /// # Errors
    /// When the address is no `https` URL (or `http`, where allowed), TLS cannot be set up, or the trust is reported
    /// already.
    pub fn new(
        config: ReporterConfig,
        identity: Identity,
        trust: Arc<Trust>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, ReportError> {
        let client = Client::new(&config)?;
        let watch = Watch::new(trust, config.windows, Arc::clone(&clock))?;
        let (lease, lost_told) = (Mutex::default(), AtomicU64::new(0));
        let (recorder, observe, uses, keeps) = (None, None, None, Uses::Nobody);
        Ok(Self {
            config,
            recorder,
            random,
            clock,
            identity,
            client,
            watch,
            lease,
            lost_told,
            observe,
            uses,
            keeps,
        })
    }

    /// With what the broker says of tools that are not enforced for now; see [`observe`](crate::observe). The verifier
    /// needs the same one.
    #[must_use]
    pub fn observe(self, observe: Arc<Observe>) -> Self {
        Self { observe: Some(observe), ..self }
    }

    /// With the broker keeping which tokens were used, of those that are good once; see [`uses`](crate::uses). The
    /// verifier needs the same one.
    #[must_use]
    pub fn uses(self, uses: Arc<BrokerUses>) -> Self {
        Self { uses: Some(uses), keeps: Uses::Broker, ..self }
    }

    /// Tells the broker who keeps the uses: [`Uses::Local`] where the verifier has `uses_local`. With
    /// [`uses`](Self::uses) there is nothing to tell.
    #[must_use]
    pub fn keeps(self, keeps: Uses) -> Self {
        Self { keeps, ..self }
    }

    /// With decisions to upload.
    #[must_use]
    pub fn uploads(self, recorder: Arc<Recorder>) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    /// Takes a lease, reports and uploads until `cancel` is ready; then uploads what it can and says goodbye, in 2 s at
    /// most. Errors are logged when they begin and when they end, and whatever failed is tried again.
    pub async fn run(self, cancel: impl Future<Output = ()> + Send) {
        tokio::select! {
            biased;
            () = cancel => {}
            () = self.work() => {}
        }
        // Nobody renews it any more.
        self.enforce();
        self.link(None);
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(lease) = lease {
            // Without an answer in time the broker finds out by the silence.
            let _ = tokio::time::timeout(END, self.end(&lease)).await;
        }
    }

    async fn work(&self) {
        loop {
            let lease = Arc::new(self.begin().await);
            *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&lease));
            self.link(Some(&lease));
            tokio::select! {
                () = self.report(&lease) => {}
                () = self.upload(&lease) => {}
            }
            *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.link(None);
            self.enforce();
        }
    }

    /// Lends the lease to whoever claims uses.
    fn link(&self, lease: Option<&Arc<Lease>>) {
        let Some(uses) = &self.uses else { return };
        uses.link(lease.map(|lease| Link {
            lease: Arc::clone(lease),
            client: self.client.clone(),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
        }));
    }

    fn enforce(&self) {
        if let Some(observe) = &self.observe {
            observe.end();
        }
    }

    /// Listens to what the answer to a message says of observed tools, where this service takes part in that.
    fn listen(&self, lease: &Lease, n: u64, statement: Option<&str>) {
        let Some(observe) = &self.observe else { return };
        let (verifier, instance) = (lease.verifier.as_str(), lease.instance.as_str());
        let (trust, before) = (self.watch.trust(), observe.tools(self.watch.trust()));
        let taken = observe.take(statement, &Answered { verifier, instance, n }, trust);
        if let Err(error) = &taken {
            tracing::warn!(
                error.class = error.code(),
                "everything is enforced, for what the broker says of observed tools is not believed: {error}"
            );
        }
        let now = observe.tools(trust);
        if now != before {
            let tools: Vec<&str> = now.iter().map(ToolName::as_str).collect();
            tracing::warn!(
                tools = tools.join(", "),
                "calls of these tools pass now even where they would be denied"
            );
        }
    }

    async fn end(&self, lease: &Lease) {
        // What is not uploaded now is after the next start, where it is on disk.
        let _ = tokio::time::timeout(LAST_UPLOADS, self.upload_rest(lease)).await;
        let said: Result<ReportAnswer, _> =
            self.tell(lease, "goodbye", GOODBYE, GOODBYE_TYPE, Goodbye {}).await;
        if let Err(error) = said {
            tracing::debug!(error.class = error.code(), "the broker did not hear the goodbye: {error}");
        }
    }

    /// A lease, however long it takes.
    async fn begin(&self) -> Lease {
        let mut backoff = self.backoff();
        let mut mood = self.mood();
        loop {
            let leased = self.take_lease().await;
            mood.note("lease", &leased);
            match leased {
                Ok(lease) => return lease,
                Err(error) => tokio::time::sleep(backoff.failed(error.retry_after())).await,
            }
        }
    }

    async fn take_lease(&self) -> Result<Lease, ReportError> {
        let (issuer, now) = (self.watch.issuer(), self.clock.now());
        let key = PrivateKey::generate(&*self.random)?;
        let (identity, random, audience) = (self.identity.clone(), Arc::clone(&self.random), issuer.clone());
        let assertion = tokio::task::spawn_blocking(move || identity.assertion(&audience, now, &*random));
        let assertion = assertion.await.map_err(|_| ReportError::Stopping)??;
        let label = self.config.label.as_deref().and_then(label);
        let body = LeaseBody { assertion, key: URL_SAFE_NO_PAD.encode(key.public().as_bytes()), label };
        let answer = self.client.lease(&body).await?;
        if answer.instance != key.public().thumbprint() {
            return Err(ReportError::Answer("lease"));
        }
        let lease = Lease {
            key,
            instance: answer.instance,
            verifier: answer.verifier,
            issuer,
            report_every: Duration::from_secs(answer.report_every.clamp(1, REPORT_EVERY)),
            lost_before: self.lost_told.load(Ordering::Relaxed),
            n: AtomicU64::new(0),
        };
        self.listen(&lease, 0, answer.observe.as_deref());
        Ok(lease)
    }

    /// Reports until the lease is lost: at once, on each change, and every so often.
    async fn report(&self, lease: &Lease) {
        let mut backoff = self.backoff();
        let mut mood = self.mood();
        loop {
            let position = self.watch.position();
            let told = self.report_once(lease).await;
            mood.note("report", &told);
            match told {
                Ok(()) => {
                    backoff.succeeded();
                    self.wait(lease, position).await;
                }
                Err(error) if error.ends_lease() => return,
                Err(error) => tokio::time::sleep(backoff.failed(error.retry_after())).await,
            }
        }
    }

    async fn report_once(&self, lease: &Lease) -> Result<(), ReportError> {
        let mut report = self.watch.report();
        let status = self.recorder.as_ref().map(|recorder| recorder.status()).unwrap_or_default();
        report.waiting = status.waiting;
        report.lost = status.lost.saturating_sub(lease.lost_before);
        report.uses = self.keeps;
        report.observing =
            self.observe.as_ref().map(|observe| observe.tools(self.watch.trust())).unwrap_or_default();
        let (n, message) = lease.signed(REPORT_TYPE, report, self.clock.now());
        let answer: ReportAnswer = self.client.send("report", REPORT, message).await?;
        self.listen(lease, n, answer.observe.as_deref());
        self.lost_told.fetch_max(status.lost, Ordering::Relaxed);
        Ok(())
    }

    /// Waits until the next report is due. After a change it is soon, and tells of all that changed until then.
    async fn wait(&self, lease: &Lease, told: Position) {
        let changed = async {
            while self.watch.position() == told {
                // Whichever is first.
                let _ = tokio::time::timeout(LOOK, self.watch.changed()).await;
            }
            tokio::time::sleep(spread(SPREAD, 0.0, 1.0, &*self.random)).await;
        };
        let _ = tokio::time::timeout(lease.report_every, changed).await;
    }

    /// Signs and sends.
    pub(super) async fn tell<A: DeserializeOwned>(
        &self,
        lease: &Lease,
        what: &'static str,
        path: &str,
        kind: &str,
        said: impl Serialize,
    ) -> Result<A, ReportError> {
        self.client.send(what, path, lease.signed(kind, said, self.clock.now()).1).await
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.config.retry, Arc::clone(&self.random))
    }

    pub(super) fn mood(&self) -> Mood<'_> {
        Mood { url: self.client.url(), failing: None }
    }
}

impl Lease {
    /// The next message of the instance, and its number.
    pub(super) fn signed(&self, kind: &str, said: impl Serialize, now: Timestamp) -> (u64, String) {
        let n = self.n.fetch_add(1, Ordering::Relaxed) + 1;
        let message = Message { aud: self.issuer.clone(), n, iat: now.seconds(), said };
        (n, jws::sign(kind, &self.instance, &message, &self.key))
    }
}

impl Mood<'_> {
    pub(super) fn note<T>(&mut self, what: &str, result: &Result<T, ReportError>) {
        let now = result.as_ref().err().map(ReportError::code);
        let before = std::mem::replace(&mut self.failing, now);
        match result {
            Err(error) if before != now => {
                tracing::warn!(report.url = %self.url, error.class = error.code(), "the broker is not told: {error}");
            }
            Ok(_) if before.is_some() => tracing::info!(report.url = %self.url, "the {what} works again"),
            _ => {}
        }
    }
}

fn label(text: &str) -> Option<String> {
    let label: String = text.chars().filter(|c| matches!(c, ' '..='~')).take(MAX_LABEL).collect();
    Some(label.trim().to_owned()).filter(|label| !label.is_empty())
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("config", &self.config)
            .field("identity", &self.identity)
            .field("recorder", &self.recorder)
            .finish_non_exhaustive()
    }
}
