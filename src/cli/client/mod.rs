//! The broker over HTTP: no redirects, bounded times and sizes, and refusals in the broker's own words.

mod assertion;
mod deferred;
mod feed;
mod page;
mod proof;
mod session;

pub(crate) use assertion::Signer;
pub(crate) use deferred::Reply;
pub(crate) use feed::Events;
pub(crate) use page::Page;
pub(crate) use session::{Session, sign_in};

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap};
use reqwest::{Client, RequestBuilder, Url, redirect};
use serde::de::DeserializeOwned;
use shortbread_protocol::admin::Problem;
use shortbread_protocol::dpop::ProofKey;
use shortbread_protocol::json;
use shortbread_protocol::oauth::{
    ACCESS_TOKEN, CLIENT_ASSERTION, CLIENT_CREDENTIALS, Metadata, OAuthError, TOKEN_EXCHANGE, TokenAnswer,
};

use self::proof::Call;
use crate::context::Context;
use crate::failure::Failure;

/// The most bytes of an answer.
const MAX_ANSWER: usize = 1024 * 1024;
const DPOP: &str = "dpop";
const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(20);

/// A broker at its public URL.
#[derive(Clone, Debug)]
pub(crate) struct Broker {
    http: Client,
    url: String,
}

/// An answer, read whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The `Date` header.
    pub(crate) date: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// A token with the key that it is bound to, and what it is used for.
struct Held<'a> {
    token: &'a str,
    key: &'a ProofKey,
    /// `shortbread/VERB`, where one verb alone can be meant.
    operation: Option<&'a str>,
}

