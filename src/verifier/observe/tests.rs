//! What is let pass, and everything that must not be.

use std::sync::Mutex;
use std::time::Duration;

use shortbread_protocol::call::Args;
use shortbread_protocol::clock::{Clock as _, FOREVER, ManualClock};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::revocations::{Cause, Entry, SelectorKind};

use super::*;
use crate::decision::{Checker as _, Decision, Presented, Stage};
use crate::list::Next;
use crate::list::testing::{self, Broker, ISSUER, NOW, key, stop};
use crate::testing::{AUDIENCE, Mint};
use crate::uses::LocalUses;
use crate::verifier::{Config, Sink, Unrecorded, Verifier};

const ANSWERED: Answered<'static> = Answered { verifier: "github", instance: "thumbprint", n: 4 };
const WRITE: Call<'static> = Call { tool: "github", verb: "issues.write", args: None };
const DELETE: Call<'static> = Call { tool: "github", verb: "repo.delete", args: None };
const UNTIL: u64 = NOW + 30 * 86_400;

/// A service that takes part, and the broker that it listens to.
struct Service {
    broker: Broker,
    trust: Arc<Trust>,
    clock: Arc<ManualClock>,
    observe: Arc<Observe>,
    verifier: Verifier,
    seq: u64,
}

impl Service {
    fn new() -> Self {
        let mut service = Self::without_list();
        service.publish();
        service
    }

    fn without_list() -> Self {
        let clock = testing::clock();
        let trust = Arc::new(testing::open(&clock, None).unwrap());
        let observe = Arc::new(Observe::new());
        let config = Config { audience: AUDIENCE.to_owned() };
        let verifier = Verifier::new(Arc::clone(&trust), config).unwrap().observe(Arc::clone(&observe));
        let broker = Broker::new();
        trust.offer_keys(&broker.keys()).unwrap();
        Self { broker, trust, clock, observe, verifier, seq: 5 }
    }

    fn publish(&mut self) {
        self.seq += 1;
        self.broker.snapshot.seq = self.seq;
        let head = self.broker.signed(self.seq, self.clock.now().seconds());
        if let Next::Snapshot(_) = self.trust.offer_head(&head).unwrap() {
            self.trust.offer_snapshot(&self.broker.snapshot()).unwrap();
        }
    }

    fn revoke(&mut self, kind: SelectorKind, value: &str, before: u64) {
        let (value, cause) = (value.to_owned(), Cause::Incident);
        self.broker.snapshot.entries.push(Entry {
            kind,
            value,
            before,
            until: None,
            seq: self.seq + 1,
            cause,
        });
        self.publish();
    }

    fn take(&self, statement: &Statement) -> Result<(), ObserveError> {
        self.observe.take(Some(&sign(statement, &key(3))), &ANSWERED, &self.trust)
    }

    fn check(&self, token: Option<&str>, call: &Call<'_>) -> Decision {
        self.verifier.check(&Presented { token, proof: None, trace: None }, call)
    }

    /// Whether a call without a token passes, which is denied where nothing is observed.
    fn observes(&self) -> bool {
        let decision = self.check(None, &WRITE);
        assert_eq!(decision.observed.or(decision.reason), Some(Reason::TokenMissing));
        decision.is_allowed()
    }
}

fn statement() -> Statement {
    Statement {
        iss: ISSUER.to_owned(),
        verifier: "github".parse().unwrap(),
        instance: "thumbprint".to_owned(),
        n: 4,
        iat: NOW,
        tools: BTreeMap::from([("github".parse().unwrap(), UNTIL)]),
    }
}

fn sign(statement: &Statement, key: &PrivateKey) -> String {
    jws::sign(OBSERVE_TYPE, "r2026-11a", statement, key)
}

