//! That a token that is good once passes once, and that its use is claimed after all else.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use shortbread_protocol::call::Args;
use shortbread_protocol::clock::{Clock as _, ManualClock};

use super::*;
use crate::decision::{Checker as _, Stage};
use crate::list::Trust;
use crate::list::testing::{self, Broker, NOW};
use crate::testing::{AUDIENCE, Mint, copy};
use crate::uses::LocalUses;
use crate::verifier::{Config, Sink, Unrecorded};

const ARGS: &str = r#"{"title":"x"}"#;

/// A service that restarts on the same disk.
struct Service {
    clock: Arc<ManualClock>,
    trust: Arc<Trust>,
}

impl Service {
    fn new() -> Self {
        let clock = testing::clock();
        let trust = Arc::new(testing::open(&clock, None).unwrap());
        let broker = Broker::new();
        trust.offer_keys(&broker.keys()).unwrap();
        trust.offer_head(&broker.signed(6, NOW)).unwrap();
        trust.offer_snapshot(&broker.snapshot()).unwrap();
        Self { clock, trust }
    }

    fn verifier(&self) -> Verifier {
        Verifier::new(Arc::clone(&self.trust), Config { audience: AUDIENCE.to_owned() }).unwrap()
    }

    fn keeping(&self, dir: &Path) -> (Verifier, Arc<LocalUses>) {
        let uses = Arc::new(LocalUses::open(dir, self.clock.now()).unwrap());
        (self.verifier().uses_local(Arc::clone(&uses)), uses)
    }
}

fn once(token: &str) -> String {
    Mint { once: Some(ARGS), ..Mint::named(token) }.text()
}

fn write(verifier: &Verifier, text: &str, args: &str) -> Decision {
    let args = Args::from_json(args.as_bytes()).unwrap();
    let call = Call { tool: "github", verb: "issues.write", args: Some(&args) };
    verifier.check(&Presented::bearer(text), &call)
}

#[test]
fn a_use_passes_once_for_all_copies_and_across_restarts() {
    let (service, tmp) = (Service::new(), tempfile::tempdir().unwrap());
    let (first, second) = (once("tok_1"), once("tok_2"));
    {
        let (verifier, uses) = service.keeping(tmp.path());
        assert!(write(&verifier, &first, r#"{ "title" : "x" }"#).is_allowed());
        for text in [&first, &copy(&first, 1)] {
            let refused = write(&verifier, text, ARGS);
            assert_eq!((refused.reason, refused.stage), (Some(Reason::AlreadyUsed), Stage::Evaluate));
            assert_eq!(refused.held.len(), 2);
        }
        assert_eq!(uses.remembered(), 1);
    }
    let (verifier, _) = service.keeping(tmp.path());
    assert_eq!(write(&verifier, &first, ARGS).reason, Some(Reason::AlreadyUsed));
    assert!(write(&verifier, &copy(&second, 1), ARGS).is_allowed());
    assert_eq!(write(&verifier, &second, ARGS).reason, Some(Reason::AlreadyUsed));
}

#[test]
fn nothing_is_claimed_for_a_call_that_is_refused_otherwise_or_needs_no_claim() {
    let (service, tmp) = (Service::new(), tempfile::tempdir().unwrap());
    let (verifier, uses) = service.keeping(tmp.path());
    let text = once("tok_1");
    assert_eq!(write(&verifier, &text, r#"{"title":"y"}"#).reason, Some(Reason::ApprovedCallOnly));
    for (verb, reason) in [("issues.write", Reason::ApprovedCallOnly), ("issues.read", Reason::NotGranted)] {
        let unread = Call { tool: "github", verb, args: None };
        let refused = verifier.check(&Presented::bearer(&text), &unread);
        assert_eq!(refused.reason, Some(reason), "{verb}");
    }
    let none = Call { tool: "github", verb: "repo.delete", args: None };
    assert_eq!(verifier.check(&Presented::bearer(&text), &none).reason, Some(Reason::NotGranted));
    let ordinary = Mint::named("tok_2").text();
    for _ in 0..2 {
        assert!(write(&verifier, &ordinary, "{}").is_allowed());
    }
    service.clock.advance(Duration::from_secs(299));
    assert!(write(&verifier, &once("tok_3"), ARGS).is_allowed());
    assert_eq!(uses.remembered(), 1);
    service.clock.advance(Duration::from_secs(1));
    assert_eq!(write(&verifier, &text, ARGS).reason, Some(Reason::Expired));
    assert_eq!(uses.remembered(), 1);
}

#[test]
fn who_keeps_no_uses_refuses_and_says_what_to_configure() {
    let service = Service::new();
    let verifier = service.verifier();
    let refused = write(&verifier, &once("tok_1"), ARGS);
    assert_eq!(refused.reason, Some(Reason::AlreadyUsed));
    assert!(refused.detail.unwrap().contains("uses_local"));
    assert_eq!(write(&verifier, &once("tok_1"), "{}").reason, Some(Reason::ApprovedCallOnly));
}

#[derive(Default)]
struct Log(Mutex<Vec<Option<Reason>>>);

impl Sink for Log {
    fn record(&self, decision: &Decision, _: &Call<'_>) -> Result<(), Unrecorded> {
        self.0.lock().unwrap().push(decision.reason);
        Ok(())
    }
}

#[test]
fn a_decision_is_recorded_once_and_after_the_claim() {
    let (service, tmp) = (Service::new(), tempfile::tempdir().unwrap());
    let (verifier, log) = (service.keeping(tmp.path()).0, Arc::new(Log::default()));
    let verifier = verifier.sink(Arc::clone(&log) as Arc<_>);
    let text = once("tok_1");
    (0..3).for_each(|_| drop(write(&verifier, &text, ARGS)));
    assert_eq!(*log.0.lock().unwrap(), [None, Some(Reason::AlreadyUsed), Some(Reason::AlreadyUsed)]);
}

#[test]
fn of_many_calls_at_once_one_passes() {
    let (service, tmp) = (Service::new(), tempfile::tempdir().unwrap());
    let (verifier, _) = service.keeping(tmp.path());
    let texts: Vec<_> = (0..4).map(|number| once(&format!("tok_{number}"))).collect();
    let calls = || -> Vec<usize> {
        texts.iter().map(|text| usize::from(write(&verifier, text, ARGS).is_allowed())).collect()
    };
    let passed: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(calls)).collect();
        let passed = threads.into_iter().map(|thread| thread.join().unwrap());
        passed.fold(vec![0; 4], |sum, one| sum.iter().zip(one).map(|(sum, one)| sum + one).collect())
    });
    assert_eq!(passed, [1; 4]);
}
