//! A mirror of the revocation list: any web server over a folder will do, and this is one.

use std::path::PathBuf;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::Outcome;

/// Serves the files of a folder, which may still be empty; gives the address.
pub(crate) async fn serve(folder: PathBuf) -> Outcome<String> {
    let router = Router::new().route("/revocations/{*file}", get(file)).with_state(folder);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

async fn file(State(folder): State<PathBuf>, Path(file): Path<String>) -> Result<Vec<u8>, StatusCode> {
    if file.split('/').any(|part| part.starts_with('.')) {
        return Err(StatusCode::NOT_FOUND);
    }
    tokio::fs::read(folder.join("revocations").join(file)).await.map_err(|_| StatusCode::NOT_FOUND)
}
