//! Good proofs, RFC 9449's own, and every way to be a bad one.

use super::*;
use crate::keys::PrivateKey;
use crate::random::SeededRandom;

const NOW: u64 = 1_795_176_000;
const URL: &str = "https://tools.acme.example/github";

fn key() -> ProofKey {
    ProofKey::new(PrivateKey::from_seed(&[9; 32]))
}

fn expected<'a>() -> Expected<'a> {
    Expected {
        method: "POST",
        url: URL,
        token: None,
        holder: None,
        now: Timestamp::from_seconds(NOW),
        since: Timestamp::from_seconds(NOW - 1000),
    }
}

fn proof(statement: &Statement<'_>, at: u64) -> String {
    key().prove(statement, Timestamp::from_seconds(at), &SeededRandom::new(at)).unwrap()
}

fn check(text: &str, expected: &Expected<'_>) -> Result<Proof, ProofError> {
    Unproved::read(text)?.check(expected)
}

const PLAIN: Statement<'static> =
    Statement { method: "POST", url: URL, token: None, operation: None, args: None, holder: None };

#[test]
fn what_is_made_is_accepted_for_its_request_alone() {
    let hash = token_hash("token");
    let statement = Statement { token: Some(hash), operation: Some("a/b"), args: Some([7; 32]), ..PLAIN };
    let text = proof(&statement, NOW);
    let bound = Expected { token: Some(hash), ..expected() };
    let good = check(&text, &bound).unwrap();
    assert_eq!(good.thumbprint(), key().thumbprint());
    assert_eq!((good.claims().operation.as_deref(), good.claims().args), (Some("a/b"), Some([7; 32])));
    let refused = |expected: Expected<'_>| check(&text, &expected).unwrap_err();
    assert_eq!(refused(Expected { method: "GET", ..bound }), ProofError::Mismatch("htm"));
    assert_eq!(
        refused(Expected { url: "https://tools.acme.example/x", ..bound }),
        ProofError::Mismatch("htu")
    );
    assert_eq!(refused(Expected { token: Some(token_hash("other")), ..bound }), ProofError::Mismatch("ath"));
    assert_eq!(refused(Expected { holder: Some("other"), ..bound }), ProofError::WrongKey);
    assert!(check(&text, &Expected { holder: Some(key().thumbprint()), ..bound }).is_ok());
    assert_eq!(
        check(&proof(&PLAIN, NOW), &bound),
        Err(ProofError::Mismatch("ath")),
        "a token wants its hash"
    );
}

#[test]
fn a_proof_lives_for_a_minute() {
    for (at, fresh) in [(NOW - 61, false), (NOW - 60, true), (NOW, true), (NOW + 5, true), (NOW + 6, false)] {
        assert_eq!(check(&proof(&PLAIN, at), &expected()).is_ok(), fresh, "{at}");
    }
    let late = Expected { since: Timestamp::from_seconds(NOW - 9), ..expected() };
    assert_eq!(check(&proof(&PLAIN, NOW - 10), &late), Err(ProofError::Stale));
    assert!(check(&proof(&PLAIN, NOW - 9), &late).is_ok());
    let within = Expected { since: Timestamp::from_millis((NOW - 9) * 1000 + 1), ..expected() };
    assert_eq!(check(&proof(&PLAIN, NOW - 9), &within), Err(ProofError::Stale), "it may be from just before");
    assert!(check(&proof(&PLAIN, NOW - 8), &within).is_ok());
}

#[test]
fn ids_name_key_and_jti() {
    let id = |text: &str| check(text, &expected()).unwrap().id();
    let text = proof(&PLAIN, NOW);
    assert_eq!(id(&text), id(&text));
    assert_ne!(id(&text), id(&proof(&PLAIN, NOW + 1)));
}

