//! A real HTTP server on loopback that does as it is told: answers, hangs, goes away, comes back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Such as `POST /hook`.
    pub target: String,
    /// By names in lowercase.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

/// What is answered: a status, further header lines, a body. Nothing: it hangs.
pub type Reply = Option<(u16, String, String)>;

type Behaviour = Box<dyn Fn(&Heard) -> Reply + Send + Sync>;

#[derive(Default)]
struct Shared {
    behaviour: Mutex<Option<Behaviour>>,
    heard: Mutex<Vec<Heard>>,
}

/// The server. Each request has a connection of its own.
pub struct Loopback {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: Option<JoinSet<()>>,
}

impl Loopback {
    /// One that listens and answers 200 without a body.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut server = Self { address, shared: Arc::default(), running: None };
        server.run(listener);
        server
    }

    /// Where it is, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets it answer so from now on.
    pub fn answers(&self, behaviour: impl Fn(&Heard) -> Reply + Send + Sync + 'static) {
        *self.shared.behaviour.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(behaviour));
    }

    /// Lets it answer with this status from now on.
    pub fn status(&self, status: u16) {
        self.answers(move |_| Some((status, String::new(), String::new())));
    }

    /// Lets it take requests and answer none.
    pub fn hang(&self) {
        self.answers(|_| None);
    }

    /// All that was heard so far.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes the port and every connection.
    pub async fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.shutdown().await;
        }
    }

    /// Listens again at the same address.
    ///
    /// # Panics
    /// When another program has taken the port.
    pub async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the same port");
        self.run(listener);
    }

    fn run(&mut self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        self.running = Some(running);
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let Some(heard) = hear(&mut stream).await else { return };
    let reply = {
        shared.heard.lock().unwrap_or_else(PoisonError::into_inner).push(heard.clone());
        let behaviour = shared.behaviour.lock().unwrap_or_else(PoisonError::into_inner);
        behaviour.as_ref().map_or(Some((200, String::new(), String::new())), |behaviour| behaviour(&heard))
    };
    let Some((status, headers, body)) = reply else { return std::future::pending().await };
    let answer = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    // Whoever does not wait for it does not get it.
    let _ = stream.write_all(answer.as_bytes()).await;
}

async fn hear(stream: &mut TcpStream) -> Option<Heard> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        more(stream, &mut bytes).await?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let target = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while bytes.len() < end + 4 + length {
        more(stream, &mut bytes).await?;
    }
    Some(Heard { target, headers, body: bytes[end + 4..].to_vec() })
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut part = [0; 4096];
    let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
    bytes.extend_from_slice(&part[..read]);
    Some(())
}
