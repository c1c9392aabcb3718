//! What a broker publishes for everyone, as files and as a stream of events.

use std::time::Duration;

use reqwest::{RequestBuilder, Response};

use super::{Answer, Broker};
use crate::failure::Failure;

/// How long a file may take; a list of a million has some 20 MB.
const WHOLE: Duration = Duration::from_secs(120);

/// How long a stream may be silent: a head is due every five seconds.
const SILENCE: Duration = Duration::from_secs(15);

/// Longer than any stream lasts: its silences are what counts.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The most bytes of one event; a longer one is no event of ours.
const MAX_EVENT: usize = 256 * 1024;

/// An event of a stream (the HTML standard, section 9.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) data: String,
}

/// A stream of events.
pub(crate) struct Events {
    broker: Broker,
    response: Response,
    lines: Lines,
}

impl Broker {
    /// Fetches a file of at most `limit` bytes; `None` when there is none.
    ///
    /// # Errors
    /// When the broker cannot be reached, refuses, or sends more.
    pub(crate) async fn file(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let response = self.asked(self.http.get(self.address(path)).timeout(WHOLE)).await?;
        if response.status().as_u16() == 404 {
            return Ok(None);
        }
        let answer = self.whole(response, limit).await?;
        answer.success()?;
        Ok(Some(answer.body))
    }

    /// Follows the published heads.
    ///
    /// # Errors
    /// When the broker cannot be reached, or has no stream to give.
    pub(crate) async fn heads(&self) -> Result<Events, Failure> {
        let request = self.http.get(self.address("/revocations/stream")).timeout(FOR_EVER);
        let asked = tokio::time::timeout(SILENCE, self.asked(request)).await;
        let response = asked.map_err(|_| self.silent())??;
        if !response.status().is_success() {
            self.whole(response, super::MAX_ANSWER).await?.success()?;
            return Err(self.silent());
        }
        Ok(Events { broker: self.clone(), response, lines: Lines::default() })
    }

    async fn asked(&self, request: RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|error| self.unreachable(&error))
    }

    async fn whole(&self, mut response: Response, limit: usize) -> Result<Answer, Failure> {
        let (status, mut body) = (response.status().as_u16(), Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + chunk.len() > limit {
                let what = format!("{} sends more bytes than its revocation list says", self.url);
                let fix = "Check that this is the address of a Shortbread broker, and try again.";
                return Err(Failure::new(what, fix));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, date: None, body })
    }

    fn silent(&self) -> Failure {
        let what = format!("the broker at {} sent nothing for {} s", self.url, SILENCE.as_secs());
        Failure::new(what, "Look at its log: it signs a list every few seconds.")
    }
}

impl Events {
    /// The next event; `None` when the broker ended the stream.
    ///
    /// # Errors
    /// When the connection broke or fell silent, or what came is no stream of events.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            if let Some(event) = self.lines.event() {
                return Ok(Some(event));
            }
            let read = tokio::time::timeout(SILENCE, self.response.chunk()).await;
            let read = read.map_err(|_| self.broker.silent())?;
            match read.map_err(|error| self.broker.unreachable(&error))? {
                Some(chunk) if self.lines.rest.len() + chunk.len() <= MAX_EVENT => {
                    self.lines.rest.extend_from_slice(&chunk);
                }
                Some(_) => {
                    let fix = "Check that the address is that of a Shortbread broker of this version.";
                    return Err(Failure::new("an event of the stream is too long", fix));
                }
                None => return Ok(None),
            }
        }
    }
}

/// What came of a stream and was not read yet.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    kind: String,
    data: Option<String>,
}

impl Lines {
    fn event(&mut self) -> Option<Event> {
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                let kind = std::mem::take(&mut self.kind);
                if let Some(data) = self.data.take() {
                    return Some(Event { kind, data });
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match (field, &mut self.data) {
                ("event", _) => value.clone_into(&mut self.kind),
                ("data", Some(data)) => data.extend(["\n", value]),
                ("data", none) => *none = Some(value.to_owned()),
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = "retry: 250\n\nevent: head\nid: 7\ndata: a\ndata:\r\ndata:  b\ndata: \n\n: x\n\nevent: delta\ndata: c\n\n";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut events = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                lines.rest.extend_from_slice(chunk);
                events.extend(std::iter::from_fn(|| lines.event()));
            }
            let event = |kind: &str, data: &str| Event { kind: kind.into(), data: data.into() };
            assert_eq!(events, [event("head", "a\n\n b\n"), event("delta", "c")], "{size}");
        }
    }
}
