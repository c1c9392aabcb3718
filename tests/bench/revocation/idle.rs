//! What a thousand idle streams cost the broker: processor and memory.

use std::time::Duration;

use shortbread_protocol::clock::{Clock as _, SystemClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::VERIFIERS;
use crate::Outcome;
use crate::broker::Served;
use crate::figure::{Figure, Target};

/// Several heads long.
const WATCH: Duration = Duration::from_secs(20);
const ROUNDS: usize = 3;

pub fn measure() -> Outcome<Vec<Figure>> {
    let served = Served::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let figures = runtime.block_on(watch(&served))?;
    drop(runtime);
    served.stop()?;
    Ok(figures)
}

async fn watch(served: &Served) -> Outcome<Vec<Figure>> {
    let before = served.resident()?;
    let readers = tokio::task::LocalSet::new();
    readers
        .run_until(async {
            for _ in 0..VERIFIERS {
                let stream = open(served).await?;
                tokio::task::spawn_local(drain(stream));
            }
            let (clock, mut shares) = (SystemClock::start(), Vec::new());
            tokio::time::sleep(Duration::from_secs(5)).await;
            for _ in 0..ROUNDS {
                let (begun, from) = (served.processor()?.0, clock.monotonic());
                tokio::time::sleep(WATCH).await;
                let (spent, took) = (served.processor()?.0 - begun, clock.monotonic() - from);
                shares.push(100.0 * spent / took.as_secs_f64());
            }
            let name = |what: &str| format!("broker.{what}, {VERIFIERS} idle streams");
            let resident = served.resident()?;
            Ok(vec![
                Figure::of(name("processor"), "% of a core", shares).target(Target::AtMost(2.0)),
                Figure::of(name("resident"), "MB", vec![resident]).target(Target::AtMost(30.0)),
                Figure::of("broker.resident, before them", "MB", vec![before]),
            ])
        })
        .await
}

async fn open(served: &Served) -> Outcome<TcpStream> {
    let mut stream = TcpStream::connect(served.address).await?;
    stream
        .write_all(b"GET /revocations/stream HTTP/1.1\r\nhost: bench\r\naccept: text/event-stream\r\n\r\n")
        .await?;
    let mut first = [0; 512];
    let length = stream.read(&mut first).await?;
    if !first[..length].starts_with(b"HTTP/1.1 200") {
        return Err(format!("a stream was refused: {}", String::from_utf8_lossy(&first[..length])).into());
    }
    Ok(stream)
}

async fn drain(mut stream: TcpStream) {
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
}
