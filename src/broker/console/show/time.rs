//! Moments as people read them: by the clock and from now. The script shows them in the reader's own time zone.

use std::fmt;

use shortbread_protocol::clock::Timestamp;

use crate::text::span;

/// A moment by the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::console) struct At(pub(in crate::console) u64);

/// As HTML. It is made of numbers alone, so that nothing in it needs escaping.
impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Timestamp::from_seconds(self.0).to_string();
        let words = text.trim_end_matches('Z').replace('T', " ");
        write!(f, "<time datetime=\"{text}\">{words} UTC</time>")
    }
}

/// A moment that was, or will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::console) struct When {
    pub(in crate::console) at: u64,
    pub(in crate::console) now: u64,
}

impl When {
    /// Seconds since the epoch, seen from others.
    pub(in crate::console) const fn new(at: u64, now: u64) -> Self {
        Self { at, now }
    }
}

/// As HTML. It is made of numbers alone, so that nothing in it needs escaping.
impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <span class=\"rel\" data-at=\"{}\">(", At(self.at), self.at)?;
        if self.at <= self.now {
            write!(f, "{} ago)</span>", span(self.now - self.at))
        } else {
            write!(f, "in {})</span>", span(self.at - self.now))
        }
    }
}

/// How long it is until a moment; it counts down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::console) struct Until(pub(in crate::console) When);

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let When { at, now } = self.0;
        write!(f, "<b class=\"until\" data-until=\"{at}\">{}</b>", span(at.saturating_sub(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_by_the_clock_and_from_now() {
        let text = When::new(1_795_176_000, 1_795_176_298).to_string();
        assert!(
            text.contains("<time datetime=\"2026-11-20T12:00:00Z\">2026-11-20 12:00:00 UTC</time>"),
            "{text}"
        );
        assert!(text.ends_with("data-at=\"1795176000\">(4m 58s ago)</span>"), "{text}");
        assert!(When::new(1_795_176_060, 1_795_176_000).to_string().contains("(in 1m)"));
        assert!(Until(When::new(10, 20)).to_string().contains(">0s<"));
    }
}
