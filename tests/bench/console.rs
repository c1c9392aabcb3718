//! The console's pages over a long log: how long each takes from the request to its last byte, without the browser's part.

use std::time::Duration;

use serde_json::{Value, json};
use shortbread_broker::store::AuditEntry;
use shortbread_protocol::clock::{Clock as _, SystemClock, Timestamp};
use tokio::task::LocalSet;

use crate::approvals::desk::{Desk, text};
use crate::broker::Served;
use crate::figure::{Figure, Target, middle};
use crate::http::{Connection, request};
use crate::{Outcome, disk, progress};

/// How many entries the log has, over how many days.
const ENTRIES: u64 = 1_000_000;
const DAYS: u64 = 13;
/// As many as a verifier sends in one message.
const BATCH: u64 = 64;
/// How often each page is asked for.
const LOOKS: usize = 50;
/// How long the figures of a long log may take until there are some.
const PATIENCE: usize = 600;

pub fn measure(rounds: usize) -> Outcome<Vec<Figure>> {
    disk::check()?;
    progress::say("console: a log of 1,000,000 entries");
    let mut served = Served::start()?;
    served.filled(batches())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = LocalSet::new().block_on(&runtime, looked(&served, rounds));
    drop(runtime);
    let pages = measured?;
    served.stop()?;
    let mut figures = Vec::new();
    for (name, slowest, usual) in pages {
        let of = |what: &str| format!("console.{name}, {what} of {LOOKS}, 1,000,000 entries");
        figures.push(Figure::of(of("slowest"), "ms", slowest).target(Target::AtMost(50.0)));
        figures.push(Figure::of(of("median"), "ms", usual));
    }
    Ok(figures)
}

type Measured = (&'static str, Vec<f64>, Vec<f64>);

async fn looked(served: &Served, rounds: usize) -> Outcome<Vec<Measured>> {
    let desk = Desk::open(served).await?;
    let mut connection = Connection::open(served.address).await?;
    let asked = desk.ask(&mut connection, 1).await?.0;
    let approval = text(&asked, "/shortbread/approval_id")?.to_owned();
    let cookie = signed_in(served, &desk, &mut connection).await?;
    let pages = [
        ("approvals", "/console/approvals".to_owned()),
        ("approval", format!("/console/approvals/{approval}")),
        ("switch", "/console/switch".to_owned()),
        ("revoke preview", "/console/switch/revoke?kind=workflow&value=demo".to_owned()),
        ("activity", "/console/activity".to_owned()),
        ("activity, nothing fits", "/console/activity?workflow=nobody".to_owned()),
        ("story", format!("/console/activity/dec_{:032x}", ENTRIES / 2)),
        ("workflows", "/console/workflows".to_owned()),
        ("workflow", "/console/workflows/demo".to_owned()),
        ("policy", "/console/policy".to_owned()),
        ("policy version", "/console/policy/1".to_owned()),
        ("signals", "/console/signals?period=7d".to_owned()),
        ("health", "/console/health".to_owned()),
    ];
    // Figures are made in the background; what is measured is a page that has them.
    for path in ["/console/signals?period=7d", "/console/workflows/demo"] {
        await_figures(&mut connection, path, &cookie).await?;
    }
    let mut measured: Vec<Measured> = pages.iter().map(|(name, _)| (*name, Vec::new(), Vec::new())).collect();
    for number in 1..=rounds {
        progress::say(&format!("console: round {number} of {rounds}"));
        for ((name, path), (_, slowest, usual)) in pages.iter().zip(&mut measured) {
            let mut took = Vec::with_capacity(LOOKS);
            for _ in 0..LOOKS {
                took.push(1e3 * page(&mut connection, path, &cookie).await?.1);
            }
            let most = took.iter().copied().fold(0.0, f64::max);
            if !most.is_finite() {
                return Err(format!("{name} was not measured").into());
            }
            slowest.push(most);
            usual.push(middle(&took));
        }
    }
    Ok(measured)
}

async fn await_figures(connection: &mut Connection, path: &str, cookie: &str) -> Outcome<()> {
    for _ in 0..PATIENCE {
        let (body, _) = page(connection, path, cookie).await?;
        if !body.contains("being made") && !body.contains("being counted") {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(format!("{path} never had its figures").into())
}

async fn page(connection: &mut Connection, path: &str, cookie: &str) -> Outcome<(String, f64)> {
    let asked = request("GET", path, &[("cookie", cookie), ("accept", "text/html")], "");
    let clock = SystemClock::start();
    let (status, body) = connection.send(&asked).await?;
    let took = clock.monotonic().as_secs_f64();
    let body = String::from_utf8_lossy(body).into_owned();
    if status != 200 {
        return Err(format!("{path} is answered with {status}: {body}").into());
    }
    Ok((body, took))
}

// As a person does: the link, then its button.
async fn signed_in(served: &Served, desk: &Desk, connection: &mut Connection) -> Outcome<String> {
    let link: Value = desk.link(connection).await?;
    let url = text(&link, "/url")?;
    let path = url.strip_prefix(&served.issuer).ok_or("a link that leads elsewhere")?;
    let headers = [("origin", served.issuer.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let (status, _) = connection.send(&request("POST", path, &headers, "")).await?;
    let cookie = connection.header("set-cookie").filter(|_| status == 303);
    let cookie = cookie.and_then(|cookie| cookie.split(';').next().map(str::to_owned));
    Ok(cookie.ok_or_else(|| format!("the link was answered with {status}"))?)
}

// Calls of a few workflows, most of them allowed, spread over the days up to now.
fn batches() -> impl Iterator<Item = Vec<AuditEntry>> {
    let now = SystemClock::start().now().seconds();
    let begins = now - DAYS * 86_400;
    (0..ENTRIES / BATCH).map(move |batch| {
        let entry = |n: u64| entry(n, Timestamp::from_seconds(begins + n * DAYS * 86_400 / ENTRIES));
        (batch * BATCH..(batch + 1) * BATCH).map(entry).collect()
    })
}

fn entry(n: u64, at: Timestamp) -> AuditEntry {
    let (workflow, denied) = (["demo", "triage", "enrich", "mail-merge"][(n % 4) as usize], n % 17 == 0);
    let (outcome, reasons) = if denied { ("deny", json!(["not_granted"])) } else { ("allow", json!([])) };
    let body = json!({
        "specversion": "1.0", "id": format!("dec_{n:032x}"), "source": "https://broker.acme.example",
        "type": "dev.shortbread.call.decision.v1", "time": at.to_string(), "subject": format!("workflow/{workflow}"),
        "datacontenttype": "application/json", "traceparent": format!("00-{n:032x}-b7ad6b7169203331-01"),
        "data": {
            "outcome": outcome, "reasons": reasons, "workflow": workflow, "operator": null, "intent": "triage",
            "task": format!("tsk_{:x}", n / 8), "token": format!("tok_{:032x}", n / 8), "tool": "github",
            "verb": "issues.write", "access": "write", "stage": "evaluate", "revocation_seq": 18342, "list_age": 1,
            "degraded": null, "verifier": "github", "instance": "9f3c0a7be1d2446b", "error_class": null,
            "segment": { "workflow": workflow, "intent": "triage", "tool": "github", "access": "write" },
        },
    });
    AuditEntry {
        at,
        decision: format!("dec_{n:032x}"),
        trace: Some(u128::from(n).to_be_bytes()),
        parent: None,
        about: None,
        body: body.to_string().into_bytes(),
        input: None,
    }
}
