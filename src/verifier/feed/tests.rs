//! The feed against a small server on this machine.

mod figures;
mod held;
mod push;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use reqwest::StatusCode;
use reqwest::header::{ETAG, IF_NONE_MATCH};
use shortbread_protocol::random::SeededRandom;
use shortbread_protocol::verifiers::Step as Rung;
use tokio::net::TcpListener;

use super::*;
use crate::list::testing::{Broker, NOW, clock, open};
use crate::list::{Age, Next};

/// What the server answers, and what it was asked.
#[derive(Default)]
struct Served {
    head: Vec<u8>,
    keys: Vec<u8>,
    snapshot: Vec<u8>,
    down: bool,
    asked: Vec<String>,
    unchanged: usize,
}

type Shared = Arc<Mutex<Served>>;

struct Server {
    url: String,
    served: Shared,
}

impl Server {
    async fn start() -> Self {
        let served = Shared::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/revocations/head", get(head))
            .route("/revocations/{kind}/{name}", get(file))
            .with_state(Arc::clone(&served));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, served }
    }

    fn served(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap()
    }

    fn publish(&self, broker: &Broker, seq: u64, issued: u64) {
        let mut served = self.served();
        served.head = broker.signed(seq, issued);
        served.keys = broker.keys();
        served.snapshot = broker.snapshot();
    }

    fn feed(&self) -> (Arc<Trust>, Feed) {
        let trust = Arc::new(open(&clock(), None).unwrap());
        // A breaker that never opens: each step asks.
        let breaker = BreakerConfig { failures: 1000, of: 1000, ..BreakerConfig::default() };
        let interval = Duration::from_millis(10);
        let config = FeedConfig { interval, breaker, ..FeedConfig::new(&self.url) };
        let feed = Feed::new(Arc::clone(&trust), &config, Arc::new(SeededRandom::new(1))).unwrap();
        (trust, feed)
    }
}

async fn head(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let mut served = shared.lock().unwrap();
    served.asked.push("head".to_owned());
    if served.down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let tag =
        format!("\"{}\"", served.head.len() as u64 + served.head.iter().map(|b| u64::from(*b)).sum::<u64>());
    if headers.get(IF_NONE_MATCH).is_some_and(|sent| sent.as_bytes() == tag.as_bytes()) {
        served.unchanged += 1;
        return StatusCode::NOT_MODIFIED.into_response();
    }
    ([(ETAG, tag)], served.head.clone()).into_response()
}

async fn file(State(shared): State<Shared>, Path((kind, name)): Path<(String, String)>) -> Response {
    let mut served = shared.lock().unwrap();
    let bytes = if kind == "keys" { served.keys.clone() } else { served.snapshot.clone() };
    served.asked.push(format!("{kind}/{name}"));
    bytes.into_response()
}

#[tokio::test]
async fn the_first_poll_fetches_keys_and_list_and_the_next_ones_nothing() {
    let (server, broker) = (Server::start().await, Broker::new());
    server.publish(&broker, 10, NOW);
    let (trust, mut feed) = server.feed();
    assert_eq!(feed.step().await.unwrap(), Step::Applied { seq: 10 });
    assert_eq!(trust.age(), Age::Seconds(0));
    let hash = hex::encode(broker.head(10, NOW).snapshot.sha256);
    assert_eq!(server.served().asked, ["head", "keys/1", &format!("snapshot/5-{hash}")]);

    assert_eq!(feed.step().await.unwrap(), Step::Unchanged);
    assert_eq!(server.served().unchanged, 1);
    server.publish(&broker, 11, NOW);
    assert_eq!(feed.step().await.unwrap(), Step::Applied { seq: 11 });
    assert_eq!(server.served().asked.len(), 5);
}

