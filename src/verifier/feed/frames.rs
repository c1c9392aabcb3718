//! Reads the stream of events (HTML standard, "Server-sent events") that a broker pushes. What comes is not trusted: a
//! reader holds one line and one event, of at most [`MAX_FRAME`] bytes each, whatever is sent and however it is cut up.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use shortbread_protocol::revocations::{DeltaRef, MAX_DELTA, MAX_HEAD};
use thiserror::Error;

/// The most bytes of a delta's name: two numbers, a hash in hex, and what stands between.
const MAX_NAME: usize = 20 + 1 + 20 + 1 + 64 + 1;

/// The most bytes of one event's data: a delta in base64, which gzip may have made a little longer.
#[expect(clippy::cast_possible_truncation, reason = "4 MiB fit everywhere")]
pub const MAX_FRAME: usize = MAX_NAME + (MAX_DELTA as usize + MAX_DELTA as usize / 1024 + 64) / 3 * 4 + 4;

// The name of the field, the colon and the space.
const FIELD: usize = 8;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// A line, or an event, is longer than any that a broker sends.
    #[error("a line or an event is too long")]
    TooLong,
    /// An event of a known kind whose data is not what it has to be.
    #[error("a delta is not written as FROM-TO-HASH and base64")]
    Malformed,
}

/// An event of a kind that is known here. All others are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// `event: head`: a head's exact bytes.
    Head(Vec<u8>),
    /// `event: delta`: what leads on to the head before it.
    Delta(PackedDelta),
}

/// A delta as it is pushed: under its name and compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedDelta {
    from: u64,
    to: u64,
    sha256: [u8; 32],
    gzip: Vec<u8>,
}

/// The kind of the event that is being read. Its data may be long only once that is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Unknown,
    Head,
    Delta,
}

/// Reads events out of bytes that come in pieces.
#[derive(Debug, Default)]
pub struct Frames {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    kind: Kind,
    begun: bool,
    after_cr: bool,
}

impl Frames {
    /// Takes bytes off `input` until an event is whole, which is given back, or until nothing is left. To be called
    /// until it gives `None`; after an error the stream is to be given up.
    ///
    /// # Errors
    /// When a line or an event is longer than its kind allows, or a delta is not written as deltas are.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, FrameError> {
        while let Some((first, rest)) = input.split_first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                *input = rest;
                continue;
            }
            let end = input.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let (part, rest) = input.split_at(end.unwrap_or(input.len()));
            if self.line.len() + part.len() > self.longest() + FIELD {
                return Err(FrameError::TooLong);
            }
            self.line.extend_from_slice(part);
            *input = rest;
            if let Some((ending, rest)) = rest.split_first() {
                *input = rest;
                self.after_cr = *ending == b'\r';
                if let Some(frame) = self.end_line()? {
                    return Ok(Some(frame));
                }
            }
        }
        Ok(None)
    }

    const fn longest(&self) -> usize {
        match self.kind {
            Kind::Delta => MAX_FRAME,
            Kind::Head | Kind::Unknown => MAX_HEAD,
        }
    }

    fn end_line(&mut self) -> Result<Option<Frame>, FrameError> {
        let line = std::mem::take(&mut self.line);
        let first = !std::mem::replace(&mut self.begun, true);
        let text = if first { line.strip_prefix(BOM).unwrap_or(&line) } else { &line };
        if text.is_empty() {
            return self.end_event();
        }
        let colon = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
        let (name, value) = text.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"event" => self.begin(value)?,
            b"data" => self.add(value)?,
            // Comments have an empty name. `id` is not kept: what is resumed from is the list in force. `retry` is
            // not for the other side to say.
            _ => {}
        }
        // A delta's line may have been long: its room is not kept for heads.
        if line.capacity() <= MAX_HEAD {
            self.line = line;
            self.line.clear();
        }
        Ok(None)
    }

    fn begin(&mut self, kind: &[u8]) -> Result<(), FrameError> {
        self.kind = match kind {
            b"head" => Kind::Head,
            b"delta" => Kind::Delta,
            _ => Kind::Unknown,
        };
        if self.data.len() > self.longest() { Err(FrameError::TooLong) } else { Ok(()) }
    }

    fn add(&mut self, value: &[u8]) -> Result<(), FrameError> {
        if self.data.len() + value.len() + usize::from(self.has_data) > self.longest() {
            return Err(FrameError::TooLong);
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        Ok(())
    }

    fn end_event(&mut self) -> Result<Option<Frame>, FrameError> {
        let (kind, data) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
        if !std::mem::take(&mut self.has_data) {
            return Ok(None);
        }
        match kind {
            Kind::Head => Ok(Some(Frame::Head(data))),
            Kind::Delta => PackedDelta::read(&data).map(|delta| Some(Frame::Delta(delta))),
            Kind::Unknown => Ok(None),
        }
    }
}

impl PackedDelta {
    fn read(data: &[u8]) -> Result<Self, FrameError> {
        Self::parts(data).ok_or(FrameError::Malformed)
    }

    fn parts(data: &[u8]) -> Option<Self> {
        let space = data.iter().position(|byte| *byte == b' ').filter(|at| *at < MAX_NAME)?;
        let (name, packed) = data.split_at_checked(space)?;
        let mut fields = std::str::from_utf8(name).ok()?.splitn(3, '-');
        let (from, to, hash) = (number(fields.next()?)?, number(fields.next()?)?, fields.next()?);
        let mut sha256 = [0; 32];
        if hash.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        hex::decode_to_slice(hash, &mut sha256).ok()?;
        let gzip = STANDARD.decode(packed.strip_prefix(b" ")?).ok()?;
        Some(Self { from, to, sha256, gzip })
    }

    /// Whether this is the delta that a head names.
    #[must_use]
    pub fn is(&self, named: &DeltaRef) -> bool {
        (self.from, self.to, self.sha256) == (named.from, named.to.seq, named.to.sha256)
    }

    /// Its bytes, when there are at most `limit`. They are to be compared with the hash that the head names.
    #[must_use]
    pub fn unpack(&self, limit: u64) -> Option<Vec<u8>> {
        gunzip(&self.gzip, limit)
    }
}

/// Decompresses what comes to at most `limit` bytes, and never holds more than one byte beyond that.
pub(super) fn gunzip(gzip: &[u8], limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = GzDecoder::new(gzip).take(limit.saturating_add(1)).read_to_end(&mut bytes).ok()?;
    (read as u64 <= limit).then_some(bytes)
}

/// A number in its one spelling.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
#[path = "frames/tests.rs"]
mod tests;
