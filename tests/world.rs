//! One broker in its own folder, serving real HTTP on loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use shortbread_broker::broker::{Broker, Parts};
use shortbread_broker::config::{Config, Size};
use shortbread_broker::http::{Server, router};
use shortbread_broker::identity::{Fetch, HttpFetch};
use shortbread_broker::keyring::Keyring;
use shortbread_broker::setup;
use shortbread_broker::store::{Options, Store, StoreKind};
use shortbread_protocol::clock::{Clock, ManualClock, Timestamp};
use shortbread_protocol::keys::{PrivateKey, PublicKey};
use shortbread_protocol::random::{Random, SystemRandom};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// What the demo keys sign as.
const KEYS: [&str; 6] = ["demo", "other", "operator", "second", "third", "fourth"];

/// The policy that tests start from: two workflows, two operators, two tools.
pub const POLICY: &str = r#"
[tools.github]
audience = "https://tools.acme.example/github"
verbs."issues.read" = { access = "read" }
verbs."issues.write" = { access = "write", args = ["repo", "title", "body"] }
verbs."repo.delete" = { access = "privileged", args = ["repo"] }
[tools.payments]
audience = "https://tools.acme.example/payments"
verbs."refunds.create" = { access = "privileged", args = ["amount", "charge"] }
verbs."refunds.read" = { access = "read" }

[[identities]]
workflow = "demo"
key = "keys/demo.pub.pem"
[[identities]]
workflow = "other"
key = "keys/other.pub.pem"
[[identities]]
operator = "alice"
key = "keys/operator.pub.pem"
[[identities]]
operator = "bob"
key = "keys/second.pub.pem"

[[grants]]
workflow = "demo"
tool = "github"
verbs = ["issues.read", "issues.write"]
constraints."issues.write" = { repo = { in = ["acme/web", "acme/docs"] }, title = { any = true }, body = { any = true } }
max_ttl = "10m"
[[grants]]
workflow = "demo"
tool = "payments"
verbs = ["refunds.create", "refunds.read"]
constraints."refunds.create" = { amount = { min = 1, max = 10000 }, charge = { any = true } }
approval = "none"
[[grants]]
workflow = "other"
tool = "github"
verbs = ["issues.read"]
[[grants]]
operator = "alice"
tool = "shortbread"
verbs = ["revocations.*", "policy.*", "audit.*", "keys.*", "status.read"]
[[grants]]
operator = "bob"
tool = "shortbread"
verbs = ["policy.*"]
"#;

/// How a world is to be.
pub struct WorldBuilder {
    policy: String,
    config: String,
    files: Vec<(String, String)>,
    fetch: Option<Arc<dyn Fetch>>,
}

/// A broker that serves, and all that is needed to ask it.
pub struct World {
    /// Its public URL.
    pub issuer: String,
    /// The broker itself.
    pub broker: Arc<Broker>,
    /// The time: it stands still until a test moves it.
    pub clock: Arc<ManualClock>,
    /// For requests.
    pub http: reqwest::Client,
    folder: Arc<TempDir>,
    fetch: Arc<dyn Fetch>,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
}

impl WorldBuilder {
    /// With another policy.
    #[must_use]
    pub fn policy(self, policy: &str) -> Self {
        Self { policy: policy.to_owned(), ..self }
    }

    /// With more lines in `broker.toml`.
    #[must_use]
    pub fn config(self, lines: &str) -> Self {
        Self { config: lines.to_owned(), ..self }
    }

    /// With one more file in its folder.
    #[must_use]
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// With another network for issuers' keys.
    #[must_use]
    pub fn fetch(self, fetch: Arc<dyn Fetch>) -> Self {
        Self { fetch: Some(fetch), ..self }
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not start: the test cannot go on.
    pub async fn start(self) -> World {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_795_176_000)));
        let address = free_address();
        let issuer = format!("http://{address}");
        let text = format!("issuer = \"{issuer}\"\nlisten = \"{address}\"\n{}", self.config);
        std::fs::write(folder.path().join("broker.toml"), text).expect("a file");
        std::fs::write(folder.path().join("policy.toml"), &self.policy).expect("a file");
        let config = read_config(folder.path());
        setup::make_keys(&config.keys, &SystemRandom, true).expect("keys");
        for name in KEYS {
            setup::make_key(&folder.path().join("keys").join(format!("{name}.pem")), &SystemRandom, true)
                .expect("a key");
        }
        for (name, text) in &self.files {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            // Some of them are secrets.
            #[cfg(unix)]
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .expect("a mode");
        }
        setup::make_document(&config.keys, &issuer, clock.now(), true).expect("a document");
        let shared: Arc<dyn Clock> = clock.clone();
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let store = setup::init(&config, &shared, &random, StoreKind::Dev).await.expect("a store");
        let fetch = self.fetch.unwrap_or_else(|| Arc::new(HttpFetch::new().expect("a client")));
        World::serve(folder, config, store, clock, fetch).await
    }
}

