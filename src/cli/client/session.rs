//! Calls of the admin API: signed in for one verb, and again when the token's short life is over. Tokens are bound to a
//! key that lives in memory, as long as the session.

use reqwest::header::HeaderMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shortbread_protocol::admin::EXPORT_NEXT;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::dpop::ProofKey;
use shortbread_protocol::names::{Operation, ToolName};
use shortbread_protocol::oauth::TokenAnswer;

use super::page::{self, Page};
use super::{Answer, Broker, Held, Signer};
use crate::cli::Connection;
use crate::config::Settings;
use crate::context::Context;
use crate::failure::Failure;

/// How often a page is asked for again where there were too many requests.
const PATIENCE: usize = 60;

/// A token is renewed this many seconds before it ends.
const EARLY: u64 = 10;

/// The verbs that signing in is tried with, harmless ones first: any one of them proves the key.
const PROBES: [&str; 9] = [
    "status.read",
    "revocations.read",
    "audit.read",
    "policy.read",
    "approvals.read",
    "keys.read",
    "approvals.decide",
    "revocations.revoke",
    "policy.activate",
];

/// An operator at work.
pub(crate) struct Session<'c> {
    context: &'c Context,
    broker: Broker,
    signer: Signer,
    /// `shortbread/VERB`: what this does.
    operation: Operation,
    /// Asked for besides, where either of the two lets its holder read.
    reading: Option<Operation>,
    key: ProofKey,
    held: Option<(TokenAnswer, Timestamp)>,
}

impl<'c> Session<'c> {
    /// For the operator of the settings and one verb of the tool `shortbread`.
    ///
    /// # Errors
    /// When the settings do not say which broker or key, or there is no randomness.
    pub(crate) fn open(context: &'c Context, connection: &Connection, verb: &str) -> Result<Self, Failure> {
        let settings = Settings::of(context, connection)?;
        let (broker, signer) = (settings.broker()?, settings.signer()?);
        let (operation, reading) = (operation(verb)?, None);
        let key = ProofKey::generate(&*context.random)?;
        Ok(Self { context, broker, signer, operation, reading, key, held: None })
    }

    /// The same for a verb whose holder may read too, and for the verb of those who may read alone: whichever of them is
    /// granted.
    ///
    /// # Errors
    /// As for [`Session::open`].
    pub(crate) fn open_either(
        context: &'c Context,
        connection: &Connection,
        verb: &str,
        reading: &str,
    ) -> Result<Self, Failure> {
        let reading = Some(operation(reading)?);
        Ok(Self { reading, ..Self::open(context, connection, verb)? })
    }

