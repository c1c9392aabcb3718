//! The shape of an assertion: what is refused before any key is looked at, and without any fetch.

use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn only_three_algorithms_and_never_none_or_hmac() {
    let world = World::new();
    for alg in ["none", "None", "HS256", "HS512", "RS512", "PS256", "ES384", "ES256K", "Ed448", "rs256", ""] {
        let token = rs256(json!({ "alg": alg }), &github_claims());
        assert_eq!(world.cause(&token, &notes(github())).await, Cause::Algorithm, "{alg}");
    }
    for header in [json!({ "alg": null }), json!({ "alg": 5 }), json!({ "alg": ["RS256"] })] {
        let token = rs256(header, &github_claims());
        assert_eq!(world.cause(&token, &notes(github())).await, Cause::Algorithm);
    }
    let unsigned = format!("{}.", input(&json!({ "alg": "none" }), &github_claims()));
    assert_eq!(world.cause(&unsigned, &notes(github())).await, Cause::Algorithm);
    assert_eq!(world.net.total(), 0, "nothing is fetched for what cannot be read");
}

#[tokio::test]
async fn a_public_key_is_no_hmac_secret() {
    let world = World::new();
    let secret = EncodingKey::from_secret(keys::TEST_ONLY_RSA_N.as_bytes());
    for header in [json!({ "alg": "HS256", "kid": "rsa" }), json!({ "alg": "RS256", "kid": "rsa" })] {
        let token = signed(&header, &github_claims(), &secret, jsonwebtoken::Algorithm::HS256);
        let cause = world.cause(&token, &notes(github())).await;
        assert!(matches!(cause, Cause::Algorithm | Cause::Signature), "{cause:?}");
    }
}

#[tokio::test]
async fn other_kinds_of_token_are_no_identity() {
    let world = World::new();
    for typ in ["dpop+jwt", "wpt+jwt", "logout+jwt", "at+jwt", "secevent+jwt", "application/jwt", ""] {
        let token = rs256(json!({ "typ": typ }), &github_claims());
        assert_eq!(world.cause(&token, &notes(github())).await, Cause::Type, "{typ}");
        let assertion = eddsa(json!({ "typ": typ }), &demo_claims());
        assert_eq!(world.cause(&assertion, &demo()).await, Cause::Type, "{typ}");
    }
    let token = rs256(json!({ "typ": 1 }), &github_claims());
    assert_eq!(world.cause(&token, &notes(github())).await, Cause::Type);
    let token = rs256(json!({ "typ": "client-authentication+jwt" }), &github_claims());
    assert_eq!(world.cause(&token, &notes(github())).await, Cause::Type, "only registered keys make these");
    for header in [json!({ "typ": null }), json!({ "typ": "jwt" })] {
        assert!(world.identities.verify(&rs256(header, &github_claims()), &notes(github())).await.is_ok());
    }
}

#[tokio::test]
async fn extensions_that_change_the_meaning_are_refused() {
    let world = World::new();
    for header in [
        json!({ "crit": ["exp"] }),
        json!({ "crit": [] }),
        json!({ "crit": ["b64"], "b64": false }),
        json!({ "b64": true }),
    ] {
        let token = rs256(header, &github_claims());
        assert_eq!(world.cause(&token, &notes(github())).await, Cause::Critical);
    }
}

#[tokio::test]
async fn keys_in_the_header_are_ignored() {
    let world = World::new();
    let stranger = EncodingKey::from_rsa_pem(keys::TEST_ONLY_STRANGER.as_bytes()).unwrap();
    let header = json!({ "alg": "RS256", "kid": "rsa", "jku": "https://evil.example/jwks",
        "x5u": "https://evil.example/x5u", "jwk": rsa_jwk("rsa"), "x5c": ["AAAA"] });
    let token = signed(&header, &github_claims(), &stranger, jsonwebtoken::Algorithm::RS256);
    assert_eq!(world.cause(&token, &notes(github())).await, Cause::Signature);
    assert!(world.identities.verify(&rs256(header, &github_claims()), &notes(github())).await.is_ok());
    let asked: Vec<_> = world.net.requests.lock().unwrap().iter().map(|(url, _)| url.clone()).collect();
    assert_eq!(asked, [DISCOVERY, JWKS]);
}

