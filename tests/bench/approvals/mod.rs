//! From a request to its token, by way of an approver who decides at once: what is measured is the broker's own part. And the
//! queue when it is long.

pub mod desk;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use shortbread_protocol::clock::{Clock as _, SystemClock};
use tokio::task::LocalSet;

use crate::broker::Served;
use crate::figure::{Figure, Target, quantile};
use crate::http::Connection;
use crate::{Outcome, disk, progress};
use desk::{Desk, Story, text};

/// Requests a second, for how many of them.
const RATE: u32 = 100;
const REQUESTS: u32 = 600;
/// Who works on them at a time: more than there ever are.
const WORKERS: usize = 32;
/// How many requests wait while the queue is listed and decided.
const PENDING: u64 = 10_000;
const LOOKS: usize = 50;

/// One sample of every figure, in milliseconds.
struct Round {
    /// By step: p50 and p99.
    steps: Vec<(&'static str, [f64; 2])>,
    list: f64,
    decide: f64,
}

pub fn measure(rounds: usize) -> Outcome<Vec<Figure>> {
    disk::check()?;
    let mut samples = Vec::with_capacity(rounds);
    for number in 1..=rounds {
        progress::say(&format!("approvals: round {number} of {rounds}"));
        let served = Served::start()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        samples.push(LocalSet::new().block_on(&runtime, round(&served))?);
        drop(runtime);
        served.stop()?;
    }
    Ok(figures(&samples))
}

async fn round(served: &Served) -> Outcome<Round> {
    let desk = Desk::open(served).await?;
    let stories = paced(&desk).await?;
    let of = |part: fn(&Story) -> f64| {
        let mut all: Vec<f64> = stories.iter().map(|story| 1e3 * part(story)).collect();
        all.sort_by(f64::total_cmp);
        [quantile(&all, 0.50), quantile(&all, 0.99)]
    };
    let steps = vec![
        ("request to token", of(|story| story.ask + story.vote + story.fetch)),
        ("request", of(|story| story.ask)),
        ("look", of(|story| story.show)),
        ("vote", of(|story| story.vote)),
        ("fetch", of(|story| story.fetch)),
    ];
    let (list, decide) = crowded(&desk).await?;
    Ok(Round { steps, list, decide })
}

// A new one every hundredth of a second, whatever became of those before.
async fn paced(desk: &Rc<Desk>) -> Outcome<Vec<Story>> {
    let (next, clock) = (Rc::new(Cell::new(0_u32)), SystemClock::start());
    let begun = clock.monotonic();
    let mut workers = Vec::with_capacity(WORKERS);
    for _ in 0..WORKERS {
        let (desk, next) = (Rc::clone(desk), Rc::clone(&next));
        let mut connection = Connection::open(desk.address).await?;
        workers.push(tokio::task::spawn_local(async move {
            let mut stories = Vec::new();
            loop {
                let n = next.get();
                if n >= REQUESTS {
                    return Ok::<_, Box<dyn std::error::Error + Send + Sync>>(stories);
                }
                next.set(n + 1);
                let at = begun + Duration::from_secs(1) * n / RATE;
                tokio::time::sleep(at.saturating_sub(clock.monotonic())).await;
                stories.push(desk.story(&mut connection, n.into()).await?);
            }
        }));
    }
    let mut stories = Vec::new();
    for worker in workers {
        stories.extend(worker.await??);
    }
    Ok(stories)
}

// The slowest of some looks at the first page, and of some votes, while many wait.
async fn crowded(desk: &Desk) -> Outcome<(f64, f64)> {
    let mut connection = Connection::open(desk.address).await?;
    let mut ids = Vec::new();
    for n in 0..PENDING {
        let (asked, _) = desk.ask(&mut connection, 1_000_000 + n).await?;
        ids.push(text(&asked, "/shortbread/approval_id")?.to_owned());
    }
    let (mut list, mut decide) = (0.0_f64, 0.0_f64);
    for id in ids.iter().step_by(ids.len() / LOOKS).take(LOOKS) {
        let (page, took) = desk.list(&mut connection).await?;
        if page.get("open").and_then(serde_json::Value::as_u64).is_none_or(|open| open < PENDING) {
            return Err(format!("fewer wait than were asked for: {}", page["open"]).into());
        }
        list = list.max(took);
        decide = decide.max(desk.decide(&mut connection, id).await?.1);
    }
    Ok((1e3 * list, 1e3 * decide))
}

fn figures(rounds: &[Round]) -> Vec<Figure> {
    let mut figures = Vec::new();
    let steps: Vec<&str> =
        rounds.first().iter().flat_map(|round| &round.steps).map(|(name, _)| *name).collect();
    for (at, name) in steps.into_iter().enumerate() {
        for (place, quantile) in ["p50", "p99"].into_iter().enumerate() {
            let samples = rounds.iter().filter_map(|round| Some(round.steps.get(at)?.1[place])).collect();
            let figure = Figure::of(format!("approvals.{name}, {quantile} at {RATE}/s"), "ms", samples);
            let aimed = at == 0 && place == 1;
            figures.push(if aimed { figure.target(Target::AtMost(5.0)) } else { figure });
        }
    }
    let limit = Target::AtMost(50.0);
    let all = |part: fn(&Round) -> f64| rounds.iter().map(part).collect();
    let waits = "10,000 wait, slowest of 50";
    figures.push(Figure::of(format!("approvals.list, {waits}"), "ms", all(|round| round.list)).target(limit));
    figures.push(
        Figure::of(format!("approvals.decide, {waits}"), "ms", all(|round| round.decide)).target(limit),
    );
    figures
}
