//! A person with a plain browser: it keeps cookies, follows no redirect by itself, and fills in the provider's form.

use std::collections::BTreeMap;

use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, Url};

/// How many redirects lead from one page to the next at most.
const HOPS: usize = 8;

/// A browser. Cookies are kept by host and name, whatever their path.
pub struct Visitor {
    http: Client,
    cookies: BTreeMap<(String, String), String>,
}

/// A page that was reached.
#[derive(Debug)]
pub struct Page {
    /// Where it is.
    pub url: Url,
    /// Its status.
    pub status: u16,
    /// Its text.
    pub text: String,
}

impl Visitor {
    /// One that was nowhere yet.
    ///
    /// # Panics
    /// When there is no HTTP client.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes a client")]
    pub fn new() -> Self {
        let http = Client::builder().redirect(Policy::none()).build().expect("a client");
        Self { http, cookies: BTreeMap::new() }
    }

    /// Opens a URL and follows redirects to a page, or to a URL that begins with `until`, which is not opened.
    ///
    /// # Panics
    /// When there is no answer, or redirects go on and on.
    pub async fn open(&mut self, url: &str, until: &str) -> Page {
        let url = Url::parse(url).expect("a URL");
        let answer = self.send(self.http.get(url.clone())).await;
        self.land(url, answer, until).await
    }

    /// Sends a form as that page's does, and goes on as [`Self::open`] does.
    ///
    /// # Panics
    /// As [`Self::open`].
    pub async fn submit(&mut self, url: &Url, fields: &[(&str, &str)], until: &str) -> Page {
        let mut form = Url::parse("x:").expect("a URL");
        form.query_pairs_mut().extend_pairs(fields);
        let request = self.http.post(url.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = self.send(request.body(form.query().unwrap_or_default().to_owned())).await;
        self.land(url.clone(), answer, until).await
    }

    /// Signs in at the provider: from its authorization URL to the URL that it sends the browser back to.
    ///
    /// # Panics
    /// When its pages are not as they should be.
    pub async fn sign_in(&mut self, url: &str, name: &str, until: &str) -> Url {
        let page = self.open(url, until).await;
        assert!(page.text.contains("Sign in at Acme"), "{page:?}");
        let password = format!("{name}-password");
        let back = self.submit(&page.url, &[("name", name), ("password", &password)], until).await;
        assert!(back.url.as_str().starts_with(until), "{back:?}");
        back.url
    }

    /// A cookie of a host, such as `127.0.0.1:8700`.
    #[must_use]
    pub fn cookie(&self, host: &str, name: &str) -> Option<&str> {
        self.cookies.get(&(host.to_owned(), name.to_owned())).map(String::as_str)
    }

    /// Has it keep a cookie of this host.
    pub fn keep(&mut self, host: &str, name: &str, value: &str) {
        self.cookies.insert((host.to_owned(), name.to_owned()), value.to_owned());
    }

    async fn land(&mut self, mut url: Url, mut answer: Response, until: &str) -> Page {
        for _ in 0..HOPS {
            let status = answer.status();
            let next = answer.headers().get(LOCATION).filter(|_| status.is_redirection());
            let Some(next) = next.map(|next| next.to_str().expect("a URL").to_owned()) else {
                let text = answer.text().await.expect("a page");
                return Page { url, status: status.as_u16(), text };
            };
            url = url.join(&next).expect("a URL");
            if url.as_str().starts_with(until) {
                return Page { url, status: status.as_u16(), text: String::new() };
            }
            answer = self.send(self.http.get(url.clone())).await;
        }
        panic!("redirects go on and on: {url}");
    }

    async fn send(&mut self, request: RequestBuilder) -> Response {
        let mut request = request.build().expect("a request");
        let host = request.url().authority().to_owned();
        let own = self.cookies.iter().filter(|((of, _), _)| *of == host);
        let own: Vec<String> = own.map(|((_, name), value)| format!("{name}={value}")).collect();
        if !own.is_empty() {
            request.headers_mut().insert(COOKIE, own.join("; ").parse().expect("cookies"));
        }
        let answer = self.http.execute(request).await.expect("an answer");
        for set in answer.headers().get_all(SET_COOKIE) {
            let pair =
                set.to_str().ok().and_then(|set| set.split(';').next()).and_then(|pair| pair.split_once('='));
            let Some((name, value)) = pair else { continue };
            let key = (host.clone(), name.trim().to_owned());
            match value {
                "" => self.cookies.remove(&key),
                value => self.cookies.insert(key, value.to_owned()),
            };
        }
        answer
    }
}
