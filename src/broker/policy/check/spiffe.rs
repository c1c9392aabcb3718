//! An identity of a SPIFFE trust domain: `trust_domain`, `spiffe_id` and the bundle that holds its keys.

use serde_json::Value;
use toml::Spanned;

use super::super::model::{KeySource, Spiffe};
use super::super::source::IdentitySource;
use super::super::spiffe::{SpiffeId, TrustDomain};
use super::key_file::KeyFile;
use super::proof::{audience, issuer_url, max_age, reuse, stray};
use super::{Check, membership, url};

pub(super) fn compile(
    check: &mut Check<'_>,
    source: &IdentitySource,
    id: &Spanned<String>,
) -> Option<Spiffe> {
    let allow_private = source.allow_private.as_ref().is_some_and(|flag| *flag.get_ref());
    let beside = [
        ("claims", source.claims.as_ref().map(Spanned::span)),
        ("jwks_url", source.jwks_url.as_ref().map(Spanned::span)),
        ("jwks_file", source.jwks_file.as_ref().map(Spanned::span)),
    ];
    let fix = "take it out: the spiffe_id says who it is, and bundle_url or bundle_file where the keys are";
    stray(check, beside, "a spiffe_id", fix);
    membership::only_issuer(check, source, "a spiffe_id");
    if let Some(issuer) = &source.issuer {
        issuer_url(check, issuer, true);
    }
    let name = self::id(check, source, id);
    let audience = audience(check, source, id);
    let bundle = bundle(check, source, id, allow_private);
    let (reuse_until_expiry, max_age) = (reuse(check, source), max_age(check, source));
    Some(Spiffe {
        id: name?,
        issuer: source.issuer.as_ref().map(|issuer| issuer.get_ref().clone()),
        audience: audience?,
        bundle: bundle?,
        allow_private,
        reuse_until_expiry,
        max_age,
    })
}

fn id(check: &mut Check<'_>, source: &IdentitySource, id: &Spanned<String>) -> Option<SpiffeId> {
    let Some(domain) = &source.trust_domain else {
        let message = format!("{id} has no trust_domain beside it, which says whose bundle counts");
        check.problem(id.span(), message, "add trust_domain = \"NAME\"");
        return None;
    };
    let name: Result<TrustDomain, _> = domain.get_ref().parse();
    if let Err(why) = &name {
        let fix = "write its bare name, such as acme.example";
        check.problem(
            domain.span(),
            format!("the trust_domain {domain:?} {why}", domain = domain.get_ref()),
            fix,
        );
    }
    let fix = "write the exact id, such as spiffe://acme.example/agents/worker";
    let read: Result<SpiffeId, _> = id.get_ref().parse();
    let read = read
        .inspect_err(|why| check.problem(id.span(), format!("the spiffe_id {:?} {why}", id.get_ref()), fix))
        .ok()?;
    let name = name.ok()?;
    if *read.trust_domain() != name {
        let message = format!("the spiffe_id {read} is not of the trust domain {name}");
        check.problem(id.span(), message, "write one trust domain in both; no other may vouch for it");
        return None;
    }
    Some(read)
}

fn bundle(
    check: &mut Check<'_>,
    source: &IdentitySource,
    id: &Spanned<String>,
    allow_private: bool,
) -> Option<KeySource> {
    match (&source.bundle_url, &source.bundle_file) {
        (Some(from), None) => match url::check(from.get_ref(), allow_private) {
            Ok(()) => Some(KeySource::Url(from.get_ref().clone())),
            Err(why) => {
                let fix = "use the https URL of the trust domain's bundle endpoint (http only at this machine and \
                           with allow_private = true)";
                check.problem(from.span(), format!("the bundle_url {:?} {why}", from.get_ref()), fix);
                None
            }
        },
        (None, Some(path)) => {
            let fix = "save the trust domain's own bundle there, such as `spire-server bundle show -format spiffe` \
                       prints it";
            KeyFile { sound: has_svid_keys, fix }.read(check, path)
        }
        _ => {
            let message = "the trust domain's keys come from neither or both of bundle_url and bundle_file";
            check.problem(id.span(), message, "give it the file to pin the keys, or the URL to follow them");
            None
        }
    }
}

