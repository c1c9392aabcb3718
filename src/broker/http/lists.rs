//! The revocation list, for verifiers and mirrors.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use shortbread_protocol::admin::Problem;
use shortbread_protocol::reason::Reason;
use tokio::task::spawn_blocking;

use super::App;
use super::failure::Failure;
use crate::exchange::Context;
use crate::publish::{DeltaFile, File, SnapshotFile};

pub(super) const IMMUTABLE: &str = "public, max-age=31536000, immutable";
pub(super) const BYTES: &str = "application/octet-stream";
pub(super) const NOTE: &str = "text/plain; charset=utf-8";

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
    signed(&headers, &current.etag, current.head.clone())
}

/// A signed note that another one may replace at any moment, unless the reader has this one.
pub(super) fn signed(headers: &HeaderMap, etag: &str, note: Bytes) -> Response {
    let fresh = [(header::ETAG, etag), (header::CACHE_CONTROL, "public, max-age=1")];
    if knows(headers, etag) {
        return (StatusCode::NOT_MODIFIED, fresh).into_response();
    }
    (fresh, [(header::CONTENT_TYPE, NOTE)], note).into_response()
}

/// A snapshot by its sequence and hash, as the head names it.
#[utoipa::path(get, path = "/revocations/snapshot/{name}", tag = "revocations", params(("name" = String, Path, description = "sequence, a hyphen, SHA-256 in hex"), ("Accept-Encoding" = Option<String>, Header, description = "gzip, where the reader takes it"), ("If-None-Match" = Option<String>, Header, description = "The entity tag that the reader has")),
    responses((status = 200, body = String, content_type = "application/octet-stream"), (status = 304), (status = 404, body = Problem)))]
pub(super) async fn snapshot(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let named = name.ok().and_then(|Path(name)| {
        let (seq, hash) = name.split_once('-')?;
        app.broker.publisher.current()?.snapshot(number(seq)?, &sha256(hash)?).cloned()
    });
    match named {
        Some(snapshot) => file(snapshot, &headers).await,
        None => {
            Failure::new(Reason::NotFound, "no such snapshot; read the head again").answer(&context.decision)
        }
    }
}

/// A delta by where it begins, where it leads, and its hash, as the head names it.
#[utoipa::path(get, path = "/revocations/delta/{name}", tag = "revocations", params(("name" = String, Path, description = "sequence that it builds on, a hyphen, sequence that it leads to, a hyphen, SHA-256 in hex"), ("Accept-Encoding" = Option<String>, Header, description = "gzip, where the reader takes it"), ("If-None-Match" = Option<String>, Header, description = "The entity tag that the reader has")),
    responses((status = 200, body = String, content_type = "application/octet-stream"), (status = 304), (status = 404, body = Problem)))]
pub(super) async fn delta(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let named = name.ok().and_then(|Path(name)| {
        let (from, rest) = name.split_once('-')?;
        let (to, hash) = rest.split_once('-')?;
        app.broker.publisher.current()?.delta(number(from)?, number(to)?, &sha256(hash)?).cloned()
    });
    match named {
        Some(delta) => file(delta, &headers).await,
        None => {
            Failure::new(Reason::NotFound, "no such delta; read the head again").answer(&context.decision)
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
    let version = version.ok().and_then(|Path(text)| number(&text));
    match version.and_then(|version| app.broker.keyring.published(version)) {
        Some(signed) => {
            let headers = [(header::CONTENT_TYPE, NOTE), (header::CACHE_CONTROL, IMMUTABLE)];
            (headers, Bytes::from_owner(signed)).into_response()
        }
        None => Failure::new(Reason::NotFound, "no such key document; the head names the one in force")
            .answer(&context.decision),
    }
}

/// Something with a file that never changes.
trait Named: Send + Sync + 'static {
    fn file(&self) -> &File;
    fn sha256(&self) -> &[u8; 32];
}

impl Named for SnapshotFile {
    fn file(&self) -> &File {
        &self.file
    }

    fn sha256(&self) -> &[u8; 32] {
        &self.reference.sha256
    }
}

impl Named for DeltaFile {
    fn file(&self) -> &File {
        &self.file
    }

    fn sha256(&self) -> &[u8; 32] {
        &self.reference.to.sha256
    }
}

/// The file as it is, or compressed for those who take that. The two are different representations of one thing, so
/// their tags differ.
async fn file<N: Named>(named: Arc<N>, headers: &HeaderMap) -> Response {
    let gzip = if takes_gzip(headers) { compressed(&named).await } else { None };
    let tag = format!("\"{}{}\"", hex::encode(named.sha256()), if gzip.is_some() { "-gzip" } else { "" });
    let known = knows(headers, &tag);
    let common = [
        (header::ETAG, tag),
        (header::CACHE_CONTROL, IMMUTABLE.to_owned()),
        (header::VARY, "accept-encoding".to_owned()),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let kind = [(header::CONTENT_TYPE, BYTES)];
    match gzip {
        Some(gzip) => (common, kind, [(header::CONTENT_ENCODING, "gzip")], gzip).into_response(),
        None => (common, kind, named.file().bytes().clone()).into_response(),
    }
}

async fn compressed<N: Named>(named: &Arc<N>) -> Option<Bytes> {
    if !named.file().is_compressed() {
        // Only the first reader of a file waits. If it breaks off, the file is sent as it is.
        let named = Arc::clone(named);
        return spawn_blocking(move || named.file().gzip().cloned()).await.ok().flatten();
    }
    named.file().gzip().cloned()
}

/// Whether the reader has what has this tag (RFC 9110, section 13.1.2).
fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|value| value.split(',')).any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
    })
}

/// Whether the reader takes gzip (RFC 9110, section 12.5.3): named with a weight above zero, or covered by `*`.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let (mut named, mut any) = (None, None);
    for coding in values.flat_map(|value| value.split(',')) {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").map_or("1", str::trim);
        let wanted = weight.parse::<f32>().is_ok_and(|weight| weight > 0.0);
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
                named = Some(wanted);
            }
            "*" => any = Some(wanted),
            _ => {}
        }
    }
    named.or(any).unwrap_or(false)
}

// A number as it stands in an address: one spelling each, so that a cache holds a file once.
pub(super) fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

fn sha256(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).ok().filter(|()| hex::encode(hash) == text).map(|()| hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for (value, takes) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("x-gzip", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("*;q=0", false),
            ("br, deflate", false),
            ("gzip;q=x", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(&of(header::ACCEPT_ENCODING, value)), takes, "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn a_known_tag_is_found_among_others() {
        for (value, known) in
            [("\"a\"", true), ("\"b\", \"a\"", true), ("W/\"a\"", true), ("*", true), ("\"ab\"", false)]
        {
            assert_eq!(knows(&of(header::IF_NONE_MATCH, value), "\"a\""), known, "{value}");
        }
    }

    #[test]
    fn a_file_has_one_address() {
        assert_eq!((number("7"), number("07"), number("+7"), number("x")), (Some(7), None, None, None));
        let hash = "ab".repeat(32);
        assert_eq!(sha256(&hash), Some([0xab; 32]));
        assert!(sha256(&hash.to_uppercase()).is_none() && sha256("ab").is_none());
    }
}
