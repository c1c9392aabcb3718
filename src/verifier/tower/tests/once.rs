//! Tokens that are good once, through the layer.

use std::sync::Arc;

use serde_json::json;
use shortbread_protocol::clock::Timestamp;

use super::stage::{Key, Making, Odd, Said, Stage, token};
use crate::list::testing::NOW;
use crate::uses::LocalUses;

const PATH: &str = "/issues.write";
const ARGS: &str = r#"{"n":1}"#;

fn once(holder: Option<&str>) -> String {
    token(holder, Odd { once: Some(ARGS), ..Odd::default() })
}

async fn bearer(stage: &Stage, path: &str, token: &str, body: &str) -> Said {
    let authorization = format!("Bearer {token}");
    stage.send("POST", path, &[("authorization", authorization.as_bytes())], body).await
}

#[tokio::test]
async fn the_approved_call_passes_once_and_no_other_does() {
    let tmp = tempfile::tempdir().unwrap();
    let uses = Arc::new(LocalUses::open(tmp.path(), Timestamp::from_seconds(NOW)).unwrap());
    let stage = Stage::keeping(|verifier| verifier.uses_local(Arc::clone(&uses)));
    let token = once(None);
    for (path, body, reason) in [
        (PATH, r#"{"n":1,"m":2}"#, "approval.other_call"),
        ("/unread/issues.write", ARGS, "approval.other_call"),
        ("/issues.read", ARGS, "not_granted"),
    ] {
        let other = bearer(&stage, path, &token, body).await;
        assert_eq!((other.status, other.reason.as_str()), (403, reason), "{path} {body}");
    }
    assert_eq!(uses.remembered(), 0);
    let passed = bearer(&stage, PATH, &token, r#"{ "n": 1 }"#).await;
    assert_eq!((passed.status, passed.reason.as_str()), (200, ""));
    let again = bearer(&stage, PATH, &token, ARGS).await;
    assert_eq!((again.status, again.reason.as_str()), (403, "approval.used"));
    assert_eq!(uses.remembered(), 1);
}

#[tokio::test]
async fn without_a_keeper_it_is_refused_and_the_answer_names_the_setting() {
    let stage = Stage::new();
    let refused = bearer(&stage, PATH, &once(None), ARGS).await;
    assert_eq!((refused.status, refused.reason.as_str()), (403, "approval.used"));
    assert!(refused.words.contains("`uses_local`"), "{}", refused.words);
}

#[tokio::test]
async fn no_proof_is_used_up_where_nothing_can_be_claimed() {
    let tmp = tempfile::tempdir().unwrap();
    let uses = Arc::new(LocalUses::open(tmp.path(), Timestamp::from_seconds(NOW)).unwrap());
    let (nobody, stage) = (Stage::new(), Stage::keeping(|verifier| verifier.uses_local(uses)));
    let key = Key::Ed25519(40);
    let token = once(Some(&key.thumbprint()));
    let proof = |jti| Making::new(key, jti, PATH, &token).call("github/issues.write", ARGS);
    let refused = nobody.post(PATH, &token, &proof("j1").done(), ARGS).await;
    assert_eq!((refused.reason.as_str(), nobody.verifier.proof_signatures()), ("approval.used", 0));
    // A call that is another one leaves proof and use.
    let other = stage.post(PATH, &token, &proof("j1").done(), r#"{"n":1,"m":2}"#).await;
    assert_eq!((other.reason.as_str(), stage.verifier.proof_signatures()), ("approval.other_call", 0));
    // A proof that is wrong leaves the use.
    let wrong = proof("j1").claim("htm", json!("GET")).done();
    assert_eq!(stage.post(PATH, &token, &wrong, ARGS).await.reason, "proof.mismatch");
    assert_eq!(stage.post(PATH, &token, &proof("j1").done(), ARGS).await.status, 200);
    assert_eq!(stage.post(PATH, &token, &proof("j1").done(), ARGS).await.reason, "proof.replayed");
    assert_eq!(stage.post(PATH, &token, &proof("j2").done(), ARGS).await.reason, "approval.used");
}

#[cfg(feature = "report")]
#[tokio::test]
async fn a_broker_that_cannot_be_asked_is_asked_again_later() {
    let stage = Stage::keeping(|verifier| verifier.uses_broker(crate::uses::BrokerUses::new()));
    let key = Key::Ed25519(40);
    let token = once(Some(&key.thumbprint()));
    let proof = Making::new(key, "j1", PATH, &token).call("github/issues.write", ARGS).done();
    let refused = stage.post(PATH, &token, &proof, ARGS).await;
    assert_eq!((refused.status, refused.reason.as_str()), (503, "approval.claim_unavailable"));
    assert_eq!(refused.headers["retry-after"], "5");
    assert_eq!(stage.verifier.proof_signatures(), 0);
}