fn has_svid_keys(keys: &[Value]) -> Result<(), &'static str> {
    let of_svids = |key: &&Value| key.get("use").is_some_and(|usage| usage == "jwt-svid");
    if keys.iter().filter(of_svids).any(|key| key.get("kid").is_some_and(Value::is_string)) {
        Ok(())
    } else {
        Err("has no key with \"use\": \"jwt-svid\" and a `kid`, so no JWT-SVID could ever be accepted")
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{ADMIN, compile, policy};
    use super::super::super::model::Proof;

    const ENTRY: &str = r#"[[identities]]
workflow = "worker"
trust_domain = "acme.example"
spiffe_id = "spiffe://acme.example/agents/worker"
audience = "https://broker.acme.example"
bundle_file = "bundles/good.json"
"#;

    fn refused(entries: &str, says: &str) {
        let problems = compile(&format!("{ADMIN}{entries}")).expect_err(says);
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(problems.iter().any(|p| p.message.contains(says) && !p.fix.is_empty()), "{says:?}: {told:?}");
    }

    fn replaced(from: &str, to: &str, says: &str) {
        assert!(ENTRY.contains(from), "{from}");
        refused(&ENTRY.replace(from, to), says);
    }

    #[test]
    fn an_entry_of_a_trust_domain_compiles() {
        let read =
            policy(&format!("{ADMIN}{ENTRY}issuer = \"https://spire.acme.example\"\nmax_age = \"5m\"\n"));
        let Proof::Spiffe(spiffe) = &read.identities()[1].proof else { panic!("SPIFFE") };
        assert_eq!(spiffe.id.trust_domain().as_str(), "acme.example");
        assert_eq!(spiffe.issuer.as_deref(), Some("https://spire.acme.example"));
        assert_eq!(spiffe.max_age.map(|age| age.as_secs()), Some(300));
        assert!(read.files().contains_key("bundles/good.json"), "taken in by value");
        let url = ENTRY
            .replace("bundle_file = \"bundles/good.json\"", "bundle_url = \"https://spire.acme.example/b\"");
        policy(&format!("{ADMIN}{url}reuse = \"until_expiry\"\n"));
    }

    #[test]
    fn unsound_entries_are_refused() {
        let domain = "trust_domain = \"acme.example\"\n";
        replaced(domain, "", "has no trust_domain");
        replaced(domain, "trust_domain = \"Acme.example\"\n", "has no trust domain of");
        replaced(domain, "trust_domain = \"spiffe://acme.example\"\n", "has no trust domain of");
        replaced(domain, "trust_domain = \"other.example\"\n", "is not of the trust domain other.example");
        for (bad, says) in [
            ("https://acme.example/agents/worker", "does not begin with spiffe://"),
            ("spiffe://acme.example", "has no path"),
            ("spiffe://acme.example/agents/*", "has no path"),
            ("spiffe://acme.example/a//b", "has no path"),
            ("spiffe://acme.example/a/../b", "has no path"),
            ("spiffe://acme.example/a?b", "has no path"),
            ("spiffe://acme.example.evil.example/a", "is not of the trust domain acme.example"),
        ] {
            replaced("spiffe://acme.example/agents/worker", bad, says);
        }
        replaced("audience = \"https://broker.acme.example\"\n", "", "has no audience");
        let file = "bundle_file = \"bundles/good.json\"";
        for (bad, says) in [
            ("", "neither or both of bundle_url and bundle_file"),
            ("bundle_file = \"bundles/good.json\"\nbundle_url = \"https://b.example\"", "neither or both"),
            ("bundle_url = \"http://spire.acme.example/b\"", "is not an https URL"),
            ("bundle_file = \"bundles/missing.json\"", "cannot be read"),
            ("bundle_file = \"bundles/x509.json\"", "no key with \"use\": \"jwt-svid\""),
            ("bundle_file = \"bundles/nameless.json\"", "no key with \"use\": \"jwt-svid\""),
            ("bundle_file = \"jwks/good.json\"", "no key with \"use\": \"jwt-svid\""),
            ("bundle_file = \"jwks/secret.json\"", "holds a secret key"),
            (
                "bundle_file = \"bundles/good.json\"\njwks_url = \"https://k.example\"",
                "jwks_url means nothing",
            ),
            ("bundle_file = \"bundles/good.json\"\nclaims = { a = 1 }", "claims means nothing beside"),
            ("bundle_file = \"bundles/good.json\"\nreuse = \"always\"", "means nothing"),
            ("bundle_file = \"bundles/good.json\"\nmax_age = \"48h\"", "lies outside 1s to 24h"),
            ("bundle_file = \"bundles/good.json\"\nkey = \"keys/w.pub.pem\"", "both or neither"),
        ] {
            replaced(file, bad, says);
        }
        let key = "[[identities]]\nworkflow = \"w\"\nkey = \"keys/w.pub.pem\"\n";
        for line in ["trust_domain = \"acme.example\"", "bundle_file = \"bundles/good.json\""] {
            refused(&format!("{key}{line}\n"), "means nothing beside a key");
        }
        refused("[[identities]]\nworkflow = \"w\"\ntrust_domain = \"acme.example\"\n", "both or neither");
    }

    #[test]
    fn a_trust_domain_has_one_bundle_and_an_id_one_entry() {
        let other = ENTRY.replace("\"worker\"", "\"other\"");
        refused(&format!("{ENTRY}{other}"), "would match two entries");
        refused(&format!("{ENTRY}{other}issuer = \"https://s.example\"\n"), "would match two entries");
        let apart = other.replace("agents/worker", "agents/other");
        policy(&format!("{ADMIN}{ENTRY}{apart}"));
        let elsewhere =
            apart.replace("bundle_file = \"bundles/good.json\"", "bundle_url = \"https://b.example\"");
        refused(&format!("{ENTRY}{elsewhere}"), "disagree about where the bundle of acme.example");
        refused(&format!("{ENTRY}{apart}allow_private = true\n"), "disagree about where the bundle");
        let foreign = elsewhere.replace("acme.example", "foreign.example");
        policy(&format!("{ADMIN}{ENTRY}{foreign}"));
        let pinned = |issuer: &str| format!("issuer = \"https://{issuer}.example\"\n");
        policy(&format!("{ADMIN}{ENTRY}{}{other}{}", pinned("a"), pinned("b")));
        let oidc = "[[identities]]\nworkflow = \"x\"\nissuer = \"https://spire.acme.example\"\naudience = \"a\"\n\
                    claims = { sub = \"spiffe://acme.example/agents/worker\" }\n";
        policy(&format!("{ADMIN}{oidc}"));
        refused(&format!("{ENTRY}{oidc}"), "one by its bundle and one by an issuer");
        refused(&format!("{oidc}{ENTRY}"), "one by its bundle and one by an issuer");
    }
}
