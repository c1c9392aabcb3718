//! Listens, serves, and stops in order: no new connections, a deadline for the old ones.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::connections::{Connections, Place};
use crate::config;

const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HEADERS: usize = 16 * 1024;

/// Connections at a time. Those beyond are closed at once; the limit on open files should be above.
pub(super) const MAX_CONNECTIONS: usize = 4096;

/// Why nothing is served.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("{address} cannot be listened on: {cause}; stop what uses it or choose another with `listen`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
}

/// Told to every request: the server is stopping, so answers that would never end must end.
#[derive(Clone, Debug)]
pub(super) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// What says so.
    pub(super) fn watch(self) -> watch::Receiver<bool> {
        self.0
    }

    /// Waits until the server is stopping.
    pub(super) async fn wait(&mut self) {
        // A server that is gone has stopped too.
        let _ = self.0.wait_for(|stopping| *stopping).await;
    }
}

/// A listening socket and what it serves.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    from_one: usize,
}

impl Server {
    /// Listens; port 0 takes any free port.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub async fn bind(address: SocketAddr, router: Router) -> Result<Self, ServeError> {
        let failed = |cause| ServeError::Listen { address, cause };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, router, from_one: config::Limits::default().connections })
    }

    /// With so many connections at a time from one address, which may be a proxy's, instead of the default.
    #[must_use]
    pub fn from_one(self, connections: usize) -> Self {
        Self { from_one: connections, ..self }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is done, then lets open requests end within the deadline.
    pub async fn run(self, stop: impl Future<Output = ()>, deadline: Duration) {
        let graceful = GracefulShutdown::new();
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEADERS);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(16 * 1024)
            .keep_alive_interval(Some(HEADER_TIMEOUT));
        let connections = Connections::new(MAX_CONNECTIONS, self.from_one);
        let mut stop = std::pin::pin!(stop);
        let (stopping, told) = watch::channel(false);
        let shared = Shared { router: self.router, stopping: Stopping(told) };
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stop => break,
            };
            match accepted {
                Ok((stream, peer)) => match connections.take(peer.ip()) {
                    Some(place) => serve_one(&builder, &graceful, (stream, peer, place), shared.clone()),
                    None => metrics::counter!("shortbread_connections_refused_total").increment(1),
                },
                // Out of file descriptors or a connection that died in the queue: neither ends the broker.
                Err(error) => {
                    tracing::warn!(error = %error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(self.listener);
        stopping.send_replace(true);
        if tokio::time::timeout(deadline, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were cut off at the deadline for stopping");
        }
    }
}

/// What every connection has.
#[derive(Clone)]
struct Shared {
    router: Router,
    stopping: Stopping,
}

fn serve_one(
    builder: &Builder<TokioExecutor>,
    graceful: &GracefulShutdown,
    (stream, peer, place): (TcpStream, SocketAddr, Place),
    shared: Shared,
) {
    // Answers are small and waited for.
    let _ = stream.set_nodelay(true);
    let asked = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&asked);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        noted.store(true, Ordering::Relaxed);
        let Shared { router, stopping } = shared.clone();
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(stopping);
            Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {}))
        }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let watched = graceful.watch(connection);
    tokio::spawn(async move {
        let mut watched = std::pin::pin!(watched);
        // While HTTP's version is still to be told from the first bytes, no other timer runs.
        let ended = tokio::time::timeout(HEADER_TIMEOUT, &mut watched).await.is_ok();
        if !ended && asked.load(Ordering::Relaxed) {
            // A connection that breaks is the client's affair.
            let _ = watched.await;
        }
        drop(place);
    });
}
