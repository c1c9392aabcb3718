//! What a restart begins with.

use std::sync::Arc;

use shortbread_protocol::clock::{Clock, Timestamp};
use shortbread_protocol::key_document::KeyDocument;
use shortbread_protocol::revocations::{BreakGlass, Delta, MAX_DELTA, MAX_SNAPSHOT, SnapshotView};

use super::dir::{Dir, delta_name, snapshot_name};
use super::floor::{Floor, List, Part, Step};
use super::head;
use super::ratchet::{Highest, Known, Ratchet, sha256, text};
use super::set::RevocationSet;
use super::state::{Applied, Mark, Seen, State};
use super::trust::Pin;

/// Brings back what the floor names. A list that is missing, damaged or no longer signed by a valid key is left out and
/// said so in the status, for without it everything is denied.
pub(super) fn restore(
    dir: &Dir,
    floor: Option<Floor>,
    pin: &Pin,
    origin: &str,
    clock: &dyn Clock,
) -> (State, Ratchet) {
    let mut state = State::empty(&pin.issuer);
    let mut ratchet = Ratchet::default();
    let Some(floor) = floor else { return (state, ratchet) };
    let now = Seen::now(clock);
    ratchet.keys = floor.keys;
    ratchet.head = floor.head.map(|reached| Highest { reached, seen: now });
    ratchet.contested = floor.equivocation;
    let mut left_out = |what: &str, cause: String| {
        ratchet.last_error = Some(format!("the {what} on disk is not used: {cause}"));
    };
    match read_keys(pin, &floor) {
        Ok(None) => {}
        Ok(Some(known)) => {
            state = state.with_document(Arc::clone(&known.document));
            match read_list(dir, origin, &floor, &known.document, now) {
                Ok(Some(list)) => state = state.with_list(list),
                Ok(None) => {}
                Err(cause) => left_out("revocation list", cause),
            }
            ratchet.document = Some(known);
        }
        Err(cause) => left_out("key document", cause),
    }
    if let Some(list) = &state.list {
        // From the future: this machine's clock went back while the process was away, and no age can be told.
        state.distrusted = floor.equivocation || list.mark.is_ahead(now.wall);
    }
    restore_break_glass(floor, pin, origin, &mut ratchet, state)
}

/// It stops what it stopped, also when its note is damaged: then for what the floor says of it.
fn restore_break_glass(
    floor: Floor,
    pin: &Pin,
    origin: &str,
    ratchet: &mut Ratchet,
    state: State,
) -> (State, Ratchet) {
    let least = ratchet.document.as_ref().map_or(0, |known| known.document.break_glass);
    let Some(stop) = floor.break_glass.filter(|stop| stop.number >= least) else {
        return (state, std::mem::take(ratchet));
    };
    let known = BreakGlass { seq: stop.number, issued: stop.issued, global: stop.global };
    if BreakGlass::open(stop.note.as_bytes(), origin, &pin.root) != Ok(known) {
        let what = "the break-glass head on disk is damaged, and counts as before";
        ratchet.last_error = Some(what.to_owned());
    }
    ratchet.stop = Some(stop);
    (state.with_break_glass(Some(known)), std::mem::take(ratchet))
}

fn read_keys(pin: &Pin, floor: &Floor) -> Result<Option<Known>, String> {
    let Some(note) = &floor.document else { return Ok(None) };
    let bytes = note.as_bytes();
    let document = KeyDocument::open(bytes, &pin.issuer, &pin.root).map_err(|e| e.to_string())?;
    let step = Step { number: document.version, sha256: sha256(text(bytes).unwrap_or(bytes)) };
    if Some(step) != floor.keys {
        return Err("it is not the last one that was seen".to_owned());
    }
    let sha256 = KeyDocument::hash(bytes);
    Ok(Some(Known { document: Arc::new(document), note: note.as_str().into(), sha256 }))
}

/// The last head that was applied and its list. The floor may stand above it: then a later head was seen whose entries
/// had not come yet, as before the restart.
fn read_list(
    dir: &Dir,
    origin: &str,
    floor: &Floor,
    document: &KeyDocument,
    now: Seen,
) -> Result<Option<Applied>, String> {
    let Some(list) = &floor.list else { return Ok(None) };
    let note = list.head.as_bytes();
    let (head, until) = head::open(note, origin, document, now.wall).map_err(|e| e.to_string())?;
    let at = (head.keys.0, head.seq);
    match floor.head {
        Some(seen) if at < (seen.version, seen.number) => {}
        Some(seen)
            if at == (seen.version, seen.number) && sha256(text(note).unwrap_or(note)) == seen.sha256 => {}
        _ => return Err("its head is not one that was seen".to_owned()),
    }
    let set = read_set(dir, origin, list, head.global)?;
    if set.seq() != head.contents() {
        return Err("its files do not lead to the list that its head stands for".to_owned());
    }
    let file = list.deltas.is_empty().then_some(list.base.sha256);
    let mark = Mark { issued: head.issued, expires: head.expires.min(until), seen: now };
    let at = match list.applied_at {
        0 => now.wall,
        millis => Timestamp::from_millis(millis),
    };
    let (seq, version, note) = (head.seq, head.keys.0, list.head.as_str().into());
    Ok(Some(Applied { set, seq, version, file, note, global: head.global, mark, at }))
}

fn read_set(dir: &Dir, origin: &str, list: &List, global: u64) -> Result<RevocationSet, String> {
    let read = |name: String, part: &Part, limit: u64| {
        let part = Part { bytes: part.bytes.min(limit), ..*part };
        dir.part(&name, &part).map_err(|e| e.to_string())
    };
    let bytes = read(snapshot_name(&list.base.sha256), &list.base, MAX_SNAPSHOT)?;
    let view = SnapshotView::open(&bytes, origin).map_err(|e| e.to_string())?;
    let mut set = RevocationSet::read(view, global);
    drop(bytes);
    for part in &list.deltas {
        let bytes = read(delta_name(&part.sha256), part, MAX_DELTA)?;
        let delta = Delta::decode(&bytes, origin).map_err(|e| e.to_string())?;
        if delta.from != set.seq() {
            return Err("its deltas do not build on one another".to_owned());
        }
        set = set.with_delta(&delta);
    }
    Ok(if set.is_heavy() { set.merged() } else { set })
}
