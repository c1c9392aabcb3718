//! One consistent picture of what a verifier knows: keys, list, and when the list was true.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shortbread_protocol::clock::{Clock, Timestamp};
use shortbread_protocol::key_document::{KeyDocument, KeyPurpose};
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::names::KeyName;
use shortbread_protocol::revocations::{BreakGlass, Head};
use shortbread_protocol::verifiers::Step;

use super::head::MAX_AHEAD;
use super::set::RevocationSet;
use crate::windows::Windows;

// How far the wall clock may move against the monotonic one while one head is relied on.
pub(crate) const MAX_DRIFT: Duration = Duration::from_secs(5);

/// How old the list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// There is no list yet: deny everything.
    None,
    /// There is one, but how old it is cannot be known: the clock jumped. Deny whatever needs a list of some age.
    Unsure,
    /// There is one that must not be relied on any more, whatever its age: the head or the key that signed it expired,
    /// a newer key document no longer names that key, or two different heads were signed with one sequence. Deny
    /// whatever needs a list of some age.
    Expired,
    /// So many seconds since the applied head was issued, at least.
    Seconds(u64),
}

/// A key that signs tokens. Times are seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenKey {
    /// The key.
    pub key: PublicKey,
    /// What it signed is valid from here on.
    pub not_before: u64,
    /// What it signed is valid until here.
    pub not_after: u64,
}

/// What a verifier knows at one moment. Immutable: a check takes one and looks at nothing else.
#[derive(Clone, Debug)]
pub struct State {
    issuer: Arc<str>,
    document: Option<Arc<KeyDocument>>,
    // A handful, each name once: walking them beats hashing a name.
    keys: Arc<[(KeyName, TokenKey)]>,
    epoch: u64,
    pub(super) list: Option<Applied>,
    pub(super) distrusted: bool,
    pub(super) source: Step,
    pub(super) break_glass: Option<BreakGlass>,
}

/// A list whose entries are in force, and the head that vouches for it.
#[derive(Clone, Debug)]
pub(super) struct Applied {
    pub(super) set: RevocationSet,
    pub(super) seq: u64,
    /// The version of the key document that the head names. Sequences of one version alone are compared.
    pub(super) version: u64,
    /// The hash of the snapshot that is this very list; `None` once deltas made it another one.
    pub(super) file: Option<[u8; 32]>,
    /// The head, as it was served.
    pub(super) note: Arc<str>,
    /// What the head itself says of everything; the set holds the larger of this and the break-glass head's.
    pub(super) global: u64,
    pub(super) mark: Mark,
    /// When its contents were applied; a heartbeat does not move it.
    pub(super) at: Timestamp,
}

impl Applied {
    /// The sequence of the last change it holds: within one version, two lists with one are the same.
    pub(super) const fn contents(&self) -> u64 {
        self.set.seq()
    }

    fn under(self, known: Option<BreakGlass>) -> Self {
        let global = known.map_or(0, |known| known.global).max(self.global);
        Self { set: self.set.with_global(global), ..self }
    }
}

/// When a head was issued and until when it counts, by its own word and by its key's, and when it was first seen, by
/// both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) issued: u64,
    pub(super) expires: u64,
    pub(super) seen: Seen,
}

/// A reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) wall: Timestamp,
    pub(super) monotonic: Duration,
}

impl State {
    pub(super) fn empty(issuer: &str) -> Self {
        let keys = Arc::default();
        Self {
            issuer: issuer.into(),
            document: None,
            keys,
            epoch: 0,
            list: None,
            distrusted: false,
            source: Step::Disk,
            break_glass: None,
        }
    }

    pub(super) fn with_document(&self, document: Arc<KeyDocument>) -> Self {
        let token_key = |key: &shortbread_protocol::key_document::DocumentKey| {
            let validity = TokenKey { key: key.key, not_before: key.not_before, not_after: key.not_after };
            (key.name.clone(), validity)
        };
        let keys: Arc<[_]> = document.of(KeyPurpose::Token).map(token_key).collect();
        let lost = self.keys.iter().any(|key| !keys.contains(key));
        let epoch = if lost { next_epoch() } else { self.epoch };
        Self { keys, epoch, document: Some(document), ..self.clone() }
    }

    pub(super) fn with_list(&self, list: Applied) -> Self {
        let list = list.under(self.break_glass);
        let same = self.set().map_or(!list.set.has_keys(), |set| set.has_same_keys(&list.set));
        let epoch = if same { self.epoch } else { next_epoch() };
        Self { list: Some(list), distrusted: false, epoch, ..self.clone() }
    }

    pub(super) fn with_distrust(&self) -> Self {
        Self { distrusted: true, ..self.clone() }
    }

    /// With the head in force counting until another moment.
    pub(super) fn with_expiry(&self, expires: u64) -> Self {
        let list = self.list.clone();
        let list = list.map(|list| Applied { mark: Mark { expires, ..list.mark }, ..list });
        Self { list, ..self.clone() }
    }

    pub(super) fn with_break_glass(&self, known: Option<BreakGlass>) -> Self {
        let list = self.list.clone().map(|list| list.under(known));
        Self { break_glass: known, list, ..self.clone() }
    }

    /// With the list in force in one piece. It answers as before.
    pub(super) fn merged(&self) -> Self {
        let list = self.list.clone().map(|list| Applied { set: list.set.merged(), ..list });
        Self { list, ..self.clone() }
    }

    pub(super) fn with_source(&self, source: Step) -> Self {
        Self { source, ..self.clone() }
    }

