//! What an identity proves itself with: a registered key, a token of an issuer, or a JWT-SVID.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde_json::Value;
use shortbread_protocol::keys::PublicKey;
use toml::Spanned;

use super::super::model::{KeySource, Oidc, Proof};
use super::super::source::IdentitySource;
use super::super::units::Shown;
use super::key_file::KeyFile;
use super::{Check, membership, platforms, spiffe, url};

const MAX_KEY_BYTES: usize = 16 * 1024;
/// The longest `max_age`: the broker remembers a token for so long, so that it is taken once.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Claims nest no deeper than this.
const MAX_CLAIM_DEPTH: usize = 8;
/// These say nothing about who presents the token, or are checked anyway.
pub(super) const ALWAYS_CHECKED: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "jti"];

pub(super) fn compile(check: &mut Check<'_>, entry: &Spanned<IdentitySource>) -> Option<Proof> {
    let source = entry.get_ref();
    match (&source.key, &source.spiffe_id, &source.issuer) {
        (Some(key), None, None) => {
            only_key(check, source);
            membership::only_issuer(check, source, "a key");
            self::key(check, key).map(Proof::Key)
        }
        (None, Some(id), _) => spiffe::compile(check, source, id).map(Proof::Spiffe),
        (None, None, Some(issuer)) => oidc(check, source, issuer).map(Proof::Oidc),
        _ => {
            let message = "an identity is proved by a key, by an issuer or by a spiffe_id, and this one names \
                           both or neither";
            let fix = "give it key = \"FILE\", or issuer, audience and claims, or trust_domain, spiffe_id, \
                       audience and bundle_file";
            check.problem(entry.span(), message, fix);
            None
        }
    }
}

/// Names what stands in an entry where it means nothing: its author thought otherwise.
pub(super) fn stray<const N: usize>(
    check: &mut Check<'_>,
    found: [(&str, Option<Range<usize>>); N],
    beside: &str,
    fix: &str,
) {
    for (name, at) in found {
        if let Some(at) = at {
            check.problem(at, format!("{name} means nothing beside {beside}"), fix);
        }
    }
}

fn only_key(check: &mut Check<'_>, source: &IdentitySource) {
    let found = [
        ("audience", source.audience.as_ref().map(Spanned::span)),
        ("claims", source.claims.as_ref().map(Spanned::span)),
        ("jwks_url", source.jwks_url.as_ref().map(Spanned::span)),
        ("jwks_file", source.jwks_file.as_ref().map(Spanned::span)),
        ("trust_domain", source.trust_domain.as_ref().map(Spanned::span)),
        ("bundle_url", source.bundle_url.as_ref().map(Spanned::span)),
        ("bundle_file", source.bundle_file.as_ref().map(Spanned::span)),
        ("allow_private", source.allow_private.as_ref().map(Spanned::span)),
        ("max_age", source.max_age.as_ref().map(Spanned::span)),
    ];
    stray(check, found, "a key", "take it out, or name an issuer");
    if let Some(reuse) = &source.reuse {
        let message = "reuse is for tokens that a platform hands out again until they expire; a registered key \
                       signs a fresh assertion for each request";
        check.problem(reuse.span(), message, "take it out");
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

fn oidc(check: &mut Check<'_>, source: &IdentitySource, issuer: &Spanned<String>) -> Option<Oidc> {
    let allow_private = source.allow_private.as_ref().is_some_and(|flag| *flag.get_ref());
    let found = [
        ("trust_domain", source.trust_domain.as_ref().map(Spanned::span)),
        ("bundle_url", source.bundle_url.as_ref().map(Spanned::span)),
        ("bundle_file", source.bundle_file.as_ref().map(Spanned::span)),
    ];
    stray(check, found, "an issuer without a spiffe_id", "take it out, or add spiffe_id");
    issuer_url(check, issuer, allow_private);
    platforms::check_issuer(check, issuer);
    let audience = audience(check, source, issuer);
    let membership = membership::compile(check, source);
    let claims = claims(check, source, issuer);
    let keys = keys(check, source, allow_private);
    let (reuse_until_expiry, max_age) = (reuse(check, source), max_age(check, source));
    Some(Oidc {
        issuer: issuer.get_ref().clone(),
        audience: audience?,
        claims: claims?,
        membership: membership?,
        keys: keys?,
        allow_private,
        reuse_until_expiry,
        max_age,
    })
}

pub(super) fn audience(
    check: &mut Check<'_>,
    source: &IdentitySource,
    by: &Spanned<String>,
) -> Option<String> {
    let audience = source.audience.as_ref().map(Spanned::get_ref).filter(|audience| !audience.is_empty());
    if audience.is_none() {
        let message = format!("{by} has no audience, so a token made for another would do");
        check.problem(by.span(), message, "add audience = \"URL of this broker\"");
    }
    audience.cloned()
}

/// `reuse`: whether one token may come again.
pub(super) fn reuse(check: &mut Check<'_>, source: &IdentitySource) -> bool {
    let Some(reuse) = &source.reuse else { return false };
    if reuse.get_ref() != "until_expiry" {
        check.problem(
            reuse.span(),
            format!("reuse = {:?} means nothing", reuse.get_ref()),
            "take it out, and each token is taken once; or write \"until_expiry\", where the platform hands out \
             the same token again: it may come until it expires, from the key alone that presented it first",
        );
    }
    true
}

/// `max_age`: how long after its making a token is taken.
pub(super) fn max_age(check: &mut Check<'_>, source: &IdentitySource) -> Option<Duration> {
    let written = source.max_age.as_ref()?;
    let age = written.get_ref().0;
    if age.is_zero() || age > MAX_AGE {
        check.problem(
            written.span(),
            format!("a max_age of {} lies outside 1s to 24h", Shown(age)),
            "write the time that passes between the making of a token and its exchange, or take it out for 10m",
        );
    }
    Some(age)
}

pub(super) fn issuer_url(check: &mut Check<'_>, issuer: &Spanned<String>, allow_private: bool) {
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
    if source.claims.is_none() && source.group.is_some() {
        return Some(BTreeMap::new());
    }
    let Some(claims) = source.claims.as_ref().filter(|claims| !claims.get_ref().is_empty()) else {
        let at = source.claims.as_ref().map_or(issuer.span(), Spanned::span);
        let message = format!("no claims are demanded, so everyone who has a token of {issuer} would match");
        check.problem(at, message, "demand claims that only this identity has, by their unchanging ids");
        return None;
    };
    platforms::check_claims(check, claims);
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
            let fix = "save the issuer's own JWKS document there (RFC 7517)";
            KeyFile { sound: |_| Ok(()), fix }.read(check, path)
        }
        (Some(_), Some(path)) => {
            let message = "the issuer's keys come from jwks_url and from jwks_file";
            check.problem(path.span(), message, "keep the file to pin the keys, or the URL to follow them");
            None
        }
    }
}
