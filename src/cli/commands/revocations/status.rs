//! `shortbread revocations status`: how fresh the published list is.

use serde_json::json;
use shortbread_protocol::clock::{FOREVER, Timestamp};

use crate::context::Context;
use crate::failure::Failure;
use crate::published::HeadLines;
use crate::text::span;

pub(super) fn status(context: &Context, head: &HeadLines) -> Result<(), Failure> {
    let (ui, now) = (context.ui, context.now());
    let age = now.since(Timestamp::from_seconds(head.issued)).as_secs();
    let expired = now.seconds() >= head.expires;
    if ui.is_json() {
        ui.json(&json!({
            "seq": head.seq, "issued": head.issued, "age": age, "expires": head.expires, "expired": expired,
            "global": head.global, "keys": head.keys, "signature_checked": head.checked,
        }));
    } else {
        let ends = Timestamp::from_seconds(head.expires);
        let left =
            if expired { "over".to_owned() } else { format!("in {}", span(ends.since(now).as_secs())) };
        let stopped = match head.global {
            0 => "no".to_owned(),
            before if before >= FOREVER => "yes, until lifted".to_owned(),
            before => format!("what was issued before {}", Timestamp::from_seconds(before)),
        };
        let checked = if head.checked { "good" } else { "not checked; name the root key with --root" };
        ui.pairs(&[
            ("list", head.seq.to_string()),
            ("signed", format!("{} ({} ago)", Timestamp::from_seconds(head.issued), span(age))),
            ("expires", format!("{ends} ({left})")),
            ("all stopped", stopped),
            ("key document", format!("version {}", head.keys)),
            ("signature", checked.to_owned()),
        ]);
    }
    if expired {
        let fix = "Verifiers deny everything until a new list is signed. Run `shortbread doctor`.";
        return Err(Failure::new("the published revocation list is over", fix));
    }
    Ok(())
}
