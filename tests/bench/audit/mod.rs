//! The audit log and what is decided again from it: written, proved, checked offline, replayed.

mod decide;
mod offline;
mod proofs;
mod replay;
mod writing;

use crate::Outcome;
use crate::disk;
use crate::figure::Figure;

/// Measures all of it; what writes to the disk `rounds` times.
pub fn measure(rounds: usize) -> Outcome<Vec<Figure>> {
    disk::check()?;
    let mut figures = writing::measure(rounds)?;
    figures.extend(proofs::measure()?);
    figures.extend(offline::measure()?);
    figures.extend(replay::measure()?);
    figures.extend(decide::measure()?);
    Ok(figures)
}

/// An entry as a token's is, in about as many bytes.
fn entry(n: u64) -> Vec<u8> {
    format!(
        r#"{{"specversion":"1.0","id":"dec_{n:032x}","source":"https://broker.acme.example","type":"dev.shortbread.call.decision.v1","time":"2026-11-20T12:00:00.123Z","subject":"workflow/release-notes","datacontenttype":"application/json","traceparent":"00-{n:032x}-b7ad6b7169203331-01","data":{{"outcome":"allow","reasons":[],"workflow":"release-notes","operator":null,"intent":"triage","task":"tsk_{n:x}","token":"tok_{n:032x}","tool":"github","verb":"issues.write","access":"write","stage":"evaluate","revocation_seq":18342,"list_age":1,"degraded":null,"segment":{{"workflow":"release-notes","intent":"triage","task":"tsk_{n:x}","tool":"github","access":"write"}},"verifier":"github","instance":"9f3c0a7be1d2446b","received":"2026-11-20T12:00:01Z","error_class":null}}}}"#
    )
    .into_bytes()
}