#[tokio::test]
async fn a_broker_that_is_down_is_followed_again_with_the_next_step() {
    let (server, mut broker) = (Server::start().await, Broker::new());
    server.publish(&broker, 10, NOW);
    let (trust, mut feed) = server.feed();
    feed.step().await.unwrap();
    server.served().down = true;
    for _ in 0..5 {
        let error = feed.step().await.unwrap_err();
        assert!(
            matches!(error, FeedError::Status { status: StatusCode::SERVICE_UNAVAILABLE, .. }),
            "{error}"
        );
    }
    assert!(feed.delay() <= Duration::from_millis(10), "{:?}", feed.delay());
    assert_eq!((trust.state().seq(), feed.status().step), (10, Rung::Disk));
    broker.revoke(11, "payroll");
    server.publish(&broker, 12, NOW);
    server.served().down = false;
    assert_eq!(feed.step().await.unwrap(), Step::Applied { seq: 12 });
    assert_eq!(feed.status().step, Rung::Poll);
}

#[tokio::test]
async fn nobody_listening_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = FeedConfig::new(format!("http://{}", listener.local_addr().unwrap()));
    drop(listener);
    let trust = Arc::new(open(&clock(), None).unwrap());
    let mut feed = Feed::new(Arc::clone(&trust), &config, Arc::new(SeededRandom::new(1))).unwrap();
    assert!(matches!(feed.step().await, Err(FeedError::Http { .. })));
    assert_eq!(trust.age(), Age::None);
}

#[tokio::test]
async fn what_is_not_as_the_head_says_is_not_taken_and_asked_for_again() {
    let (server, mut broker) = (Server::start().await, Broker::new());
    server.publish(&broker, 10, NOW);
    let (trust, mut feed) = server.feed();
    feed.step().await.unwrap();
    broker.revoke(11, "payroll");
    server.publish(&broker, 11, NOW);
    let whole = std::mem::take(&mut server.served().snapshot);
    let code = |result: Result<Step, FeedError>| result.unwrap_err().code();
    assert_eq!(code(feed.step().await), "size_mismatch");
    server.served().snapshot = [whole.as_slice(), b"x"].concat();
    assert_eq!(code(feed.step().await), "too_large");
    let head = std::mem::replace(&mut server.served().head, vec![b'x'; 10_000]);
    assert_eq!(code(feed.step().await), "too_large");
    assert_eq!(trust.state().seq(), 10);
    server.served().head = head;
    server.served().snapshot = whole;
    assert_eq!(feed.step().await.unwrap(), Step::Applied { seq: 11 });
}

#[tokio::test]
async fn where_a_delta_is_not_to_be_had_the_whole_list_is_fetched() {
    let (server, mut broker) = (Server::start().await, Broker::new());
    server.publish(&broker, 10, NOW);
    let (trust, mut feed) = server.feed();
    feed.step().await.unwrap();
    let old = broker.snapshot.clone();
    broker.revoke(11, "payroll");
    server.publish(&broker, 11, NOW);
    // What it serves under the name of the delta is none.
    let (head, _) = broker.after(&old, 11);
    server.served().head = crate::list::testing::sign(&head);
    server.served().asked.clear();
    assert_eq!(feed.step().await.unwrap(), Step::Applied { seq: 11 });
    assert_eq!(trust.state().contents(), 11);
    let asked = server.served().asked.clone();
    let kinds: Vec<_> = asked.iter().filter_map(|asked| asked.split('/').next()).collect();
    assert_eq!(kinds, ["head", "delta", "snapshot"]);
    // Where the whole list needs that delta too, nothing else leads there, and nothing is asked for in vain.
    let old = broker.snapshot.clone();
    let before = broker.head(12, NOW).snapshot;
    broker.revoke(12, "mail");
    let (head, _) = broker.after(&old, 12);
    server.served().head =
        crate::list::testing::sign(&shortbread_protocol::revocations::Head { snapshot: before, ..head });
    server.served().asked.clear();
    assert!(feed.step().await.is_err());
    assert_eq!(server.served().asked.len(), 2);
}

#[tokio::test]
async fn an_older_head_is_refused_but_no_reason_to_ask_less_often() {
    let (server, broker) = (Server::start().await, Broker::new());
    server.publish(&broker, 10, NOW);
    let (trust, mut feed) = server.feed();
    feed.step().await.unwrap();
    server.publish(&broker, 9, NOW);
    assert_eq!(feed.step().await.unwrap(), Step::Older);
    assert!(feed.delay() <= Duration::from_millis(13));
    assert_eq!((trust.state().seq(), trust.status().heads_refused["older"]), (10, 1));
}

