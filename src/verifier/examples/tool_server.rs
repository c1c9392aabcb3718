//! A small tool service that checks every call: a pretend GitHub in memory.
//!
//! ```text
//! tool_server --broker http://127.0.0.1:8700 --root keys/root.pub.pem \
//!     --audience https://tools.acme.example/github --listen 127.0.0.1:8801 --state /var/lib/tool-server
//! ```
//! With `--verifier github --verifier-key keys/github-tool.pem` the broker is told how far the list is and what was decided;
//! the policy names the verifier and its tools. `--mirror URL` names where else the list can be had.
//!
//! A proxy in front passes `https://tools.acme.example/github/repos` on as `/repos`: the audience is the URL under which
//! clients reach this service, or else `--url` says it.
//!
//! | request | verb | arguments |
//! |---|---|---|
//! | `GET /repos` | `issues.read` | none |
//! | `GET /repos/acme/web` | `issues.read` | `repo` |
//! | `GET /files?repo=acme/web&path=/docs/guide.md` | `files.read` | the query: `repo`, `path` |
//! | `POST /issues` | `issues.write` | the JSON body: `repo`, `title`, `body` |
//! | `DELETE /repos/acme/web` | `repo.delete` | `repo` |

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router};
use clap::{Parser, ValueEnum};
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use shortbread_protocol::call::Args;
use shortbread_protocol::clock::{Clock, SystemClock};
use shortbread_protocol::json as strict;
use shortbread_protocol::keys::{PrivateKey, PublicKey};
use shortbread_protocol::names::VerifierName;
use shortbread_protocol::normalise::directory;
use shortbread_protocol::random::SystemRandom;
use shortbread_verifier::decision::{Checker, Decision};
use shortbread_verifier::feed::{Feed, FeedConfig};
use shortbread_verifier::list::{Pin, Trust};
use shortbread_verifier::report::{
    Backpressure, Identity, Recorder, RecorderConfig, Reporter, ReporterConfig,
};
use shortbread_verifier::tower::{
    CheckLayer, Mapped, OriginError, Unmapped, metadata_url, protected_resource,
};
use shortbread_verifier::{Sink, Verifier, VerifierConfig};
use tokio::net::TcpListener;
use tokio::sync::watch;

const TOOL: &str = "github";
const SCOPES: [&str; 4] =
    ["github:issues.read", "github:issues.write", "github:files.read", "github:repo.delete"];
const GUIDE: &str = "# Guide\nStart here.\n";
const SECRETS: &str = "DATABASE=postgres://admin:secret@db.acme.example\n";
const METADATA: &str = "/.well-known/oauth-protected-resource";

/// A pretend GitHub that checks Shortbread tokens.
#[derive(Debug, Parser)]
struct Options {
    /// The broker's URL; the revocation list is followed there.
    #[arg(long, value_name = "URL")]
    broker: String,
    /// The issuer that tokens name, where it is not the broker's URL.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The public half of the broker's offline root key (SPKI PEM).
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// The audience of this service, as the policy gives it.
    #[arg(long, value_name = "URL")]
    audience: String,
    /// The URL under which clients reach this service, with the path that a proxy takes off if one does. DPoP proofs
    /// have to name it. Absent: the audience.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8801")]
    listen: SocketAddr,
    /// Where to remember how far the revocation list has come, and to keep decisions until they are uploaded.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Another place that serves the revocation list; may be given several times.
    #[arg(long = "mirror", value_name = "URL")]
    mirrors: Vec<String>,
    /// The name under which the policy registers this service as a verifier.
    #[arg(long, value_name = "NAME", requires = "verifier_key")]
    verifier: Option<VerifierName>,
    /// The verifier's key (PKCS#8 PEM).
    #[arg(long, value_name = "FILE", requires = "verifier")]
    verifier_key: Option<PathBuf>,
    /// What happens to a call whose decision there is no room to record.
    #[arg(long, value_enum, default_value = "best-effort", requires = "verifier")]
    record: Record,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Record {
    /// It goes on, and the record is lost and counted.
    BestEffort,
    /// It is denied.
    Required,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).init();
    match serve(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "tool_server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options) -> Result<(), Box<dyn Error>> {
    let pem = std::fs::read_to_string(&options.root)
        .map_err(|e| format!("cannot read the root key {}: {e}", options.root.display()))?;
    let root = PublicKey::from_pem(&pem).map_err(|e| format!("{}: {e}", options.root.display()))?;
    let issuer = options.issuer.clone().unwrap_or_else(|| options.broker.clone());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let pin = Pin { issuer: issuer.clone(), root };
    let trust = Arc::new(Trust::new(pin, Arc::clone(&clock), Some(&options.state))?);
    let config = FeedConfig { mirrors: options.mirrors.clone(), ..FeedConfig::new(&options.broker) };
    let feed = Feed::new(Arc::clone(&trust), &config, Arc::new(SystemRandom))?;

    let audience = options.audience.clone();
    let mut verifier = Verifier::new(Arc::clone(&trust), VerifierConfig { audience })?;

    let (stop, stopped) = watch::channel(());
    let mut beside = vec![tokio::spawn(feed.run(closed(stopped.clone())))];
    if let Some(identity) = identity(&options)? {
        let recorder = Arc::new(recorder(&options)?);
        verifier = verifier.sink(Arc::clone(&recorder) as Arc<dyn Sink>);
        let config = ReporterConfig::new(&options.broker);
        let reporter = Reporter::new(config, identity, trust, clock, Arc::new(SystemRandom))?;
        beside.push(tokio::spawn(reporter.uploads(recorder).run(closed(stopped.clone()))));
    }
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|e| format!("cannot listen on {}: {e}", options.listen))?;
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let url = options.url.as_deref().unwrap_or(&options.audience);
    let router = router(Arc::new(verifier), &options.audience, &issuer, url)?;
    tokio::spawn(async move {
        signal().await;
        drop(stop);
    });
    axum::serve(listener, router).with_graceful_shutdown(closed(stopped)).await?;
    for task in beside {
        task.await?;
    }
    Ok(())
}

