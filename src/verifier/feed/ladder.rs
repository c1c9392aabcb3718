//! Where on its fallback ladder the verifier stands, and that every change of it is seen once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::verifiers::Step;

use super::error::FeedError;
use super::telemetry;
use crate::list::{Age, Trust};
use crate::windows::Windows;

#[derive(Debug)]
pub(super) struct Ladder {
    trust: Arc<Trust>,
    windows: Windows,
    view: Mutex<View>,
}

#[derive(Debug)]
struct View {
    /// Where heads come from; kept while a lost stream's successor is looked for.
    source: Step,
    name: String,
    live: bool,
    cause: Option<Cause>,
    step: Step,
    said: bool,
    since: Timestamp,
}

#[derive(Clone, Debug)]
struct Cause {
    code: &'static str,
    text: String,
}

impl From<&FeedError> for Cause {
    fn from(error: &FeedError) -> Self {
        Self { code: error.code(), text: error.to_string() }
    }
}

impl Ladder {
    pub(super) fn new(trust: Arc<Trust>, windows: Windows) -> Self {
        let step = windows.step(Step::Disk, trust.age());
        let view = View {
            source: Step::Disk,
            name: "disk".to_owned(),
            live: false,
            cause: None,
            step,
            said: false,
            since: trust.clock().now(),
        };
        telemetry::step(step);
        Self { trust, windows, view: Mutex::new(view) }
    }

    /// Whether heads are being pushed.
    pub(super) fn is_live(&self) -> bool {
        self.lock().live
    }

    /// The step, and since when.
    pub(super) fn stands(&self) -> (Step, Timestamp) {
        self.look();
        let view = self.lock();
        (view.step, view.since)
    }

    /// Heads are pushed by this source.
    pub(super) fn pushed(&self, name: &str) {
        self.climb(Step::Stream, name, None, |view| {
            view.live = true;
            view.cause = None;
            true
        });
    }

    /// Nothing is pushed any more. The step stays until it is known what comes in its place.
    pub(super) fn lost(&self, error: &FeedError) {
        let mut view = self.lock();
        view.live = false;
        view.cause = Some(error.into());
    }

    /// This source answered when it was asked.
    pub(super) fn polled(&self, step: Step, name: &str) {
        self.climb(step, name, None, |view| !view.live);
    }

    /// No source gave a list that is young enough.
    pub(super) fn alone(&self, error: Option<&FeedError>) {
        self.climb(Step::Disk, "disk", error.map(Cause::from), |view| !view.live);
    }

    /// Sees what time alone has changed.
    pub(super) fn look(&self) {
        let mut view = self.lock();
        telemetry::list(self.trust.age(), self.trust.state().seq());
        self.see(&mut view);
    }

    fn climb(&self, source: Step, name: &str, cause: Option<Cause>, may: impl FnOnce(&mut View) -> bool) {
        let mut view = self.lock();
        if !may(&mut view) {
            return;
        }
        if view.source != source || view.name != name {
            view.source = source;
            name.clone_into(&mut view.name);
            self.trust.follow(source);
        }
        view.cause = cause.or(view.cause.take());
        let before = view.step;
        self.see(&mut view);
        if !std::mem::replace(&mut view.said, true) {
            // The first word on it, even where nothing has changed since the start.
            self.say(&view, before, self.trust.age());
        }
        if source <= Step::Mirror && view.step == source {
            view.cause = None;
        }
    }

    fn see(&self, view: &mut View) {
        let age = self.trust.age();
        let step = self.windows.step(view.source, age);
        if step == view.step {
            return;
        }
        let before = std::mem::replace(&mut view.step, step);
        view.since = self.trust.clock().now();
        telemetry::step(step);
        telemetry::step_changed(before, step);
        if view.said {
            self.say(view, before, age);
        }
    }

    fn say(&self, view: &View, before: Step, age: Age) {
        let seq = self.trust.state().seq();
        let age = if let Age::Seconds(age) = age { Some(age) } else { None };
        let (step, source, from) = (view.step.as_str(), view.name.as_str(), before.as_str());
        let code = view.cause.as_ref().map(|cause| cause.code);
        let cause = view.cause.as_ref().map_or("none", |cause| cause.text.as_str());
        let words = words(view.step);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    list.seq = seq,
                    list.age = age,
                    feed.step = step,
                    feed.from = from,
                    feed.source = source,
                    error.class = code,
                    cause,
                    "{words}"
                )
            };
        }
        match view.step {
            Step::Deny => line!(error),
            step if step > before || step >= Step::Disk => line!(warn),
            _ => line!(info),
        }
    }

    fn lock(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn words(step: Step) -> &'static str {
    match step {
        Step::Stream => "the revocation list is followed: the broker pushes it",
        Step::Poll => "the revocation list is followed: the broker is asked for it, and pushes nothing",
        Step::Mirror => "the revocation list is followed: a mirror gives it, for the broker does not",
        Step::Disk => {
            "the revocation list is not renewed: nobody gives a newer one, and the last one is used"
        }
        Step::ReadsOnly => "the revocation list is too old for calls that write: only reads pass",
        Step::Deny => "there is no revocation list that is young enough: every call is refused",
    }
}
