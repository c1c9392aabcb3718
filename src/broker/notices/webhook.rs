//! One request to the receiver: signed, guarded, bounded, never redirected.

use std::fmt;
use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Url};
use serde_json::json;
use shortbread_protocol::clock::Timestamp;
use thiserror::Error;

use super::notice::{KINDS, Notice};
use super::secret::{self, Secret, SecretError};
use crate::config;
use crate::identity::{FetchError, client, destination};

/// How long one request may take in all.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a sentence may be.
const MAX_TEXT: usize = 2000;

/// Why a webhook cannot be used.
#[derive(Debug, Error)]
pub enum WebhookError {
    /// One of its files.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Its URL.
    #[error(
        "the url of [webhook] cannot be used: {0}; use https, or http at this host with allow_private = true"
    )]
    Url(FetchError),
    /// A kind of notice that there is not.
    #[error("{0:?} in the events of [webhook] is no kind of notice; use some of {kinds}", kinds = KINDS.join(", "))]
    Event(String),
}

/// Why a notice was not taken.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum Refused {
    /// No connection, a bad certificate, a forbidden address, or no answer in time.
    #[error("the receiver could not be reached: {0}")]
    Unreachable(&'static str),
    /// Another answer than success.
    #[error("the receiver answered with status {status}")]
    Status {
        /// Which.
        status: u16,
        /// When it wants to be asked again.
        after: Option<Duration>,
    },
}

impl Refused {
    /// Whether the receiver is there no more: it must not be asked again.
    pub(super) const fn is_gone(self) -> bool {
        matches!(self, Self::Status { status: 410, .. })
    }

    /// When the receiver wants to be asked again.
    pub(super) const fn after(self) -> Option<Duration> {
        match self {
            Self::Status { after, .. } => after,
            Self::Unreachable(_) => None,
        }
    }
}

/// Where notices go.
pub(super) struct Webhook {
    url: Url,
    client: Client,
    secret: Secret,
    events: Option<Vec<String>>,
}

// The path of the URL may be a secret.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({})", self.host())
    }
}

impl Webhook {
    pub(super) fn new(config: &config::Webhook) -> Result<Self, WebhookError> {
        let secret = Secret::read(&config.secret_file)?;
        let url = match (&config.url, &config.url_file) {
            (Some(url), _) => url.clone(),
            (None, Some(file)) => secret::read(file)?.to_string(),
            (None, None) => String::new(),
        };
        let (url, reach) = destination(&url, config.allow_private).map_err(WebhookError::Url)?;
        let client = client(reach, TIMEOUT).map_err(WebhookError::Url)?;
        if let Some(unknown) = config.events.iter().flatten().find(|event| !KINDS.contains(&event.as_str())) {
            return Err(WebhookError::Event(unknown.clone()));
        }
        Ok(Self { url, client, secret, events: config.events.clone() })
    }

    /// The receiver's name, as logs and metrics may have it.
    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Whether it wants this kind.
    pub(super) fn wants(&self, kind: &str) -> bool {
        self.events.as_ref().is_none_or(|events| events.iter().any(|event| event == kind))
    }

    /// Posts a notice, once.
    pub(super) async fn post(&self, id: &str, body: Vec<u8>, now: Timestamp) -> Result<(), Refused> {
        let timestamp = now.seconds();
        let signature = self.secret.sign(id, timestamp, &body);
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body);
        let answer = request.send().await.map_err(|error| {
            Refused::Unreachable(if error.is_timeout() { "no answer within 10 s" } else { "no connection" })
        })?;
        if answer.status().is_success() {
            return Ok(());
        }
        let after =
            answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Err(Refused::Status { status: answer.status().as_u16(), after: after.map(Duration::from_secs) })
    }
}

/// The exact bytes that are sent for a notice: for programs `type`, `timestamp` and `data`, for a reader `text`.
pub(super) fn body(notice: &Notice, at: Timestamp) -> Vec<u8> {
    let text = escape(&notice.to_string());
    let body =
        json!({ "type": notice.kind(), "timestamp": at.to_string(), "data": notice.data(), "text": text });
    body.to_string().into_bytes()
}

// In the text of a chat these characters make links and call people by name.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars().take(MAX_TEXT) {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use shortbread_protocol::revocations::Cause;

    #[test]
    fn a_notice_calls_nobody_and_links_nowhere() {
        let notice = Notice::Revoked {
            what: vec!["user/<!channel> <https://evil.example|click>\n".to_owned()],
            by: "alice".to_owned(),
            seq: 1,
            cause: Cause::Incident,
            tokens: None,
            decision: "dec_1".to_owned(),
        };
        let body: serde_json::Value =
            serde_json::from_slice(&body(&notice, Timestamp::from_seconds(1_795_176_000))).unwrap();
        let text = body["text"].as_str().unwrap();
        assert!(!text.contains(['<', '>', '\n']) && text.contains("&lt;!channel&gt;"), "{text}");
        assert_eq!(
            (&body["type"], &body["timestamp"]),
            (&json!("revocation.set"), &json!("2026-11-20T12:00:00Z"))
        );
        assert_eq!(body["data"]["by"], "alice");
        assert!(text.len() < 3 * MAX_TEXT);
    }

    #[test]
    fn a_receiver_at_a_private_address_or_without_tls_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let new = |url: &str, allow_private, events: Option<Vec<String>>| {
            let url = Some(url.to_owned());
            Webhook::new(&config::Webhook {
                url,
                url_file: None,
                secret_file: path.clone(),
                allow_private,
                events,
            })
        };
        for (url, private) in [
            ("https://10.0.0.1/x", false),
            ("https://169.254.169.254/x", true),
            ("http://hooks.example/x", true),
            ("http://127.0.0.1/x", false),
            ("ftp://hooks.example", true),
            ("", true),
        ] {
            assert!(matches!(new(url, private, None), Err(WebhookError::Url(_))), "{url}");
        }
        let webhook =
            new("https://hooks.example/services/T0/SECRET", false, Some(vec!["tripwire.tripped".to_owned()]));
        let webhook = webhook.unwrap();
        assert!(webhook.wants("tripwire.tripped") && !webhook.wants("revocation.set"));
        assert!(!format!("{webhook:?}").contains("SECRET"));
        assert!(matches!(
            new("https://hooks.example", false, Some(vec!["x".to_owned()])),
            Err(WebhookError::Event(_))
        ));
    }
}
