//! The audit log, for whoever wants to check it: hashes and signatures, no entry.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use shortbread_protocol::admin::{ConsistencyAnswer, Problem};
use shortbread_protocol::log::TilePlace;
use shortbread_protocol::reason::Reason;

use super::App;
use super::admin::{Sent, admit};
use super::failure::Failure;
use super::lists::{BYTES, IMMUTABLE, NOTE, number, signed};
use crate::exchange::Context;
use crate::log::LogError;

/// Which entry of a decision that has several.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// The entry's place in the log; absent: the decision's first.
    index: Option<u64>,
}

/// The newest signed checkpoint of the audit log, as C2SP tlog-checkpoint has it.
#[utoipa::path(get, path = "/log/checkpoint", tag = "log", params(("If-None-Match" = Option<String>, Header, description = "The entity tag that the reader has")),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 304), (status = 503, body = Problem)))]
pub(super) async fn checkpoint(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    headers: HeaderMap,
) -> Response {
    match app.broker.log.current() {
        Some(current) => signed(&headers, &current.etag, current.note.clone()),
        None => Failure::from(LogError::Empty).answer(&context.decision),
    }
}

/// A tile of the tree, as C2SP tlog-tiles has it: `LEVEL/N` or `LEVEL/N.p/WIDTH`.
#[utoipa::path(get, path = "/log/tile/{*path}", tag = "log", params(("path" = String, Path, description = "the level, then the number in groups of three digits, as 0/x001/x234/067; .p/WIDTH follows where the tile is not full")),
    responses((status = 200, body = String, content_type = "application/octet-stream"), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn tile(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let done = async {
        limit(&app, &context)?;
        let Some(place) = path.ok().and_then(|Path(path)| TilePlace::read(&path)) else {
            let detail = "no such tile; tiles are named as 0/x001/x234/067, or 0/067.p/12 where they are not full; \
                          bundles of entries are for operators, at /api/v1/log/tile/entries/";
            return Err(Failure::new(Reason::NotFound, detail));
        };
        match app.broker.log.tile(place).await? {
            Some(hashes) => Ok(immutable(hashes)),
            None => Err(Failure::new(
                Reason::NotFound,
                "the newest checkpoint has no such tile, or none so wide; read /log/checkpoint again",
            )),
        }
    };
    done.await.unwrap_or_else(|failure: Failure| failure.answer(&context.decision))
}

/// That a decision stands in the log, as C2SP tlog-proof has it. Only those who were told its id can ask.
#[utoipa::path(get, path = "/log/proof/{id}", tag = "log", params(("id" = String, Path, description = "the decision's id, as an answer names it"), Which),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 400, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn proof(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    id: Result<Path<String>, PathRejection>,
    which: Result<Query<Which>, QueryRejection>,
) -> Response {
    let done = async {
        limit(&app, &context)?;
        let Query(which) =
            which.map_err(|error| Failure::new(Reason::RequestMalformed, error.body_text()))?;
        let id = id.map(|Path(id)| id).unwrap_or_default();
        match app.broker.log.proof(&id, which.index).await? {
            Some(proof) => Ok(([(header::CONTENT_TYPE, NOTE)], proof.text()).into_response()),
            None => Err(Failure::new(
                Reason::NotFound,
                "no entry of the log has this decision id; refusals of strangers are counted, not all written, and \
                 entries are pruned when they are too old",
            )),
        }
    };
    done.await.unwrap_or_else(|failure: Failure| failure.answer(&context.decision))
}

/// That the newest checkpoint continues the log as it was with so many entries (RFC 6962, section 2.1.2).
#[utoipa::path(get, path = "/log/consistency/{from}", tag = "log", params(("from" = u64, Path, description = "the size of an earlier checkpoint")),
    responses((status = 200, body = ConsistencyAnswer), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn consistency(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    from: Result<Path<String>, PathRejection>,
) -> Response {
    let done = async {
        limit(&app, &context)?;
        let Some(from) = from.ok().and_then(|Path(from)| number(&from)) else {
            let detail = "no such size; it is the plain number in the second line of a checkpoint";
            return Err(Failure::new(Reason::NotFound, detail));
        };
        let Some((hashes, signed)) = app.broker.log.consistency(from).await? else {
            return Err(Failure::new(
                Reason::NotFound,
                format!(
                    "the newest checkpoint has fewer than {from} entries; a checkpoint with more is of another log, or \
                     this log was cut"
                ),
            ));
        };
        Ok(Json(ConsistencyAnswer {
            from,
            to: signed.checkpoint.size,
            hashes: hashes.iter().map(|hash| STANDARD.encode(hash)).collect(),
            checkpoint: String::from_utf8_lossy(&signed.note).into_owned(),
        })
        .into_response())
    };
    done.await.unwrap_or_else(|failure: Failure| failure.answer(&context.decision))
}

/// A bundle of entries, as C2SP tlog-tiles has it: each behind its length in two bytes.
#[utoipa::path(get, path = "/api/v1/log/tile/entries/{*path}", tag = "admin", security(("operator" = ["audit.read"])), params(("path" = String, Path, description = "as that of a tile, without the level")),
    responses((status = 200, body = String, content_type = "application/octet-stream"), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn entries(
    State(app): State<App>,
    Extension(context): Extension<Context>,
    path: Result<Path<String>, PathRejection>,
    sent: Sent,
) -> Response {
    let done = async {
        admit(&app.broker, &context, &sent, "audit.read").await?;
        let place = path.ok().and_then(|Path(path)| TilePlace::bundle(&path));
        let bundle = match place {
            Some(place) => app.broker.log.bundle(place).await?,
            None => None,
        };
        let Some(bundle) = bundle else {
            let detail = "the newest checkpoint has no such bundle, or its entries were pruned";
            return Err(Failure::new(Reason::NotFound, detail));
        };
        // For this operator alone, so no cache on the way may keep it.
        Ok(([(header::CONTENT_TYPE, BYTES)], bundle).into_response())
    };
    done.await.unwrap_or_else(|failure: Failure| failure.answer(&context.decision))
}

fn limit(app: &App, context: &Context) -> Result<(), Failure> {
    app.broker
        .limits
        .log(context.address)
        .map_err(|limited| Failure { retry_after: Some(limited.0), ..Failure::plain(Reason::RateLimited) })
}

fn immutable(bytes: Vec<u8>) -> Response {
    let headers = [(header::CONTENT_TYPE, BYTES), (header::CACHE_CONTROL, IMMUTABLE)];
    (headers, Bytes::from(bytes)).into_response()
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Store(error) => error.into(),
            error => {
                tracing::error!(error = %error, "the audit log has no checkpoint to answer with");
                Self {
                    retry_after: Some(std::time::Duration::from_secs(1)),
                    ..Self::new(Reason::StoreUnavailable, "no checkpoint of the audit log can be signed now")
                }
            }
        }
    }
}
