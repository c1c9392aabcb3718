//! The approved call at the payment service: its verifier claims the one use of the token at the broker, last of all.

use std::sync::Arc;
use std::time::Duration;

use shortbread_protocol::call::Args;
use shortbread_protocol::clock::{Clock, SystemClock};
use shortbread_protocol::dpop::{ProofKey, Statement, token_hash};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::SystemRandom;
use shortbread_verifier::decision::{Call, Checker as _, Presented, SentProof};
use shortbread_verifier::feed::{Feed, FeedConfig};
use shortbread_verifier::list::Trust;
use shortbread_verifier::report::{Identity, Reporter, ReporterConfig};
use shortbread_verifier::uses::BrokerUses;
use shortbread_verifier::{Verifier, VerifierConfig};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::Outcome;
use crate::fleet::pin;
use crate::page::{passed, refused, say};
use crate::person::{ARGS, Approved, OPERATION};
use crate::stage::Stage;

const AUDIENCE: &str = "http://127.0.0.1:8802";
const OTHER: &str = r#"{"account":"acct_2","amount":480000}"#;

/// Runs the call once; with another account, and a second time, it is refused.
pub(crate) async fn run_once(stage: &Stage, approved: &Approved) -> Outcome {
    say("The payment service checks the token offline, and claims its one use at the broker before it pays:");
    let service = Service::start(stage).await?;
    for (what, args, wanted) in [
        ("The agent makes the call with another account", OTHER, "approval.other_call"),
        ("It makes the call that was approved", ARGS, ""),
        ("It makes the same call again, with the same token", ARGS, "approval.used"),
    ] {
        let said = service.call(stage, approved, args).await?;
        if said != wanted {
            return Err(format!("{what}: {said:?} instead of {wanted:?}").into());
        }
        if wanted.is_empty() { passed(what, "paid, once") } else { refused(what, wanted) }
    }
    service.stop().await
}

/// A payment service in this process.
struct Service {
    verifier: Verifier,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Service {
    async fn start(stage: &Stage) -> Outcome<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let trust = Arc::new(Trust::new(pin(stage)?, Arc::clone(&clock), None)?);
        let config = FeedConfig::new(stage.issuer.as_str());
        Feed::new(Arc::clone(&trust), &config, Arc::new(SystemRandom))?.step().await?;
        let key = PrivateKey::from_pem(&std::fs::read_to_string(stage.verifier_key("payments"))?)?;
        let identity = Identity::key("payments".parse()?, key);
        let (uses, random) = (BrokerUses::new(), Arc::new(SystemRandom));
        let config = ReporterConfig::new(stage.issuer.as_str());
        let reporter = Reporter::new(config, identity, Arc::clone(&trust), clock, random)?;
        let reporter = reporter.uses(Arc::clone(&uses));
        let verifier = Verifier::new(trust, VerifierConfig { audience: AUDIENCE.to_owned() })?;
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(reporter.run(async { drop(stopped.await) }));
        // A proof from before a service began is refused, and proofs are dated in whole seconds.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(Self { verifier: verifier.uses_broker(uses), stop, ended })
    }

    /// Makes the call with a fresh proof; why it is refused, if it is. The lease may be still on its way.
    async fn call(&self, stage: &Stage, approved: &Approved, args: &str) -> Outcome<String> {
        let mut said = String::new();
        for _ in 0..100 {
            said = self.call_once(stage, approved, args).await?;
            if said != "approval.claim_unavailable" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(said)
    }

    async fn call_once(&self, stage: &Stage, approved: &Approved, args: &str) -> Outcome<String> {
        let args = Args::from_json(args.as_bytes())?;
        let token = Some(token_hash(&approved.token));
        let (operation, hash) = (Some(OPERATION), args.digest());
        let statement =
            Statement { method: "POST", url: AUDIENCE, token, operation, args: hash, holder: None };
        let agent = PrivateKey::from_pem(&std::fs::read_to_string(stage.pem("agent"))?)?;
        let proof = ProofKey::new(agent).prove(&statement, SystemClock::start().now(), &SystemRandom)?;
        let proof = Some(SentProof { text: &proof, method: "POST", url: AUDIENCE });
        let presented = Presented { token: Some(&approved.token), proof, trace: None };
        let call = Call { tool: "payments", verb: "payouts.create", args: Some(&args) };
        let decision = self.verifier.check_claiming(&presented, &call).await;
        Ok(decision.reason.map(|reason| reason.code().to_owned()).unwrap_or_default())
    }

    async fn stop(self) -> Outcome {
        let _ = self.stop.send(());
        Ok(self.ended.await?)
    }
}
