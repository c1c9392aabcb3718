//! The stream against a server that writes what a test tells it, byte by byte where it matters.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use shortbread_protocol::revocations::{Delta, DeltaRef, FileRef, Head, MAX_HEAD, origin};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::broadcast;

use super::*;
use crate::list::testing::{ISSUER, sign};

/// A broker with a stream.
pub(super) struct Pusher {
    url: String,
    inside: Arc<Inside>,
}

struct Inside {
    files: Mutex<Vec<(String, Vec<u8>)>>,
    asked: Mutex<Vec<String>>,
    /// Pieces for every stream; an empty one ends it.
    pieces: broadcast::Sender<Vec<u8>>,
}

impl Pusher {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inside = Arc::new(Inside {
            files: Mutex::default(),
            asked: Mutex::default(),
            pieces: broadcast::channel(4096).0,
        });
        let shared = Arc::clone(&inside);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(answer(connection, Arc::clone(&shared)));
            }
        });
        Self { url, inside }
    }

    pub(super) fn put(&self, path: impl Into<String>, bytes: Vec<u8>) {
        self.inside.files.lock().unwrap().push((path.into(), bytes));
    }

    /// The files that a head of this broker names.
    pub(super) fn publish(&self, broker: &Broker, head: &Head) {
        self.put("keys/1", broker.keys());
        let snapshot = &head.snapshot;
        let bytes = broker.snapshot();
        self.put(format!("snapshot/{}-{}", snapshot.seq, hex::encode(snapshot.sha256)), bytes);
        self.put("head", sign(head));
    }

    pub(super) fn send(&self, text: impl AsRef<[u8]>) {
        drop(self.inside.pieces.send(text.as_ref().to_vec()));
    }

    fn asked(&self, part: &str) -> usize {
        self.inside.asked.lock().unwrap().iter().filter(|asked| asked.contains(part)).count()
    }

    /// Waits until so many streams were opened.
    pub(super) async fn streams(&self, count: usize) {
        until(|| self.asked("GET /revocations/stream") >= count).await;
        // Asked is not answered yet.
        until(|| self.inside.pieces.receiver_count() > 0).await;
    }

    pub(super) fn follow(&self, config: FeedConfig) -> (Arc<Trust>, FeedHandle, JoinSet<()>) {
        let trust = Arc::new(open(&clock(), None).unwrap());
        let feed = Feed::new(Arc::clone(&trust), &config, Arc::new(SeededRandom::new(1))).unwrap();
        let (handle, mut running) = (feed.handle(), JoinSet::new());
        running.spawn(feed.run(std::future::pending()));
        (trust, handle, running)
    }

    pub(super) fn config(&self) -> FeedConfig {
        let (interval, silence) = (Duration::from_millis(200), Duration::from_secs(60));
        FeedConfig { interval, silence, ..FeedConfig::new(&self.url) }
    }
}

async fn answer(mut connection: TcpStream, inside: Arc<Inside>) {
    let (mut request, mut chunk) = (Vec::new(), [0; 1024]);
    while !request.ends_with(b"\r\n\r\n") {
        match connection.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(count) => request.extend_from_slice(&chunk[..count]),
        }
    }
    let text = String::from_utf8(request).unwrap();
    let path = text.split(' ').nth(1).unwrap().strip_prefix("/revocations/").unwrap().to_owned();
    let mut pieces = inside.pieces.subscribe();
    inside.asked.lock().unwrap().push(text);
    if path == "stream" {
        let start = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        connection.write_all(start).await.unwrap();
        while let Ok(piece) = pieces.recv().await {
            if piece.is_empty() || connection.write_all(&piece).await.is_err() {
                return;
            }
        }
    }
    let found = {
        let files = inside.files.lock().unwrap();
        files.iter().rev().find(|(name, _)| *name == path).map(|(_, bytes)| bytes.clone())
    };
    let (status, body) = found.map_or(("404 Not Found", Vec::new()), |bytes| ("200 OK", bytes));
    let start = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    drop(connection.write_all(&[start.as_bytes(), &body].concat()).await);
}

pub(super) async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("it holds in time");
}

pub(super) fn event(head: &[u8]) -> String {
    let lines = std::str::from_utf8(head).unwrap().split('\n');
    format!("event: head\ndata: {}\n\n", lines.collect::<Vec<_>>().join("\ndata: "))
}

/// A change at `seq`: the head that stands for it, the delta's bytes, and the delta as an event.
pub(super) fn change(broker: &mut Broker, seq: u64, workflow: &str) -> (Head, Vec<u8>, String) {
    let mut head = broker.head(seq, NOW);
    let before = head.snapshot.seq;
    broker.revoke(seq, workflow);
    let entries = broker.snapshot.entries.iter().filter(|entry| entry.seq == seq).cloned().collect();
    let bytes = Delta { from: before, seq, entries, ..Delta::default() }.encode(&origin(ISSUER));
    let sha256: [u8; 32] = Sha256::digest(&bytes).into();
    head.deltas = vec![DeltaRef { from: before, to: FileRef { seq, sha256, bytes: bytes.len() as u64 } }];
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&bytes).unwrap();
    let packed = STANDARD.encode(gzip.finish().unwrap());
    let event = format!("event: delta\ndata: {before}-{seq}-{} {packed}\n\n", hex::encode(sha256));
    (head, bytes, event)
}

