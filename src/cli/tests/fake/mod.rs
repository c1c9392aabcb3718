//! A broker that says what it is told to, and remembers what it was asked.

pub(crate) mod approvals;
mod deferred;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use shortbread_protocol::clock::{Clock as _, FOREVER, SystemClock};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::revocations::{FileRef, Head};

type Log = Arc<Mutex<HashMap<String, Value>>>;

pub(crate) struct FakeBroker {
    pub(crate) url: String,
    log: Log,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeBroker {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (log, over) = (Log::default(), Arc::new(AtomicBool::new(false)));
        let (to, end, own) = (log.clone(), over.clone(), url.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                // A client that goes away early is no fault of the test.
                let _ = serve(stream.unwrap(), &own, &to);
            }
        });
        Self { url, log, over, thread: Some(thread) }
    }

    /// Waits until a request of this kind was made.
    #[track_caller]
    pub(crate) fn until(&self, request: &str) {
        for _ in 0..200 {
            if self.log.lock().unwrap().contains_key(request) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("no {request}");
    }

    /// The body of the last request of this kind; forms as objects.
    #[track_caller]
    pub(crate) fn last(&self, request: &str) -> Value {
        self.log.lock().unwrap().get(request).cloned().unwrap_or_else(|| panic!("no {request}"))
    }
}

impl Drop for FakeBroker {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the thread, which then sees that it is over.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
        self.thread.take().map(JoinHandle::join);
    }
}

