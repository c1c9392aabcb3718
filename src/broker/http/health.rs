//! Whether the broker lives, and whether it can do its work.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::App;
use crate::publish::PERIOD;
use crate::store::StoreError;

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The broker can issue tokens: store, policy and revocation head are sound.
#[utoipa::path(get, path = "/readyz", tag = "health", responses((status = 200, body = Object), (status = 503, body = Object)))]
pub(super) async fn readyz(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let broker = &app.broker;
    let health = broker.store.healthy();
    let store = health.is_ok();
    let policy = broker.policy.in_force().is_some();
    let now = broker.clock.now();
    let head = broker.publisher.current().is_some_and(|current| now.since(current.issued) < PERIOD * 3);
    let key = broker.keyring.token(&broker.store.mirror()).is_some();
    let ready = store && policy && head && key;
    let word = |sound: bool| if sound { "ok" } else { "failing" };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let said = match health {
        Err(StoreError::AtReserve { .. }) => {
            "full but for its reserve: exchanges are refused, the switch works; free some space on its disk"
        }
        other => word(other.is_ok()),
    };
    let policy = if policy { "ok" } else { "no policy in force: nothing is granted" };
    (
        status,
        Json(
            json!({ "store": said, "policy": policy, "revocation_head": word(head), "token_key": word(key) }),
        ),
    )
}
