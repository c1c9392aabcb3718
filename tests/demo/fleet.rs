//! Fifty verifiers in this process. Each is what a tool service embeds: it follows the broker's list by itself, and tells
//! the broker how far it is.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shortbread_protocol::call::Args;
use shortbread_protocol::clock::{Clock, SystemClock};
use shortbread_protocol::keys::{PrivateKey, PublicKey};
use shortbread_protocol::random::SystemRandom;
use shortbread_verifier::decision::{Call, Checker as _, Presented};
use shortbread_verifier::feed::{Feed, FeedConfig};
use shortbread_verifier::list::{Pin, Trust};
use shortbread_verifier::report::{Identity, Reporter, ReporterConfig};
use shortbread_verifier::{Verifier, VerifierConfig};

use crate::Outcome;
use crate::stage::Stage;

/// How many there are of each kind.
const EACH: usize = 25;

/// What the verifiers of a kind decide about, over and over: a call that writes, or worse.
struct Kind {
    tool: &'static str,
    verb: &'static str,
    audience: &'static str,
    args: Args,
    token: String,
}

struct Member {
    kind: Arc<Kind>,
    verifier: Verifier,
}

/// All of them. They follow the list until the demo ends.
pub(crate) struct Fleet {
    members: Vec<Member>,
}

impl Fleet {
    /// Starts them, and waits until each allows its call and the broker knows all.
    pub(crate) async fn follow(stage: &Stage) -> Outcome<Self> {
        let issue = json!({ "repo": "acme/web", "title": "Login fails", "body": "On Safari." });
        let refund = json!({ "amount": 1200, "charge": "ch_1" });
        let kinds = [
            kind(stage, "github", "issues.write", "http://127.0.0.1:8801", &issue)?,
            kind(stage, "payments", "refunds.create", "http://127.0.0.1:8802", &refund)?,
        ];
        let mut members = Vec::new();
        for kind in kinds {
            let kind = Arc::new(kind);
            for n in 1..=EACH {
                members.push(member(stage, &kind, &format!("host-{n}"))?);
            }
        }
        let fleet = Self { members };
        fleet.until(|refused| refused.is_none(), Duration::from_secs(10)).await?;
        known(stage, fleet.size() + 1).await?;
        Ok(fleet)
    }

    /// How many there are.
    pub(crate) fn size(&self) -> usize {
        self.members.len()
    }

    /// How many allow their call now.
    pub(crate) fn allowing(&self) -> usize {
        self.members.iter().filter(|member| member.refusal().is_none()).count()
    }

    /// Makes every verifier decide again and again, until all refuse for this reason; says how long that took.
    pub(crate) async fn until_refused(&self, reason: &str, limit: Duration) -> Outcome<Duration> {
        self.until(|refused| refused == Some(reason), limit).await
    }

    /// The same until all allow.
    pub(crate) async fn until_allowed(&self) -> Outcome {
        self.until(|refused| refused.is_none(), Duration::from_secs(10)).await.map(drop)
    }

    async fn until(&self, holds: impl Fn(Option<&str>) -> bool, limit: Duration) -> Outcome<Duration> {
        let clock = SystemClock::start();
        let mut left: Vec<&Member> = self.members.iter().collect();
        loop {
            left.retain(|member| !holds(member.refusal()));
            let Some(first) = left.first() else { return Ok(clock.monotonic()) };
            if clock.monotonic() > limit {
                let said = first.refusal().unwrap_or("allowed");
                return Err(
                    format!("{} verifiers still say otherwise, the first one: {said}", left.len()).into()
                );
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Member {
    /// Why it refuses its call, if it does.
    fn refusal(&self) -> Option<&'static str> {
        let call = Call { tool: self.kind.tool, verb: self.kind.verb, args: Some(&self.kind.args) };
        let decision = self.verifier.check(&Presented::bearer(&self.kind.token), &call);
        decision.reason.map(|reason| reason.code())
    }
}

fn kind(
    stage: &Stage,
    tool: &'static str,
    verb: &'static str,
    audience: &'static str,
    args: &Value,
) -> Outcome<Kind> {
    let (key, scope) = (stage.at("workflow_key"), format!("{tool}:{verb}"));
    let token =
        stage.shortbread(&["exchange", "--workflow", "demo", "--key", &key, "--scope", &scope, "--token"])?;
    Ok(Kind { tool, verb, audience, args: Args::from_json(args.to_string().as_bytes())?, token })
}

fn member(stage: &Stage, kind: &Arc<Kind>, label: &str) -> Outcome<Member> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let trust = Arc::new(Trust::new(pin(stage)?, Arc::clone(&clock), None)?);
    let config = FeedConfig { mirrors: vec![stage.mirror.clone()], ..FeedConfig::new(&stage.issuer) };
    let feed = Feed::new(Arc::clone(&trust), &config, Arc::new(SystemRandom))?;
    let key = PrivateKey::from_pem(&std::fs::read_to_string(stage.verifier_key(kind.tool))?)?;
    let config = ReporterConfig { label: Some(label.to_owned()), ..ReporterConfig::new(&stage.issuer) };
    let identity = Identity::key(kind.tool.parse()?, key);
    let reporter = Reporter::new(config, identity, Arc::clone(&trust), clock, Arc::new(SystemRandom))?;
    tokio::spawn(feed.run(std::future::pending()));
    tokio::spawn(reporter.run(std::future::pending()));
    let verifier = Verifier::new(trust, VerifierConfig { audience: kind.audience.to_owned() })?;
    Ok(Member { kind: Arc::clone(kind), verifier })
}

/// What verifiers of this stage rely on.
pub(crate) fn pin(stage: &Stage) -> Outcome<Pin> {
    let root = PublicKey::from_pem(&without_mark(&std::fs::read_to_string(stage.at("root"))?))?;
    Ok(Pin { issuer: stage.issuer.clone(), root })
}

// The first line says that `dev` made it.
fn without_mark(pem: &str) -> String {
    pem.lines().skip_while(|line| !line.starts_with("-----BEGIN")).map(|line| format!("{line}\n")).collect()
}

// Until so many report to the broker and enforce what it published.
async fn known(stage: &Stage, many: usize) -> Outcome {
    for _ in 0..100 {
        let answer: Value = serde_json::from_str(&stage.shortbread(&["--json", "revocations", "status"])?)?;
        if answer.pointer("/reported/instances/enforcing") == Some(&many.into()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(format!("not all of {many} verifiers reported to the broker").into())
}
