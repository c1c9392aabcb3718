//! What platforms put into tokens that looks like an identity and is none.

use toml::Spanned;

use super::Check;

/// Hosts of Microsoft Entra ID, where the first part of the path is the tenant.
const ENTRA: [&str; 5] = [
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "login.chinacloudapi.cn",
    "sts.windows.net",
];
/// The tenant of everyone's private account.
const EVERYONE: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// An issuer must be one organisation's: nobody controls who gets a token of `common`.
pub(super) fn check_issuer(check: &mut Check<'_>, issuer: &Spanned<String>) {
    let rest = issuer.get_ref().strip_prefix("https://").unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.split(':').next().unwrap_or_default();
    let tenant = path.split('/').next().unwrap_or_default();
    if ENTRA.contains(&host) && !is_tenant(tenant) {
        check.problem(
            issuer.span(),
            format!("the issuer {issuer} is not that of one tenant of Microsoft Entra ID"),
            "name your tenant by its id, such as https://login.microsoftonline.com/TENANT-ID/v2.0",
        );
    }
}

/// An address that nobody verified says nothing about who presents it.
pub(super) fn check_claims(check: &mut Check<'_>, claims: &Spanned<toml::Table>) {
    let verified = claims.get_ref().get("email_verified").and_then(toml::Value::as_bool) == Some(true);
    if claims.get_ref().contains_key("email") && !verified {
        check.problem(
            claims.span(),
            "the claim email is demanded without email_verified, so an address that nobody verified would do",
            "add email_verified = true, or better demand an unchanging id such as sub",
        );
    }
}

fn is_tenant(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12])
        && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
        && text != EVERYONE
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{ADMIN, compile};

    fn problems(issuer: &str, claims: &str) -> Vec<String> {
        let entry = format!(
            "{ADMIN}[[identities]]\nworkflow = \"w\"\nissuer = \"{issuer}\"\naudience = \"a\"\nclaims = {claims}\n"
        );
        let problems = compile(&entry).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn an_issuer_of_every_tenant_is_refused() {
        let tenant = "3f0c1a52-7c1e-4b57-9d42-0a6f5b1f2c11";
        for sound in [
            format!("https://login.microsoftonline.com/{tenant}/v2.0"),
            format!("https://sts.windows.net/{tenant}/"),
            format!("https://login.microsoftonline.us/{tenant}/v2.0"),
            "https://issuer.example/common".to_owned(),
        ] {
            assert_eq!(problems(&sound, "{ oid = \"1\" }"), Vec::<String>::new(), "{sound}");
        }
        for shared in [
            "https://login.microsoftonline.com/common/v2.0",
            "https://login.microsoftonline.com/organizations/v2.0",
            "https://login.microsoftonline.com/consumers/v2.0",
            "https://login.microsoftonline.com/{tenantid}/v2.0",
            "https://login.microsoftonline.com/acme.onmicrosoft.com/v2.0",
            "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
            "https://login.microsoftonline.com",
            "https://login.microsoftonline.com:443/common/v2.0",
            "https://sts.windows.net/common/",
            "https://login.partner.microsoftonline.cn/common/v2.0",
        ] {
            let told = problems(shared, "{ oid = \"1\" }");
            assert!(
                told.iter().any(|told| told.contains("one tenant") || told.contains("not a URL")),
                "{shared}"
            );
        }
    }

    #[test]
    fn an_address_counts_only_when_it_was_verified() {
        let google = "https://accounts.google.com";
        assert!(problems(google, "{ email = \"a@b.example\", email_verified = true }").is_empty());
        assert!(problems(google, "{ sub = \"1\" }").is_empty());
        for claims in [
            "{ email = \"a@b.example\" }",
            "{ email = \"a@b.example\", email_verified = false }",
            "{ email = \"a@b.example\", email_verified = \"true\" }",
            "{ sub = \"1\", email = \"a@b.example\" }",
        ] {
            let told = problems(google, claims);
            assert!(told.iter().any(|told| told.contains("without email_verified")), "{claims}: {told:?}");
        }
    }
}
