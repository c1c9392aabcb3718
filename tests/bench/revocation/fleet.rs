//! Many verifiers in this process, each with a connection, a list and a decision of its own.

use std::sync::Arc;
use std::time::Duration;

use shortbread_protocol::clock::{Clock, SystemClock};
use shortbread_protocol::random::SystemRandom;
use shortbread_protocol::verifiers::Step;
use shortbread_verifier::decision::{Call, Checker as _, Presented};
use shortbread_verifier::feed::{Feed, FeedConfig};
use shortbread_verifier::list::{Pin, Trust};
use shortbread_verifier::{Verifier, VerifierConfig};
use tokio::runtime::Runtime;

use crate::broker::Served;
use crate::verify::AUDIENCE;
use crate::{Outcome, progress};

pub const CALL: Call<'static> = Call { tool: "github", verb: "issues.read", args: None };

const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked; a look at a thousand takes some tens of microseconds.
const LOOK: Duration = Duration::from_micros(500);

/// The verifiers, and the threads that serve them.
pub struct Fleet {
    pub runtime: Runtime,
    pub clock: Arc<SystemClock>,
    pub trusts: Vec<Arc<Trust>>,
    verifiers: Vec<Verifier>,
}

impl Fleet {
    /// Connects so many and waits until each has a list and is pushed to.
    pub fn connect(served: &Served, count: usize) -> Outcome<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let clock = Arc::new(SystemClock::start());
        let (mut trusts, mut verifiers, mut handles) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            let pin = Pin { issuer: served.issuer.clone(), root: served.root()? };
            let trust = Arc::new(Trust::new(pin, Arc::clone(&clock) as Arc<dyn Clock>, None)?);
            let config = FeedConfig::new(served.issuer.clone());
            let feed = Feed::new(Arc::clone(&trust), &config, Arc::new(SystemRandom))?;
            handles.push(feed.handle());
            runtime.spawn(feed.run(std::future::pending()));
            let verifier =
                Verifier::new(Arc::clone(&trust), VerifierConfig { audience: AUDIENCE.to_owned() })?;
            verifiers.push(verifier.cache_bytes(0));
            trusts.push(trust);
        }
        let fleet = Self { runtime, clock, trusts, verifiers };
        fleet.wait("every verifier has a list", |trust| trust.state().seq() > 0)?;
        let until = fleet.clock.monotonic() + PATIENCE;
        while handles.iter().any(|handle| handle.status().step != Step::Stream) {
            if fleet.clock.monotonic() > until {
                return Err("not every verifier is pushed to".into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(fleet)
    }

    /// The sequence of the last change that all of them hold.
    pub fn least(&self) -> u64 {
        self.trusts.iter().map(|trust| trust.state().contents()).min().unwrap_or(0)
    }

    /// Whether every single one refuses a call with this token, or allows it.
    pub fn all(&self, token: &str, allow: bool) -> bool {
        self.verifiers.iter().all(|one| one.check(&Presented::bearer(token), &CALL).is_allowed() == allow)
    }

    /// One of them, for asking it again and again.
    pub fn one(&self) -> &Verifier {
        &self.verifiers[0]
    }

    /// Waits until all of them are so.
    pub fn wait(&self, what: &str, is: impl Fn(&Trust) -> bool) -> Outcome<()> {
        let until = self.clock.monotonic() + PATIENCE;
        loop {
            let done = self.trusts.iter().filter(|trust| is(trust)).count();
            if done == self.trusts.len() {
                return Ok(());
            }
            progress::say(&format!("revocation: {what}: {done} of {}", self.trusts.len()));
            if self.clock.monotonic() > until {
                return Err(format!("{what}: {done} of {} after {PATIENCE:?}", self.trusts.len()).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// When all of them came to hold more and more: to be run on a thread of its own while something happens. Ends with
    /// the first moment at which `until` is told and reached, or with the patience.
    pub fn timeline(&self, until: &std::sync::atomic::AtomicU64) -> Vec<(Duration, u64)> {
        let (mut seen, end) = (Vec::new(), self.clock.monotonic() + PATIENCE);
        loop {
            let (least, now) = (self.least(), self.clock.monotonic());
            if seen.last().is_none_or(|(_, last)| *last < least) {
                seen.push((now, least));
            }
            let wanted = until.load(std::sync::atomic::Ordering::Acquire);
            if (wanted > 0 && least >= wanted) || now > end {
                return seen;
            }
            std::thread::sleep(LOOK);
        }
    }
}