#[tokio::test]
async fn a_change_that_is_pushed_costs_no_request() {
    let (server, mut broker) = (Pusher::start().await, Broker::new());
    server.publish(&broker, &broker.head(10, NOW));
    let (trust, handle, _running) = server.follow(server.config());
    server.streams(1).await;
    server.send(event(&broker.signed(10, NOW)));
    // Soon after the head is in force.
    until(|| trust.state().seq() == 10 && handle.status().step == Rung::Stream).await;
    let (head, _, delta) = change(&mut broker, 11, "payroll");
    // As many pieces as there are bytes.
    for byte in format!(": hello\n{}{delta}", event(&sign(&head))).bytes() {
        server.send([byte]);
    }
    until(|| trust.state().seq() == 11).await;
    assert_eq!((trust.state().contents(), server.asked("delta/"), server.asked("/head")), (11, 0, 0));
    // And in one piece.
    let (head, _, delta) = change(&mut broker, 12, "mail");
    server.send(event(&sign(&head)) + &delta);
    until(|| trust.state().seq() == 12).await;
    assert_eq!((trust.state().contents(), server.asked("delta/"), server.asked("/head")), (12, 0, 0));
}

#[tokio::test]
async fn a_delta_that_is_not_the_one_named_is_fetched() {
    let (server, mut broker) = (Pusher::start().await, Broker::new());
    server.publish(&broker, &broker.head(10, NOW));
    let (trust, _, _running) = server.follow(server.config());
    server.streams(1).await;
    server.send(event(&broker.signed(10, NOW)));
    until(|| trust.state().seq() == 10).await;
    let (head, bytes, delta) = change(&mut broker, 11, "payroll");
    let sha256 = hex::encode(head.deltas[0].to.sha256);
    server.put(format!("delta/5-11-{sha256}"), bytes);
    let wrong = delta.replace(&sha256, &"0".repeat(64));
    server.send(event(&sign(&head)) + &wrong);
    until(|| trust.state().seq() == 11).await;
    assert_eq!(server.asked("delta/"), 1);
    // The stream lives on.
    server.send(event(&sign(&Head { seq: 12, ..head })));
    until(|| trust.state().seq() == 12).await;
    assert_eq!(server.asked("GET /revocations/stream"), 1);
}

#[tokio::test]
async fn a_stream_that_ends_is_opened_again_after_the_head_in_force() {
    let (server, broker) = (Pusher::start().await, Broker::new());
    server.publish(&broker, &broker.head(10, NOW));
    let (trust, handle, _running) = server.follow(server.config());
    server.streams(1).await;
    assert_eq!(server.asked("last-event-id"), 0);
    server.send(event(&broker.signed(10, NOW)));
    until(|| trust.state().seq() == 10).await;
    server.send("");
    server.streams(2).await;
    assert_eq!(server.asked("last-event-id: 10\r\n"), 1);
    server.send(event(&broker.signed(11, NOW)));
    until(|| trust.state().seq() == 11).await;
    until(|| handle.status().step == Rung::Stream).await;
}

#[tokio::test]
async fn a_stream_that_lies_or_goes_on_for_ever_is_left_for_polls() {
    let (server, broker) = (Pusher::start().await, Broker::new());
    let lie = event(&broker.signed(11, NOW).to_ascii_lowercase());
    let endless = "x".repeat(2 * MAX_HEAD);
    let strange = "event: delta\ndata: nonsense\n\n";
    for (at, lie) in [lie.as_str(), &endless, strange].into_iter().enumerate() {
        server.publish(&broker, &broker.head(20 + at as u64, NOW));
        let (trust, handle, _running) = server.follow(server.config());
        let opened = server.asked("GET /revocations/stream");
        server.streams(opened + 1).await;
        server.send(lie);
        until(|| handle.status().step == Rung::Poll).await;
        assert_eq!(trust.state().seq(), 20 + at as u64);
        assert!(handle.status().sources[0].error.is_some(), "{lie:.40}");
    }
}

#[tokio::test]
async fn a_stream_that_says_the_same_again_and_again_is_silent() {
    let (server, broker) = (Pusher::start().await, Broker::new());
    server.publish(&broker, &broker.head(10, NOW));
    let silence = Duration::from_millis(150);
    let (trust, handle, _running) = server.follow(FeedConfig { silence, ..server.config() });
    server.streams(1).await;
    let head = event(&broker.signed(10, NOW));
    let again = async {
        loop {
            server.send(&head);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let silent = until(|| {
        let error = handle.status().sources[0].error.clone();
        error.is_some_and(|error| error.contains("no newer head in time"))
    });
    tokio::select! {
        () = again => {}
        () = silent => {}
    }
    assert_eq!(trust.state().seq(), 10);
}
