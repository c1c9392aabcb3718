//! The old way, for comparison: a service with one shared key that may do everything.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{delete, get};
use tokio::net::TcpListener;

use crate::Outcome;

/// The one key that every agent has.
pub(crate) const SHARED_KEY: &str = "shared-api-key";

type Repositories = Arc<Mutex<BTreeSet<String>>>;

/// Serves two repositories; gives the address.
pub(crate) async fn serve() -> Outcome<String> {
    let repositories: Repositories =
        Arc::new(Mutex::new(["acme/web", "acme/infra"].map(str::to_owned).into()));
    let router = Router::new()
        .route("/repos", get(list))
        .route("/repos/{owner}/{name}", delete(remove))
        .with_state(repositories);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

async fn list(State(repositories): State<Repositories>) -> String {
    let repositories = repositories.lock().unwrap_or_else(PoisonError::into_inner);
    repositories.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

async fn remove(
    State(repositories): State<Repositories>,
    headers: HeaderMap,
    Path((owner, name)): Path<(String, String)>,
) -> StatusCode {
    let known = headers.get("authorization").is_some_and(|value| value == &format!("Bearer {SHARED_KEY}"));
    let mut repositories = repositories.lock().unwrap_or_else(PoisonError::into_inner);
    match known && repositories.remove(&format!("{owner}/{name}")) {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::UNAUTHORIZED,
    }
}
