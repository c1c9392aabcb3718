//! Cases of the audit log: page by page, or of one decision.

use serde_json::Value;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::event::{Event, EventType};
use thiserror::Error;

use crate::broker::Broker;
use crate::cases::{Case, NoCase, case, is_operators};
use crate::store::{StoreError, StoredEntry, StoredInput};

/// A page has at most so many bytes, unless its first case alone has more.
const MAX_BYTES: usize = 512 * 1024;
/// How many entries are read at a time.
const CHUNK: usize = 128;
/// How many entries one page looks at, whatever it finds.
const MAX_LOOKED: usize = 4096;
/// How many parents a token may have that lead to its exchange.
const MAX_PARENTS: usize = 16;

/// Which cases.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Of decisions from this moment on.
    pub since: Option<Timestamp>,
    /// From this place of the log on; else from the first that may be of `since`.
    pub from: Option<u64>,
    /// At most so many.
    pub limit: usize,
    /// Operators' own exchanges too.
    pub operators: bool,
}

/// Cases in the order of the log.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// One case a line, as JSON.
    pub lines: Vec<u8>,
    /// Where to go on; none at the end.
    pub next: Option<u64>,
}

/// Why a decision is no case.
#[derive(Debug, Error)]
pub enum CaseError {
    /// Nothing bears the id.
    #[error("no entry has this decision id; refusals of strangers are counted, not all written")]
    Unknown,
    /// It cannot be made a case; what can be done stands in the message.
    #[error("{0}")]
    NoCase(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Reading broke off.
    #[error("reading the cases broke off; try again, and give the decision id of this answer if it stays")]
    Broken,
}

/// A page of cases: what the policy itself decided, as far as the inputs are still there.
///
/// # Errors
/// When the store fails, or reading broke off.
pub async fn page(broker: &Broker, asked: Asked) -> Result<Page, CaseError> {
    let place = match (asked.from, asked.since) {
        (Some(from), _) => from,
        (None, Some(since)) => broker.store.audit_place(since).await?,
        (None, None) => 0,
    };
    let mut filling = Filling { page: Page::default(), asked, place, found: 0, looked: 0 };
    loop {
        let chunk = broker.store.audit_inputs(filling.place, CHUNK).await?;
        // Long entries take a while to read, and others are answered on this thread.
        let filled = tokio::task::spawn_blocking(move || {
            let is_over = filling.take(&chunk);
            (filling, is_over)
        });
        let (next, is_over) = filled.await.map_err(|_| CaseError::Broken)?;
        if is_over {
            return Ok(next.page);
        }
        filling = next;
    }
}

/// A page that is being filled.
struct Filling {
    page: Page,
    asked: Asked,
    place: u64,
    found: usize,
    looked: usize,
}

impl Filling {
    /// The next entries; answers whether the page is over.
    fn take(&mut self, chunk: &[StoredInput]) -> bool {
        for stored in chunk {
            self.place = stored.entry.idx;
            if let Some(line) = line(stored, self.asked) {
                let is_full = self.found > 0 && self.page.lines.len() + line.len() > MAX_BYTES;
                if self.found >= self.asked.limit || is_full {
                    self.page.next = Some(self.place);
                    return true;
                }
                self.found += 1;
                self.page.lines.extend(line);
                self.page.lines.push(b'\n');
            }
            self.place += 1;
            self.looked += 1;
        }
        if chunk.len() < CHUNK {
            return true;
        }
        let is_over = self.looked >= MAX_LOOKED || self.found >= self.asked.limit;
        self.page.next = is_over.then_some(self.place);
        is_over
    }
}

fn line(stored: &StoredInput, asked: Asked) -> Option<Vec<u8>> {
    let event: Event = serde_json::from_slice(&stored.entry.body).ok()?;
    if is_operators(&event) && !asked.operators {
        return None;
    }
    let case = case(&event, &stored.input.body).ok()?;
    if asked.since.is_some_and(|since| case.at.is_none_or(|at| at < since)) {
        return None;
    }
    serde_json::to_vec(&case).ok()
}

/// The case of one decision.
///
/// # Errors
/// When nothing bears the id, it is no decision of the policy, or its input is not kept.
pub async fn of_decision(broker: &Broker, id: &str) -> Result<Case, CaseError> {
    let entries = broker.store.audit_by_decision(id).await?;
    let events: Vec<(&StoredEntry, Event)> =
        entries.iter().filter_map(|entry| Some((entry, serde_json::from_slice(&entry.body).ok()?))).collect();
    let exchange = |kind: EventType| matches!(kind, EventType::TokenMinted | EventType::TokenRefused);
    let found = events.iter().find(|(_, event)| exchange(event.kind)).or_else(|| events.first());
    let (entry, event) = found.ok_or(CaseError::Unknown)?;
    if let Err(no) = crate::cases::decided(event) {
        return Err(CaseError::NoCase(instead(broker, event, &no).await?));
    }
    let Some(input) = broker.store.audit_input(entry.idx).await? else {
        return Err(CaseError::NoCase(gone(event)));
    };
    case(event, &input.body).map_err(|no| CaseError::NoCase(format!("{id} cannot be made a case: {no}")))
}

fn gone(event: &Event) -> String {
    let id = &event.id;
    if event.data.get("input").is_some() {
        format!("the input of {id} was erased; its hash is what is left: write the case by hand")
    } else {
        format!("no input was kept of {id}: write the case by hand")
    }
}

/// Why not, and which exchange can be made a case instead.
async fn instead(broker: &Broker, event: &Event, no: &NoCase) -> Result<String, StoreError> {
    let id = &event.id;
    let (what, token) = match no {
        NoCase::PassedOn { parent } => (format!("{id} cannot be made a case: {no}"), Some(parent.as_str())),
        NoCase::Kind if event.kind == EventType::CallDecision => {
            let what = format!(
                "{id} is a call that a verifier decided by the token it was shown; cases are of exchanges"
            );
            (what, event.data.get("token").and_then(Value::as_str))
        }
        _ => (format!("{id} cannot be made a case: {no}"), None),
    };
    let exchange = match token {
        Some(token) => exchange_of(broker, token).await?,
        None => None,
    };
    Ok(match (exchange, token) {
        (Some(exchange), _) => format!("{what}. Make one of the exchange that gave the token: {exchange}"),
        (None, Some(token)) => format!("{what}. The exchange that gave the token {token} is not known"),
        (None, None) => what,
    })
}

/// The decision that granted a token, or the first of its ancestors.
async fn exchange_of(broker: &Broker, token: &str) -> Result<Option<String>, StoreError> {
    let mut token = token.to_owned();
    for _ in 0..MAX_PARENTS {
        let Some(record) = broker.store.token(&token).await? else { return Ok(None) };
        let body: Value = serde_json::from_slice(&record.body).unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        match text("parent") {
            Some(parent) => token = parent,
            None => return Ok(text("decision")),
        }
    }
    Ok(None)
}
