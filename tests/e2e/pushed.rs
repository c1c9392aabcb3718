//! The list is pushed: whoever holds a stream has each head, and what leads to it, when it is published.

use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use reqwest::header::HeaderMap;
use serde_json::json;
use shortbread_protocol::clock::{Clock as _, SystemClock};
use shortbread_tests::World;
use shortbread_verifier::feed::Step;

const PATIENCE: Duration = Duration::from_secs(10);

/// One event as a reader has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Event {
    kind: String,
    id: String,
    data: String,
}

impl Event {
    fn seq(&self) -> u64 {
        assert_eq!(self.kind, "head", "{self:?}");
        self.id.parse().unwrap()
    }

    /// From where to where, the hash, and the delta.
    fn delta(&self) -> (String, Vec<u8>) {
        assert_eq!(self.kind, "delta", "{self:?}");
        let (name, body) = self.data.split_once(' ').unwrap();
        (name.to_owned(), unzip(&STANDARD.decode(body).unwrap()))
    }
}

fn unzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

/// The contents that a head stands for.
fn contents(head: &str) -> u64 {
    let field = |line: &str, n: usize| line.split(' ').nth(n).unwrap().parse().unwrap();
    let deltas = head.lines().filter(|line| line.starts_with("delta ")).map(|line| field(line, 2));
    let snapshot = head.lines().find(|line| line.starts_with("snapshot ")).unwrap();
    deltas.fold(field(snapshot, 1), u64::max)
}

/// A reader of the stream.
struct Reader(reqwest::Response);

impl Reader {
    async fn ask(client: &reqwest::Client, world: &World, last: Option<u64>) -> reqwest::Response {
        let request = client.get(format!("{}/revocations/stream", world.issuer));
        let request = last.into_iter().fold(request, |request, last| request.header("last-event-id", last));
        request.send().await.unwrap()
    }

    async fn open(world: &World, last: Option<u64>) -> (Self, Vec<Event>) {
        let mut reader = Self(Self::ask(&world.http, world, last).await);
        assert_eq!(reader.0.status(), 200);
        let first = reader.read().await.unwrap();
        let first = first.strip_prefix("retry: 250\n\n").expect("when to come back").to_owned();
        (reader, events(&first))
    }

    /// What came in one piece; `None` at the end of the stream.
    async fn read(&mut self) -> Option<String> {
        let chunk = tokio::time::timeout(PATIENCE, self.0.chunk()).await.expect("nothing came");
        chunk.expect("a whole stream").map(|chunk| String::from_utf8(chunk.to_vec()).unwrap())
    }
}

fn events(text: &str) -> Vec<Event> {
    assert!(text.ends_with("\n\n"), "events are whole: {text:?}");
    let one = |block: &str| {
        let mut event = Event::default();
        let mut data = Vec::new();
        for line in block.split('\n') {
            match line.split_once(": ").unwrap() {
                ("event", kind) => event.kind = kind.to_owned(),
                ("id", id) => event.id = id.to_owned(),
                ("data", line) => data.push(line),
                other => panic!("{other:?}"),
            }
        }
        event.data = data.join("\n");
        event
    };
    text.trim_end_matches('\n').split("\n\n").map(one).collect()
}

#[tokio::test]
async fn a_head_and_what_leads_to_it_come_in_one_piece() {
    let world = World::start().await;
    let (mut reader, first) = Reader::open(&world, None).await;
    let head = world.head().await;
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].data.as_bytes(), head.bytes, "the exact bytes");
    let header = |headers: &HeaderMap, name: &str| headers[name].to_str().unwrap().to_owned();
    let headers = reader.0.headers();
    assert_eq!(header(headers, "content-type"), "text/event-stream");
    assert_eq!(
        (header(headers, "cache-control"), header(headers, "x-accel-buffering")),
        ("no-store".into(), "no".into())
    );
    let done = world.revoke("workflow", "demo").await;
    let pushed = events(&reader.read().await.unwrap());
    let [head, delta] = &pushed[..] else { panic!("{pushed:?}") };
    assert_eq!(done.body["head"], json!(head.seq()));
    assert_eq!(head.data.as_bytes(), world.head().await.bytes);
    let (name, bytes) = delta.delta();
    let (from, to) = (contents(&first[0].data), contents(&head.data));
    assert!(name.starts_with(&format!("{from}-{to}-")) && done.body["seq"] == json!(to), "{name}");
    assert_eq!(world.get(&format!("/revocations/delta/{name}")).await.bytes, bytes);
    // A head of the same list comes alone.
    world.broker.publisher.publish().await.unwrap();
    let beat = events(&reader.read().await.unwrap());
    assert!(beat.len() == 1 && beat[0].seq() > head.seq());
}