/// Who this service is to the broker, if it is told.
fn identity(options: &Options) -> Result<Option<Identity>, Box<dyn Error>> {
    let Some((verifier, path)) = options.verifier.clone().zip(options.verifier_key.as_ref()) else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path)
        .map_err(|e| format!("cannot read the verifier's key {}: {e}", path.display()))?;
    // A key file may begin with a comment.
    let pem = text.find("-----BEGIN").and_then(|at| text.get(at..)).unwrap_or_default();
    let key = PrivateKey::from_pem(pem).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(Some(Identity::key(verifier, key)))
}

fn recorder(options: &Options) -> Result<Recorder, Box<dyn Error>> {
    let backpressure = match options.record {
        Record::BestEffort => Backpressure::BestEffort,
        Record::Required => Backpressure::Required,
    };
    let dir = Some(options.state.join("decisions"));
    Ok(Recorder::new(&RecorderConfig { backpressure, dir, ..RecorderConfig::default() })?)
}

async fn closed(mut stopped: watch::Receiver<()>) {
    // Nothing is ever sent: an error says that the sender is gone, which is the sign.
    while stopped.changed().await.is_ok() {}
}

/// Ready on SIGINT or SIGTERM.
async fn signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = interrupt.await;
}

fn router(checker: Arc<dyn Checker>, audience: &str, issuer: &str, url: &str) -> Result<Router, OriginError> {
    let mut layer = CheckLayer::new(checker, map).origin(url)?;
    if let Some(url) = metadata_url(audience) {
        layer = layer.resource_metadata(url);
    }
    let service = Arc::new(Service {
        metadata: protected_resource(audience, issuer, &SCOPES),
        repositories: Mutex::new(example_repositories()),
    });
    Ok(Router::new().fallback(answer).with_state(service).layer(layer))
}

/// What a request asks for. Check and handler read it with the same function, so that they cannot disagree.
enum Action {
    Health,
    Metadata,
    List,
    Show { repo: String },
    File { repo: String, path: String, args: Args },
    Open { repo: String, title: String, body: String, args: Args },
    Delete { repo: String },
}

impl Action {
    fn read(parts: &Parts, body: &[u8]) -> Result<Self, Unmapped> {
        let path = parts.uri.path();
        let repo = || repo_in(path.strip_prefix("/repos/").unwrap_or_default());
        match (&parts.method, path) {
            (&Method::GET, "/healthz") => Ok(Self::Health),
            (&Method::GET, path) if path.starts_with(METADATA) => Ok(Self::Metadata),
            (&Method::GET, "/repos") => Ok(Self::List),
            (&Method::GET, path) if path.starts_with("/repos/") => Ok(Self::Show { repo: repo()? }),
            (&Method::DELETE, path) if path.starts_with("/repos/") => Ok(Self::Delete { repo: repo()? }),
            (&Method::GET, "/files") => Self::read_file(parts),
            (&Method::POST, "/issues") => Self::read_issue(body),
            _ => Err(Unmapped::NotFound),
        }
    }