#[test]
fn a_would_be_denial_passes_and_says_why_and_an_allowed_call_says_nothing() {
    let service = Service::new();
    let token = Mint::named("tok_1").text();
    assert_eq!(service.check(Some(&token), &DELETE).reason, Some(Reason::NotGranted));
    service.take(&statement()).unwrap();
    let passed = service.check(Some(&token), &DELETE);
    assert_eq!((passed.is_allowed(), passed.reason, passed.observed), (true, None, Some(Reason::NotGranted)));
    assert_eq!((passed.stage, passed.access), (Stage::Evaluate, None));
    assert_eq!(passed.caller.as_ref().unwrap().task.as_deref(), Some("tsk_1"));
    for (token, reason) in [(None, Reason::TokenMissing), (Some("nonsense"), Reason::TokenMalformed)] {
        let passed = service.check(token, &WRITE);
        assert_eq!((passed.is_allowed(), passed.observed, passed.caller), (true, Some(reason), None));
    }
    let allowed = service.check(Some(&token), &WRITE);
    assert_eq!((allowed.is_allowed(), allowed.observed), (true, None));
    let payments = Call { tool: "payments", ..WRITE };
    assert!(!service.check(None, &payments).is_allowed(), "of that tool nobody spoke");
    assert!(!service.verifier.refuse(Reason::CallMalformed, "two tokens", None).is_allowed());
    assert_eq!(service.observe.tools(&service.trust).len(), 1);
}

#[test]
fn without_the_local_wish_nothing_that_a_broker_says_opens_anything() {
    let service = Service::new();
    let config = Config { audience: AUDIENCE.to_owned() };
    let other = Verifier::new(Arc::clone(&service.trust), config).unwrap();
    service.take(&statement()).unwrap();
    assert!(service.observes());
    assert!(!other.check(&Presented { token: None, proof: None, trace: None }, &WRITE).is_allowed());
}

#[test]
fn what_is_revoked_is_denied_whoever_calls() {
    let token = Mint::named("tok_1").text();
    let cases: [(SelectorKind, &str, bool); 9] = [
        (SelectorKind::Workflow, "release-notes", false),
        (SelectorKind::Task, "tsk_1", false),
        (SelectorKind::Tool, "github", true),
        (SelectorKind::Verb, "github/repo.delete", true),
        (SelectorKind::Access, "write", true),
        (SelectorKind::Access, "privileged", true),
        (SelectorKind::Access, "github/privileged", true),
        (SelectorKind::Tool, "payments", false),
        (SelectorKind::Access, "payments/write", false),
    ];
    for (at, (kind, value, strangers)) in cases.into_iter().enumerate() {
        let mut service = Service::new();
        service.take(&statement()).unwrap();
        assert!(service.check(Some(&token), &DELETE).is_allowed() && service.observes());
        service.revoke(kind, value, NOW + 1);
        let known = service.check(Some(&token), &DELETE);
        assert_eq!(known.is_allowed(), at > 6, "{kind} {value}");
        if at <= 6 {
            assert_eq!((known.reason, known.observed), (Some(Reason::Revoked(kind)), None), "{value}");
        }
        let stranger = service.check(None, &DELETE);
        assert_eq!(stranger.is_allowed(), !strangers, "{kind} {value}, without a token");
        let forged = service.check(Some("nonsense"), &DELETE);
        assert_eq!(forged.is_allowed(), !strangers, "{kind} {value}, with none that is believed");
    }
}

#[test]
fn what_was_issued_since_a_revocation_passes_again_and_a_stranger_does_not() {
    let mut service = Service::new();
    service.take(&statement()).unwrap();
    service.revoke(SelectorKind::Tool, "github", NOW);
    let token = Mint::named("tok_1").text();
    assert_eq!(service.check(Some(&token), &DELETE).observed, Some(Reason::NotGranted));
    let stranger = service.check(None, &DELETE);
    assert_eq!(
        (stranger.reason, stranger.stage),
        (Some(Reason::Revoked(SelectorKind::Tool)), Stage::Revocation)
    );
}

