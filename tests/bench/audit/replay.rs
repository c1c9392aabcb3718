//! A million recorded requests, each of its own, read and decided again under another policy, on one core.

use shortbread_broker::cases::replay::{Before, Replay};
use shortbread_protocol::clock::{Clock as _, SystemClock};

use super::decide::large;
use crate::figure::{Figure, Target};
use crate::{Outcome, progress};

const CASES: u32 = 1_000_000;
const ROUNDS: usize = 3;

pub fn measure() -> Outcome<Vec<Figure>> {
    let policy = large(50)?;
    let mut times = Vec::new();
    let lines: Vec<String> = (0..CASES).map(line).collect();
    for round in 1..=ROUNDS {
        progress::say(&format!("audit: replay of a million requests, round {round} of {ROUNDS}"));
        let clock = SystemClock::start();
        let begun = clock.monotonic();
        let mut replay = Replay::new(policy.clone(), Before::Recorded);
        for line in &lines {
            replay.line(line.as_bytes()).map_err(|fault| fault.message)?;
        }
        let report = replay.finish();
        times.push((clock.monotonic() - begun).as_secs_f64());
        if report.cases != u64::from(CASES) {
            return Err(format!("{} of {CASES} cases were decided", report.cases).into());
        }
    }
    let name = "audit.replay of 1,000,000 distinct requests, parsed and decided, one core";
    Ok(vec![Figure::of(name, "s", times).target(Target::AtMost(5.0))])
}

fn line(n: u32) -> String {
    let (workflow, tool) = (n % 50, n % 10);
    format!(
        r#"{{"v":1,"id":"dec_{n:032x}","at":"2026-11-20T12:00:00Z","input":{{"identity":{{"principal":"workflow:w{workflow}"}},"intent":"triage","ttl":300,"possession":"proved","request":[{{"verb":"t{tool}/r"}},{{"verb":"t{tool}/w","constraints":{{"a":{{"in":[{workflow},{}]}}}}}}]}},"recorded":{{"outcome":"allow","granted":["t{tool}/r","t{tool}/w"],"policy":"sha256:00"}},"segment":{{"workflow":"w{workflow}","intent":"triage","tool":"t{tool}","access":"write"}}}}"#,
        n + 1000
    )
}
