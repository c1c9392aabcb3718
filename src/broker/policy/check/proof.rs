//! What an identity proves itself with: a registered key, or a token of an issuer.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;
use shortbread_protocol::keys::PublicKey;
use toml::Spanned;

use super::super::model::{KeySource, Oidc, Proof};
use super::super::source::IdentitySource;
use super::{Check, url};

const MAX_KEY_BYTES: usize = 16 * 1024;
const MAX_JWKS_BYTES: usize = 256 * 1024;
/// Claims nest no deeper than this.
const MAX_CLAIM_DEPTH: usize = 8;
/// These say nothing about who presents the token, or are checked anyway.
const ALWAYS_CHECKED: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "jti"];

pub(super) fn compile(check: &mut Check<'_>, entry: &Spanned<IdentitySource>) -> Option<Proof> {
    let source = entry.get_ref();
    match (&source.key, &source.issuer) {
        (Some(key), None) => {
            only_key(check, source);
            self::key(check, key).map(Proof::Key)
        }
        (None, Some(issuer)) => oidc(check, entry, issuer).map(Proof::Oidc),
        _ => {
            let message =
                "an identity is proved by a key or by an issuer, and this one names both or neither";
            let fix = "give it key = \"FILE\", or issuer, audience and claims";
            check.problem(entry.span(), message, fix);
            None
        }
    }
}

/// What belongs to an issuer means nothing beside a key, and its author thought otherwise.
fn only_key(check: &mut Check<'_>, source: &IdentitySource) {
    let stray = [
        ("audience", source.audience.as_ref().map(Spanned::span)),
        ("claims", source.claims.as_ref().map(Spanned::span)),
        ("jwks_url", source.jwks_url.as_ref().map(Spanned::span)),
        ("jwks_file", source.jwks_file.as_ref().map(Spanned::span)),
        ("allow_private", source.allow_private.as_ref().map(Spanned::span)),
        ("reuse", source.reuse.as_ref().map(Spanned::span)),
    ];
    for (name, at) in stray {
        if let Some(at) = at {
            check.problem(at, format!("{name} means nothing beside a key"), "take it out, or name an issuer");
        }
    }
}

fn key(check: &mut Check<'_>, path: &Spanned<String>) -> Option<PublicKey> {
    let pem = check.file(path, MAX_KEY_BYTES)?;
    if pem.contains("PRIVATE KEY") {
        check.files.remove(path.get_ref());
        let message = format!("{path} holds a private key, which the broker must never see");
        check.problem(path.span(), message, "name the file of its public half");
        return None;
    }
    PublicKey::from_pem(&pem)
        .inspect_err(|error| {
            let fix = "make one with `shortbread keys generate` and name its .pub.pem file";
            check.problem(path.span(), format!("{path} is {error}"), fix);
        })
        .ok()
}

fn oidc(check: &mut Check<'_>, entry: &Spanned<IdentitySource>, issuer: &Spanned<String>) -> Option<Oidc> {
    let source = entry.get_ref();
    let allow_private = source.allow_private.as_ref().is_some_and(|flag| *flag.get_ref());
    issuer_url(check, issuer, allow_private);
    let audience = match &source.audience {
        Some(audience) if !audience.get_ref().is_empty() => Some(audience.get_ref().clone()),
        _ => {
            let message =
                format!("the issuer {issuer} has no audience, so a token made for another would do");
            check.problem(issuer.span(), message, "add audience = \"URL of this broker\"");
            None
        }
    };
    let claims = claims(check, source, issuer);
    let keys = keys(check, source, allow_private);
    Some(Oidc {
        issuer: issuer.get_ref().clone(),
        audience: audience?,
        claims: claims?,
        keys: keys?,
        allow_private,
        reuse_until_expiry: source.reuse.is_some(),
    })
}

fn issuer_url(check: &mut Check<'_>, issuer: &Spanned<String>, allow_private: bool) {
    let text = issuer.get_ref();
    if let Err(why) = url::check(text, allow_private) {
        check.problem(
            issuer.span(),
            format!("the issuer {text:?} {why}"),
            "use the https URL that its tokens name as iss (http only at this machine and with \
             allow_private = true)",
        );
    } else if url::has_query(text) {
        let message = format!("the issuer {text:?} has a query, which no issuer has");
        check.problem(issuer.span(), message, "use the URL that its tokens name as iss");
    }
}

