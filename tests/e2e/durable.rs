//! A token is answered only after its record is durable, and a revocation confirmed only when it stands: the real
//! broker, killed at random moments under load, and asked afterwards for all that it had promised. The tree over the audit
//! log is in step with the entries whatever the moment, and every checkpoint that was ever served still fits.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use shortbread_protocol::clock::{Clock as _, SystemClock};
use shortbread_protocol::dpop::{Statement, token_hash};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::log::{Checkpoint, origin};
use shortbread_protocol::oauth::{CLIENT_ASSERTION, CLIENT_CREDENTIALS};
use shortbread_protocol::random::{Random as _, SystemRandom, id};
use shortbread_tests::merkle::{self, Frontier, Hash};
use shortbread_tests::process::{Home, Running, free_address};
use shortbread_tests::{assertion, holder};

/// Rounds in the test suite; `scripts/bench durability` asks for hundreds.
const ROUNDS: usize = 20;
/// How many ask at a time.
const ASKERS: usize = 4;

fn rounds() -> usize {
    std::env::var("SHORTBREAD_KILL_ROUNDS").ok().and_then(|count| count.parse().ok()).unwrap_or(ROUNDS)
}

/// What the broker promised, over all its lives.
#[derive(Default)]
struct Promised {
    /// Decision ids of answered tokens.
    decisions: Vec<String>,
    /// Assertions for which a token was answered, newest last.
    used: Vec<String>,
    /// Tasks whose revocation was confirmed.
    revoked: Vec<String>,
    /// The highest sequence of a head that was seen.
    head: u64,
    /// Every checkpoint of the audit log that was served: root by size.
    checkpoints: BTreeMap<u64, Hash>,
}

/// Asks as workflow `demo` and as operator `dev`.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    url: String,
    demo: Arc<PrivateKey>,
    operator: Arc<PrivateKey>,
    promised: Arc<Mutex<Promised>>,
    store: PathBuf,
}

impl Client {
    fn new(home: &Home, url: &str) -> Self {
        let key = |name: &str| {
            let pem = home.read(&format!(".shortbread/keys/{name}.pem"));
            Arc::new(PrivateKey::from_pem(pem.split_once('\n').unwrap().1).unwrap())
        };
        let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        let promised = Arc::default();
        let store = home.path(".shortbread/shortbread.db");
        Self { http, url: url.to_owned(), demo: key("demo"), operator: key("operator"), promised, store }
    }

    fn assertion(&self, principal: &str, key: &PrivateKey) -> String {
        let now = SystemClock::start().now();
        let jti = id("", now, &SystemRandom).unwrap();
        let (iat, exp) = (now.seconds(), now.seconds() + 60);
        assertion(
            key,
            &json!({ "iss": principal, "sub": principal, "aud": self.url, "iat": iat, "exp": exp, "jti": jti }),
        )
    }

    fn prove(&self, statement: &Statement<'_>) -> String {
        holder().prove(statement, SystemClock::start().now(), &SystemRandom).unwrap()
    }

