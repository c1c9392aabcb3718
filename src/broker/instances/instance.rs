//! One running instance of a verifier.

use std::time::Duration;

use shortbread_protocol::admin::InstanceState;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::verifiers::{Report, SILENT_AFTER};

use super::{Now, Said};
use crate::store::{Lease, Progress};

/// An instance that has a lease.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Who it is.
    pub lease: Lease,
    /// Its key.
    pub key: PublicKey,
    /// How far it is.
    pub progress: Progress,
    /// What it said last to this process.
    pub report: Option<Report>,
    /// When that was, on the monotonic clock; for one that said nothing yet, when this process learned of it.
    pub heard: Duration,
    /// How long the last change took to it.
    pub propagation: Option<Duration>,
    written: Progress,
    written_at: Duration,
}

impl Instance {
    /// One that just got its lease.
    #[must_use]
    pub fn leased(lease: Lease, key: PublicKey, progress: Progress, now: Duration) -> Self {
        let (report, propagation) = (None, None);
        Self { lease, key, progress, report, heard: now, propagation, written: progress, written_at: now }
    }

    /// One that the store knows; `None` where its key is none.
    #[must_use]
    pub fn restored(lease: Lease, progress: Progress, now: Duration) -> Option<Self> {
        let key = PublicKey::from_bytes(&lease.key).ok()?;
        Some(Self::leased(lease, key, progress, now))
    }

    /// Where it stands, seen from the change of this sequence.
    #[must_use]
    pub fn state(&self, change: u64, now: Duration) -> InstanceState {
        if self.progress.gone.is_some() {
            InstanceState::Gone
        } else if self.silence(now).is_some() {
            InstanceState::Silent
        } else if self.progress.contents >= change {
            InstanceState::Enforcing
        } else {
            InstanceState::Behind
        }
    }

    /// Since when nothing is known of it, if it is silent: when it was last heard.
    #[must_use]
    pub fn silence(&self, now: Duration) -> Option<Timestamp> {
        let overdue = now.saturating_sub(self.heard) > Duration::from_secs(SILENT_AFTER);
        let silent = overdue || self.progress.silent.is_some();
        (silent && self.progress.gone.is_none()).then_some(self.progress.seen)
    }

    /// The age of its list now, in seconds, where it said one.
    #[must_use]
    pub fn age(&self, now: Duration) -> Option<u64> {
        let age = self.report.as_ref()?.age?;
        Some(age.saturating_add(now.saturating_sub(self.heard).as_secs()))
    }

    /// Takes what it said; `published` is when the change was that it now has, where that is known. Answers how long
    /// the change took to it.
    pub(super) fn hear(
        &mut self,
        n: u64,
        said: Said,
        published: Option<Timestamp>,
        now: Now,
    ) -> Option<Duration> {
        self.heard = now.monotonic;
        let mut progress = Progress { n, seen: now.wall, silent: None, gone: None, ..self.progress };
        let report = match said {
            Said::Goodbye => {
                self.progress = Progress { gone: Some(now.wall), ..progress };
                return None;
            }
            Said::Report(report) => report,
        };
        progress.seq = report.seq;
        progress.contents = report.contents;
        progress.keys_version = report.keys_version;
        self.progress = progress;
        let applied_at = report.applied_at;
        self.report = Some(report);
        // A change that was there before the instance says nothing of how fast changes are.
        let published = published.filter(|published| self.lease.since <= *published)?;
        let applied = applied_at.map_or(now.wall, Timestamp::from_millis);
        // The instance's clock may differ: not before it was published, not after it was reported.
        let propagation = applied.min(now.wall).since(published);
        self.propagation = Some(propagation);
        Some(propagation)
    }

    pub(super) fn is_over(&self, now: Now, gone_for: Duration, silent_for: Duration) -> bool {
        match (self.progress.gone, self.silence(now.monotonic)) {
            (Some(gone), _) => now.wall.since(gone) >= gone_for,
            (None, Some(since)) => now.wall.since(since) >= silent_for,
            (None, None) => false,
        }
    }

    /// Notes that it is silent; whether that is news.
    pub(super) fn falls_silent(&mut self, now: Duration) -> bool {
        let since = self.silence(now);
        let news = since.is_some() && self.progress.silent.is_none();
        self.progress.silent = since;
        news
    }

    pub(super) fn must_be_written(&self, now: Duration, every: Duration) -> bool {
        let (is, was) = (&self.progress, &self.written);
        let told =
            |progress: &Progress| (progress.contents, progress.keys_version, progress.silent, progress.gone);
        told(is) != told(was) || (is != was && now.saturating_sub(self.written_at) >= every)
    }

    pub(super) fn written(&mut self, progress: Progress, now: Duration) {
        (self.written, self.written_at) = (progress, now);
    }
}
