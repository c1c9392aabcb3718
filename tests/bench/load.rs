//! The load: so many connections, each asking again as soon as it was answered, for a bounded time and count.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use shortbread_protocol::clock::{Clock as _, SystemClock};
use shortbread_protocol::dpop::{ProofKey, Statement};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::oauth::{CLIENT_ASSERTION, CLIENT_CREDENTIALS};
use shortbread_protocol::random::{SystemRandom, id};
use tokio::task::LocalSet;

use crate::Outcome;
use crate::broker::own_processor;
use crate::http::{Connection, request};

/// Who asks, for what.
pub struct Client {
    pub issuer: String,
    pub principal: String,
    pub key: PrivateKey,
    pub scope: String,
    /// What its tokens are bound to; operators need it.
    pub bound: Option<ProofKey>,
}

/// What a run came to.
pub struct Run {
    /// Answers with a token.
    pub answered: usize,
    /// From the first request to the last answer.
    pub took: Duration,
    /// Seconds that each request took, in ascending order.
    pub latencies: Vec<f64>,
    /// Processor seconds that this process spent on it, signing not counted.
    pub spent: f64,
}

/// An RFC 7523 assertion over these claims.
pub fn assertion(key: &PrivateKey, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", part(&json!({ "alg": "EdDSA", "typ": "JWT" })), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()));
    format!("{input}.{signature}")
}

impl Client {
    /// A token request with an assertion that nobody has seen, good for a minute.
    pub fn request(&self) -> Outcome<Vec<u8>> {
        let now = SystemClock::start().now();
        let claims = json!({
            "iss": self.principal, "sub": self.principal, "aud": self.issuer,
            "iat": now.seconds(), "exp": now.seconds() + 60, "jti": id("", now, &SystemRandom)?,
        });
        let escape = |text: &str| text.replace(':', "%3A").replace(' ', "%20");
        let body = format!(
            "grant_type={CLIENT_CREDENTIALS}&client_assertion_type={}&client_assertion={}&scope={}",
            escape(CLIENT_ASSERTION),
            assertion(&self.key, &claims),
            escape(&self.scope)
        );
        let form = ("content-type", "application/x-www-form-urlencoded");
        let url = format!("{}/oauth/token", self.issuer);
        let statement = Statement { method: "POST", url: &url, ..Statement::default() };
        let proof = self.bound.as_ref().map(|key| key.prove(&statement, now, &SystemRandom)).transpose()?;
        let headers: Vec<_> =
            std::iter::once(form).chain(proof.iter().map(|proof| ("dpop", proof.as_str()))).collect();
        Ok(request("POST", "/oauth/token", &headers, &body))
    }

    /// A token, on a connection of its own.
    pub async fn token(&self, address: SocketAddr) -> Outcome<Value> {
        let mut connection = Connection::open(address).await?;
        match connection.send(&self.request()?).await? {
            (200, body) => Ok(serde_json::from_slice(body)?),
            (status, body) => Err(refused(status, body).into()),
        }
    }

    /// Signs `most` requests, then sends them over `connections` until they or the time run out. Everything runs on
    /// this thread.
    pub fn run(&self, address: SocketAddr, connections: usize, most: usize, time: Duration) -> Outcome<Run> {
        let requests = (0..most).map(|_| self.request()).collect::<Outcome<Vec<_>>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, drive(address, connections, requests, time))
    }
}

async fn drive(
    address: SocketAddr,
    connections: usize,
    requests: Vec<Vec<u8>>,
    time: Duration,
) -> Outcome<Run> {
    let clock = SystemClock::start();
    let (requests, next) = (Rc::new(requests), Rc::new(Cell::new(0)));
    let mut opened = Vec::with_capacity(connections);
    for _ in 0..connections {
        opened.push(Connection::open(address).await?);
    }
    let (begun, spent) = (clock.monotonic(), own_processor()?);
    let until = begun + time;
    let tasks: Vec<_> = opened
        .into_iter()
        .map(|connection| {
            tokio::task::spawn_local(ask(connection, Rc::clone(&requests), Rc::clone(&next), until, clock))
        })
        .collect();
    let mut latencies = Vec::with_capacity(requests.len());
    for task in tasks {
        latencies.extend(task.await??);
    }
    let (took, spent) = (clock.monotonic() - begun, own_processor()? - spent);
    latencies.sort_by(f64::total_cmp);
    Ok(Run { answered: latencies.len(), took, latencies, spent })
}

async fn ask(
    mut connection: Connection,
    requests: Rc<Vec<Vec<u8>>>,
    next: Rc<Cell<usize>>,
    until: Duration,
    clock: SystemClock,
) -> Outcome<Vec<f64>> {
    let mut latencies = Vec::new();
    loop {
        let begun = clock.monotonic();
        let Some(request) = requests.get(next.get()).filter(|_| begun < until) else {
            return Ok(latencies);
        };
        next.set(next.get() + 1);
        match connection.send(request).await? {
            (200, _) => latencies.push((clock.monotonic() - begun).as_secs_f64()),
            (status, body) => return Err(refused(status, body).into()),
        }
    }
}

pub fn refused(status: u16, body: &[u8]) -> String {
    format!("the broker answered {status}: {}", String::from_utf8_lossy(body).trim())
}
