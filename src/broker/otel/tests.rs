use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use shortbread_protocol::clock::{Clock, ManualClock, Timestamp};
use shortbread_protocol::event::{Decision, EventType};
use shortbread_protocol::random::SeededRandom;
use tempfile::TempDir;
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use super::*;
use crate::audit::Scribe;
use crate::store::{AuditEntry, Meta, Options, StoreKind};

const NOW: Timestamp = Timestamp::from_seconds(1_795_176_000);
const ISSUER: &str = "https://broker.acme.example";
const CALLER: [u8; 8] = [9; 8];

/// What must not leave the broker, wherever an entry has it.
const SECRET: &str = "hunter2";

/// A request: its path, its headers and its body.
type Got = (String, HeaderMap, Vec<u8>);

/// A collector on this host: what it was sent, and what it answers.
#[derive(Clone)]
struct Receiver {
    got: Arc<Mutex<Vec<Got>>>,
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Receiver {
    /// Answers with these one after the other, then with success.
    async fn start(answers: &[u16]) -> (Self, String) {
        let answers = answers.iter().rev().copied().collect();
        let receiver = Self { got: Arc::default(), answers: Arc::new(Mutex::new(answers)) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (receiver, url)
    }

    fn requests(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    fn spans(&self) -> Vec<Span> {
        let got = self.got.lock().unwrap();
        got.iter().flat_map(|(_, _, body)| spans(body).1).collect()
    }
}

async fn take(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let status = receiver.answers.lock().unwrap().pop().unwrap_or(200);
    receiver.got.lock().unwrap().push((uri.to_string(), headers, body.to_vec()));
    StatusCode::from_u16(status).unwrap()
}

// ---- the wire format of protocol buffers, read by hand: nothing here is shared with what wrote it

#[derive(Clone, Debug)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Field {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(number) => panic!("a number: {number}"),
        }
    }

    fn number(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            Self::Bytes(_) => panic!("no number"),
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            kind => {
                let length = match kind {
                    1 => 8,
                    2 => usize::try_from(varint(&mut bytes)).unwrap(),
                    5 => 4,
                    other => panic!("wire type {other}"),
                };
                let (own, rest) = bytes.split_at(length);
                bytes = rest;
                let little = || own.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
                if kind == 2 { Field::Bytes(own.to_vec()) } else { Field::Number(little()) }
            }
        };
        fields.push((key >> 3, field));
    }
    fields
}

fn all(bytes: &[u8], number: u64) -> Vec<Field> {
    fields(bytes).into_iter().filter(|(n, _)| *n == number).map(|(_, field)| field).collect()
}

fn one(bytes: &[u8], number: u64) -> Option<Field> {
    all(bytes, number).pop()
}

type Attributes = BTreeMap<String, String>;

// KeyValue: key 1, value 2; AnyValue: string 1, int 3.
fn attributes(bytes: &[u8], number: u64) -> Attributes {
    let read = |pair: &Field| {
        let value = one(pair.bytes(), 2).unwrap();
        let text = one(value.bytes(), 1).map(|text| text.text());
        let text = text.or_else(|| one(value.bytes(), 3).map(|number| number.number().to_string()));
        (one(pair.bytes(), 1).unwrap().text(), text.unwrap())
    };
    all(bytes, number).iter().map(read).collect()
}

#[derive(Debug)]
struct Span {
    trace: Vec<u8>,
    span: Vec<u8>,
    parent: Option<Vec<u8>>,
    name: String,
    kind: u64,
    start: u64,
    end: u64,
    attributes: Attributes,
    error: bool,
}

/// The resource's attributes and the spans of an ExportTraceServiceRequest.
fn spans(body: &[u8]) -> (Attributes, Vec<Span>) {
    let of_resource = one(body, 1).unwrap();
    let resource = attributes(one(of_resource.bytes(), 1).unwrap().bytes(), 1);
    let scopes = all(of_resource.bytes(), 2);
    let found = scopes.iter().flat_map(|scope| all(scope.bytes(), 2));
    let read = |field: Field| {
        let bytes = field.bytes();
        let number = |n| one(bytes, n).map_or(0, |field| field.number());
        let status = one(bytes, 15).and_then(|status| one(status.bytes(), 3));
        Span {
            trace: one(bytes, 1).unwrap().bytes().to_vec(),
            span: one(bytes, 2).unwrap().bytes().to_vec(),
            parent: one(bytes, 4).map(|parent| parent.bytes().to_vec()).filter(|parent| !parent.is_empty()),
            name: one(bytes, 5).unwrap().text(),
            kind: number(6),
            start: number(7),
            end: number(8),
            attributes: attributes(bytes, 9),
            error: status.is_some_and(|code| code.number() == 2),
        }
    };
    (resource, found.map(read).collect())
}

