//! `[console]`: how people sign in to the console besides the link of `shortbread console`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::is_host;

/// How long a name on a button may be, in characters.
const MAX_NAME: usize = 60;

/// The console.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Console {
    /// An identity provider of operators; absent: they sign in by link alone.
    pub oidc: Option<Provider>,
}

/// An OpenID Connect provider of operators, and what the console is there. Who of its people is an operator stands in the
/// policy: an identity entry with this issuer, and the `client_id` as its audience.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its exact `iss`.
    pub issuer: String,
    /// The console's id there.
    pub client_id: String,
    /// A file with the console's secret there, for its owner's eyes alone; absent: a public client, by PKCE alone.
    pub client_secret_file: Option<PathBuf>,
    /// What is asked for, `openid` among it.
    #[serde(default = "scopes")]
    pub scopes: String,
    /// What the button calls it; absent: the issuer's host.
    pub name: Option<String>,
}

fn scopes() -> String {
    "openid profile groups".to_owned()
}

impl Provider {
    /// What a button calls it.
    #[must_use]
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| {
            let rest = self.issuer.split_once("://").map_or(self.issuer.as_str(), |(_, rest)| rest);
            rest.split('/').next().unwrap_or(rest)
        })
    }

    fn check(&self) -> Result<(), String> {
        if !is_issuer(&self.issuer) {
            return Err(format!(
                "[console.oidc] issuer {:?} is not a URL like https://id.acme.example (http only on loopback)",
                self.issuer
            ));
        }
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        if self.client_id.is_empty() || !plain(&self.client_id) {
            return Err(
                "[console.oidc] client_id must be the id that the provider gave the console".to_owned()
            );
        }
        let scopes: Vec<&str> = self.scopes.split(' ').collect();
        let sound = |scope: &&str| !scope.is_empty() && plain(scope) && !scope.contains(['"', '\\']);
        if !scopes.iter().all(sound) || !scopes.contains(&"openid") {
            return Err("[console.oidc] scopes must be words with one space between, openid among them; leave it out \
                        for \"openid profile groups\""
                .to_owned());
        }
        let shown = |name: &String| {
            !name.trim().is_empty() && name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control)
        };
        if !self.name.as_ref().is_none_or(shown) {
            return Err(format!("[console.oidc] name must be 1 to {MAX_NAME} characters of one line"));
        }
        Ok(())
    }
}

impl Console {
    pub(super) fn check(&self) -> Result<(), String> {
        self.oidc.as_ref().map_or(Ok(()), Provider::check)
    }

    pub(super) fn rebase(&mut self, folder: &Path) {
        if let Some(provider) = &mut self.oidc {
            provider.client_secret_file = provider.client_secret_file.take().map(|path| folder.join(path));
        }
    }
}

// As `iss` of somebody else: it may end in a slash, which ours may not.
fn is_issuer(issuer: &str) -> bool {
    let plain = issuer.bytes().all(|b| b.is_ascii_graphic() && !b"?#\"\\<>@".contains(&b));
    let host = issuer.strip_prefix("https://").or_else(|| {
        let rest = issuer.strip_prefix("http://")?;
        ["127.0.0.1", "localhost", "[::1]"].iter().any(|local| is_host(rest, local)).then_some(rest)
    });
    plain && host.is_some_and(|host| !host.is_empty() && !host.starts_with(['/', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "[oidc]\nissuer = \"https://id.acme.example\"\nclient_id = \"shortbread-console\"\n";

    fn read(text: &str) -> Result<Console, String> {
        let console: Console = toml::from_str(text).map_err(|error| error.to_string())?;
        console.check().map(|()| console)
    }

    #[test]
    fn a_provider_is_read_and_what_is_left_out_has_a_default() {
        assert_eq!(read("").unwrap(), Console::default());
        let mut console = read(WHOLE).unwrap();
        let provider = console.oidc.clone().unwrap();
        assert_eq!(
            (provider.scopes.as_str(), provider.label()),
            ("openid profile groups", "id.acme.example")
        );
        assert_eq!(provider.client_secret_file, None);
        console.rebase(Path::new("/etc/shortbread"));
        assert_eq!(console.oidc, Some(provider));
        let more =
            "client_secret_file = \"keys/console.secret\"\nscopes = \"openid roles\"\nname = \"Acme\"\n";
        let mut console = read(&format!("{WHOLE}{more}")).unwrap();
        console.rebase(Path::new("/etc/shortbread"));
        let provider = console.oidc.unwrap();
        let secret = Path::new("/etc/shortbread/keys/console.secret");
        assert_eq!((provider.label(), provider.client_secret_file.as_deref()), ("Acme", Some(secret)));
        assert!(read(&WHOLE.replace("https://id.acme.example", "https://acme.example/realms/a/")).is_ok());
        assert!(read(&WHOLE.replace("https://id.acme.example", "http://127.0.0.1:9000")).is_ok());
    }

    #[test]
    fn what_cannot_be_and_secrets_in_the_file_are_refused() {
        for (from, to, says) in [
            ("https://", "http://", "is not a URL like"),
            ("id.acme.example", "id.acme.example?x=1", "is not a URL like"),
            ("id.acme.example", "u@id.acme.example", "is not a URL like"),
            ("id.acme.example", "", "is not a URL like"),
            ("https://id.acme.example", "http://localhost.example", "is not a URL like"),
            ("shortbread-console", "", "client_id must be"),
            ("shortbread-console", "a b", "client_id must be"),
            ("issuer =", "isuer =", "unknown field `isuer`"),
            ("[oidc]\n", "[oidc]\nclient_secret = \"x\"\n", "unknown field `client_secret`"),
            ("[oidc]\n", "[oidc]\nscopes = \"profile\"\n", "scopes must be words"),
            ("[oidc]\n", "[oidc]\nscopes = \"openid  profile\"\n", "scopes must be words"),
            ("[oidc]\n", "[oidc]\nname = \" \"\n", "name must be"),
            ("[oidc]\n", "[oidc]\nname = \"a\\nb\"\n", "name must be"),
        ] {
            assert!(WHOLE.contains(from), "{from}");
            let told = read(&WHOLE.replace(from, to)).unwrap_err();
            assert!(told.contains(says), "{to}: {told}");
        }
    }
}
