//! A tool service: a verifier that follows a world's revocation list, and polls when it is told.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shortbread_protocol::call::Args;
use shortbread_protocol::clock::Clock;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::SystemRandom;
use shortbread_verifier::decision::{Call, Checker as _, Decision, Presented};
use shortbread_verifier::feed::{Feed, FeedConfig, FeedError, Step};
use shortbread_verifier::list::{Pin, Trust};
use shortbread_verifier::report::{Identity, Recorder, RecorderConfig, Reporter, ReporterConfig};
use shortbread_verifier::{Verifier, VerifierConfig};

use crate::world::World;

const TICK: Duration = Duration::from_millis(10);

/// A tool service of a world.
pub struct Tool {
    name: String,
    verifier: Arc<Verifier>,
    trust: Arc<Trust>,
    feed: Feed,
}

impl World {
    /// The tool service of this name, at the audience that the policy of tests gives it. It has no list yet.
    ///
    /// # Panics
    /// When it cannot be set up.
    #[must_use]
    pub fn tool(&self, name: &str) -> Tool {
        let pin = Pin { issuer: self.issuer.clone(), root: self.root() };
        let clock: Arc<dyn Clock> = self.clock.clone();
        let trust = Arc::new(Trust::new(pin, clock, None).expect("no state to restore"));
        let config = FeedConfig::new(self.issuer.as_str());
        let feed =
            Feed::new(Arc::clone(&trust), &config, Arc::new(SystemRandom)).expect("a loopback address");
        let audience = format!("https://tools.acme.example/{name}");
        let verifier = Verifier::new(Arc::clone(&trust), VerifierConfig { audience }).expect("randomness");
        let verifier = Arc::new(verifier);
        Tool { name: name.to_owned(), verifier, trust, feed }
    }
}

impl Tool {
    /// Polls the list once.
    ///
    /// # Panics
    /// When the list is not had or not taken.
    pub async fn poll(&mut self) -> Step {
        self.try_poll().await.expect("a list")
    }

    /// Polls the list once.
    ///
    /// # Errors
    /// When the list is not had or not taken.
    pub async fn try_poll(&mut self) -> Result<Step, FeedError> {
        self.feed.step().await
    }

    /// Its verifier.
    #[must_use]
    pub fn verifier(&self) -> Arc<Verifier> {
        Arc::clone(&self.verifier)
    }

    /// What it has learned.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The sequence of the list in force.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.trust.state().seq()
    }

    /// Checks a call: `allowed`, or the code of the reason why not.
    ///
    /// # Panics
    /// When the arguments are none.
    #[must_use]
    pub fn check(&self, token: &str, verb: &str, args: &Value) -> &'static str {
        let args = Args::from_json(args.to_string().as_bytes()).expect("arguments");
        let call = Call { tool: &self.name, verb, args: Some(&args) };
        self.verifier.check(&Presented::bearer(token), &call).reason.map_or("allowed", |reason| reason.code())
    }

    /// Decides about calls without arguments, each in a trace of its own, and tells the broker of them as the verifier of
    /// this tool's name, whose key this is. A tool does so once.
    ///
    /// # Panics
    /// When the broker is not told.
    pub async fn decide(
        &self,
        world: &World,
        key: PrivateKey,
        calls: &[(&str, &str, [u8; 16])],
    ) -> Vec<Decision> {
        let recorder = Arc::new(Recorder::new(&RecorderConfig::default()).expect("a recorder"));
        let config = VerifierConfig { audience: format!("https://tools.acme.example/{}", self.name) };
        let verifier = Verifier::new(Arc::clone(&self.trust), config).expect("randomness");
        let verifier = verifier.sink(recorder.clone());
        let decided = calls.iter().map(|(token, verb, trace)| {
            let presented = Presented { token: Some(token), proof: None, trace: Some(*trace) };
            verifier.check(&presented, &Call { tool: &self.name, verb, args: None })
        });
        let decided: Vec<Decision> = decided.collect();
        let mut config = ReporterConfig::new(&world.issuer);
        (config.upload_every, config.retry) = (TICK, TICK);
        let identity = Identity::key(self.name.parse().expect("a name"), key);
        let clock: Arc<dyn Clock> = world.clock.clone();
        let reporter =
            Reporter::new(config, identity, Arc::clone(&self.trust), clock, Arc::new(SystemRandom));
        let reporter = reporter.expect("a reporter").uploads(Arc::clone(&recorder));
        let told = async {
            // What was just decided may be on its way to the recorder.
            tokio::time::sleep(10 * TICK).await;
            while recorder.status().waiting > 0 {
                tokio::time::sleep(TICK).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reporter.run(told)).await.expect("the broker is told");
        decided
    }
}
