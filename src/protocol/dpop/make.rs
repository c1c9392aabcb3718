//! Making proofs, for whoever holds a key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::clock::Timestamp;
use crate::keys::PrivateKey;
use crate::random::{Random, RandomError, id};

/// A key with which proofs are made. `Debug` hides it.
#[derive(Clone, Debug)]
pub struct ProofKey {
    key: PrivateKey,
    thumbprint: String,
    header: String,
}

/// What a proof is to say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Statement<'a> {
    /// The method of the request.
    pub method: &'a str,
    /// The URL of the request.
    pub url: &'a str,
    /// SHA-256 of the token's text, where one goes with it.
    pub token: Option<[u8; 32]>,
    /// For a privileged verb: the operation, as `tool/verb`.
    pub operation: Option<&'a str>,
    /// For a privileged verb: SHA-256 of the canonical arguments.
    pub args: Option<[u8; 32]>,
    /// For a sub-agent's token: the thumbprint of the sub-agent's key.
    pub holder: Option<&'a str>,
}

#[derive(Serialize)]
struct Written<'a> {
    jti: String,
    htm: &'a str,
    htu: &'a str,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ath: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sb_op: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sb_args: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sb_holder: Option<&'a str>,
}

impl ProofKey {
    /// From an Ed25519 key.
    #[must_use]
    pub fn new(key: PrivateKey) -> Self {
        let public = key.public();
        let x = URL_SAFE_NO_PAD.encode(public.as_bytes());
        let header =
            format!(r#"{{"typ":"dpop+jwt","alg":"EdDSA","jwk":{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}}}"#);
        Self { thumbprint: public.thumbprint(), header: URL_SAFE_NO_PAD.encode(header), key }
    }

    /// A new key.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomError> {
        PrivateKey::generate(random).map(Self::new)
    }

    /// The RFC 7638 thumbprint, to which tokens are bound.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The text of a `DPoP` header, for one request.
    ///
    /// # Errors
    /// When there is no randomness for the `jti`.
    pub fn prove(
        &self,
        statement: &Statement<'_>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<String, RandomError> {
        let encoded = |hash: Option<[u8; 32]>| hash.map(|hash| URL_SAFE_NO_PAD.encode(hash));
        let claims = Written {
            jti: id("prf_", now, random)?,
            htm: statement.method,
            htu: statement.url,
            iat: now.seconds(),
            ath: encoded(statement.token),
            sb_op: statement.operation,
            sb_args: encoded(statement.args),
            sb_holder: statement.holder,
        };
        // Texts and numbers always serialise.
        let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims).unwrap_or_default());
        let signed = format!("{}.{claims}", self.header);
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        Ok(format!("{signed}.{signature}"))
    }
}
