//! What an attacker would try, and what must not come of it.

use std::time::Duration;

use shortbread_tests::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Whether the broker closes a connection on which only these bytes came, within 20 s.
async fn is_closed(world: &World, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect(world.issuer.trim_start_matches("http://")).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn a_connection_that_asks_nothing_is_closed() {
    let world = World::start().await;
    let (silent, torn) = tokio::join!(is_closed(&world, b""), is_closed(&world, b"PRI * HTTP"));
    assert!(silent && torn, "silent: {silent}, torn: {torn}");
}
