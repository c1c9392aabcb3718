//! What every backend must hold: each function takes an open store, and is run here on SQLite.

// Each named test of the suite, on a fresh store.
macro_rules! on_sqlite {
    ($($name:ident)*) => { mod on_sqlite { $(
        #[tokio::test]
        async fn $name() {
            let place = super::Place::new();
            super::$name(&place.create()).await;
        }
    )* } };
}

mod budgets;
mod damage;
mod decisions;
mod descent;
mod histories;
mod inputs;
mod instances;
mod keys;
mod lanes;
mod lists;
mod living;
mod opening;
mod reserve;
mod restores;
mod retries;
mod rfc6962;
mod tree;
mod writer;

use std::path::PathBuf;
use std::sync::mpsc;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::revocations::{Selector, SelectorKind};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_795_176_000);

/// A store in a folder of its own that can be closed and opened again.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("shortbread.db")
    }

    fn create(&self) -> Store {
        Store::create(&self.path(), &meta(StoreKind::Broker), &Options::default()).unwrap()
    }

    fn open(&self) -> Store {
        Store::open(&self.path(), &Options::default()).unwrap()
    }

    /// The same file, past the store.
    fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }
}

fn meta(kind: StoreKind) -> Meta {
    let issuer = "https://broker.acme.example".into();
    Meta { kind, issuer, created: NOW, hmac_secret: Zeroizing::new([7; 32]) }
}

fn audit(decision: &str) -> AuditEntry {
    let body = format!("{{\"id\":{decision:?}}}").into_bytes();
    AuditEntry {
        at: NOW,
        decision: decision.into(),
        trace: None,
        parent: None,
        about: None,
        body,
        input: None,
    }
}

fn selectors(workflow: &str, id: &str) -> Vec<(SelectorKind, String)> {
    [
        (SelectorKind::Workflow, workflow),
        (SelectorKind::Token, id),
        (SelectorKind::Tool, "github"),
        (SelectorKind::Verb, "github/issues.write"),
        (SelectorKind::Access, "write"),
        (SelectorKind::Access, "github/write"),
    ]
    .map(|(kind, value)| (kind, value.to_owned()))
    .to_vec()
}

/// A token of `workflow` that is issued at `issued` and lives ten minutes.
fn exchange(n: u64, workflow: &str, issued: u64) -> Exchange {
    let id = format!("tok_{n:032x}");
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&n.to_be_bytes());
    let standing = Standing { issued, selectors: selectors(workflow, &id), ..Standing::default() };
    let token = TokenRecord {
        id: id.clone(),
        principal: format!("workflow:{workflow}"),
        workflow: Some(workflow.into()),
        intent: None,
        task: None,
        issued,
        expires: issued + 600,
        holder: None,
        policy: 1,
        body: b"{}".to_vec(),
    };
    let replay = Some(Replay { hash, keep_until: issued + 120, made: issued, holder: None });
    let audit = audit(&format!("dec_{n:032x}"));
    Exchange {
        replay,
        token,
        standing,
        ties: Vec::new(),
        others: Vec::new(),
        one_shots: Vec::new(),
        spends: Vec::new(),
        redeem: None,
        retry: None,
        audit,
    }
}

fn target(kind: SelectorKind, value: &str) -> Target {
    Target::Selector(Selector::new(kind, value).unwrap())
}

fn workflow(name: &str) -> Target {
    target(SelectorKind::Workflow, name)
}

fn revocation(target: Target, mode: RevokeMode) -> Revoke {
    Revoke { target, mode, reason: "incident".into(), note: "INC-1".into(), until: None }
}

async fn revoke(store: &Store, target: Target, mode: RevokeMode) -> Changed {
    let audit = |changed: &Changed| audit(&format!("rev_{}", changed.seq));
    store.revoke(vec![revocation(target, mode)], "alice".into(), NOW, audit).await.unwrap()
}

async fn lift(store: &Store, target: Target, mode: LiftMode) -> Result<Changed, ChangeError> {
    let audit = |changed: &Changed| audit(&format!("lift_{}", changed.seq));
    store.lift(vec![Lift { target, mode, until: None }], NOW, audit).await
}

async fn head(store: &Store) -> Arc<Head> {
    store.next_head(NOW, |facts| Some(facts.seq.to_be_bytes().to_vec())).await.unwrap()
}

/// Keeps the writer busy until the sender is dropped, so that what is queued meanwhile becomes one group.
async fn hold(store: &Store) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let (begun, running) = tokio::sync::oneshot::channel();
    let (mut begun, store) = (Some(begun), store.clone());
    tokio::spawn(async move {
        let sign = move |_| {
            begun.take().unwrap().send(()).unwrap();
            let _ = held.recv();
            None
        };
        let _ = store.next_head(NOW, sign).await;
    });
    running.await.unwrap();
    release
}

/// Queues each operation behind a busy writer, then lets them all run as one group, in order.
async fn group<T: Send + 'static>(
    store: &Store,
    operations: Vec<std::pin::Pin<Box<dyn Future<Output = T> + Send>>>,
) -> Vec<T> {
    let release = hold(store).await;
    let mut running = Vec::new();
    for mut operation in operations {
        // The first poll queues it.
        let first = std::future::poll_fn(|cx| std::task::Poll::Ready(operation.as_mut().poll(cx))).await;
        assert!(first.is_pending());
        running.push(operation);
    }
    drop(release);
    futures_util::future::join_all(running).await
}
