//! The revocation list, for verifiers and mirrors.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use shortbread_protocol::admin::Problem;
use shortbread_protocol::reason::Reason;

use super::App;
use super::failure::Failure;
use crate::exchange::Context;
use crate::publish::SnapshotFile;

const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// The signed head.
#[utoipa::path(get, path = "/revocations/head", tag = "revocations", params(("If-None-Match" = Option<String>, Header, description = "The entity tag that the reader has")),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 304), (status = 503, body = Problem)))]
pub(super) async fn head(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    headers: HeaderMap,
) -> Response {
    let Some(current) = app.broker.publisher.current() else {
        return Failure::plain(Reason::StoreUnavailable).answer(&context.decision);
    };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let fresh =
        [(header::ETAG, current.etag.clone()), (header::CACHE_CONTROL, "public, max-age=1".to_owned())];
    if known.is_some_and(|known| known.split(',').any(|tag| tag.trim() == current.etag)) {
        return (StatusCode::NOT_MODIFIED, fresh).into_response();
    }
    (fresh, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], current.head.clone()).into_response()
}

/// A snapshot by its sequence and hash, as the head names it.
#[utoipa::path(get, path = "/revocations/snapshot/{name}", tag = "revocations", params(("name" = String, Path, description = "sequence, a hyphen, SHA-256 in hex")),
    responses((status = 200, body = String, content_type = "application/octet-stream"), (status = 404, body = Problem)))]
pub(super) async fn snapshot(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    name: Result<Path<String>, PathRejection>,
) -> Response {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let current = app.broker.publisher.current();
    let found = current.as_ref().and_then(|current| {
        current
            .snapshots
            .iter()
            .find(|file| format!("{}-{}", file.reference.seq, hex::encode(file.reference.sha256)) == name)
    });
    match found {
        Some(file) => immutable("application/octet-stream", Bytes::from_owner(Served(Arc::clone(file)))),
        None => {
            Failure::new(Reason::NotFound, "no such snapshot; read the head again").answer(&context.decision)
        }
    }
}

/// A key document by its version.
#[utoipa::path(get, path = "/revocations/keys/{version}", tag = "revocations", params(("version" = u64, Path)),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 404, body = Problem)))]
pub(super) async fn keys(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    version: Result<Path<String>, PathRejection>,
) -> Response {
    // One spelling each, so that a cache holds each once.
    let version = version.ok().and_then(|Path(text)| Some((text.parse::<u64>().ok()?, text)));
    let version = version.filter(|(number, text)| number.to_string() == *text);
    match version.and_then(|(number, _)| app.broker.keyring.published(number)) {
        Some(signed) => immutable("text/plain; charset=utf-8", Bytes::from_owner(signed)),
        None => Failure::new(Reason::NotFound, "no such key document; the head names the one in force")
            .answer(&context.decision),
    }
}

/// A snapshot on its way out: however many read it, and however slowly, its bytes are there once.
struct Served(Arc<SnapshotFile>);

impl AsRef<[u8]> for Served {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

fn immutable(kind: &'static str, bytes: Bytes) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, IMMUTABLE)], bytes).into_response()
}
