//! A key that can check assertions. The key says which algorithm; the header only has to agree.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use serde_json::{Map, Value};
use shortbread_protocol::keys::PublicKey;

use super::origin::Usage;

/// A signature algorithm of RFC 7518 or RFC 8037 that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Es256,
    EdDsa,
}

impl Algorithm {
    /// By its name in `alg`; RFC 9864 spells EdDSA with its curve.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// A public key of exactly one algorithm.
#[derive(Debug)]
pub(super) enum Key {
    Rsa(DecodingKey),
    Ec(DecodingKey),
    Ed(PublicKey),
}

impl Key {
    /// The usable key in a JWK (RFC 7517); none for keys of another use, secrets, weak or unknown ones.
    pub(super) fn from_jwk(jwk: &Map<String, Value>, usage: Usage) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let published_secret = jwk.contains_key("d") || jwk.contains_key("k");
        if published_secret || !is_for(jwk, usage) {
            return None;
        }
        let key = match (text("kty")?, text("crv")) {
            ("RSA", _) => rsa(&bytes(text("n")?)?, &bytes(text("e")?)?)?,
            ("EC", Some("P-256")) => p256(&bytes(text("x")?)?, &bytes(text("y")?)?)?,
            // JWT-SVIDs know RSA and ECDSA alone (JWT-SVID, section 2.1).
            ("OKP", Some("Ed25519")) if usage == Usage::Signatures => {
                Self::Ed(PublicKey::from_bytes(&bytes(text("x")?)?).ok()?)
            }
            _ => return None,
        };
        let agrees =
            jwk.get("alg").is_none_or(|alg| alg.as_str().and_then(Algorithm::named) == Some(key.algorithm()));
        agrees.then_some(key)
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa(_) => Algorithm::Rs256,
            Self::Ec(_) => Algorithm::Es256,
            Self::Ed(_) => Algorithm::EdDsa,
        }
    }

    /// Whether this key made `signature` over `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &Vec<u8>) -> bool {
        let (key, algorithm) = match self {
            Self::Rsa(key) => (key, jsonwebtoken::Algorithm::RS256),
            Self::Ec(key) => (key, jsonwebtoken::Algorithm::ES256),
            Self::Ed(key) => {
                return <&[u8; 64]>::try_from(signature.as_slice())
                    .is_ok_and(|signature| key.verifies(message, signature));
            }
        };
        // The provider is named here: the crate's default panics when features choose two.
        (DEFAULT_PROVIDER.verifier_factory)(&algorithm, key)
            .is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }
}

fn is_for(jwk: &Map<String, Value>, usage: Usage) -> bool {
    let usage = match usage {
        Usage::Signatures => jwk.get("use").is_none_or(|usage| usage == "sig"),
        // A bundle holds keys of certificates too, and its keys for tokens must have a name (JWT-SVID, section 6.1).
        Usage::JwtSvids => jwk.get("use").is_some_and(|usage| usage == "jwt-svid") && jwk.contains_key("kid"),
    };
    let operations = jwk.get("key_ops").is_none_or(|operations| {
        operations.as_array().is_some_and(|list| list.iter().any(|one| one == "verify"))
    });
    usage && operations
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Key> {
    let (modulus, exponent) = (trimmed(modulus), trimmed(exponent));
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |top| top.leading_zeros() as usize);
    let odd = exponent.last().is_some_and(|last| last % 2 == 1);
    let fits = (2048..=8192).contains(&bits) && odd && exponent != [1] && exponent.len() <= 4;
    fits.then(|| Key::Rsa(DecodingKey::from_rsa_raw_components(modulus, exponent)))
}

fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn p256(x: &[u8], y: &[u8]) -> Option<Key> {
    if x.len() != 32 || y.len() != 32 {
        return None;
    }
    // SEC 1, 2.3.3: an uncompressed point. Whether it lies on the curve is checked with each signature.
    let point = [&[4], x, y].concat();
    Some(Key::Ec(DecodingKey::from_ec_der(&point)))
}
