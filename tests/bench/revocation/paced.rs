//! Exchanges at a fixed pace, from a thread of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use shortbread_protocol::clock::{Clock as _, SystemClock};
use tokio::task::LocalSet;

use super::operator::workflow;
use crate::Outcome;
use crate::broker::Served;
use crate::http::Connection;

const CONNECTIONS: usize = 16;

/// A load that runs.
pub struct Paced {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<f64>>,
}

impl Paced {
    /// Signs what is asked for in advance, then asks at this rate, for at most this long.
    pub fn start(served: &Served, rate: u32, most: Duration) -> Outcome<Self> {
        let workflow = workflow(served)?;
        let count = rate as usize * usize::try_from(most.as_secs())?;
        let requests = (0..count).map(|_| workflow.request()).collect::<Outcome<Vec<_>>>()?;
        let (stop, address) = (Arc::new(AtomicBool::new(false)), served.address);
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, drive(address, requests, rate, stopped))
        });
        Ok(Self { stop, thread })
    }

    /// Ends it and gives how many were answered a second.
    pub fn stop(self) -> Outcome<f64> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| "the load broke off")?
    }
}

async fn drive(
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
    rate: u32,
    stop: Arc<AtomicBool>,
) -> Outcome<f64> {
    let clock = SystemClock::start();
    let (requests, answered) = (Arc::new(requests), Arc::new(AtomicUsize::new(0)));
    let begun = clock.monotonic();
    let mut tasks = Vec::with_capacity(CONNECTIONS);
    for first in 0..CONNECTIONS {
        let mut connection = Connection::open(address).await?;
        let (requests, answered, stop) = (Arc::clone(&requests), Arc::clone(&answered), Arc::clone(&stop));
        tasks.push(tokio::task::spawn_local(async move {
            for at in (first..requests.len()).step_by(CONNECTIONS) {
                let due = begun + Duration::from_secs(1) * u32::try_from(at)? / rate;
                tokio::time::sleep(due.saturating_sub(clock.monotonic())).await;
                if stop.load(Ordering::Acquire) {
                    break;
                }
                let (status, _) = connection.send(&requests[at]).await?;
                answered.fetch_add(usize::from(status == 200), Ordering::Relaxed);
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let took = clock.monotonic() - begun;
    Ok(answered.load(Ordering::Relaxed) as f64 / took.as_secs_f64())
}
