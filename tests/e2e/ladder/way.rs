//! What stands between a tool service and its broker: a proxy or mirror that tests break.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use shortbread_tests::process::free_address;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// What it does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Asks the broker.
    Pass,
    /// Asks the broker, but has no stream; as a mirror does.
    NoStream,
    /// Says again what it said before.
    Frozen,
    /// Asks the broker, and changes a byte of every snapshot and delta.
    WrongFiles,
    /// Asks the broker, and changes a byte of every head.
    WrongHead,
}

struct Inside {
    upstream: String,
    mode: Mutex<Mode>,
    said: Mutex<HashMap<String, Vec<u8>>>,
    break_glass: Mutex<Option<String>>,
    http: reqwest::Client,
}

/// A way to the broker. It has threads of its own, so that cutting it ends every connection at once.
pub(super) struct Way {
    pub(super) url: String,
    address: String,
    inside: Arc<Inside>,
    runtime: Option<Runtime>,
}

impl Way {
    pub(super) fn to(upstream: &str, mode: Mode) -> Self {
        let address = free_address();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let inside = Arc::new(Inside {
            upstream: upstream.to_owned(),
            mode: Mutex::new(mode),
            said: Mutex::default(),
            break_glass: Mutex::default(),
            http,
        });
        let mut way = Self { url: format!("http://{address}"), address, inside, runtime: None };
        way.mend();
        way
    }

    pub(super) fn set(&self, mode: Mode) {
        *self.inside.mode.lock().unwrap() = mode;
    }

    /// Serves this break-glass head, which the broker knows nothing of.
    pub(super) fn break_glass(&self, head: String) {
        *self.inside.break_glass.lock().unwrap() = Some(head);
    }

    /// Closes the port and every connection.
    pub(super) fn cut(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Opens the port again.
    pub(super) fn mend(&mut self) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind(&self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let router = Router::new().fallback(pass).with_state(Arc::clone(&self.inside));
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
        self.runtime = Some(runtime);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.cut();
    }
}

async fn pass(State(inside): State<Arc<Inside>>, request: Request) -> Response {
    let (path, mode) = (request.uri().path().to_owned(), *inside.mode.lock().unwrap());
    let stream = path.ends_with("/stream");
    if path.ends_with("/break-glass")
        && let Some(head) = inside.break_glass.lock().unwrap().clone()
    {
        return head.into_response();
    }
    if stream && mode != Mode::Pass {
        return StatusCode::NOT_FOUND.into_response();
    }
    if mode == Mode::Frozen {
        let said = inside.said.lock().unwrap().get(&path).cloned();
        return said
            .map_or(StatusCode::NOT_FOUND.into_response(), axum::response::IntoResponse::into_response);
    }
    let mut ask = inside.http.get(format!("{}{path}", inside.upstream));
    for name in ["last-event-id", "accept"] {
        if let Some(value) = request.headers().get(name) {
            ask = ask.header(name, value);
        }
    }
    let Ok(answer) = ask.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let status = answer.status();
    if stream && status == StatusCode::OK {
        return ([("content-type", "text/event-stream")], Body::from_stream(answer.bytes_stream()))
            .into_response();
    }
    let Ok(bytes) = answer.bytes().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let mut bytes = bytes.to_vec();
    let file = path.contains("/snapshot/") || path.contains("/delta/");
    let wrong = match mode {
        Mode::WrongFiles => file,
        Mode::WrongHead => path.ends_with("/head"),
        _ => false,
    };
    if wrong && let Some(byte) = bytes.get_mut(20) {
        *byte ^= 1;
    }
    if status == StatusCode::OK {
        inside.said.lock().unwrap().insert(path, bytes.clone());
    }
    (status, bytes).into_response()
}
