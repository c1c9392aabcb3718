//! Tokens that are bound to a key, and every way to come without a good proof of it. Each case says how many signatures
//! of proofs were checked, which is what a proof costs: one for a good one, and never more for a bad one.

use serde_json::{Value as Json, json};
use shortbread_protocol::biscuit::{Alternative, Binary, Value};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::random::SeededRandom;

use super::stage::{Key, Making, ORIGIN, Odd, Said, Stage, appended, token};
use crate::list::testing::{Broker, NOW};
use crate::narrow::{Narrowing, narrow};

const KEY: Key = Key::Ed25519(40);

fn bound() -> String {
    token(Some(&KEY.thumbprint()), Odd::default())
}

fn read(jti: &str) -> Making {
    Making::new(KEY, jti, "/issues.read", &bound())
}

fn delete(jti: &str) -> Making {
    Making::new(KEY, jti, "/repo.delete", &bound())
}

fn allowed(said: &Said) -> bool {
    assert_eq!(said.status == 200, said.reason.is_empty(), "{said:?}");
    said.status == 200
}

/// Sends a call of `/issues.read` with this proof to a service of its own; gives the reason and the signatures checked.
async fn reason(proof: &str) -> (String, u64) {
    let stage = Stage::new();
    let said = stage.post("/issues.read", &bound(), proof, "{}").await;
    (said.reason, stage.verifier.proof_signatures())
}

#[tokio::test]
async fn a_good_proof_opens_with_either_kind_of_key() {
    for key in [KEY, Key::Es256(41)] {
        let (stage, token) = (Stage::new(), token(Some(&key.thumbprint()), Odd::default()));
        let proof = Making::new(key, "1", "/issues.read", &token).done();
        assert!(allowed(&stage.post("/issues.read", &token, &proof, "{}").await));
        assert_eq!((stage.verifier.proof_signatures(), stage.verifier.proofs_remembered()), (1, 1));
    }
}

#[tokio::test]
async fn a_bound_token_alone_is_of_no_use() {
    let (stage, token, proof) = (Stage::new(), bound(), read("1").done());
    let (bearer, dpop) = (format!("Bearer {token}"), format!("DPoP {token}"));
    let cases: [&[(&str, &[u8])]; 3] = [
        &[("authorization", bearer.as_bytes())],
        &[("authorization", dpop.as_bytes())],
        &[("authorization", bearer.as_bytes()), ("dpop", proof.as_bytes())],
    ];
    for headers in cases {
        let said = stage.send("POST", "/issues.read", headers, "{}").await;
        assert_eq!((said.status, said.reason.as_str()), (401, "proof.required"));
        let challenge = r#"DPoP error="invalid_token", algs="EdDSA Ed25519 ES256""#;
        assert_eq!(said.headers["www-authenticate"], challenge);
        assert_eq!(said.words.contains("came as `Bearer`"), headers.len() == 2, "{}", said.words);
    }
    assert_eq!(stage.verifier.proof_signatures(), 0);
}

#[tokio::test]
async fn one_proof_is_the_only_number() {
    let (stage, dpop) = (Stage::new(), format!("DPoP {}", bound()));
    let (first, second) = (read("1").done(), read("2").done());
    let cases: [[&[u8]; 2]; 3] = [
        [first.as_bytes(), second.as_bytes()],
        [first.as_bytes(), first.as_bytes()],
        [first.as_bytes(), b"\xe9"],
    ];
    for [one, other] in cases {
        let headers = [("authorization", dpop.as_bytes()), ("dpop", one), ("dpop", other)];
        let said = stage.send("POST", "/issues.read", &headers, "{}").await;
        assert_eq!((said.status, said.reason.as_str()), (401, "proof.malformed"));
        let challenge = r#"DPoP error="invalid_dpop_proof", algs="EdDSA Ed25519 ES256""#;
        assert_eq!(said.headers["www-authenticate"], challenge);
        assert!(said.headers.contains_key("shortbread-decision-id"));
    }
    let headers = [("authorization", dpop.as_bytes()), ("dpop", b"\xe9".as_slice())];
    assert_eq!(stage.send("POST", "/issues.read", &headers, "{}").await.reason, "proof.malformed");
    let joined = format!("{first}, {second}");
    assert_eq!(stage.post("/issues.read", &bound(), &joined, "{}").await.reason, "proof.malformed");
    assert_eq!(stage.verifier.proof_signatures(), 0);
    // What is refused unread uses nothing up.
    assert!(allowed(&stage.post("/issues.read", &bound(), &first, "{}").await));
}