#[tokio::test]
async fn a_source_that_lags_behind_a_change_of_keys_is_behind_and_nothing_worse() {
    let (server, mut broker) = (Server::start().await, Broker::new());
    server.publish(&broker, 10, NOW);
    let (trust, mut feed) = server.feed();
    feed.step().await.unwrap();
    let lagging = server.served().head.clone();
    broker.document.version = 2;
    let rotated = broker.signed(6, NOW);
    trust.offer_keys(&broker.keys()).unwrap();
    assert!(matches!(trust.offer_head(&rotated), Ok(Next::Nothing)), "sequences begin anew");
    // By its tag, and by its text once the tag is another.
    assert_eq!(feed.step().await.unwrap(), Step::Older);
    assert_eq!((server.served().unchanged, feed.status().sources[1].state), (1, BreakerState::Closed));
    server.served().head =
        [lagging.as_slice(), lagging.split(|b| *b == b'\n').nth_back(1).unwrap(), b"\n"].concat();
    assert_eq!(feed.step().await.unwrap(), Step::Older);
    assert_eq!(trust.status().heads_refused["keys_older"], 1);
    // A good source is not called old for a sequence that went down.
    server.publish(&broker, 6, NOW);
    assert_eq!(feed.step().await.unwrap(), Step::Unchanged);
    assert_eq!(feed.step().await.unwrap(), Step::Unchanged);
    assert_eq!(server.served().unchanged, 2);
}

#[tokio::test]
async fn a_key_document_of_another_root_gives_no_list() {
    let (server, broker) = (Server::start().await, Broker::new());
    server.publish(&broker, 10, NOW);
    server.served().keys = broker.document.sign(&crate::list::testing::key(9)).into_bytes();
    let (trust, mut feed) = server.feed();
    assert_eq!(feed.step().await.unwrap_err().code(), "keys_refused");
    assert_eq!(trust.age(), Age::None);
}

#[tokio::test]
async fn a_clock_that_is_ahead_makes_no_source_a_bad_one_while_newer_heads_come() {
    let (server, broker, clock) = (Server::start().await, Broker::new(), clock());
    let trust = Arc::new(open(&clock, None).unwrap());
    let config = FeedConfig::new(&server.url);
    let mut feed = Feed::new(Arc::clone(&trust), &config, Arc::new(SeededRandom::new(1))).unwrap();
    for beat in 0..8 {
        server.publish(&broker, 10 + beat, NOW - 29 + 5 * beat);
        assert_eq!(feed.step().await.unwrap(), Step::Applied { seq: 10 + beat });
        let status = feed.status();
        assert_eq!((status.step, status.sources[1].state), (Rung::Poll, BreakerState::Closed), "{beat}");
        clock.advance(Duration::from_secs(5));
    }
    // One that stands still is left as soon as any other is.
    clock.advance(Duration::from_secs(11));
    feed.step().await.unwrap();
    assert_eq!((trust.age(), feed.status().step), (Age::Seconds(45), Rung::Disk));
    // And further behind than any clock may be ahead is behind.
    server.publish(&broker, 20, NOW + 51 - 46);
    feed.step().await.unwrap();
    assert_eq!((trust.age(), feed.status().step), (Age::Seconds(46), Rung::Disk));
}

#[tokio::test]
async fn run_follows_until_it_is_stopped() {
    let (server, broker) = (Server::start().await, Broker::new());
    server.publish(&broker, 10, NOW);
    let (trust, feed) = server.feed();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(feed.run(async move { drop(stopped.await) }));
    let applied = |seq| {
        let trust = Arc::clone(&trust);
        let wait = async move {
            while trust.state().seq() != seq {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait)
    };
    applied(10).await.unwrap();
    server.publish(&broker, 11, NOW);
    applied(11).await.unwrap();
    stop.send(()).unwrap();
    running.await.unwrap();
}
