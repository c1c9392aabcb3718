//! Whether the broker lives, and whether it can do its work.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::App;
use crate::health;
use crate::store::StoreError;

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The broker can issue tokens: store, policy and revocation head are sound.
#[utoipa::path(get, path = "/readyz", tag = "health", responses((status = 200, body = Object), (status = 503, body = Object)))]
pub(super) async fn readyz(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let ready = health::ready(&app.broker);
    let word = |sound: bool| if sound { "ok" } else { "failing" };
    let status = if ready.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let said = match &ready.store {
        Err(StoreError::AtReserve { .. }) => {
            "full but for its reserve: exchanges are refused, the switch works; free some space on its disk"
        }
        other => word(other.is_ok()),
    };
    let policy = if ready.policy { "ok" } else { "no policy in force: nothing is granted" };
    (
        status,
        Json(
            json!({ "store": said, "policy": policy, "revocation_head": word(ready.head), "token_key": word(ready.key) }),
        ),
    )
}