fn serve(mut stream: TcpStream, url: &str, log: &Log) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut length, mut bearer, mut proof) = (String::new(), 0, false, false);
    if reader.read_line(&mut first)? == 0 {
        return Ok(());
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        bearer |= line == "authorization: dpop estoken==";
        proof |= line.starts_with("dpop: ey");
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let request = first.rsplit_once(' ').unwrap().0.to_owned();
    let body = read(&body);
    let nth = note(log, &request, &body);
    assert!((bearer && proof) || !request.contains("/api/"), "an admin call carries the token and a proof");
    let (status, answer) = answer(&request, &body, nth, url);
    let date = "Date: ".to_owned() + &http_date();
    let head = format!(
        "HTTP/1.1 {status} X\r\n{date}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        answer.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(answer.as_bytes())
}

// How often the same was asked before; of deferral codes each on its own.
fn note(log: &Log, request: &str, body: &Value) -> u64 {
    let mut log = log.lock().unwrap();
    let code = body["deferral_code"].as_str().unwrap_or_default();
    let counted = log.entry(format!("count {request} {code}")).or_insert(json!(0));
    let nth = counted.as_u64().unwrap();
    *counted = (nth + 1).into();
    log.insert(format!("{request} {code}").trim().to_owned(), body.clone());
    nth
}

fn read(body: &[u8]) -> Value {
    if let Ok(json) = serde_json::from_slice(body) {
        return json;
    }
    let form = reqwest::Url::parse(&format!("form:/?{}", String::from_utf8_lossy(body))).unwrap();
    form.query_pairs().map(|(name, value)| (name.into_owned(), Value::from(value.into_owned()))).collect()
}

fn answer(request: &str, body: &Value, nth: u64, url: &str) -> (u16, String) {
    let now = SystemClock::start().now().seconds();
    let waits =
        approvals::answer(request, body, nth, now).or_else(|| deferred::answer(request, body, nth, url));
    if let Some((status, body)) = waits {
        return (status, body.to_string());
    }
    let path = request.split('?').next().unwrap();
    let (status, body) = match path {
        "GET /healthz" | "GET /readyz" => (200, json!({"status": "ok"})),
        "GET /.well-known/oauth-authorization-server" => (200, metadata(url)),
        "GET /revocations/head" => return (200, head(url, now)),
        "POST /oauth/token" if body["scope"] == "shortbread:status.read" => (400, refusal()),
        "POST /oauth/token" if body["scope"] == "shortbread:policy.rollback" => (400, refusal()),
        "POST /oauth/token" => (200, token()),
        "POST /api/v1/revocations" | "POST /api/v1/revocations/lift" => (
            200,
            json!({
                "seq": if body["reason"] == "soon over" || body["reason"] == "far off" { 17 } else { 18 }, "head": 19,
                "touched": {"tokens": 12, "workflows": 1, "tools": 2},
                "decision_id": "dec_revoked", "bound": if body["reason"] == "soon over" { now + 2 } else { now + 300 },
            }),
        ),
        "GET /api/v1/revocations/status" => (200, status(now, request.contains("seq=17"))),
        "GET /api/v1/revocations" => (
            200,
            json!({"head": 21, "issued": now, "revocations": [{
                "kind": "workflow", "value": "demo", "before": FOREVER, "until": null, "seq": 18, "cause": "incident",
                "operator": "alice", "at": now, "reason": "INC-482",
            }]}),
        ),
        "POST /api/v1/policy/activate" => (
            409,
            json!({
                "type": "urn:shortbread:problem:admin.conflict", "title": "t", "status": 409,
                "detail": "version 7 is in force already\u{1b}[2J", "reason": "admin.conflict",
                "decision_id": "dec_conflict", "request_id": "r", "retryable": false,
            }),
        ),
        "GET /api/v1/audit" => (
            200,
            json!({"next": 4, "entries": [{"index": 4, "event": {
                "id": "dec_1", "type": "dev.shortbread.revocation.set.v1", "time": "2026-11-20T12:00:00Z",
                "subject": "operator/alice", "data": {"outcome": "done", "entries": [{"what": "workflow demo"}]},
            }}]}),
        ),
        _ => (404, json!({"error": "nothing here"})),
    };
    (status, body.to_string())
}

// Two instances, of which one is silent, or both enforce the list.
fn status(now: u64, silent: bool) -> Value {
    let counts = json!({
        "enforcing": if silent { 1 } else { 2 }, "behind": 0, "silent": u8::from(silent), "gone": 0,
    });
    let instance = |label: &str, silent: bool| {
        json!({
            "verifier": "github", "label": label, "instance": "Zk3vQ1aBxyz", "leased": now - 90,
            "state": if silent { "silent" } else { "enforcing" }, "since": silent.then_some(now - 60), "lacks": 0,
            "seen": now - 60, "seq": 21, "contents": 18, "keys_version": 1, "break_glass": 0, "step": "stream",
            "age": 1, "propagation_ms": 12, "waiting": 0, "lost": 0,
        })
    };
    json!({
        "now": now, "head": 21, "issued": now, "contents": 18, "keys_version": 1, "change": 18, "instances": counts,
        "tools": [{"tool": "payments", "enforced": !silent, "instances": counts}], "unreported": [],
        "verifiers": [{"verifier": "github", "tools": ["payments"], "instances": counts}],
        "listed": [instance("host-1", silent), instance("host-2", false)], "left_off": 0,
    })
}

fn token() -> Value {
    json!({
        "access_token": "EsTOKEN==", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer", "expires_in": 120, "scope": "github:issues.read",
        "authorization_details": [{
            "type": "shortbread_tool_call", "tool": "github", "actions": ["issues.read"],
            "constraints": {"issues.read": {"repo": {"eq": "acme/web"}}}, "task": "t1",
        }],
        "shortbread": {
            "profile": "sb1", "token_id": "tok_1", "decision_id": "dec_2", "policy": "sha256:00",
            "revocation_seq": 17, "dropped": {"github:repo.delete": "policy.forbidden"}, "degraded": null,
        },
    })
}

fn refusal() -> Value {
    json!({
        "error": "access_denied", "error_description": "no grant gives this",
        "shortbread": {
            "decision_id": "dec_refused", "request_id": "r", "reason": "policy.not_granted", "retryable": false,
        },
    })
}

fn metadata(url: &str) -> Value {
    json!({
        "issuer": url, "token_endpoint": format!("{url}/oauth/token"),
        "revocation_endpoint": format!("{url}/oauth/revoke"),
        "introspection_endpoint": format!("{url}/oauth/introspect"),
        "introspection_endpoint_auth_methods_supported": ["private_key_jwt"], "jwks_uri": format!("{url}/.well-known/jwks.json"),
        "response_types_supported": [], "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["EdDSA"],
        "authorization_details_types_supported": ["shortbread_tool_call"], "scopes_supported": [],
        "shortbread": {
            "profile": "sb1", "biscuit_web_keys_uri": format!("{url}/.well-known/biscuit-web-keys"),
            "revocations_head_uri": format!("{url}/revocations/head"),
            "audit_checkpoint_uri": format!("{url}/log/checkpoint"),
            "deferral_cancellation_uri": format!("{url}/oauth/deferral/cancel"),
        },
    })
}

fn head(url: &str, now: u64) -> String {
    let head = Head {
        seq: 21,
        issued: now,
        next: now + 5,
        expires: now + 900,
        global: 0,
        snapshot: FileRef { seq: 18, sha256: [0; 32], bytes: 9 },
        deltas: Vec::new(),
        keys: (1, [0; 32]),
    };
    head.sign(&shortbread_protocol::revocations::origin(url), &PrivateKey::from_seed(&[1; 32]))
}

// IMF-fixdate out of RFC 3339; nobody looks at the weekday.
fn http_date() -> String {
    let now =
        shortbread_protocol::clock::Timestamp::from_seconds(SystemClock::start().now().seconds()).to_string();
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months[now[5..7].parse::<usize>().unwrap() - 1];
    format!("Fri, {} {month} {} {} GMT", &now[8..10], &now[..4], &now[11..19])
}
