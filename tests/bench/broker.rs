//! The broker under test: this program again, as a process of its own, put together as `serve` does it.

use std::fs::{File, read_to_string, write};
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use shortbread_broker::broker::{Broker, Parts};
use shortbread_broker::config::Config;
use shortbread_broker::http::{Server, router};
use shortbread_broker::identity::HttpFetch;
use shortbread_broker::keyring::{Keyring, read_private, read_public};
use shortbread_broker::setup;
use shortbread_broker::store::{AuditEntry, Options, Store, StoreKind};
use shortbread_broker::telemetry;
use shortbread_protocol::clock::{Clock, SystemClock};
use shortbread_protocol::keys::{PrivateKey, PublicKey};
use shortbread_protocol::random::{Random, SystemRandom};

use crate::Outcome;
use crate::disk::Folder;

const POLICY: &str = include_str!("policy.toml");
const KEYS: [&str; 2] = ["demo", "operator"];
/// How many batches wait for the store while its log is filled.
const AT_ONCE: usize = 32;
const START: Duration = Duration::from_secs(20);

/// Serves from a prepared folder until its standard input ends, as it does when the bench dies.
pub fn serve(folder: &Path) -> Outcome<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serving(folder))
}

async fn serving(folder: &Path) -> Outcome<()> {
    telemetry::log_json()?;
    let metrics = telemetry::collect()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let config = Config::read(&folder.join("broker.toml"))?;
    // After a restart it is there already.
    let store = if config.store.sqlite.exists() {
        Store::open(&config.store.sqlite, &Options { dev: true, ..Options::default() })?
    } else {
        setup::init(&config, &clock, &random, StoreKind::Dev).await?
    };
    let keyring = Keyring::read(&config.keys, &config.issuer, true, Arc::clone(&clock))?;
    let (address, fetch) = (config.listen, Arc::new(HttpFetch::new()?));
    let broker = Broker::start(Parts { config, keyring, store, clock, random, fetch }).await?;
    let from_one = broker.config.limits.connections;
    let server = Server::bind(address, router(Arc::clone(&broker))).await?.from_one(from_one);
    let chores = tokio::spawn(broker.chores());
    // On a port of its own choice: nobody reads them here, but keeping them is part of the work.
    let kept = tokio::spawn(telemetry::bind_metrics(([127, 0, 0, 1], 0).into(), metrics).await?);
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
    server.run(async { drop(ended.await) }, Duration::from_secs(2)).await;
    chores.abort();
    kept.abort();
    Ok(())
}

/// A broker that runs beside the bench.
pub struct Served {
    pub address: SocketAddr,
    pub issuer: String,
    folder: Folder,
    child: Child,
}

impl Served {
    /// Sets one up from nothing and waits until it is ready.
    pub fn start() -> Outcome<Self> {
        let folder = Folder::make("broker")?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let issuer = format!("http://{address}");
        prepare(folder.path(), &issuer, address)?;
        let child = spawn(folder.path())?;
        let mut served = Self { address, issuer, folder, child };
        served.await_ready()?;
        Ok(served)
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) -> Outcome<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again over the same files, and waits until it is ready.
    pub fn start_again(&mut self) -> Outcome<()> {
        self.child = spawn(self.folder.path())?;
        self.await_ready()
    }