    /// The broker's public URL, as it must stand in tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The key document, once there is one.
    #[must_use]
    pub fn document(&self) -> Option<&KeyDocument> {
        self.document.as_deref()
    }

    /// The token key of a name. The caller compares its validity with the token's times.
    #[must_use]
    pub fn token_key(&self, name: &str) -> Option<&TokenKey> {
        self.keys.iter().find(|(known, _)| known.as_str() == name).map(|(_, key)| key)
    }

    /// A number that rises whenever a token key leaves the key document, changes there, or is revoked: what was
    /// believed for a key before is to be looked at afresh.
    #[must_use]
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// All token keys.
    pub fn token_keys(&self) -> impl Iterator<Item = (&KeyName, &TokenKey)> {
        self.keys.iter().map(|(name, key)| (name, key))
    }

    /// The list in force; `None` when there is none yet, and then nothing may be allowed.
    #[must_use]
    pub fn set(&self) -> Option<&RevocationSet> {
        self.list.as_ref().map(|list| &list.set)
    }

    /// The sequence of the last head whose entries are in force; 0 for none. It goes down only with a head that names a
    /// newer key document.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.list.as_ref().map_or(0, |list| list.seq)
    }

    /// How far the head in force has come: the version of the key document that it names, then its sequence. It never
    /// goes down; 0 and 0 for none.
    #[cfg(feature = "feed")]
    pub(crate) fn reached(&self) -> (u64, u64) {
        self.list.as_ref().map_or((0, 0), |list| (list.version, list.seq))
    }

    /// Whether a source that led to this list just now is not behind: the list is no older than `limit`; or no older
    /// than that and as far as a clock may be ahead, while newer heads keep coming within `limit`. By a clock that is
    /// ahead every source's list is old, and leaving them all for it would only make it older.
    #[cfg(feature = "feed")]
    pub(crate) fn is_followed(&self, now: Seen, limit: Duration) -> bool {
        let (Age::Seconds(age), Some(list)) = (self.age_at(now), &self.list) else { return false };
        let since_seen = now.monotonic.saturating_sub(list.mark.seen.monotonic);
        let limits = limit.as_secs();
        age <= limits || age <= limits.saturating_add(MAX_AHEAD) && since_seen <= limit
    }

    /// When the head in force was issued, in seconds since the epoch.
    #[cfg(feature = "feed")]
    pub(crate) fn issued(&self) -> Option<u64> {
        self.list.as_ref().map(|list| list.mark.issued)
    }

    /// The sequence of the last change that the entries in force hold; 0 for none.
    #[must_use]
    pub fn contents(&self) -> u64 {
        self.list.as_ref().map_or(0, Applied::contents)
    }

    /// The break-glass head in force.
    #[must_use]
    pub const fn break_glass(&self) -> Option<&BreakGlass> {
        self.break_glass.as_ref()
    }

    /// Whether a list is the very one that a head means by its sequence, so that equal contents are the same and a delta
    /// may be put on it: its snapshot is the one that the head names, or it came by heads of the same key-document
    /// version, and no two of them contradicted each other.
    pub(super) fn is_base_of(&self, list: &Applied, head: &Head) -> bool {
        list.file == Some(head.snapshot.sha256) || !self.distrusted && list.version == head.keys.0
    }

    /// Where on its ladder a verifier with these windows stands.
    pub(crate) fn step_at(&self, now: Seen, windows: &Windows) -> Step {
        windows.step(self.source, self.age_at(now))
    }

    /// How old the list is now. Two readings of the clock and some subtractions: cheap enough for each call.
    #[must_use]
    pub fn age(&self, clock: &dyn Clock) -> Age {
        self.age_at(Seen::now(clock))
    }

    pub(crate) fn age_at(&self, now: Seen) -> Age {
        match &self.list {
            None => Age::None,
            Some(list) if self.distrusted && list.mark.is_ahead(now.wall) => Age::Unsure,
            Some(_) if self.distrusted => Age::Expired,
            Some(list) => list.mark.age(now),
        }
    }
}

// Of the process and not of one trust: a number is never given twice, and it only rises.
fn next_epoch() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl Mark {
    /// Whether the head was issued further ahead of this moment than any that is taken: the clock went back.
    pub(super) const fn is_ahead(&self, wall: Timestamp) -> bool {
        self.issued > wall.seconds().saturating_add(MAX_AHEAD)
    }

    fn age(&self, now: Seen) -> Age {
        let (elapsed, drift) = now.since(self.seen);
        // First: by a clock that jumped nothing can be called expired.
        if drift > MAX_DRIFT {
            return Age::Unsure;
        }
        if now.wall.seconds() >= self.expires {
            return Age::Expired;
        }
        let since_issued = now.wall.seconds().saturating_sub(self.issued);
        // Rounded up, so that a window of 60 s ends after 60 s.
        let since_seen = elapsed.as_secs() + u64::from(elapsed.subsec_nanos() > 0);
        Age::Seconds(since_issued.max(since_seen))
    }
}

impl Seen {
    pub(crate) fn now(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), monotonic: clock.monotonic() }
    }

    /// By the monotonic clock: how long after an earlier reading, and how far the wall clock moved otherwise since then.
    pub(crate) fn since(self, earlier: Self) -> (Duration, Duration) {
        let elapsed = self.monotonic.saturating_sub(earlier.monotonic);
        let expected = earlier.wall.plus(elapsed);
        (elapsed, self.wall.since(expected).max(expected.since(self.wall)))
    }
}