#[tokio::test]
async fn a_proof_is_about_its_own_request_alone() {
    let url = |url: &str| read("1").claim("htu", json!(url));
    let other = token(Some(&KEY.thumbprint()), Odd { expired: true, ..Odd::default() });
    let ath = Making::new(KEY, "1", "/issues.read", &other).claims["ath"].clone();
    for (proof, reason_is) in [
        (read("1").claim("htm", json!("GET")), "proof.mismatch"),
        (read("1").claim("htm", json!("post")), "proof.mismatch"),
        (url("https://evil.example/issues.read"), "proof.mismatch"),
        (url("http://tools.acme.example/issues.read"), "proof.mismatch"),
        (url("https://tools.acme.example/issues.write"), "proof.mismatch"),
        (url("https://tools.acme.example/issues.read/"), "proof.mismatch"),
        (url("https://tools.acme.example/github/issues.read"), "proof.mismatch"),
        (url("/issues.read"), "proof.mismatch"),
        (read("1").claim("ath", ath), "proof.mismatch"),
        (read("1").claim("ath", Json::Null), "proof.mismatch"),
        (read("1").claim("iat", json!(NOW - 61)), "proof.stale"),
        (read("1").claim("iat", json!(NOW + 6)), "proof.stale"),
        (read("1").claim("iat", json!(NOW - 31)), "proof.stale"),
        (read("1").claim("iat", json!(0)), "proof.stale"),
        (read("1").claim("sb_op", json!("github/issues.write")), "proof.mismatch"),
    ] {
        // The signature is never looked at: a forged one is refused in the same words.
        assert_eq!(reason(&proof.done()).await, (reason_is.to_owned(), 0), "{}", proof.claims);
        assert_eq!(reason(&proof.forged()).await, (reason_is.to_owned(), 0), "{}", proof.claims);
    }
    for good in [
        read("1").claim("iat", json!(NOW - 30)),
        read("1").claim("iat", json!(NOW + 5)),
        url("HTTPS://Tools.Acme.Example:443/issues.read?x=1#y"),
        read("1").claim("sb_op", json!("github/issues.read")),
    ] {
        assert_eq!(reason(&good.done()).await, (String::new(), 1), "{}", good.claims);
    }
}

#[tokio::test]
async fn no_header_says_what_this_service_is_called() {
    let (stage, token) = (Stage::new(), bound());
    let evil = read("1").claim("htu", json!("https://evil.example/issues.read")).done();
    let authorization = format!("DPoP {token}");
    for name in ["host", "forwarded", "x-forwarded-host", "x-original-url"] {
        let headers =
            [("authorization", authorization.as_bytes()), ("dpop", evil.as_bytes()), (name, b"evil.example")];
        let said = stage.send("POST", "/issues.read", &headers, "{}").await;
        assert_eq!(said.reason, "proof.mismatch", "{name}");
        let good = read(name).done();
        let headers =
            [("authorization", authorization.as_bytes()), ("dpop", good.as_bytes()), (name, b"evil.example")];
        assert!(allowed(&stage.send("POST", "/issues.read", &headers, "{}").await), "{name}");
    }
    // Nor does a request line that names another host.
    let headers = [("authorization", authorization.as_bytes()), ("dpop", evil.as_bytes())];
    let said = stage.send("POST", "https://evil.example/issues.read", &headers, "{}").await;
    assert_eq!(said.reason, "proof.mismatch");
}

#[tokio::test]
async fn without_an_origin_no_proof_is_accepted() {
    let stage = Stage::with(None, &Broker::new(), 10);
    let said = stage.post("/issues.read", &bound(), &read("1").done(), "{}").await;
    assert_eq!((said.status, said.reason.as_str()), (401, "proof.mismatch"));
    assert!(said.words.contains("origin of its check layer"), "{}", said.words);
    assert!(allowed(&stage.post("/issues.read", &token(None, Odd::default()), "", "{}").await));
    assert_eq!(stage.verifier.proof_signatures(), 0);
}

