//! Exchanges a second, with a durable record for each, over real HTTP; and what they cost in time and memory.

use std::time::Duration;

use crate::broker::Served;
use crate::figure::{Figure, Target, quantile};
use crate::load::{Client, Run};
use crate::{Outcome, disk, progress};

const LEVELS: [usize; 3] = [1, 16, 64];
/// A run ends after this many requests or this long, whichever comes first.
const MOST: usize = 40_000;
const MOST_ALONE: usize = 8_000;
const TIME: Duration = Duration::from_secs(3);
/// How many exchanges come before memory is read again.
const WARM: usize = 20_000;
const WARM_TIME: Duration = Duration::from_secs(30);

/// One sample of every figure.
struct Round {
    memory: [f64; 2],
    levels: Vec<Level>,
}

struct Level {
    rate: f64,
    p50: f64,
    p99: f64,
    /// Microseconds of processor time for each exchange: the client's, the broker's, of that the store writer's.
    costs: [f64; 3],
}

pub fn measure(rounds: usize) -> Outcome<Vec<Figure>> {
    disk::check()?;
    let syncs = disk::sync_times()?;
    let mut samples = Vec::with_capacity(rounds);
    for number in 1..=rounds {
        samples.push(round(&format!("exchange: round {number} of {rounds}"))?);
    }
    Ok(figures(&samples, syncs))
}

// Each round has a broker and a store of its own, so that the last one is no larger than the first.
fn round(name: &str) -> Outcome<Round> {
    progress::say(&format!("{name}, a new broker"));
    let served = Served::start()?;
    let client = Client {
        issuer: served.issuer.clone(),
        principal: "workflow:demo".to_owned(),
        key: served.key("demo")?,
        scope: "github:issues.read github:issues.write".to_owned(),
        bound: None,
    };
    let before = served.resident()?;
    let warm = client.run(served.address, 64, WARM, WARM_TIME)?;
    let memory = [before, served.resident()?];
    let mut answered = warm.answered;
    let mut levels = Vec::with_capacity(LEVELS.len());
    for connections in LEVELS {
        progress::say(&format!("{name}, {connections} connections"));
        let (level, run) = level(&served, &client, connections)?;
        answered += run.answered;
        levels.push(level);
    }
    let recorded = served.stop()?;
    if recorded != answered as u64 {
        return Err(format!("{answered} tokens were answered, but {recorded} are recorded").into());
    }
    Ok(Round { memory, levels })
}

fn level(served: &Served, client: &Client, connections: usize) -> Outcome<(Level, Run)> {
    let most = if connections == 1 { MOST_ALONE } else { MOST };
    let broker = served.processor()?;
    let run = client.run(served.address, connections, most, TIME)?;
    let now = served.processor()?;
    let each = |seconds: f64| 1e6 * seconds / run.answered as f64;
    let level = Level {
        rate: run.answered as f64 / run.took.as_secs_f64(),
        p50: 1e3 * quantile(&run.latencies, 0.50),
        p99: 1e3 * quantile(&run.latencies, 0.99),
        costs: [each(run.spent), each(now.0 - broker.0), each(now.1 - broker.1)],
    };
    Ok((level, run))
}

fn figures(rounds: &[Round], syncs: Vec<f64>) -> Vec<Figure> {
    let mut figures = vec![Figure::of("exchange.disk (append of 16 KiB, synced)", "us", syncs)];
    for (at, connections) in LEVELS.into_iter().enumerate() {
        let of = |part: fn(&Level) -> f64| {
            rounds.iter().filter_map(|round| round.levels.get(at)).map(part).collect()
        };
        let rate =
            Figure::of(format!("exchange.rate, {connections} connections"), "/s", of(|level| level.rate));
        figures.push(if connections == 64 { rate.target(Target::AtLeast(16_000.0)) } else { rate });
        figures.push(Figure::of(
            format!("exchange.p50, {connections} connections"),
            "ms",
            of(|level| level.p50),
        ));
        figures.push(Figure::of(
            format!("exchange.p99, {connections} connections"),
            "ms",
            of(|level| level.p99),
        ));
        let mut cost = |who: &str, samples| {
            figures.push(Figure::of(
                format!("exchange.processor.{who}, {connections} connections"),
                "us",
                samples,
            ));
        };
        cost("client", of(|level| level.costs[0]));
        cost("broker", of(|level| level.costs[1]));
        cost("broker.store_writer", of(|level| level.costs[2]));
    }
    let memory = |at: usize| rounds.iter().map(|round| round.memory[at]).collect();
    let limit = Target::AtMost(20.0);
    figures.push(Figure::of("broker.resident, at start", "MB", memory(0)).target(limit));
    figures.push(Figure::of("broker.resident, after 20,000 exchanges", "MB", memory(1)).target(limit));
    figures
}
