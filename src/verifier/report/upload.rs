//! Uploads what was recorded: oldest first, at least once, a batch at a time.

use std::sync::Arc;
use std::time::Duration;

use shortbread_protocol::verifiers::{Batch, BatchAnswer, DECISIONS, DECISIONS_TYPE, MAX_BATCH, MAX_MESSAGE};

use super::client::ReportError;
use super::recorder::{Recorder, Taken};
use super::reporter::{Lease, Reporter};
use crate::pace::spread;

const WHAT: &str = "batch of decisions";
// What base64 leaves of a message, less room for its header, its signature and who is addressed.
const MAX_JSON: usize = MAX_MESSAGE / 4 * 3 - 2048;
const TICK: Duration = Duration::from_millis(20);

impl Reporter {
    /// Uploads until the lease is lost.
    pub(super) async fn upload(&self, lease: &Lease) {
        let Some(recorder) = &self.recorder else { return std::future::pending().await };
        recorder.put_back();
        let mut backoff = self.backoff();
        let mut mood = self.mood();
        let mut most = MAX_BATCH;
        loop {
            let sent = self.upload_once(lease, recorder, &mut most).await;
            mood.note(WHAT, &sent);
            match sent {
                Ok(true) if recorder.status().waiting >= MAX_BATCH as u64 => backoff.succeeded(),
                Ok(_) => {
                    backoff.succeeded();
                    self.gather(recorder).await;
                }
                Err(error) if error.ends_lease() => return,
                Err(error) => tokio::time::sleep(backoff.failed(error.retry_after())).await,
            }
        }
    }

    /// Uploads what is left, as long as that works.
    pub(super) async fn upload_rest(&self, lease: &Lease) {
        let Some(recorder) = &self.recorder else { return };
        recorder.put_back();
        let mut most = MAX_BATCH;
        while recorder.status().waiting > 0 {
            match self.upload_once(lease, recorder, &mut most).await {
                Ok(true) => {}
                // It is on its way to the disk.
                Ok(false) => tokio::time::sleep(TICK).await,
                Err(_) => return,
            }
        }
    }

    /// Uploads one batch; `false` when there was none.
    async fn upload_once(
        &self,
        lease: &Lease,
        recorder: &Arc<Recorder>,
        most: &mut usize,
    ) -> Result<bool, ReportError> {
        let Some(taken) = self.take(recorder, *most).await? else { return Ok(false) };
        let batch = Batch { decisions: taken.records.clone() };
        let answer: BatchAnswer = match self.tell(lease, WHAT, DECISIONS, DECISIONS_TYPE, batch).await {
            Ok(answer) => answer,
            Err(error) => {
                if error.is_too_large() && taken.records.len() == 1 {
                    self.done(recorder, taken, vec!["too_large".to_owned()]).await;
                    return Ok(true);
                }
                recorder.put_back();
                if !error.is_too_large() {
                    return Err(error);
                }
                *most = taken.records.len() / 2;
                return Ok(true);
            }
        };
        let answered =
            answer.recorded.saturating_add(answer.known).saturating_add(answer.refused.len() as u64);
        if answered != taken.records.len() as u64 {
            recorder.put_back();
            return Err(ReportError::Answer(WHAT));
        }
        *most = MAX_BATCH;
        let refused = answer.refused.into_iter().map(|refused| refused.wrong).collect();
        self.done(recorder, taken, refused).await;
        Ok(true)
    }

    async fn take(&self, recorder: &Arc<Recorder>, most: usize) -> Result<Option<Taken>, ReportError> {
        let recorder = Arc::clone(recorder);
        let taken = tokio::task::spawn_blocking(move || recorder.take(most, MAX_JSON)).await;
        taken.map_err(|_| ReportError::Stopping)?.map_err(ReportError::Disk)
    }

    async fn done(&self, recorder: &Arc<Recorder>, taken: Taken, refused: Vec<String>) {
        let recorder = Arc::clone(recorder);
        let done = tokio::task::spawn_blocking(move || {
            let refused: Vec<&str> = refused.iter().map(String::as_str).collect();
            recorder.done(&taken, &refused)
        });
        // What could not be written down is uploaded again after a restart, and known.
        if let Ok(Err(error)) = done.await {
            tracing::debug!(error = %error, "how far decisions are uploaded could not be written down");
        }
    }

    /// Waits until there is a batch, or for as long as the oldest record may wait, give or take a quarter.
    async fn gather(&self, recorder: &Recorder) {
        let until = spread(self.config.upload_every, 0.75, 1.25, &*self.random);
        let full = async {
            while recorder.status().waiting < MAX_BATCH as u64 {
                recorder.news().await;
            }
        };
        let _ = tokio::time::timeout(until, full).await;
    }
}

impl ReportError {
    fn is_too_large(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == reqwest::StatusCode::PAYLOAD_TOO_LARGE)
    }
}