    /// `GET` of an admin route.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    pub(crate) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Failure> {
        self.call(path, None).await?.read()
    }

    /// The same for an answer that may be long, such as a policy with its files.
    ///
    /// # Errors
    /// When the broker cannot be reached, refuses, or answers something strange.
    pub(crate) async fn document<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Failure> {
        self.long(path).await?.0.read()
    }

    /// `GET` of an admin route that answers lines, a page at a time; with where the next page begins.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses, or the lines are no text.
    pub(crate) async fn lines(&mut self, path: &str) -> Result<(String, Option<u64>), Failure> {
        let (answer, headers) = self.long(path).await?;
        answer.success()?;
        let next = headers.get(EXPORT_NEXT).and_then(|next| next.to_str().ok()?.parse().ok());
        let text = String::from_utf8(answer.body).map_err(|_| {
            let fix = "Check that the address is that of a Shortbread broker of this version.";
            Failure::new("the broker answered something that is no text", fix)
        })?;
        Ok((text, next))
    }

    async fn long(&mut self, path: &str) -> Result<(Answer, HeaderMap), Failure> {
        let token = self.token().await?;
        let operation = self.named("GET");
        let held = Held { token: &token, key: &self.key, operation: operation.as_deref() };
        let request = self.broker.request(self.context, &held, "GET", path, None)?;
        let receive = self.broker.receive(request, page::MAX_PAGE);
        self.context.ui.wait("asking the broker", receive).await
    }

    /// `POST` to an admin route.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    pub(crate) async fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| {
            Failure::new(format!("the request cannot be written: {error}"), "Report this.")
        })?;
        self.call(path, Some(&body)).await?.read()
    }

    /// `GET` of an admin route again and again, by someone who shows what they wait for themselves.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    pub(crate) async fn poll<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Failure> {
        self.ask("GET", path, None).await?.read()
    }

    /// `DELETE` of an admin route.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    pub(crate) async fn delete(&mut self, path: &str) -> Result<(), Failure> {
        let ui = self.context.ui;
        ui.wait("asking the broker", self.ask("DELETE", path, None)).await?.success()
    }

    /// One page of an export, with patience where the broker wants fewer requests.
    ///
    /// # Errors
    /// When the broker cannot be reached, refuses, or answers something else.
    pub(crate) async fn page(&mut self, path: &str) -> Result<Page, Failure> {
        for _ in 0..PATIENCE {
            let token = self.token().await?;
            let operation = self.named("GET");
            let held = Held { token: &token, key: &self.key, operation: operation.as_deref() };
            let request = self.broker.request(self.context, &held, "GET", path, None)?;
            match Page::of(self.broker.receive(request, page::MAX_PAGE).await?)? {
                Ok(page) => return Ok(page),
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
        let fix = "Try again later, or allow more requests in `[limits]` of the broker's configuration.";
        Err(Failure::new("the broker keeps saying that there are too many requests", fix))
    }

    /// `operator:NAME`, as whom this signs in.
    pub(crate) fn subject(&self) -> &str {
        self.signer.subject()
    }

    /// The broker.
    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    async fn call(&mut self, path: &str, body: Option<&[u8]>) -> Result<Answer, Failure> {
        let ui = self.context.ui;
        let method = if body.is_some() { "POST" } else { "GET" };
        ui.wait("asking the broker", self.ask(method, path, body)).await
    }

    async fn ask(&mut self, method: &str, path: &str, body: Option<&[u8]>) -> Result<Answer, Failure> {
        let token = self.token().await?;
        let operation = self.named(method);
        let held = Held { token: &token, key: &self.key, operation: operation.as_deref() };
        self.broker.call(self.context, &held, method, path, body).await
    }

    // What a proof speaks of. Which of two verbs lets its holder read is for the broker to say.
    fn named(&self, method: &str) -> Option<String> {
        let known = method != "GET" || self.reading.is_none();
        known.then(|| self.operation.to_string())
    }

    async fn token(&mut self) -> Result<String, Failure> {
        let now = self.context.now();
        if let Some((held, until)) = &self.held
            && now.seconds() + EARLY < until.seconds()
        {
            return Ok(held.access_token.clone());
        }
        let scopes: Vec<String> =
            self.reading.iter().chain([&self.operation]).map(Operation::scope).collect();
        let answer = self
            .broker
            .token(self.context, &self.signer, Some(&self.key), &[("scope", &scopes.join(" "))])
            .await
            .map_err(|failure| failure.advise("identity.invalid", || self.wrong_key()))?;
        let until = Timestamp::from_seconds(now.seconds().saturating_add(answer.expires_in));
        let token = answer.access_token.clone();
        self.held = Some((answer, until));
        Ok(token)
    }

    // The broker does not say which it was, so that nobody can try names and keys.
    fn wrong_key(&self) -> String {
        format!(
            "Check that the policy registers this very key for {}, and that this machine's clock is right. \
             `shortbread doctor` looks at both; `shortbread login --key FILE` takes another key.",
            self.signer.subject().replacen(':', " ", 1)
        )
    }
}

fn operation(verb: &str) -> Result<Operation, Failure> {
    let verb = verb.parse().map_err(|error| Failure::usage(format!("{verb} is no verb: {error}")))?;
    Ok(Operation { tool: ToolName::shortbread(), verb })
}

/// Proves that the key signs in, with the first verb that the policy grants it; gives that verb.
///
/// # Errors
/// When the key is not accepted, or the policy grants its operator nothing.
pub(crate) async fn sign_in(
    context: &Context,
    broker: &Broker,
    signer: &Signer,
) -> Result<&'static str, Failure> {
    let key = ProofKey::generate(&*context.random)?;
    let mut last = None;
    for verb in PROBES {
        let scope = format!("shortbread:{verb}");
        match broker.token(context, signer, Some(&key), &[("scope", &scope)]).await {
            Ok(_) => return Ok(verb),
            // The key was accepted and this verb is not granted, or not known to this broker: try the next.
            Err(failure)
                if ["policy.not_granted", "policy.forbidden", "scope.unknown"]
                    .iter()
                    .any(|code| failure.is_for(code)) =>
            {
                last = Some(failure);
            }
            Err(failure) => return Err(failure),
        }
    }
    Err(last.unwrap_or_else(|| Failure::new("the broker grants this operator nothing", "Ask for a grant.")))
}
