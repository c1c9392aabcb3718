//! What a change touches, counted and named for people.

use std::time::Duration;

use shortbread_protocol::admin::{LiftPreview, Touched, TouchedBy, TouchedNames};
use shortbread_protocol::revocations::SelectorKind;

use crate::broker::Broker;
use crate::store::{self, Hit, NAMED, Preview, StoreError, Target};

/// How long what is read for people may hold up the switch.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a change of all this would touch.
///
/// # Errors
/// When the store fails.
pub(super) async fn preview(broker: &Broker, targets: &[Target]) -> Result<Preview, StoreError> {
    broker.store.preview(targets.to_vec(), broker.clock.now()).await
}

/// What was read, if it was in time. A store that is slow to read must not keep anyone from pressing the switch.
pub(super) async fn in_time<T>(reading: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
    match tokio::time::timeout(PATIENCE, reading).await {
        Ok(Ok(read)) => return Some(read),
        Ok(Err(error)) => tracing::error!(error = %error, "what a change touches could not be read"),
        Err(_) => tracing::warn!("what a change touches could not be read in time"),
    }
    None
}

/// The figures alone.
pub(super) fn counted(hit: &Hit) -> Touched {
    let (workflows, tools) = (hit.workflows.len() as u64, hit.tools.len() as u64);
    Touched { tokens: hit.tokens, workflows, tools, uncounted: false, names: None }
}

/// No figures.
pub(super) fn uncounted() -> Touched {
    Touched { uncounted: true, ..Touched::default() }
}

/// The figures and the first names.
pub(super) fn named(hit: &Hit) -> Touched {
    let names = TouchedNames {
        tokens: hit.ids.iter().take(NAMED).cloned().collect(),
        workflows: hit.workflows.iter().take(NAMED).cloned().collect(),
        tools: hit.tools.iter().take(NAMED).map(ToString::to_string).collect(),
    };
    Touched { names: Some(names), ..counted(hit) }
}

/// The same for each of several.
pub(super) fn each(
    targets: &[Target],
    preview: &Preview,
    hit: impl Fn(&store::Touched) -> &Hit,
) -> Vec<TouchedBy> {
    if targets.len() < 2 {
        return Vec::new();
    }
    let each = targets.iter().zip(&preview.each);
    each.map(|(target, touched)| TouchedBy { selector: target.to_string(), touched: named(hit(touched)) })
        .collect()
}

/// What each kind of lift would bring back.
pub(super) fn lift(targets: &[Target], touched: &store::Touched) -> LiftPreview {
    let is_key = |target: &Target| matches!(target, Target::Selector(s) if s.kind() == SelectorKind::Key);
    LiftPreview { keep_old_dead: (!targets.iter().any(is_key)).then_some(0), revive: touched.revived.tokens }
}