    fn await_ready(&mut self) -> Outcome<()> {
        let clock = SystemClock::start();
        while clock.monotonic() < START {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the broker ended with {status}\n{}", self.log()).into());
            }
            if std::net::TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("the broker was not ready within {START:?}\n{}", self.log()).into())
    }

    /// The key of `demo` or of `operator`.
    pub fn key(&self, name: &str) -> Outcome<PrivateKey> {
        Ok(read_private(&key_file(self.folder.path(), name), true)?)
    }

    /// The public root key, which verifiers pin.
    pub fn root(&self) -> Outcome<PublicKey> {
        Ok(read_public(&self.folder.path().join("keys/root.pub.pem"), true)?)
    }

    /// Resident memory, in megabytes.
    pub fn resident(&self) -> Outcome<f64> {
        let status = read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: Option<f64> = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
        Ok(kib.ok_or("the resident memory is not to be read")? * 1024.0 / 1e6)
    }

    /// Processor time so far, in seconds: of the whole process, and of the thread that writes the store.
    pub fn processor(&self) -> Outcome<(f64, f64)> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()))?;
        let mut writer = 0.0;
        for task in tasks {
            let stat = read_to_string(task?.path().join("stat"))?;
            writer += if stat.contains("(store-writer)") { ticks(&stat)? } else { 0.0 };
        }
        Ok((ticks(&read_to_string(format!("/proc/{}/stat", self.child.id()))?)?, writer))
    }

    /// Stops it and counts the tokens in its store: every answer must be there.
    pub fn stop(mut self) -> Outcome<u64> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        if !status.success() {
            return Err(format!("the broker ended with {status}\n{}", self.log()).into());
        }
        let store = Store::open(
            &self.folder.path().join("shortbread.db"),
            &Options { dev: true, ..Options::default() },
        )?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(runtime.block_on(store.counts())?.tokens)
    }

    /// Fills its log while it is down, and starts it again over it.
    pub fn filled(&mut self, batches: impl Iterator<Item = Vec<AuditEntry>>) -> Outcome<()> {
        self.kill()?;
        let path = self.folder.path().join("shortbread.db");
        let store = Store::open(&path, &Options { dev: true, ..Options::default() })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(recorded(&store, batches))?;
        drop(store);
        self.start_again()
    }

    fn log(&self) -> String {
        read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Writes batches of entries into a store as uploads of call decisions go, so many at once.
pub async fn recorded(store: &Store, batches: impl Iterator<Item = Vec<AuditEntry>>) -> Outcome<()> {
    let turns = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut running = tokio::task::JoinSet::new();
    for batch in batches {
        let turn = Arc::clone(&turns).acquire_owned().await?;
        let store = store.clone();
        running.spawn(async move {
            let _turn = turn;
            store.record_calls(batch, |_| false).await
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

impl Drop for Served {
    fn drop(&mut self) {
        // After a failure: it must not outlive the bench. After `stop` it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time of this process, in seconds.
pub fn own_processor() -> Outcome<f64> {
    ticks(&read_to_string("/proc/self/stat")?)
}

// User and system time are the 14th and 15th field; the second may hold spaces. 100 ticks a second on Linux.
fn ticks(stat: &str) -> Outcome<f64> {
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    let times: Vec<f64> =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    match times[..] {
        [user, system] => Ok((user + system) / 100.0),
        _ => Err("the processor time is not to be read".into()),
    }
}

fn spawn(folder: &Path) -> Outcome<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("broker-for-bench").arg(folder).env_remove("SHORTBREAD_LOG").stdin(Stdio::piped());
    Ok(command.stdout(File::create(folder.join("log"))?).spawn()?)
}

fn prepare(folder: &Path, issuer: &str, address: SocketAddr) -> Outcome<()> {
    let config = format!(
        "issuer = \"{issuer}\"\nlisten = \"{address}\"\n\n\
         [limits]\nexchanges_per_second = 1000000\nfailures_per_minute = 1000000\nin_flight = 4096\nadmin_per_second = 1000000\n\
         connections = 4096\nstreams = 2048\npending_approvals = 1000000\n"
    );
    write(folder.join("broker.toml"), config)?;
    write(folder.join("policy.toml"), POLICY)?;
    let config = Config::read(&folder.join("broker.toml"))?;
    setup::make_keys(&config.keys, &SystemRandom, true)?;
    for name in KEYS {
        setup::make_key(&key_file(folder, name), &SystemRandom, true)?;
    }
    Ok(setup::make_document(&config.keys, issuer, SystemClock::start().now(), true)?)
}

fn key_file(folder: &Path, name: &str) -> PathBuf {
    folder.join("keys").join(format!("{name}.pem"))
}