#[test]
fn break_glass_stops_everyone_with_and_without_a_list() {
    for service in [Service::new(), Service::without_list()] {
        service.take(&statement()).unwrap();
        let token = Mint::named("tok_1").text();
        assert!(service.check(Some(&token), &DELETE).is_allowed());
        service.trust.offer_break_glass(&stop(1, FOREVER)).unwrap();
        for token in [Some(token.as_str()), None, Some("nonsense")] {
            assert_eq!(service.check(token, &DELETE).reason, Some(Reason::RevokedAll), "{token:?}");
        }
    }
}

#[test]
fn a_statement_that_is_not_exactly_so_enforces_and_ends_the_one_before() {
    let old = Statement { iat: NOW - 61, ..statement() };
    let early = Statement { iat: NOW + 61, ..statement() };
    let long = BTreeMap::from([("github".parse().unwrap(), NOW + 90 * 86_400 + 61)]);
    let text = |statement: &Statement| sign(statement, &key(3));
    let issuer = Statement { iss: "https://other.example".to_owned(), ..statement() };
    let verifier = Statement { verifier: "payments".parse().unwrap(), ..statement() };
    let instance = Statement { instance: "other".to_owned(), ..statement() };
    let replayed = Statement { n: 3, ..statement() };
    let mut changed = text(&statement()).into_bytes();
    let middle = changed.len() / 2;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    for (text, code) in [
        (sign(&statement(), &key(9)), "signature"),
        (sign(&statement(), &key(2)), "signature"),
        (jws::sign(OBSERVE_TYPE, "k2026-11a", &statement(), &key(2)), "key"),
        (jws::sign(OBSERVE_TYPE, "r2099", &statement(), &key(3)), "key"),
        (jws::sign("shortbread-report+jwt", "r2026-11a", &statement(), &key(3)), "signature"),
        (String::from_utf8(changed).unwrap(), "signature"),
        (String::new(), "signature"),
        (text(&issuer), "other"),
        (text(&verifier), "other"),
        (text(&instance), "other"),
        (text(&replayed), "other"),
        (text(&old), "time"),
        (text(&early), "time"),
        (text(&Statement { tools: long, ..statement() }), "too_long"),
    ] {
        let service = Service::new();
        service.take(&statement()).unwrap();
        assert!(service.observes());
        let error = service.observe.take(Some(&text), &ANSWERED, &service.trust).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(!service.observes(), "{code}");
    }
}

#[test]
fn an_answer_without_a_statement_and_the_end_of_a_lease_enforce() {
    let service = Service::new();
    service.take(&statement()).unwrap();
    service.observe.take(None, &ANSWERED, &service.trust).unwrap();
    assert!(!service.observes());
    service.take(&statement()).unwrap();
    service.observe.end();
    assert!(!service.observes());
}

#[test]
fn it_is_over_when_it_is_not_renewed_when_the_clock_jumps_and_at_its_end() {
    let seconds = Duration::from_secs;
    let observing = || {
        let service = Service::new();
        service.take(&statement()).unwrap();
        service
    };
    let service = observing();
    service.clock.advance(seconds(120));
    assert!(service.observes());
    service.clock.advance(seconds(1));
    assert!(!service.observes() && service.observe.tools(&service.trust).is_empty());
    for jump in [NOW + 6, NOW - 6] {
        let service = observing();
        service.clock.jump_to(Timestamp::from_seconds(jump));
        assert!(!service.observes(), "{jump}");
    }
    let service = Service::new();
    let soon = BTreeMap::from([("github".parse().unwrap(), NOW + 10)]);
    service.take(&Statement { tools: soon, ..statement() }).unwrap();
    service.clock.advance(seconds(9));
    assert!(service.observes());
    service.clock.advance(seconds(1));
    assert!(!service.observes() && service.observe.tools(&service.trust).is_empty());
}