#[tokio::test]
async fn a_stream_is_taken_up_where_it_broke_off() {
    let world = World::start().await;
    let (reader, first) = Reader::open(&world, None).await;
    drop(reader);
    let (last, from) = (first[0].seq(), contents(&first[0].data));
    world.revoke("workflow", "a").await;
    world.revoke("workflow", "b").await;
    let (_, missed) = Reader::open(&world, Some(last)).await;
    let [head, delta] = &missed[..] else { panic!("{missed:?}") };
    assert!(delta.delta().0.starts_with(&format!("{from}-{}-", contents(&head.data))), "both at once");
    let (_, nothing) = Reader::open(&world, Some(head.seq())).await;
    assert_eq!(nothing.len(), 1, "nothing was missed");
    for strange in [0, u64::MAX, last - 1] {
        let (_, unknown) = Reader::open(&world, Some(strange)).await;
        assert_eq!(unknown[0].data, head.data, "{strange}");
    }
    let broken = world.http.get(format!("{}/revocations/stream", world.issuer)).header("last-event-id", "x");
    assert_eq!(broken.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_stream_ends_in_order_and_goes_on_after_a_restart() {
    let world = World::start().await;
    let mut tool = world.tool("github");
    world.revoke("workflow", "a").await;
    tool.poll().await;
    let (mut reader, first) = Reader::open(&world, None).await;
    let clock = SystemClock::start();
    let world = world.restart().await;
    assert!(clock.monotonic() < Duration::from_secs(2), "it held the stop up");
    assert_eq!(reader.read().await, None, "not cut off");
    let (mut reader, again) = Reader::open(&world, Some(first[0].seq())).await;
    assert_eq!(again.len(), 1, "nothing to fetch: {again:?}");
    assert!(again[0].seq() > first[0].seq());
    assert_eq!(contents(&again[0].data), contents(&first[0].data));
    assert_eq!(tool.poll().await, Step::Applied { seq: again[0].seq() });
    world.revoke("workflow", "b").await;
    assert_eq!(events(&reader.read().await.unwrap()).len(), 2);
    assert!(matches!(tool.poll().await, Step::Applied { .. }));
}

#[tokio::test]
async fn who_never_reads_holds_nobody_up_and_sees_the_newest() {
    let world = World::start().await;
    // Its window takes no more than the first head.
    let slow = reqwest::Client::builder().http2_prior_knowledge().http2_initial_stream_window_size(600);
    let mut slow = Reader(Reader::ask(&slow.build().unwrap(), &world, None).await);
    let (mut fast, _) = Reader::open(&world, None).await;
    let mut last = String::new();
    for n in 0..30 {
        assert_eq!(world.revoke("workflow", &format!("w{n}")).await.status, 200);
        let pushed = fast.read().await.unwrap();
        assert_eq!(events(&pushed).len(), 2, "{pushed}");
        last = events(&pushed)[0].id.clone();
    }
    let mut seen = String::new();
    while !seen.contains(&format!("\nid: {last}\n")) || !seen.ends_with("\n\n") {
        seen.push_str(&slow.read().await.unwrap());
    }
    let heads = seen.matches("event: head\n").count();
    assert!(heads <= 5, "{heads} heads were kept for it");
    let text = seen.strip_prefix("retry: 250\n\n").unwrap();
    let (head, delta) = (events(text).pop(), seen.matches("event: delta\n").count());
    assert!(head.is_some() && delta <= heads);
}

#[tokio::test]
async fn streams_are_limited_and_polling_goes_on() {
    let world = World::start().await;
    // Many on one connection: what is limited is streams.
    let client = || reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let clients: Vec<_> = (0..4).map(|_| client()).collect();
    let mut open = Vec::new();
    for client in &clients {
        for _ in 0..128 {
            let response = Reader::ask(client, &world, None).await;
            assert_eq!(response.status(), 200, "{}", open.len());
            open.push(response);
        }
    }
    let refused = world.get("/revocations/stream").await;
    assert_eq!((refused.status, refused.reason(), refused.header("retry-after")), (503, "overloaded", "5"));
    assert_eq!((world.head().await.status, world.revoke("workflow", "demo").await.status), (200, 200));
    drop(open.pop());
    let mut tries = 0;
    while Reader::ask(&world.http, &world, None).await.status() != 200 {
        assert!(tries < 100, "a place that was given back is free");
        tokio::time::sleep(Duration::from_millis(20)).await;
        tries += 1;
    }
}

#[tokio::test]
async fn how_many_streams_an_address_has_is_a_setting() {
    let world = World::builder().config("[limits]\nstreams = 2").start().await;
    let (_one, _other) = (Reader::open(&world, None).await, Reader::open(&world, None).await);
    let refused = world.get("/revocations/stream").await;
    assert_eq!((refused.status, refused.reason()), (503, "overloaded"));
    assert_eq!(world.head().await.status, 200);
}

#[tokio::test]
async fn files_are_compressed_for_those_who_take_it_and_never_change() {
    let world = World::start().await;
    let selectors: Vec<_> =
        (0..50).map(|n| json!({ "kind": "workflow", "value": format!("w{n}") })).collect();
    world.revoke_with(json!({ "selectors": selectors })).await;
    let current = world.broker.publisher.current().unwrap();
    let hex = |hash: &[u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let file = current.deltas[0].reference;
    let hash = hex(&file.to.sha256);
    let path = format!("/revocations/delta/{}-{}-{hash}", file.from, file.to.seq);
    let url = format!("{}{path}", world.issuer);
    let plain = world.get(&path).await;
    let forever = "public, max-age=31536000, immutable";
    assert_eq!((plain.status, plain.bytes.len() as u64), (200, file.to.bytes));
    let says = |answer: &shortbread_tests::Answer, names: [&str; 4]| {
        names.map(|name| answer.header(name).to_owned())
    };
    let names = ["etag", "cache-control", "vary", "content-encoding"];
    let length = plain.bytes.len().to_string();
    assert_eq!(says(&plain, names), [&format!("\"{hash}\""), forever, "accept-encoding", ""]);
    assert_eq!(plain.header("content-length"), length);
    let zipped = world.send(world.http.get(&url).header("accept-encoding", "br, gzip;q=0.5")).await;
    let tag = format!("\"{hash}-gzip\"");
    assert_eq!(says(&zipped, names), [&tag, forever, "accept-encoding", "gzip"]);
    assert_eq!(zipped.header("content-length"), zipped.bytes.len().to_string());
    assert!(zipped.bytes.len() * 3 < plain.bytes.len() && unzip(&zipped.bytes) == plain.bytes);
    for encoding in ["identity", "gzip"] {
        let asked = world.send(world.http.head(&url).header("accept-encoding", encoding)).await;
        let same = if encoding == "gzip" { &zipped } else { &plain };
        assert_eq!((asked.status, asked.bytes.len()), (200, 0));
        assert_eq!(asked.header("content-length"), same.header("content-length"));
        assert_eq!(says(&asked, names), says(same, names));
        let tag = same.header("etag");
        let known = world.http.get(&url).header("accept-encoding", encoding).header("if-none-match", tag);
        let known = world.send(known).await;
        assert_eq!((known.status, known.bytes.len(), known.header("etag")), (304, 0, tag));
    }
    let wrong = [format!("{path}0"), path.to_uppercase(), path.replace("delta/", "delta/0")];
    for missing in wrong.iter().map(String::as_str).chain(["/revocations/delta/1-2", "/revocations/delta/x"])
    {
        let answer = world.get(missing).await;
        assert_eq!((answer.status, answer.header("cache-control")), (404, "no-store"), "{missing}");
    }
}