    fn read_file(parts: &Parts) -> Result<Self, Unmapped> {
        let malformed = |cause: &str| Unmapped::Malformed(cause.to_owned());
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) else {
            return Err(malformed("The query cannot be read."));
        };
        let mut members = Map::new();
        for (name, value) in pairs {
            if members.insert(name, Value::String(value)).is_some() {
                return Err(malformed("A name stands in the query twice."));
            }
        }
        let text = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(repo), Some(path), 2) = (text("repo"), text("path"), members.len()) else {
            return Err(malformed("A file is named by repo and path and nothing else."));
        };
        let args = Args::from_members(members).map_err(|e| malformed(&e.to_string()))?;
        Ok(Self::File { repo: repo_in(&repo)?, path, args })
    }

    fn read_issue(body: &[u8]) -> Result<Self, Unmapped> {
        let malformed = |cause: &dyn ToString| Unmapped::Malformed(cause.to_string());
        let Value::Object(mut members) = strict::read(body).map_err(|e| malformed(&e))? else {
            return Err(malformed(&"An issue is a JSON object with repo, title and body."));
        };
        let args = Args::from_members(members.clone()).map_err(|e| malformed(&e))?;
        let mut text = |name: &str| match members.remove(name) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(Unmapped::Malformed(format!("The member {name:?} must be a string."))),
        };
        let (repo, title, body) = (text("repo")?, text("title")?, text("body")?);
        match members.keys().next() {
            None => Ok(Self::Open { repo: repo_in(&repo)?, title, body, args }),
            Some(other) => Err(Unmapped::Malformed(format!("An issue has no member {other:?}."))),
        }
    }
}

fn repo_in(text: &str) -> Result<String, Unmapped> {
    let part = |part: &str| {
        let sound = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(sound)
    };
    match text.split_once('/') {
        Some((owner, name)) if part(owner) && part(name) => Ok(text.to_owned()),
        _ => Err(Unmapped::Malformed("A repository is named OWNER/NAME.".to_owned())),
    }
}

fn map(parts: &Parts, body: &[u8]) -> Result<Mapped, Unmapped> {
    let call =
        |verb: &str, args| Mapped::Call { tool: TOOL.to_owned(), verb: verb.to_owned(), args: Some(args) };
    Ok(match Action::read(parts, body)? {
        Action::Health | Action::Metadata => Mapped::Public,
        Action::List => call("issues.read", Args::default()),
        Action::Show { repo } => call("issues.read", only_repo(repo)?),
        Action::File { args, .. } => call("files.read", args),
        Action::Open { args, .. } => call("issues.write", args),
        Action::Delete { repo } => call("repo.delete", only_repo(repo)?),
    })
}

fn only_repo(repo: String) -> Result<Args, Unmapped> {
    let members = Map::from_iter([("repo".to_owned(), Value::String(repo))]);
    Args::from_members(members).map_err(|e| Unmapped::Malformed(e.to_string()))
}

struct Service {
    metadata: Value,
    repositories: Mutex<BTreeMap<String, Vec<Issue>>>,
}

struct Issue {
    title: String,
    body: String,
    by: Option<String>,
}

fn example_repositories() -> BTreeMap<String, Vec<Issue>> {
    ["acme/web", "acme/docs", "acme/infra"].map(|name| (name.to_owned(), Vec::new())).into()
}

async fn answer(
    State(service): State<Arc<Service>>,
    decision: Option<Extension<Decision>>,
    parts: Parts,
    body: Bytes,
) -> Response {
    let by = decision
        .and_then(|Extension(decision)| decision.caller)
        .and_then(|caller| caller.workflow.clone().or_else(|| caller.operator.clone()));
    match Action::read(&parts, &body) {
        Ok(action) => service.act(action, by),
        Err(_) => missing("request"),
    }
}

impl Service {
    fn act(&self, action: Action, by: Option<String>) -> Response {
        let mut repositories = self.repositories.lock().unwrap_or_else(PoisonError::into_inner);
        match action {
            Action::Health => "ok\n".into_response(),
            Action::Metadata => Json(&self.metadata).into_response(),
            Action::List => Json(repositories.keys().collect::<Vec<_>>()).into_response(),
            Action::Show { repo } => match repositories.get(&repo) {
                Some(issues) => Json(json!({ "name": repo, "issues": shown(issues) })).into_response(),
                None => missing(&repo),
            },
            // Looked up in the spelling in which the check compared it.
            Action::File { repo, path, .. } => match (repositories.get(&repo), directory(&path).as_deref()) {
                (Some(_), Ok("/docs/guide.md/")) => GUIDE.into_response(),
                (Some(_), Ok("/secrets/prod.env/")) => SECRETS.into_response(),
                _ => missing(&path),
            },
            Action::Open { repo, title, body, .. } => match repositories.get_mut(&repo) {
                Some(issues) => {
                    issues.push(Issue { title, body, by });
                    (StatusCode::CREATED, Json(json!({ "repo": repo, "number": issues.len() })))
                        .into_response()
                }
                None => missing(&repo),
            },
            Action::Delete { repo } => match repositories.remove(&repo) {
                Some(_) => StatusCode::NO_CONTENT.into_response(),
                None => missing(&repo),
            },
        }
    }
}

fn shown(issues: &[Issue]) -> Vec<Value> {
    let show = |issue: &Issue| json!({ "title": issue.title, "body": issue.body, "by": issue.by });
    issues.iter().map(show).collect()
}

fn missing(what: &str) -> Response {
    (StatusCode::NOT_FOUND, Json(json!({ "error": "not_found", "what": what }))).into_response()
}