// ---- a store whose entries are exported

struct Place {
    store: Store,
    otel: Otel,
    folder: TempDir,
}

impl Place {
    fn start(endpoint: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (kind, hmac_secret) = (StoreKind::Broker, Zeroizing::new([7; 32]));
        let meta = Meta { kind, issuer: ISSUER.into(), created: NOW, hmac_secret };
        let store = Store::create(&folder.path().join("store.db"), &meta, &Options::default()).unwrap();
        std::fs::write(folder.path().join("headers"), format!("Authorization: Bearer {SECRET}")).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(folder.path().join("headers"), private).unwrap();
        }
        let mut config: config::Otel = toml::from_str(&format!("endpoint = {endpoint:?}\n{more}")).unwrap();
        config.headers_file = Some(folder.path().join("headers"));
        let clock = ManualClock::at(NOW);
        let otel = Otel::start(Some(&config), &store, &clock, &SeededRandom::new(1)).unwrap();
        Self { store, otel, folder }
    }

    async fn log(&self, n: u8, kind: EventType, data: Value) {
        self.store.record_denial(None, entry(n, kind, data)).await.unwrap();
    }

    async fn log_some(&self, count: u8) {
        for n in 0..count {
            self.log(n + 1, EventType::Decision, json!({ "outcome": "allow", "stage": "introspect" })).await;
        }
    }
}

fn entry(n: u8, kind: EventType, data: Value) -> AuditEntry {
    let parent = (n % 2 == 1).then_some(CALLER);
    let (trace, span) = ([n; 16], [n + 100; 8]);
    let decision = Decision { id: format!("dec_{n}"), at: NOW, trace, span, parent, flags: 1 };
    Scribe::new(ISSUER).entry(kind, &decision, format!("workflow/{SECRET}"), data)
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..2000 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing came in 20 s");
}

fn minted() -> Value {
    json!({
        "outcome": "allow", "reasons": ["grant:1"], "workflow": "demo", "task": "t-1", "holder": SECRET,
        "identity": { "iss": SECRET, "sub_sha256": SECRET }, "token": format!("tok_{SECRET}"), "cause": SECRET,
        "requested": ["github/issues.write"], "granted": ["github/issues.write"], "policy": "sha256:1",
        "revocation_seq": 7, "stage": "record", "latency_us": 1500, "detail": SECRET, "from": SECRET,
        "segment": {
            "workflow": "demo", "intent": "triage", "task": "t-1", "tool": "github", "access": "write", "release": "v3"
        },
    })
}

fn call() -> Value {
    json!({
        "outcome": "deny", "reasons": ["not_granted"], "workflow": "demo", "intent": "triage", "task": "t-1",
        "token": format!("tok_{SECRET}"), "tool": "github", "verb": "issues.write", "access": "write",
        "stage": "evaluate", "revocation_seq": 7, "segment": { "workflow": "demo", "tool": "github" },
        "verifier": "github", "instance": SECRET,
    })
}