#[test]
fn a_clock_that_is_behind_makes_a_statement_last_no_longer() {
    let service = Service::new();
    service.take(&Statement { iat: NOW - 60, ..statement() }).unwrap();
    service.clock.advance(Duration::from_secs(60));
    assert!(service.observes());
    service.clock.advance(Duration::from_secs(1));
    assert!(!service.observes());
    service.clock.jump_to(Timestamp::from_seconds(NOW));
    let early = Service::new();
    early.take(&Statement { iat: NOW + 60, ..statement() }).unwrap();
    early.clock.advance(Duration::from_secs(121));
    assert!(!early.observes(), "from the future it counts no longer than from when it was seen");
}

#[test]
fn a_key_that_the_root_key_takes_back_takes_its_statement_along() {
    let mut service = Service::new();
    service.take(&statement()).unwrap();
    assert!(service.observes());
    service.broker.document.version += 1;
    let revocation =
        service.broker.document.keys.iter_mut().find(|key| key.purpose == KeyPurpose::Revocation);
    let revocation = revocation.unwrap();
    (revocation.name, revocation.key) = ("r2026-12a".parse().unwrap(), key(8).public());
    service.trust.offer_keys(&service.broker.keys()).unwrap();
    assert!(!service.observes());
    assert_eq!(service.take(&statement()).unwrap_err().code(), "key");
}

#[test]
fn a_service_that_must_record_every_decision_denies_what_it_cannot_record() {
    struct Full(Mutex<Vec<Option<Reason>>>);
    impl Sink for Full {
        fn record(&self, decision: &Decision, _: &Call<'_>) -> Result<(), Unrecorded> {
            self.0.lock().unwrap().push(decision.observed);
            Err(Unrecorded)
        }
    }
    let service = Service::new();
    service.take(&statement()).unwrap();
    let sink = Arc::new(Full(Mutex::default()));
    let Service { verifier, .. } = service;
    let denied =
        verifier.sink(sink.clone()).check(&Presented { token: None, proof: None, trace: None }, &WRITE);
    assert_eq!((denied.reason, denied.observed), (Some(Reason::RecordUnavailable), None));
    assert_eq!(*sink.0.lock().unwrap(), [Some(Reason::TokenMissing)], "the sink learns what was let pass");
}

#[test]
fn what_is_good_once_is_never_let_pass_whatever_is_wrong_with_the_call() {
    let tmp = tempfile::tempdir().unwrap();
    let mut service = Service::new();
    let args = Args::from_json(br#"{"title":"x"}"#).unwrap();
    let other = Args::from_json(br#"{"title":"y"}"#).unwrap();
    let write = Call { args: Some(&args), ..WRITE };
    let token = Mint { once: Some(r#"{"title":"x"}"#), ..Mint::named("tok_1") }.text();
    service.take(&statement()).unwrap();
    let refused = |service: &Service, call: &Call<'_>, reason| {
        let decision = service.check(Some(&token), call);
        assert_eq!((decision.is_allowed(), decision.observed, decision.reason), (false, None, Some(reason)));
    };
    refused(&service, &write, Reason::AlreadyUsed);
    let now = service.clock.now();
    let uses = Arc::new(LocalUses::open(tmp.path(), now).unwrap());
    service.verifier = service.verifier.uses_local(uses);
    refused(&service, &DELETE, Reason::NotGranted);
    refused(&service, &Call { args: Some(&other), ..WRITE }, Reason::ApprovedCallOnly);
    refused(&service, &WRITE, Reason::ApprovedCallOnly);
    assert!(service.check(Some(&token), &write).is_allowed());
    refused(&service, &write, Reason::AlreadyUsed);
    service.clock.advance(Duration::from_secs(300));
    service.publish();
    service.take(&Statement { iat: NOW + 300, ..statement() }).unwrap();
    assert!(service.observes());
    refused(&service, &write, Reason::Expired);
}
