//! What a restart begins with.

use std::io;
use std::sync::Arc;

use shortbread_protocol::clock::Clock;
use shortbread_protocol::key_document::{KeyDocument, MAX_KEY_DOCUMENT};
use shortbread_protocol::revocations::{Head, MAX_HEAD, MAX_SNAPSHOT, Snapshot};

use super::floor::{Dir, Floor, FloorError, HEAD, KEYS, Step, snapshot_name};
use super::head::{MAX_AHEAD, signers};
use super::ratchet::{Highest, Known, Ratchet, sha256, text};
use super::set::RevocationSet;
use super::state::{Applied, Mark, Seen, State};
use super::trust::Pin;

/// Reads the state directory. The floor must be sound; a list beside it that is missing, damaged or no longer signed
/// by a valid key is left out and said so in the status, for without it everything is denied.
pub(super) fn restore(
    dir: &Dir,
    pin: &Pin,
    origin: &str,
    clock: &dyn Clock,
) -> Result<(State, Ratchet), FloorError> {
    let mut state = State::empty(&pin.issuer);
    let mut ratchet = Ratchet::default();
    let Some(floor) = dir.floor(&pin.issuer)? else { return Ok((state, ratchet)) };
    let now = Seen::now(clock);
    ratchet.keys = floor.keys;
    ratchet.head = floor.head.map(|step| Highest { step, seen: now });
    let mut left_out = |what: &str, cause: String| {
        ratchet.last_error = Some(format!("the {what} on disk is not used: {cause}"));
    };
    match read_keys(dir, pin, &floor) {
        Ok(None) => return Ok((state, ratchet)),
        Ok(Some(known)) => {
            state = state.with_document(Arc::clone(&known.document));
            match read_list(dir, origin, &floor, &known.document, now) {
                Ok(list) => state.list = list,
                Err(cause) => left_out("revocation list", cause),
            }
            ratchet.document = Some(known);
        }
        Err(cause) => left_out("key document", cause),
    }
    if let Some(list) = &state.list {
        // From the future: this machine's clock went back while the process was away, and no age can be told.
        let ahead = list.mark.issued > now.wall.seconds().saturating_add(MAX_AHEAD);
        state.distrusted = floor.equivocation || ahead;
    }
    Ok((state, ratchet))
}

fn read_keys(dir: &Dir, pin: &Pin, floor: &Floor) -> Result<Option<Known>, String> {
    let Some(bytes) = read(dir, KEYS, MAX_KEY_DOCUMENT as u64)? else { return Ok(None) };
    let document = KeyDocument::open(&bytes, &pin.issuer, &pin.root).map_err(|e| e.to_string())?;
    let step = Step { number: document.version, sha256: sha256(text(&bytes).unwrap_or(&bytes)) };
    if Some(step) != floor.keys {
        return Err("it is not the last one that was seen".to_owned());
    }
    Ok(Some(Known { document: Arc::new(document), sha256: KeyDocument::hash(&bytes) }))
}

/// The last head that was applied and its snapshot. The floor may stand above it: then a later head was seen whose
/// entries had not come yet, as before the restart.
fn read_list(
    dir: &Dir,
    origin: &str,
    floor: &Floor,
    document: &KeyDocument,
    now: Seen,
) -> Result<Option<Applied>, String> {
    let Some(bytes) = read(dir, HEAD, MAX_HEAD as u64)? else { return Ok(None) };
    let head = Head::open(&bytes, origin, &signers(document, now.wall)).map_err(|e| e.to_string())?;
    let step = Step { number: head.seq, sha256: sha256(text(&bytes).unwrap_or(&bytes)) };
    match floor.head {
        Some(seen) if step.number < seen.number || step == seen => {}
        _ => return Err("its head is not one that was seen".to_owned()),
    }
    let name = snapshot_name(&head.snapshot.sha256);
    let Some(bytes) = read(dir, &name, MAX_SNAPSHOT)? else {
        return Err(format!("{name} is missing"));
    };
    if sha256(&bytes) != head.snapshot.sha256 {
        return Err(format!("{name} is damaged"));
    }
    let snapshot = Snapshot::decode(&bytes, origin).map_err(|e| e.to_string())?;
    let set = RevocationSet::new(snapshot, head.global);
    let mark = Mark { issued: head.issued, expires: head.expires, seen: now };
    Ok(Some(Applied {
        set,
        seq: head.seq,
        contents: head.snapshot.seq,
        global: head.global,
        mark,
        at: now.wall,
    }))
}

fn read(dir: &Dir, name: &str, limit: u64) -> Result<Option<Vec<u8>>, String> {
    dir.read(name, limit).map_err(|e: io::Error| format!("{name}: {e}"))
}
