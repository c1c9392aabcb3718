//! The example policy and what it refers to, for tests.

use serde_json::{Map, Value};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::names::{Operation, WorkflowName};

use super::model::Principal;
use super::{Options, Policy, Problem};

/// A whole policy with every kind of entry.
pub(crate) const EXAMPLE: &str = include_str!("example.toml");

/// What every policy needs: an operator who can revoke, activate and decide.
pub(crate) const ADMIN: &str = r#"
[[identities]]
operator = "alice"
key = "keys/alice.pub.pem"
[[grants]]
operator = "alice"
tool = "shortbread"
verbs = ["*"]
"#;

/// The private half of the key that stands in `keys/NAME.pub.pem`.
pub(crate) fn key(name: &str) -> PrivateKey {
    let mut seed = [7; 32];
    for (to, from) in seed.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    PrivateKey::from_seed(&seed)
}

/// `keys/NAME.pub.pem` for any name, and some files that are not what they should be.
pub(crate) fn files(path: &str) -> Result<String, String> {
    match path {
        "keys/private.pem" => return Ok(key("alice").to_pem().to_string()),
        "keys/garbage.pub.pem" => return Ok("-----BEGIN CERTIFICATE-----".to_owned()),
        "keys/huge.pub.pem" => return Ok("x".repeat(1 << 20)),
        "jwks/good.json" => {
            return Ok(r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA","kid":"1"}]}"#.to_owned());
        }
        "jwks/empty.json" => return Ok(r#"{"keys":[]}"#.to_owned()),
        "jwks/twins.json" => {
            let keys = r#"{"keys":[{"kty":"RSA","kid":"1"},{"kty":"EC","kid":"1"}]}"#;
            return Ok(keys.to_owned());
        }
        "jwks/twice.json" => return Ok(r#"{"keys":[],"keys":[{"kty":"RSA"}]}"#.to_owned()),
        "bundles/good.json" => {
            let keys =
                r#"{"keys":[{"kty":"EC","use":"jwt-svid","kid":"1"},{"kty":"RSA","use":"x509-svid"}]}"#;
            return Ok(keys.to_owned());
        }
        "bundles/x509.json" => {
            return Ok(r#"{"keys":[{"kty":"RSA","use":"x509-svid","kid":"1"}]}"#.to_owned());
        }
        "bundles/nameless.json" => return Ok(r#"{"keys":[{"kty":"EC","use":"jwt-svid"}]}"#.to_owned()),
        "jwks/secret.json" => return Ok(r#"{"keys":[{"kty":"oct","k":"AA"}]}"#.to_owned()),
        _ => {}
    }
    let name = path.strip_prefix("keys/").and_then(|rest| rest.strip_suffix(".pub.pem"));
    match name {
        Some(name) if !name.starts_with("missing") => Ok(key(name).public().to_pem()),
        _ => Err("no such file".to_owned()),
    }
}

/// Compiles a policy for the broker at `https://broker.acme.example`.
pub(crate) fn compile(text: &str) -> Result<Policy, Vec<Problem>> {
    let options = Options { issuer: "https://broker.acme.example".to_owned() };
    Policy::compile(text, "policy.toml", &files, &options)
}

/// Compiles a policy that has nothing wrong with it.
pub(crate) fn policy(text: &str) -> Policy {
    compile(text).unwrap_or_else(|problems| {
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{}", told.join("\n"))
    })
}

pub(crate) fn workflow(name: &str) -> Principal {
    Principal::Workflow(name.parse::<WorkflowName>().unwrap())
}

pub(crate) fn operation(text: &str) -> Operation {
    text.parse().unwrap()
}

pub(crate) fn claims(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}