impl World {
    /// A world with two workflows, two operators and two tools.
    #[must_use]
    pub fn builder() -> WorldBuilder {
        WorldBuilder {
            policy: POLICY.to_owned(),
            config: "[limits]\nexchanges_per_second = 100000\nfailures_per_minute = 100000\nadmin_per_second = 100000\n".to_owned(),
            files: Vec::new(),
            fetch: None,
        }
    }

    /// As [`World::builder`], started as it is.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    async fn serve(
        folder: Arc<TempDir>,
        config: Config,
        store: Store,
        clock: Arc<ManualClock>,
        fetch: Arc<dyn Fetch>,
    ) -> Self {
        let shared: Arc<dyn Clock> = clock.clone();
        let published = store.key_documents().await.expect("key documents");
        let keyring = Keyring::open(&config.keys, &config.issuer, true, Arc::clone(&shared), &published);
        let keyring = keyring.expect("keys");
        let (address, issuer) = (config.listen, config.issuer.clone());
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let parts = Parts { config, keyring, store, clock: shared, random, fetch: Arc::clone(&fetch) };
        let broker = Broker::start(parts).await.expect("a broker");
        tokio::spawn(shortbread_broker::rollout::chores(Arc::clone(&broker)));
        tokio::spawn(shortbread_broker::approvals::chores(Arc::clone(&broker)));
        let server = Server::bind(address, router(Arc::clone(&broker))).await.expect("a listener");
        let (stop, stopped) = oneshot::channel::<()>();
        let run = server.run(async { drop(stopped.await) }, Duration::from_secs(1));
        let served = Some(tokio::spawn(run));
        let http =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Self { issuer, broker, clock, http, folder, fetch, stop: Some(stop), served }
    }

    /// Stops the broker and starts it again over the same files.
    ///
    /// # Panics
    /// When it does not start again.
    pub async fn restart(self) -> Self {
        self.restart_after(|_| {}).await
    }

    /// Stops the broker, lets its folder be changed, and starts it again.
    ///
    /// # Panics
    /// When it does not start again.
    pub async fn restart_after(mut self, change: impl FnOnce(&Path)) -> Self {
        let (folder, clock, fetch) =
            (Arc::clone(&self.folder), Arc::clone(&self.clock), Arc::clone(&self.fetch));
        drop(self.stop.take());
        if let Some(served) = self.served.take() {
            served.await.expect("an orderly end");
        }
        drop(self);
        change(folder.path());
        let config = read_config(folder.path());
        let mut tries = 0;
        let store = loop {
            let reserve = Some(config.store.reserve.0);
            match Store::open(&config.store.sqlite, &Options { dev: true, reserve, ..Options::default() }) {
                Ok(store) => break store,
                // The last request's task may still hold the old handle for a moment.
                Err(error) if tries == 100 => panic!("the store does not open again: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            tries += 1;
        };
        Self::serve(folder, config, store, clock, fetch).await
    }

    /// A key of this world: `demo`, `other`, `operator`, `second`, `third` or `fourth`.
    ///
    /// # Panics
    /// When there is none of this name.
    #[must_use]
    pub fn key(&self, name: &str) -> PrivateKey {
        let pem = std::fs::read_to_string(self.path("keys").join(format!("{name}.pem"))).expect("a key file");
        PrivateKey::from_pem(pem.split_once('\n').map_or("", |(_, pem)| pem)).expect("a key")
    }

    /// The public root key, which verifiers pin.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn root(&self) -> PublicKey {
        self.key("root").public()
    }

    /// A path in this world's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }
}

// Hundreds of worlds need no 64 MiB each; who tests the reserve says how large it is.
fn read_config(folder: &Path) -> Config {
    let path = folder.join("broker.toml");
    let mut config = Config::read(&path).expect("a sound config");
    if !std::fs::read_to_string(path).is_ok_and(|text| text.contains("reserve")) {
        config.store.reserve = Size(256 << 10);
    }
    config
}

// The issuer is part of every signature, so the port must be known before anything listens. These ports are below
// those that systems hand out for outgoing connections, and no two worlds of this process try the same.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 10_000 + u16::try_from(std::process::id() % 150).unwrap_or_default() * 100;
    loop {
        let port = start + NEXT.fetch_add(1, Ordering::Relaxed) % 7_000;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(served) = self.served.take() {
            served.abort();
        }
    }
}