#[tokio::test]
async fn the_collector_gets_each_decision_by_its_own_ids_and_nothing_secret() {
    let (receiver, url) = Receiver::start(&[]).await;
    let place = Place::start(&format!("{url}/tenant/"), "");
    place.log(1, EventType::TokenMinted, minted()).await;
    place.log(2, EventType::CallDecision, call()).await;
    let revoked =
        json!({ "outcome": "done", "operator": SECRET, "reason": SECRET, "entries": [{ "what": SECRET }] });
    place.log(3, EventType::RevocationSet, revoked).await;
    place.otel.finish().await;

    let got = receiver.got.lock().unwrap().clone();
    let (path, headers, body) = &got[0];
    assert_eq!((got.len(), path.as_str()), (1, "/tenant/v1/traces"));
    assert_eq!(headers["authorization"], format!("Bearer {SECRET}"));
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert!(!body.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()));

    let (resource, spans) = spans(body);
    assert_eq!(resource["service.name"], "shortbread");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((resource["service.instance.id"].len(), resource.len()), (32, 3));

    let nanos = NOW.millis() * 1_000_000;
    let [exchange, call, revoke] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((&exchange.trace[..], &exchange.span[..]), (&[1; 16][..], &[101; 8][..]));
    assert_eq!(exchange.parent.as_deref(), Some(&CALLER[..]));
    assert_eq!((exchange.name.as_str(), exchange.kind, exchange.error), ("exchange", 2, false));
    assert_eq!((exchange.start, exchange.end), (nanos, nanos + 1_500_000));
    let expected: Attributes = [
        ("shortbread.workflow", "demo"),
        ("shortbread.intent", "triage"),
        ("shortbread.task", "t-1"),
        ("shortbread.tool", "github"),
        ("shortbread.verb", "github/issues.write"),
        ("shortbread.access", "write"),
        ("shortbread.release", "v3"),
        ("shortbread.outcome", "allow"),
        ("shortbread.reason", "grant:1"),
        ("shortbread.stage", "record"),
        ("shortbread.policy", "sha256:1"),
        ("shortbread.revocation_seq", "7"),
        ("shortbread.decision_id", "dec_1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    assert_eq!(exchange.attributes, expected);

    assert_eq!((call.name.as_str(), call.kind, call.error), ("execute_tool issues.write", 1, true));
    assert_eq!((&call.trace[..], &call.span[..], &call.parent), (&[2; 16][..], &[102; 8][..], &None));
    assert_eq!((call.start, call.end), (nanos, nanos));
    for (name, value) in [
        ("gen_ai.operation.name", "execute_tool"),
        ("gen_ai.tool.name", "issues.write"),
        ("error.type", "not_granted"),
        ("shortbread.reason", "not_granted"),
        ("shortbread.verb", "github/issues.write"),
    ] {
        assert_eq!(call.attributes[name], value);
    }
    assert_eq!((revoke.name.as_str(), revoke.kind, revoke.error), ("revoke", 2, false));
    assert!(!revoke.attributes.contains_key("shortbread.reason"), "what an operator wrote is no code");
    assert!(place.folder.path().exists());
}

#[test]
fn spans_are_named_by_what_happened_and_errors_by_codes_alone() {
    let scope = opentelemetry::InstrumentationScope::builder("test").build();
    let of = |kind, data| span::span(&(&entry(1, kind, data)).into(), &scope).unwrap();
    let attribute = |span: &opentelemetry_sdk::trace::SpanData, name: &str| {
        let found = span.attributes.iter().find(|pair| pair.key.as_str() == name);
        found.map(|pair| pair.value.as_str().into_owned())
    };
    for (kind, data, name) in [
        (EventType::TokenRefused, json!({ "outcome": "deny" }), "exchange"),
        (EventType::Decision, json!({ "stage": "admin" }), "decide"),
        (EventType::Decision, json!({ "stage": "introspect" }), "introspect"),
        (EventType::RevocationLifted, json!({}), "lift"),
        (EventType::CallDecision, json!({ "tool": null, "verb": null }), "execute_tool"),
        (EventType::CallDecision, json!({ "stage": "result", "verb": "issues.write" }), "result"),
        (EventType::PolicyActivated, json!({}), "policy.activated"),
        (EventType::BreakerOpened, json!({}), "breaker.opened"),
        (EventType::StoreRestored, json!(null), "store.restored"),
    ] {
        assert_eq!(of(kind, data).name, name);
    }
    let result = of(EventType::CallDecision, json!({ "stage": "result", "verb": "issues.write" }));
    assert_eq!(attribute(&result, "gen_ai.operation.name"), None, "what became of a call is no call");
    let odd = of(
        EventType::TokenRefused,
        json!({ "outcome": "deny", "reasons": ["?"], "requested": ["a/b", "a/c"] }),
    );
    assert_eq!(attribute(&odd, "error.type").as_deref(), Some("_OTHER"));
    assert_eq!(attribute(&odd, "shortbread.verb"), None, "of several none is the one");
    let observed = of(EventType::CallDecision, json!({ "outcome": "allow", "observed": "not_granted" }));
    assert_eq!(attribute(&observed, "shortbread.observed").as_deref(), Some("not_granted"));
    assert_eq!(attribute(&observed, "error.type"), None);
    // What is no decision is none of ours to make one of.
    for body in [&b"{}"[..], b"", b"{\"id\":\"dec_1\",\"traceparent\":\"\"}"] {
        let logged = crate::store::Logged { at: NOW, parent: None, body: body.to_vec() };
        assert!(span::span(&logged, &scope).is_none());
    }
}

#[tokio::test]
async fn what_a_collector_could_not_take_is_sent_again_and_what_it_refuses_is_not() {
    let (receiver, url) = Receiver::start(&[503, 400]).await;
    let place = Place::start(&url, "");
    place.log_some(1).await;
    until(|| receiver.requests() == 2).await;
    let again = receiver.spans();
    assert_eq!((again.len(), &again[0].span), (2, &again[1].span), "503: the same once more; 400: given up");
    place.log(7, EventType::TokenMinted, minted()).await;
    until(|| receiver.requests() == 3).await;
    assert_eq!(receiver.spans()[2].trace, [7; 16]);
    place.otel.finish().await;
    assert_eq!(receiver.requests(), 3);
    place.log_some(1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(receiver.requests(), 3, "nothing is exported after the end");
}

#[tokio::test]
async fn a_dead_or_silent_collector_holds_up_no_record_and_no_end() {
    // One where nobody listens, and one that takes a connection and says nothing.
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for address in [nobody, silent.local_addr().unwrap()] {
        let place = Place::start(&format!("http://{address}"), "timeout = \"60s\"");
        let one = |n: usize| AuditEntry {
            decision: format!("dec_{n}"),
            ..entry(1, EventType::TokenMinted, minted())
        };
        let entries: Vec<_> = (0..2048).map(one).collect();
        for part in entries.chunks(1024) {
            let recorded = place.store.record_calls(part.to_vec(), |_| false).await.unwrap();
            assert!(recorded.iter().all(|new| *new));
        }
        assert_eq!(place.store.counts().await.unwrap().audit, entries.len() as u64);
        let begun = tokio::time::Instant::now();
        place.otel.finish().await;
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn an_operation_that_is_refused_tells_the_collector_nothing() {
    let (receiver, url) = Receiver::start(&[]).await;
    let place = Place::start(&url, "");
    let first = entry(1, EventType::CallDecision, call());
    let mine = |_: &[u8]| true;
    let new = place.store.record_calls(vec![first.clone()], mine).await.unwrap();
    let again = place.store.record_calls(vec![first], mine).await.unwrap();
    assert_eq!((new, again), (vec![true], vec![false]));
    place.otel.finish().await;
    assert_eq!(receiver.spans().len(), 1, "what was recorded before is told once");
}

#[test]
fn without_a_configuration_nothing_is_exported_and_a_wrong_one_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let (kind, hmac_secret) = (StoreKind::Broker, Zeroizing::new([7; 32]));
    let meta = Meta { kind, issuer: ISSUER.into(), created: NOW, hmac_secret };
    let store = Store::create(&folder.path().join("store.db"), &meta, &Options::default()).unwrap();
    let (clock, random) = (ManualClock::at(NOW), SeededRandom::new(1));
    let start = |config: Option<&config::Otel>| Otel::start(config, &store, &clock, &random);
    assert!(start(None).is_ok_and(|otel| otel.carrier.is_none()) && clock.now() == NOW);
    let read = |text: &str| toml::from_str::<config::Otel>(text).unwrap();
    let far = read("endpoint = \"http://collector.example:4318\"");
    assert!(matches!(start(Some(&far)), Err(OtelError::Endpoint(FetchError::NotHttps))));
    let slow = read("endpoint = \"http://127.0.0.1:4318\"\ntimeout = \"5m\"");
    assert!(start(Some(&slow)).unwrap_err().to_string().contains("60s or less"));
    let absent = read("endpoint = \"http://127.0.0.1:4318\"\nheaders_file = \"/nowhere/headers\"");
    assert!(matches!(start(Some(&absent)), Err(OtelError::Unreadable { .. })));
}