impl Broker {
    /// For a public URL: `https`, or `http` on this machine.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub(crate) fn new(url: &str) -> Result<Self, Failure> {
        let url = usable(url)?;
        let http = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .user_agent(concat!("shortbread/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                let fix = "Check that the operating system has its root certificates.";
                Failure::new(format!("the HTTP client cannot be set up: {}", chain(&error)), fix)
            })?;
        Ok(Self { http, url })
    }

    /// The public URL, without a slash at its end: equal to the issuer.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The metadata document, whose issuer must be the URL it came from (RFC 8414, section 3.3).
    ///
    /// # Errors
    /// When the broker cannot be reached, answers something else, or calls itself by another URL.
    pub(crate) async fn metadata(&self) -> Result<Metadata, Failure> {
        let metadata: Metadata = self.get("/.well-known/oauth-authorization-server").await?.read()?;
        if metadata.issuer.trim_end_matches('/') != self.url {
            return Err(Failure::new(
                format!("the broker at {} calls itself {}", self.url, metadata.issuer),
                "Use the broker's public URL: the `issuer` of its configuration.",
            ));
        }
        Ok(metadata)
    }

    /// Asks for a token with an assertion of our own and further form fields; bound to a key, if one is given.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    pub(crate) async fn token(
        &self,
        context: &Context,
        signer: &Signer,
        key: Option<&ProofKey>,
        fields: &[(&str, &str)],
    ) -> Result<TokenAnswer, Failure> {
        let assertion = signer.assertion(&self.url, context.now(), &*context.random)?;
        let own = [
            ("grant_type", CLIENT_CREDENTIALS),
            ("client_assertion_type", CLIENT_ASSERTION),
            ("client_assertion", &assertion),
        ];
        self.token_form(context, key, &[&own, fields].concat()).await
    }

    /// Asks for a token with these form fields; bound to a key, if one is given.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    pub(crate) async fn token_form(
        &self,
        context: &Context,
        key: Option<&ProofKey>,
        fields: &[(&str, &str)],
    ) -> Result<TokenAnswer, Failure> {
        let proof =
            key.map(|key| proof::of_exchange(context, key, &self.address("/oauth/token"))).transpose()?;
        self.post_form(proof, fields).await
    }

    /// Passes a token that is bound to `key` on to another key, by its thumbprint.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    pub(crate) async fn pass_on(
        &self,
        context: &Context,
        key: &ProofKey,
        token: &str,
        holder: &str,
        fields: &[(&str, &str)],
    ) -> Result<TokenAnswer, Failure> {
        let url = self.address("/oauth/token");
        let proof = proof::of_passing_on(context, key, &url, token, holder)?;
        let own =
            [("grant_type", TOKEN_EXCHANGE), ("subject_token", token), ("subject_token_type", ACCESS_TOKEN)];
        self.post_form(Some(proof), &[&own, fields].concat()).await
    }

    async fn post_form(
        &self,
        proof: Option<String>,
        fields: &[(&str, &str)],
    ) -> Result<TokenAnswer, Failure> {
        let request = self.http.post(self.address("/oauth/token"));
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = proof.into_iter().fold(request, |request, proof| request.header(DPOP, proof));
        self.send(request.body(form(fields)?)).await?.read()
    }

    /// Fetches what anyone may read.
    ///
    /// # Errors
    /// When the broker cannot be reached. A refusal is an answer here.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send(self.http.get(self.address(path))).await
    }

    async fn call(
        &self,
        context: &Context,
        held: &Held<'_>,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<Answer, Failure> {
        self.send(self.request(context, held, method, path, body)?).await
    }

    fn request(
        &self,
        context: &Context,
        held: &Held<'_>,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<RequestBuilder, Failure> {
        let url = self.address(path);
        let (token, operation) = (held.token, held.operation);
        let call = Call { method, url: &url, token, operation, body: body.unwrap_or_default() };
        let proof = proof::of_call(context, held.key, &call)?;
        let request = match (method, body) {
            (_, Some(body)) => {
                self.http.post(&url).header(CONTENT_TYPE, "application/json").body(body.to_owned())
            }
            ("DELETE", None) => self.http.delete(&url),
            (_, None) => self.http.get(&url),
        };
        Ok(request.header(AUTHORIZATION, format!("DPoP {token}")).header(DPOP, proof))
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        self.receive(request, MAX_ANSWER).await.map(|(answer, _)| answer)
    }

    /// An answer of at most `limit` bytes, and its headers.
    async fn receive(&self, request: RequestBuilder, limit: usize) -> Result<(Answer, HeaderMap), Failure> {
        let failed = |error: &reqwest::Error| self.unreachable(error);
        let mut response = request.send().await.map_err(|e| failed(&e))?;
        let (status, date) = (response.status().as_u16(), header(response.headers()));
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| failed(&e))? {
            if body.len() + chunk.len() > limit {
                return Err(Failure::new(
                    format!("the answer of {} has more than {} MiB", self.url, limit >> 20),
                    "Check that this is the address of a Shortbread broker; ask for less where there is a limit.",
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((Answer { status, date, body }, headers))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let what = match (error.is_timeout(), error.is_connect()) {
            (true, _) => format!("the broker at {} did not answer in time", self.url),
            (_, true) => format!("no connection to the broker at {}: {}", self.url, chain(error)),
            _ => format!("the broker at {} could not be asked: {}", self.url, chain(error)),
        };
        let fix = "Start it with `shortbread dev` or `shortbread serve`, or name another one with --broker, \
                   SHORTBREAD_BROKER or `shortbread login`.";
        Failure::new(what, fix)
    }
}

impl Answer {
    /// Reads the body of a success; anything else is a refusal.
    ///
    /// # Errors
    /// With what the broker said, or that this is no answer of a broker.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        self.success()?;
        json::read_as(&self.body)
            .map_err(|error| self.strange(&format!("its answer is not as expected: {error}")))
    }

    /// Whether the status is a success.
    ///
    /// # Errors
    /// With what the broker said.
    pub(crate) fn success(&self) -> Result<(), Failure> {
        if (200..300).contains(&self.status) {
            return Ok(());
        }
        let refusal = json::read_as::<OAuthError>(&self.body)
            .map(Into::into)
            .or_else(|_| json::read_as::<Problem>(&self.body).map(Into::into));
        Err(refusal.map_or_else(
            |_| self.strange("it gave no reason that this program can read"),
            |refusal| Failure::Refused(Box::new(refusal)),
        ))
    }

    fn strange(&self, what: &str) -> Failure {
        let fix = "Check that the address is that of a Shortbread broker of this version.";
        Failure::new(format!("the broker answered with status {}: {what}", self.status), fix)
    }
}

fn header(headers: &HeaderMap) -> Option<String> {
    headers.get(DATE).and_then(|date| date.to_str().ok()).map(str::to_owned)
}

fn form(fields: &[(&str, &str)]) -> Result<String, Failure> {
    // The URL library encodes queries as forms are encoded.
    let url = Url::parse_with_params("form:/", fields)
        .map_err(|error| Failure::new(format!("the request cannot be written: {error}"), "Report this."))?;
    Ok(url.query().unwrap_or_default().to_owned())
}

fn usable(url: &str) -> Result<String, Failure> {
    let wrong = |why: &str| {
        let fix = "Write it as https://broker.acme.example; http is for this machine alone.";
        Failure::new(format!("{url:?} cannot be the URL of a broker: {why}"), fix)
    };
    let parsed = Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
    let bare = parsed.query().is_none() && parsed.fragment().is_none() && parsed.username().is_empty();
    if !bare || parsed.password().is_some() {
        return Err(wrong("it has a user, a query or a fragment"));
    }
    match parsed.scheme() {
        "https" => {}
        "http" if is_this_machine(&parsed) => {}
        "http" => return Err(wrong("it is not encrypted, and not on this machine")),
        _ => return Err(wrong("it is neither https nor http")),
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

// The innermost cause is the one that people know: "connection refused".
fn chain(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_safe_urls_are_used() {
        for good in [
            "https://broker.acme.example",
            "http://127.0.0.1:8700",
            "http://localhost:1",
            "http://[::1]:8700/",
        ] {
            assert!(usable(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "broker",
            "http://broker.acme.example",
            "http://127.0.0.1.acme.example",
            "https://alice:x@broker.acme.example",
            "https://broker.acme.example/?a=b",
            "https://broker.acme.example#a",
            "ftp://127.0.0.1",
        ] {
            assert!(usable(bad).is_err(), "{bad}");
        }
        assert_eq!(usable("https://broker.acme.example/").unwrap(), "https://broker.acme.example");
    }

    #[test]
    fn forms_are_encoded() {
        assert_eq!(
            form(&[("scope", "a:b c:d"), ("x", "&=\u{e9}")]).unwrap(),
            "scope=a%3Ab+c%3Ad&x=%26%3D%C3%A9"
        );
    }

    #[test]
    fn refusals_keep_the_brokers_words() {
        let problem = Problem {
            kind: "urn:shortbread:problem:admin.conflict".to_owned(),
            title: "t".to_owned(),
            status: 409,
            detail: "version 3 is in force already".to_owned(),
            reason: "admin.conflict".to_owned(),
            decision_id: "dec_1".to_owned(),
            request_id: "req".to_owned(),
            retryable: false,
        };
        let answer = Answer { status: 409, date: None, body: serde_json::to_vec(&problem).unwrap() };
        let failure = answer.success().unwrap_err();
        assert!(failure.is_for("admin.conflict"));
        assert_eq!(failure.to_string(), "refused: version 3 is in force already");
        assert!(failure.fix().contains("current state"));
        let html = Answer { status: 502, date: None, body: b"<html>".to_vec() };
        assert!(html.success().unwrap_err().to_string().contains("502"));
    }
}
