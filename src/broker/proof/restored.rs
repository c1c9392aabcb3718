//! Restores as the log itself tells of them, and which checkpoints from outside they explain.

use serde::{Deserialize, Serialize};
use shortbread_protocol::log::{first_origin, restore_of};

/// The type of a restore's entry.
const KIND: &str = "dev.shortbread.store.restored.v1";
/// The most restores that are told.
const MOST: usize = 1000;
/// Within so many bytes of an entry stands of what type it is.
const HEAD: usize = 4096;

/// A restore after which the log goes on under an origin of its own. What was signed under those from before it, over more
/// entries than it kept, is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restore {
    /// The id of its entry.
    pub id: String,
    /// The place of its entry.
    pub place: u64,
    /// How many entries of the log before it are left.
    pub kept: u64,
    /// What checkpoints are signed under after it.
    pub origin: String,
}

/// Checkpoints from outside whose entries a restore took away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// The restore.
    pub restore: String,
    /// How many checkpoints.
    pub checkpoints: u64,
    /// The most entries that one of them covers.
    pub size: u64,
    /// Whether whoever asked knows of this restore.
    pub known: bool,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    r#type: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    log: Option<Log>,
}

#[derive(Deserialize)]
struct Log {
    origin: String,
    kept: Kept,
}

#[derive(Deserialize)]
struct Kept {
    origin: String,
    size: u64,
}

/// Takes note of an entry of a restore that gave the log another origin.
pub(super) fn note(all: &mut Vec<Restore>, place: u64, text: &[u8]) {
    let head = text.get(..HEAD.min(text.len())).map(String::from_utf8_lossy).unwrap_or_default();
    if all.len() >= MOST || !head.contains(KIND) {
        return;
    }
    let entry = serde_json::from_slice::<Entry>(text).ok().filter(|entry| entry.r#type == KIND);
    let Some((id, log)) = entry.and_then(|entry| Some((entry.id, entry.data.log?))) else { return };
    if log.origin != log.kept.origin {
        all.push(Restore { id, place, kept: log.kept.size, origin: log.origin });
    }
}

/// The restore that explains why a checkpoint of this origin does not fit a log that goes by another: the first that came
/// after what it was signed under, and kept less than it covers. Of an origin of which the log says nothing, as one between
/// a backup and the restore of it, the one that it bears itself.
pub(super) fn explains(all: &[Restore], log: &str, origin: &str, size: u64) -> Option<String> {
    if origin == log {
        return None;
    }
    let since = all.iter().position(|restore| restore.origin == origin).map_or(0, |at| at + 1);
    let by_log = all.iter().skip(since).find(|restore| restore.kept < size).map(|restore| restore.id.clone());
    let unknown = since == 0 && origin != first_origin(log);
    by_log.or_else(|| unknown.then(|| restore_of(origin).map(str::to_owned)).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_explains_what_it_took_away_and_no_more() {
        let restore = |id: &str, kept, at| Restore {
            id: id.to_owned(),
            place: at,
            kept,
            origin: format!("b/log@{id}"),
        };
        let all = [restore("r1", 50, 50), restore("r2", 80, 81)];
        for (origin, size, wanted) in [
            ("b/log", 50, None),
            ("b/log", 51, Some("r1")),
            ("b/log", 900, Some("r1")),
            ("b/log@r1", 80, None),
            ("b/log@r1", 81, Some("r2")),
            ("b/log@r2", 900, None),
            ("b/log@gone", 10, Some("gone")),
            ("b/log@gone", 60, Some("r1")),
        ] {
            assert_eq!(explains(&all, "b/log@r2", origin, size).as_deref(), wanted, "{origin} {size}");
        }
        assert_eq!(explains(&[], "b/log@r1", "b/log", 9), None, "the log does not say so");
    }

    #[test]
    fn only_an_entry_of_a_restore_that_changed_the_origin_is_one() {
        let entry = |kind: &str, origin: &str| {
            let log = serde_json::json!({ "origin": origin, "kept": { "origin": "b/log", "size": 5 } });
            serde_json::json!({ "id": "dec_1", "type": kind, "data": { "log": log } })
                .to_string()
                .into_bytes()
        };
        let mut all = Vec::new();
        note(&mut all, 3, &entry("dev.shortbread.decision.v1", "b/log@dec_1"));
        note(&mut all, 4, &entry(KIND, "b/log"));
        note(&mut all, 5, b"\xff dev.shortbread.store.restored.v1");
        assert!(all.is_empty());
        note(&mut all, 6, &entry(KIND, "b/log@dec_1"));
        assert_eq!(all[0].kept, 5);
    }
}
