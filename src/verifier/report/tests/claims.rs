//! Uses that the broker keeps, claimed under the reporter's lease.

use std::collections::hash_map::Entry;

use shortbread_protocol::call::Args;

use super::*;
use crate::decision::{Checker as _, Presented, Stage as Place};
use crate::testing::{AUDIENCE, Mint};
use crate::verifier::{Config, Unrecorded, Verifier};

const ARGS: &str = r#"{"title":"x"}"#;

pub(super) async fn claim(State(heard): State<Shared>, body: String) -> Response {
    let mut heard = heard.lock().unwrap();
    if let Some(says) = heard.says(CLAIMS) {
        return says;
    }
    let message: Message<Claim> = heard.read(&body, CLAIM_TYPE);
    let claim = message.said.clone();
    heard.claims.push(message);
    let again = match heard.used.entry(claim.token) {
        Entry::Occupied(used) if *used.get() != claim.attempt => {
            return no(StatusCode::CONFLICT, Reason::AlreadyUsed);
        }
        Entry::Occupied(_) => true,
        Entry::Vacant(place) => {
            place.insert(claim.attempt);
            false
        }
    };
    if heard.lose > 0 {
        heard.lose -= 1;
        return StatusCode::BAD_GATEWAY.into_response();
    }
    yes(json!({ "again": again }))
}

#[derive(Default)]
struct Log(Mutex<Vec<Decision>>);

impl crate::Sink for Log {
    fn record(&self, decision: &Decision, _: &Call<'_>) -> Result<(), Unrecorded> {
        self.0.lock().unwrap().push(decision.clone());
        Ok(())
    }
}

/// A stage with a list and a lease, and one of its verifiers.
async fn ready(refuse: Vec<(&'static str, Response)>) -> (Stage, Verifier, Arc<Log>) {
    let mut stage = Stage::start(None, refuse).await;
    stage.apply(7);
    stage.until("a report", |heard| !heard.reports.is_empty()).await;
    let config = Config { audience: AUDIENCE.to_owned() };
    let log = Arc::new(Log::default());
    let verifier = Verifier::new(Arc::clone(&stage.trust), config).unwrap();
    let verifier = verifier.sink(Arc::clone(&log) as Arc<_>).uses_broker(Arc::clone(&stage.uses));
    (stage, verifier, log)
}

fn once(token: &str) -> String {
    Mint { once: Some(ARGS), ..Mint::named(token) }.text()
}

async fn write(verifier: &Verifier, text: &str, args: &str) -> Decision {
    let args = Args::from_json(args.as_bytes()).unwrap();
    let call = Call { tool: "github", verb: "issues.write", args: Some(&args) };
    verifier.check_claiming(&Presented::bearer(text), &call).await
}

#[tokio::test]
async fn a_use_is_claimed_once_under_the_lease_and_by_another_attempt_never() {
    let (mut stage, verifier, log) = ready(Vec::new()).await;
    assert!(write(&verifier, &Mint::named("tok_0").text(), "{}").await.is_allowed());
    assert_eq!(write(&verifier, &once("tok_1"), "{}").await.reason, Some(Reason::ApprovedCallOnly));
    assert!(stage.heard.lock().unwrap().claims.is_empty(), "nobody asked for these");
    assert!(write(&verifier, &once("tok_1"), ARGS).await.is_allowed());
    let refused = write(&verifier, &once("tok_1"), ARGS).await;
    assert_eq!((refused.reason, refused.stage), (Some(Reason::AlreadyUsed), Place::Evaluate));
    assert_eq!(refused.held.len(), 2);
    let claims = stage.heard.lock().unwrap().claims.clone();
    let [first, second] = &claims[..] else { panic!("{claims:?}") };
    assert!(first.said.attempt != second.said.attempt && first.n < second.n);
    let digest = Args::from_json(ARGS.as_bytes()).unwrap().digest().map(hex::encode);
    let said = &first.said;
    let named = (said.token.as_str(), said.tool.as_str(), said.verb.as_str(), &said.args_sha256);
    assert_eq!(named, ("tok_1", "github", "issues.write", &digest));
    let reasons: Vec<_> = log.0.lock().unwrap().iter().map(|decision| decision.reason).collect();
    assert_eq!(reasons, [None, Some(Reason::ApprovedCallOnly), None, Some(Reason::AlreadyUsed)]);
    stage.stop().await;
}

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for_again_by_the_same_attempt() {
    let unable = || no(StatusCode::SERVICE_UNAVAILABLE, Reason::StoreUnavailable);
    let (mut stage, verifier, log) = ready(vec![(CLAIMS, unable())]).await;
    stage.heard.lock().unwrap().lose = 2;
    assert!(write(&verifier, &once("tok_1"), ARGS).await.is_allowed());
    let claims = stage.heard.lock().unwrap().claims.clone();
    assert_eq!(claims.len(), 3);
    assert!(claims.windows(2).all(|pair| pair[0].said == pair[1].said && pair[0].n < pair[1].n));
    assert_eq!(log.0.lock().unwrap().len(), 1);
    stage.stop().await;
}

#[tokio::test]
async fn what_the_broker_refuses_is_refused_for_its_reason_or_as_not_claimed() {
    let revoked = Reason::Revoked(shortbread_protocol::revocations::SelectorKind::Workflow);
    let refuse = vec![
        (CLAIMS, no(StatusCode::FORBIDDEN, revoked)),
        (CLAIMS, no(StatusCode::NOT_FOUND, Reason::NotFound)),
    ];
    let (mut stage, verifier, _) = ready(refuse).await;
    let refused = write(&verifier, &once("tok_1"), ARGS).await;
    assert_eq!((refused.reason, refused.stage), (Some(revoked), Place::Revocation));
    assert_eq!(write(&verifier, &once("tok_1"), ARGS).await.reason, Some(Reason::ClaimUnavailable));
    // Whoever does not wait asks nobody.
    let args = Args::from_json(ARGS.as_bytes()).unwrap();
    let call = Call { tool: "github", verb: "issues.write", args: Some(&args) };
    let at_once = verifier.check(&Presented::bearer(&once("tok_1")), &call);
    assert_eq!(at_once.reason, Some(Reason::ClaimUnavailable));
    assert!(at_once.detail.unwrap().contains("check_claiming"));
    assert!(stage.heard.lock().unwrap().claims.is_empty());
    stage.stop().await;
    assert_eq!(
        write(&verifier, &once("tok_1"), ARGS).await.reason,
        Some(Reason::ClaimUnavailable),
        "no lease"
    );
}

#[tokio::test]
async fn a_caller_that_goes_away_while_the_broker_is_asked_is_on_record_as_refused() {
    let unable = || (CLAIMS, no(StatusCode::SERVICE_UNAVAILABLE, Reason::StoreUnavailable));
    let (mut stage, verifier, log) = ready((0..9).map(|_| unable()).collect()).await;
    let text = once("tok_1");
    let waits = tokio::time::timeout(Duration::from_millis(20), write(&verifier, &text, ARGS));
    assert!(waits.await.is_err());
    let recorded = log.0.lock().unwrap().clone();
    let [decision] = &recorded[..] else { panic!("{recorded:?}") };
    assert_eq!((decision.is_allowed(), decision.reason), (false, Some(Reason::ClaimUnavailable)));
    stage.stop().await;
}