#[tokio::test]
async fn a_member_that_stands_twice_is_refused() {
    let world = World::new();
    let raw = |header: &str, claims: &str| {
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{header}.{claims}.AAAA")
    };
    let (header, claims) = (r#"{"alg":"RS256"}"#, github_claims().to_string());
    let twice = raw(r#"{"alg":"RS256","alg":"none"}"#, &claims);
    assert_eq!(world.cause(&twice, &notes(github())).await, Cause::HeaderJson(JsonError::Duplicate));
    let twice = raw(header, r#"{"iss":"a","iss":"b"}"#);
    assert_eq!(world.cause(&twice, &notes(github())).await, Cause::PayloadJson(JsonError::Duplicate));
    let array = raw(header, "[]");
    assert_eq!(world.cause(&array, &notes(github())).await, Cause::PayloadJson(JsonError::NotObject));
}

#[test]
fn other_spellings_of_the_same_bytes_are_refused() {
    let token = es256(json!({}), &github_claims());
    assert!(Unverified::read(&token).is_ok());
    let (head, last) = token.split_at(token.len() - 1);
    // 64 bytes leave four bits over in the last character; a decoder that drops them sees one signature.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.find(last).unwrap();
    let stray = format!("{head}{}", alphabet.chars().nth(at + 1).unwrap());
    let spellings = [stray, format!("{token}=="), format!("{token} "), format!("{token}\n")];
    for spelling in spellings {
        assert_eq!(Unverified::read(&spelling).err(), Some(Cause::Encoding), "{spelling}");
    }
    let standard = token.replace(['-', '_'], "+");
    assert!(standard == token || Unverified::read(&standard).is_err());
}

#[test]
fn lengths_and_parts_are_bounded() {
    assert_eq!(Unverified::read(&"A".repeat(16 * 1024 + 1)).err(), Some(Cause::TooLong));
    for text in ["", "A", "A.B", "a.b.c.d", "a.b.c.d.e"] {
        assert_eq!(Unverified::read(text).err(), Some(Cause::Parts), "{text}");
    }
    for kid in [json!(""), json!(7), json!(["a"]), json!("k".repeat(257))] {
        let token = rs256(json!({ "kid": kid }), &github_claims());
        assert_eq!(Unverified::read(&token).err(), Some(Cause::KeyId));
    }
    for issuer in [json!(""), json!([GITHUB]), json!(7)] {
        let token = rs256(json!({}), &with(github_claims(), json!({ "iss": issuer })));
        assert_eq!(Unverified::read(&token).err(), Some(Cause::NoIssuer));
    }
}

proptest! {
    #[test]
    fn reading_never_panics(text in r"[A-Za-z0-9_\-.=]{0,200}") {
        let _ = Unverified::read(&text);
    }

    #[test]
    fn any_json_in_any_part_is_read_or_refused(header in ".{0,60}", claims in ".{0,60}", signature: Vec<u8>) {
        let token = [header.as_bytes(), claims.as_bytes(), &signature].map(|part| URL_SAFE_NO_PAD.encode(part));
        let _ = Unverified::read(&token.join("."));
    }

    #[test]
    fn no_changed_byte_still_verifies(at in 0usize..1000, to in 0u8..64) {
        let token = eddsa(json!({}), &demo_claims());
        let at = at % token.len();
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut bytes = token.clone().into_bytes();
        bytes[at] = alphabet[usize::from(to)];
        let changed = String::from_utf8(bytes).unwrap();
        let key = Key::Ed(private().public());
        let holds = Unverified::read(&changed).is_ok_and(|read| read.signed_by(&key).is_ok());
        prop_assert_eq!(holds, changed == token);
    }
}