/// A proof with this header and these claims, signed by the key.
fn written(header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = PrivateKey::from_seed(&[9; 32]).sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn header() -> String {
    let x = URL_SAFE_NO_PAD.encode(PrivateKey::from_seed(&[9; 32]).public().as_bytes());
    format!(r#"{{"typ":"dpop+jwt","alg":"EdDSA","jwk":{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}}}"#)
}

fn claims() -> String {
    format!(r#"{{"jti":"1","htm":"POST","htu":"{URL}","iat":{NOW}}}"#)
}

#[test]
fn headers_are_read_strictly() {
    assert!(check(&written(&header(), &claims()), &expected()).is_ok());
    assert!(check(&written(&header().replace("EdDSA", "Ed25519"), &claims()), &expected()).is_ok());
    for (from, to) in [
        ("dpop+jwt", "JWT"),
        (r#""typ":"dpop+jwt","#, ""),
        ("EdDSA", "none"),
        ("EdDSA", "HS256"),
        ("EdDSA", "ES256"),
        ("EdDSA", "RS256"),
        ("OKP", "EC"),
        ("\"Ed25519\"", "\"X25519\""),
        ("\"kty\"", "\"d\":\"AAAA\",\"kty\""),
        ("\"kty\"", "\"k\":\"AAAA\",\"kty\""),
        ("\"kty\"", "\"kty\":\"OKP\",\"kty\""),
        ("\"typ\"", "\"crit\":[\"exp\"],\"typ\""),
        ("\"jwk\"", "\"jwk2\""),
        ("\"x\":\"", "\"x\":\"AA"),
    ] {
        assert!(header().contains(from), "{from}");
        let refused = check(&written(&header().replace(from, to), &claims()), &expected());
        assert!(matches!(refused, Err(ProofError::Malformed(_))), "{from} -> {to}: {refused:?}");
    }
    let weak = format!(r#""x":"{}""#, URL_SAFE_NO_PAD.encode([0; 32]));
    let x = header().split(r#""x":"#).nth(1).unwrap().trim_end_matches("}}").to_owned();
    let weak = header().replace(&format!(r#""x":{x}"#), &weak);
    assert_eq!(check(&written(&weak, &claims()), &expected()), Err(ProofError::Signature));
}

#[test]
fn claims_are_read_strictly() {
    let now = NOW.to_string();
    for (from, to) in [
        ("\"jti\":\"1\",", ""),
        ("\"1\"", "\"\""),
        ("\"1\"", "1"),
        ("\"htm\":\"POST\",", ""),
        ("\"iat\"", "\"exp\""),
        (now.as_str(), "\"1795176000\""),
        (now.as_str(), "1795176000.5"),
        (now.as_str(), "-1"),
        ("\"iat\"", "\"ath\":\"AAAA\",\"iat\""),
        ("\"iat\"", "\"ath\":7,\"iat\""),
        ("\"iat\"", "\"sb_op\":[],\"iat\""),
        ("\"iat\"", "\"iat\":1,\"iat\""),
    ] {
        let refused = check(&written(&header(), &claims().replace(from, to)), &expected());
        assert!(matches!(refused, Err(ProofError::Malformed(_))), "{from} -> {to}: {refused:?}");
    }
}

#[test]
fn texts_that_are_no_proof_are_malformed() {
    let text = written(&header(), &claims());
    let longer = "a".repeat(MAX_PROOF + 1);
    let cut = text.get(..text.len() - 4).unwrap();
    for bad in ["", "a", "a.b", "..", "a.b.c.d", cut, &format!("{text}="), &format!("{text}.x"), &longer] {
        assert!(matches!(check(bad, &expected()), Err(ProofError::Malformed(_))), "{bad}");
    }
}

#[test]
fn a_forged_signature_is_refused_last() {
    let (first, second) = (written(&header(), &claims()), written(&header(), &claims().replace('1', "2")));
    let signed = first.rsplit_once('.').unwrap().0;
    let forged = format!("{signed}.{}", second.rsplit_once('.').unwrap().1);
    assert_eq!(check(&forged, &expected()), Err(ProofError::Signature));
    let elsewhere = Expected { url: "https://evil.example", ..expected() };
    assert_eq!(check(&forged, &elsewhere), Err(ProofError::Mismatch("htu")));
}

/// RFC 9449, section 4.1: the example of a proof for a token request, signed with ES256.
#[test]
fn the_proof_of_the_standard_is_accepted() {
    let text = concat!(
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpD",
        "a0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6",
        "IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUu",
        "Y29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-",
        "FNyJK70nfbV37xRZT3Lg",
    );
    let at = Timestamp::from_seconds(1_562_262_616);
    let expected = Expected {
        url: "https://server.example.com/token",
        now: at,
        since: Timestamp::default(),
        ..expected()
    };
    let proof = check(text, &expected).unwrap();
    assert_eq!(proof.thumbprint(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
}
