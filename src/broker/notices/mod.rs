//! What operators are told: in the log and the metrics always, and over a signed webhook where there is one.

mod notice;

pub use notice::{KINDS, Notice, Weight};

use metrics::counter;

/// Tells operators. Telling neither waits nor fails.
#[derive(Debug, Default)]
pub struct Notices {}

impl Notices {
    /// Tells: a line in the log and a count, now; the webhook, when it can.
    pub fn tell(&self, notice: &Notice) {
        counter!("shortbread_notices_total", "type" => notice.kind()).increment(1);
        let (kind, particulars) = (notice.kind(), notice.data().to_string());
        match notice.weight() {
            Weight::Low => tracing::info!(notice = kind, particulars, "{notice}"),
            Weight::Middle | Weight::High => tracing::warn!(notice = kind, particulars, "{notice}"),
        }
    }
}