#[tokio::test]
async fn a_prefix_that_a_proxy_takes_off_is_put_back() {
    let stage = Stage::with(Some("https://tools.acme.example/github"), &Broker::new(), 10);
    let url = "https://tools.acme.example/github/issues.read";
    assert!(allowed(
        &stage.post("/issues.read", &bound(), &read("1").claim("htu", json!(url)).done(), "{}").await
    ));
    assert_eq!(stage.post("/issues.read", &bound(), &read("2").done(), "{}").await.reason, "proof.mismatch");
}

#[tokio::test]
async fn a_proof_is_good_once() {
    let (stage, token) = (Stage::new(), bound());
    let first = read("1").done();
    assert!(allowed(&stage.post("/issues.read", &token, &first, "{}").await));
    assert_eq!(stage.post("/issues.read", &token, &first, "{}").await.reason, "proof.replayed");
    let there = stage.post("/issues.write", &token, &first, r#"{"n":1}"#).await;
    assert_eq!(there.reason, "proof.mismatch", "it names another path");
    // The same jti in another proof of the same second is as good as the same proof.
    let moved = Making::new(KEY, "1", "/issues.write", &token).done();
    assert_eq!(stage.post("/issues.write", &token, &moved, r#"{"n":1}"#).await.reason, "proof.replayed");
    assert!(allowed(&stage.post("/issues.read", &token, &read("2").done(), "{}").await));
}

#[tokio::test]
async fn another_key_is_refused_unchecked() {
    let other = Making::new(Key::Ed25519(42), "1", "/issues.read", &bound());
    assert_eq!(reason(&other.done()).await, ("proof.wrong_key".to_owned(), 0));
    assert_eq!(reason(&other.forged()).await, ("proof.wrong_key".to_owned(), 0));
    let claimed = Making { header: read("1").header, ..other };
    assert_eq!(reason(&claimed.done()).await, ("proof.bad_signature".to_owned(), 1), "it shows our key");
    assert_eq!(reason(&read("1").forged()).await, ("proof.bad_signature".to_owned(), 1));
}

#[tokio::test]
async fn only_signatures_with_public_keys_are_read() {
    let hs256 = json!({ "kty": "oct", "k": "AAAA" });
    let private = |mut jwk: Json| {
        jwk["d"] = json!("AAAA");
        jwk
    };
    for bad in [
        read("1").header("/alg", json!("HS256")),
        read("1").header("/alg", json!("HS256")).header("/jwk", hs256),
        read("1").header("/alg", json!("none")),
        read("1").header("/alg", json!("ES256")),
        read("1").header("/jwk", private(KEY.jwk())),
        read("1").header("/jwk", private(Key::Es256(41).jwk())),
        read("1").header("/typ", json!("JWT")),
    ] {
        assert_eq!(reason(&bad.done()).await, ("proof.malformed".to_owned(), 0), "{}", bad.header);
    }
    let done = read("1").done();
    let unsigned = format!("{}.", done.rsplit_once('.').unwrap().0);
    for bad in ["", "a.b.c", &unsigned, &"a".repeat(5000)] {
        assert_eq!(reason(bad).await, ("proof.malformed".to_owned(), 0), "{bad}");
    }
}

#[tokio::test]
async fn a_privileged_verb_wants_the_call_in_its_proof() {
    let args = r#"{"repo":"acme/web"}"#;
    let good = || delete("1").call("github/repo.delete", args);
    let check = async |path: &str, proof: &Making, body: &str| {
        let stage = Stage::new();
        let said = stage.post(path, &bound(), &proof.done(), body).await;
        (said.reason, stage.verifier.proof_signatures(), stage.verifier.proofs_remembered())
    };
    let refused = |signatures| ("proof.mismatch".to_owned(), signatures, 0);
    assert_eq!(check("/repo.delete", &good(), args).await, (String::new(), 1, 1));
    assert_eq!(check("/repo.delete", &good(), r#"{ "repo" : "acme/web" }"#).await, (String::new(), 1, 1));
    for operation in [
        Json::Null,
        json!("github/issues.read"),
        json!("stripe/repo.delete"),
        json!("github:repo.delete"),
        json!("repo.delete"),
    ] {
        assert_eq!(check("/repo.delete", &good().claim("sb_op", operation), args).await, refused(0));
    }
    assert_eq!(check("/repo.delete", &good().claim("sb_args", Json::Null), args).await, refused(0));
    // The hash is made once the key's holder has spoken, so that nobody else can ask for it.
    assert_eq!(check("/repo.delete", &good(), r#"{"repo":"acme/docs"}"#).await, refused(1));
    assert_eq!(check("/repo.delete", &good(), "{}").await, refused(1));
    assert_eq!(check("/repo.delete", &good(), r#"{"repo":"acme/web","n":0.5}"#).await, refused(1));
    let unread = good().claim("htu", json!(format!("{ORIGIN}/unread/repo.delete")));
    assert_eq!(check("/unread/repo.delete", &unread, args).await, refused(0));
    assert_eq!(check("/repo.delete", &delete("1"), args).await, refused(0));
}

#[tokio::test]
async fn what_a_proof_says_of_a_mild_call_has_to_fit_as_well() {
    let said = read("1").call("github/issues.read", r#"{"n":2}"#);
    assert_eq!(reason(&said.done()).await, ("proof.mismatch".to_owned(), 1));
    assert_eq!(reason(&read("1").call("github/issues.read", "{}").done()).await, (String::new(), 1));
}

#[tokio::test]
async fn a_narrowed_copy_wants_a_proof_of_its_own() {
    let (stage, parent) = (Stage::new(), bound());
    let by =
        Narrowing { operations: Some(vec!["github/issues.read".parse().unwrap()]), ..Narrowing::default() };
    let child = narrow(&parent, &by, &SeededRandom::new(1)).unwrap();
    assert_eq!(stage.post("/issues.read", &child, &read("1").done(), "{}").await.reason, "proof.mismatch");
    let own = Making::new(KEY, "1", "/issues.read", &child);
    assert!(allowed(&stage.post("/issues.read", &child, &own.done(), "{}").await));
    let other = Making::new(Key::Ed25519(42), "2", "/issues.read", &child);
    assert_eq!(stage.post("/issues.read", &child, &other.done(), "{}").await.reason, "proof.wrong_key");
    let bearer = format!("Bearer {child}");
    let said = stage.send("POST", "/issues.read", &[("authorization", bearer.as_bytes())], "{}").await;
    assert_eq!(said.reason, "proof.required");
    let write = Making::new(KEY, "3", "/issues.write", &child);
    assert_eq!(stage.post("/issues.write", &child, &write.done(), r#"{"n":1}"#).await.reason, "narrowed");
    assert_eq!(stage.verifier.proof_signatures(), 1);
}

#[tokio::test]
async fn a_copy_may_ask_for_a_key_where_its_parent_did_not() {
    let (holder, now) = (KEY.thumbprint(), Value::Var("now"));
    let asks = Alternative::new().fact("holder", [Value::Str(&holder)]);
    // Whether the end or the key is what is missing, only a proof can tell.
    let until = |end| {
        let asks = asks.clone().fact("time", [now.clone()]);
        asks.holds(now.clone(), Binary::LessThan, Value::Date(end))
    };
    for (check, good) in [(asks.clone(), ""), (until(NOW + 9), ""), (until(NOW), "token.expired")] {
        let (stage, child) = (Stage::new(), appended(&token(None, Odd::default()), &check));
        let bearer = format!("Bearer {child}");
        let said = stage.send("POST", "/issues.read", &[("authorization", bearer.as_bytes())], "{}").await;
        assert_eq!(said.reason, "proof.required");
        let other = Making::new(Key::Ed25519(42), "1", "/issues.read", &child).done();
        assert!(!allowed(&stage.post("/issues.read", &child, &other, "{}").await));
        let own = Making::new(KEY, "1", "/issues.read", &child).done();
        assert_eq!(stage.post("/issues.read", &child, &own, "{}").await.reason, good);
    }
}

#[tokio::test]
async fn what_would_be_refused_anyway_costs_no_proof() {
    let mut broker = Broker::new();
    broker.revoke(7, "w");
    let revoked = Stage::with(Some(ORIGIN), &broker, 10);
    let said = revoked.post("/issues.read", &bound(), &read("1").done(), "{}").await;
    assert_eq!((said.reason.as_str(), revoked.verifier.proof_signatures()), ("revoked.workflow", 0));

    let stage = Stage::new();
    let expired = token(Some(&KEY.thumbprint()), Odd { expired: true, ..Odd::default() });
    let late = Making::new(KEY, "1", "/issues.read", &expired).done();
    assert_eq!(stage.post("/issues.read", &expired, &late, "{}").await.reason, "token.expired");
    let ungranted = Making::new(KEY, "2", "/repo.create", &bound()).done();
    assert_eq!(stage.post("/repo.create", &bound(), &ungranted, "{}").await.reason, "not_granted");
    let outside = Making::new(KEY, "3", "/issues.write", &bound()).done();
    let said = stage.post("/issues.write", &bound(), &outside, r#"{"n":2}"#).await;
    assert_eq!(said.reason, "argument_refused");
    stage.clock.advance(std::time::Duration::from_secs(61));
    let at = json!(NOW + 61);
    let old = delete("4").call("github/repo.delete", "{}").claim("iat", at);
    assert_eq!(stage.post("/repo.delete", &bound(), &old.done(), "{}").await.reason, "list.too_old");
    assert_eq!((stage.verifier.proof_signatures(), stage.verifier.proofs_remembered()), (0, 0));
}

#[tokio::test]
async fn a_token_for_everyone_ignores_proofs() {
    let (stage, free) = (Stage::new(), token(None, Odd::default()));
    for proof in ["", "a.b.c", &read("1").forged(), &read("1").done()] {
        assert!(allowed(&stage.post("/issues.read", &free, proof, "{}").await));
        // Whether a privileged verb wants a key is for the policy to say.
        assert!(allowed(&stage.post("/repo.delete", &free, proof, "{}").await));
    }
    assert_eq!((stage.verifier.proof_signatures(), stage.verifier.proofs_remembered()), (0, 0));
}

#[tokio::test]
async fn a_token_that_names_its_holder_is_bound_even_without_a_check() {
    let (stage, odd) = (Stage::new(), Odd { unchecked: true, ..Odd::default() });
    let named = token(Some(&KEY.thumbprint()), odd);
    let bearer = format!("Bearer {named}");
    let said = stage.send("POST", "/issues.read", &[("authorization", bearer.as_bytes())], "{}").await;
    assert_eq!(said.reason, "proof.required");
    let other = Making::new(Key::Ed25519(42), "1", "/issues.read", &named).done();
    assert_eq!(stage.post("/issues.read", &named, &other, "{}").await.reason, "proof.wrong_key");
    let proof = Making::new(KEY, "1", "/issues.read", &named).done();
    assert!(allowed(&stage.post("/issues.read", &named, &proof, "{}").await));
}

#[tokio::test]
async fn a_full_memory_refuses_for_a_while() {
    let (stage, token) = (Stage::with(Some(ORIGIN), &Broker::new(), 2), bound());
    for jti in ["1", "2"] {
        assert!(allowed(&stage.post("/issues.read", &token, &read(jti).done(), "{}").await));
    }
    let said = stage.post("/issues.read", &token, &read("3").done(), "{}").await;
    assert_eq!((said.status, said.reason.as_str()), (503, "proof.memory_full"));
    assert_eq!(
        (&said.headers["retry-after"], stage.verifier.proofs_remembered()),
        (&"60".parse().unwrap(), 2)
    );
    assert_eq!(stage.post("/issues.read", &token, &read("1").done(), "{}").await.reason, "proof.replayed");
    stage.clock.advance(std::time::Duration::from_secs(61));
    let later = read("4").claim("iat", json!(NOW + 61)).done();
    assert!(allowed(&stage.post("/issues.read", &token, &later, "{}").await));
}

#[tokio::test]
async fn a_clock_that_goes_back_lets_no_proof_be_used_again() {
    let (stage, token) = (Stage::new(), bound());
    let first = read("1").done();
    assert!(allowed(&stage.post("/issues.read", &token, &first, "{}").await));
    stage.clock.advance(std::time::Duration::from_secs(61));
    let later = read("2").claim("iat", json!(NOW + 61)).done();
    assert!(allowed(&stage.post("/issues.read", &token, &later, "{}").await));
    stage.clock.jump_to(Timestamp::from_seconds(NOW + 58));
    assert_eq!(stage.post("/issues.read", &token, &first, "{}").await.reason, "proof.stale");
}