    /// A call of the admin API with an operator's token.
    fn signed(&self, method: &str, path: &str, token: &str) -> reqwest::RequestBuilder {
        let target = path.split('?').next().unwrap();
        let url = format!("{}{target}", self.url);
        let statement =
            Statement { method, url: &url, token: Some(token_hash(token)), ..Statement::default() };
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url));
        request.header("authorization", format!("DPoP {token}")).header("dpop", self.prove(&statement))
    }

    /// Presents an assertion; `None` when there is no answer.
    async fn exchange(&self, assertion: &str, scope: &str) -> Option<(u16, Value)> {
        let form = format!(
            "grant_type={CLIENT_CREDENTIALS}&client_assertion_type={}&client_assertion={assertion}&scope={scope}",
            CLIENT_ASSERTION.replace(':', "%3A"),
        );
        let url = format!("{}/oauth/token", self.url);
        let proof = self.prove(&Statement { method: "POST", url: &url, ..Statement::default() });
        let request = self.http.post(url).header("dpop", proof);
        answer(request.header("content-type", "application/x-www-form-urlencoded").body(form)).await
    }

    async fn operator(&self, verb: &str) -> Option<String> {
        let assertion = self.assertion("operator:dev", &self.operator);
        let (status, body) = self.exchange(&assertion, &format!("shortbread%3A{verb}")).await?;
        assert_eq!(status, 200, "{body}");
        Some(body["access_token"].as_str().unwrap().to_owned())
    }

    async fn get(&self, verb: &str, path: &str) -> Value {
        let token = self.operator(verb).await.expect("an operator signs in");
        let (status, body) = answer(self.signed("GET", path, &token)).await.expect("an answer");
        assert_eq!(status, 200, "{body}");
        body
    }

    /// The sequence of the head that is served.
    async fn head(&self) -> Option<u64> {
        let request = self.http.get(format!("{}/revocations/head", self.url));
        let text = request.send().await.ok()?.text().await.ok()?;
        text.lines().find_map(|line| line.strip_prefix("seq ")?.parse().ok())
    }

    /// Asks for tokens until nobody answers.
    async fn ask(self) {
        loop {
            let assertion = self.assertion("workflow:demo", &self.demo);
            let Some((status, body)) = self.exchange(&assertion, "github%3Aissues.read").await else {
                return;
            };
            assert_eq!(status, 200, "{body}");
            let mut promised = self.promised.lock().unwrap();
            promised.decisions.push(body["shortbread"]["decision_id"].as_str().unwrap().to_owned());
            promised.used.push(assertion);
        }
    }

    /// Revokes one task after another until nobody answers.
    async fn revoke(self, round: usize) {
        let Some(token) = self.operator("revocations.revoke").await else { return };
        for number in 0.. {
            let task = format!("task-{round}-{number}");
            let body = json!({ "selectors": [{ "kind": "task", "value": task }], "reason": "a test" });
            let request = self.signed("POST", "/api/v1/revocations", &token);
            let request = request.header("content-type", "application/json").body(body.to_string());
            let Some((status, body)) = answer(request).await else { return };
            assert_eq!(status, 200, "{body}");
            let mut promised = self.promised.lock().unwrap();
            promised.revoked.push(task);
            promised.head = promised.head.max(body["head"].as_u64().unwrap());
        }
    }

    /// Looks at heads until nobody answers.
    async fn watch(self) {
        loop {
            let known = self.promised.lock().unwrap().head;
            let Some(seq) = self.head().await else { return };
            assert!(seq >= known, "head {seq} after {known}");
            self.saw(seq);
            let Some(()) = self.see_checkpoint().await else { return };
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn saw(&self, seq: u64) {
        let mut promised = self.promised.lock().unwrap();
        promised.head = promised.head.max(seq);
    }

    /// Keeps the checkpoint that is served: never one smaller than before, never another root for its size.
    async fn see_checkpoint(&self) -> Option<()> {
        let known = self.promised.lock().unwrap().checkpoints.last_key_value().map_or(0, |(size, _)| *size);
        let response = self.http.get(format!("{}/log/checkpoint", self.url)).send().await.ok()?;
        let note = response.bytes().await.ok()?;
        let Checkpoint { size, root } = Checkpoint::unverified(&note, &origin(&self.url)).unwrap();
        assert!(size >= known, "a checkpoint of {size} after one of {known}");
        let before = self.promised.lock().unwrap().checkpoints.insert(size, root);
        assert!(before.is_none_or(|before| before == root), "two roots for {size}");
        Some(())
    }

    /// Entries, tiles, kept checkpoints and those that were ever served fit together, read past the broker.
    fn tree_holds(&self) {
        let store = rusqlite::Connection::open(&self.store).unwrap();
        let blobs = |sql: &str| -> Vec<(u64, Vec<u8>)> {
            let mut select = store.prepare(sql).unwrap();
            let rows =
                select.query_map([], |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?))).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        // In this order: what is written meanwhile only adds to what is read later.
        let kept = blobs("SELECT size, note FROM audit_checkpoint ORDER BY size");
        let tiles =
            blobs("SELECT n, CAST(root || hashes AS BLOB) FROM audit_tile WHERE level = 0 ORDER BY n");
        let entries = blobs("SELECT idx, body FROM audit_entry ORDER BY idx");
        let mut roots = self.promised.lock().unwrap().checkpoints.clone();
        for (size, note) in kept {
            let checkpoint = Checkpoint::unverified(&note, &origin(&self.url)).unwrap();
            assert_eq!(checkpoint.size, size);
            assert!(
                roots.insert(size, checkpoint.root).is_none_or(|served| served == checkpoint.root),
                "{size}"
            );
        }
        let (mut frontier, mut leaves) = (Frontier::default(), Vec::new());
        for (place, (idx, body)) in entries.iter().enumerate() {
            assert_eq!(*idx, place as u64, "no gap");
            leaves.push(merkle::leaf(body));
            frontier.push(merkle::leaf(body));
            if let Some(root) = roots.remove(&frontier.size()) {
                assert_eq!(root, frontier.root(), "the checkpoint of {}", frontier.size());
            }
        }
        assert!(roots.is_empty(), "checkpoints of more entries than there are: {roots:?}");
        for (place, (n, tile)) in tiles.iter().enumerate() {
            let hashes = &leaves[place * 256..(place + 1) * 256];
            assert_eq!((*n, tile), (place as u64, &[&[merkle::root(hashes)], hashes].concat().concat()));
        }
        let full = leaves.len() / 256;
        assert!(tiles.len() <= full && tiles.len() + 8 >= full, "{} tiles of {full}", tiles.len());
    }

    /// The decision ids in the audit log from a place on, and the place after the last.
    async fn logged(&self, mut from: u64) -> (HashSet<String>, u64) {
        let mut ids = HashSet::new();
        loop {
            let page = self.get("audit.read", &format!("/api/v1/audit?limit=500&after={from}")).await;
            let entries = page["entries"].as_array().unwrap();
            ids.extend(entries.iter().map(|entry| entry["event"]["id"].as_str().unwrap().to_owned()));
            from = page["next"].as_u64().unwrap();
            if entries.len() < 500 {
                return (ids, from);
            }
        }
    }

    /// Everything that was promised since the last time still holds; answers where the audit log ends.
    async fn holds(&self, since: u64, answered: usize) -> u64 {
        assert!(self.head().await.unwrap() >= self.promised.lock().unwrap().head, "heads never go back");
        self.see_checkpoint().await.unwrap();
        self.tree_holds();
        let (logged, end) = self.logged(since).await;
        let listed = self.get("revocations.read", "/api/v1/revocations").await;
        let listed: HashSet<&str> =
            listed["revocations"].as_array().unwrap().iter().map(|r| r["value"].as_str().unwrap()).collect();
        let replays = {
            let promised = self.promised.lock().unwrap();
            for id in &promised.decisions[answered..] {
                assert!(
                    logged.contains(id),
                    "token of decision {id} was answered and is not in the audit log"
                );
            }
            for task in &promised.revoked {
                assert!(listed.contains(task.as_str()), "{task} was revoked and is not any more");
            }
            promised.used.iter().rev().take(3).cloned().collect::<Vec<_>>()
        };
        for used in replays {
            let (status, body) = self.exchange(&used, "github%3Aissues.read").await.unwrap();
            assert_eq!(
                (status, body["shortbread"]["reason"].as_str()),
                (401, Some("identity.invalid")),
                "{body}"
            );
        }
        end
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Option<(u16, Value)> {
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    // An answer that broke off is none.
    let bytes = response.bytes().await.ok()?;
    Some((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
}

/// Up to so many milliseconds.
fn moment(most: u32) -> Duration {
    let mut bytes = [0; 4];
    SystemRandom.fill(&mut bytes).unwrap();
    Duration::from_millis(u64::from(u32::from_be_bytes(bytes) % most))
}

fn start(home: &Home, address: &str) -> Running {
    home.start(&["dev", "--listen", address])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_no_answered_token_and_no_revocation() {
    let (home, address) = (Home::new(), free_address());
    let mut broker = start(&home, &address);
    broker.wait_for("Stop it with Ctrl-C");
    drop(broker);
    let config = home.read(".shortbread/broker.toml");
    let limits =
        "[limits]\nexchanges_per_second = 100000\nfailures_per_minute = 100000\nadmin_per_second = 100000\n";
    home.write(".shortbread/broker.toml", &format!("{config}\n{limits}"));
    let client = Client::new(&home, &format!("http://{address}"));
    let (mut end, mut answered) = (0, 0);
    let rounds = rounds();
    for round in 0..rounds {
        if round % 4 == 3 {
            // Killed while it starts, too.
            let mut broker = start(&home, &address);
            tokio::time::sleep(moment(100)).await;
            broker.kill();
        }
        let mut broker = start(&home, &address);
        broker.wait_for("Stop it with Ctrl-C");
        end = client.holds(end, answered).await;
        answered = client.promised.lock().unwrap().decisions.len();
        let mut load: Vec<_> = (0..ASKERS).map(|_| tokio::spawn(client.clone().ask())).collect();
        load.push(tokio::spawn(client.clone().revoke(round)));
        load.push(tokio::spawn(client.clone().watch()));
        tokio::time::sleep(Duration::from_millis(50) + moment(250)).await;
        broker.kill();
        for asker in load {
            asker.await.unwrap();
        }
    }
    let mut broker = start(&home, &address);
    broker.wait_for("Stop it with Ctrl-C");
    client.holds(0, 0).await;
    let promised = client.promised.lock().unwrap();
    assert!(promised.checkpoints.len() >= rounds, "{} checkpoints", promised.checkpoints.len());
    let (tokens, revocations) = (promised.decisions.len(), promised.revoked.len());
    assert!(tokens > rounds && revocations > rounds / 2, "{tokens} tokens, {revocations} revocations");
}