fn claims(
    check: &mut Check<'_>,
    source: &IdentitySource,
    issuer: &Spanned<String>,
) -> Option<BTreeMap<String, Value>> {
    let Some(claims) = source.claims.as_ref().filter(|claims| !claims.get_ref().is_empty()) else {
        let at = source.claims.as_ref().map_or(issuer.span(), Spanned::span);
        let message = format!("no claims are demanded, so everyone who has a token of {issuer} would match");
        check.problem(at, message, "demand claims that only this identity has, by their unchanging ids");
        return None;
    };
    let mut read = BTreeMap::new();
    for (name, value) in claims.get_ref() {
        if ALWAYS_CHECKED.contains(&name.as_str()) {
            let message = format!("the claim {name} is checked in every token and tells nobody apart");
            check.problem(claims.span(), message, "take it out, and demand claims that say who it is");
        }
        if let Some(value) = claim(check, &claims.span(), name, value, MAX_CLAIM_DEPTH) {
            read.insert(name.clone(), value);
        }
    }
    (read.len() == claims.get_ref().len()).then_some(read)
}

fn claim(
    check: &mut Check<'_>,
    at: &Range<usize>,
    name: &str,
    value: &toml::Value,
    depth: usize,
) -> Option<Value> {
    let mut refuse = |what: &str, fix: &str| {
        check.problem(at.clone(), format!("the claim {name:?} {what}"), fix);
        None
    };
    match value {
        toml::Value::String(text) if text.is_empty() => {
            refuse("is demanded to be empty", "demand the value that this identity has")
        }
        toml::Value::String(text) => Some(Value::from(text.as_str())),
        toml::Value::Integer(number) => Some(Value::from(*number)),
        toml::Value::Boolean(flag) => Some(Value::from(*flag)),
        toml::Value::Array(_) | toml::Value::Table(_) if depth == 0 => {
            refuse("nests too deep", "demand fewer levels")
        }
        toml::Value::Array(items) => items
            .iter()
            .map(|item| claim(check, at, name, item, depth - 1))
            .collect::<Option<_>>()
            .map(Value::Array),
        toml::Value::Table(table) if table.is_empty() => {
            refuse("is an empty table, which anything matches", "demand a member of it, or take it out")
        }
        toml::Value::Table(table) => table
            .iter()
            .map(|(key, value)| Some((key.clone(), claim(check, at, key, value, depth - 1)?)))
            .collect::<Option<_>>()
            .map(Value::Object),
        toml::Value::Float(_) | toml::Value::Datetime(_) => {
            refuse("is a fraction or a date, which cannot be compared", "use a text, integer or boolean")
        }
    }
}

fn keys(check: &mut Check<'_>, source: &IdentitySource, allow_private: bool) -> Option<KeySource> {
    match (&source.jwks_url, &source.jwks_file) {
        (None, None) => Some(KeySource::Discovery),
        (Some(from), None) => match url::check(from.get_ref(), allow_private) {
            Ok(()) => Some(KeySource::Url(from.get_ref().clone())),
            Err(why) => {
                let fix = "use an https URL (http only at this machine and with allow_private = true)";
                check.problem(from.span(), format!("the jwks_url {:?} {why}", from.get_ref()), fix);
                None
            }
        },
        (None, Some(path)) => {
            let text = check.file(path, MAX_JWKS_BYTES)?;
            if let Err(why) = jwks(&text) {
                check.files.remove(path.get_ref());
                let fix = "save the issuer's own JWKS document there (RFC 7517)";
                check.problem(path.span(), format!("{path} {why}"), fix);
                return None;
            }
            Some(KeySource::Pinned(text))
        }
        (Some(_), Some(path)) => {
            let message = "the issuer's keys come from jwks_url and from jwks_file";
            check.problem(path.span(), message, "keep the file to pin the keys, or the URL to follow them");
            None
        }
    }
}

/// A JWKS of public keys; whether each key is of use is decided where tokens are checked.
fn jwks(text: &str) -> Result<(), &'static str> {
    let document: Value = serde_json::from_str(text).map_err(|_| "is not JSON")?;
    let keys = document.get("keys").and_then(Value::as_array).ok_or("has no list `keys`")?;
    if keys.is_empty() {
        return Err("has no key, so no token could ever be accepted");
    }
    for key in keys {
        let kind = key.get("kty").and_then(Value::as_str).ok_or("has a key without a `kty`")?;
        if kind == "oct" || key.get("d").is_some() {
            return Err("holds a secret key, which the broker must never see");
        }
    }
    Ok(())
}
