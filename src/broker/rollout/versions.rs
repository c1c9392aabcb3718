//! The versions of the policy, as operators are told.

use shortbread_protocol::admin::{PolicyAnswer, PolicyText, PolicyVersionBody, TrialBody};

use super::left_to_a_person;
use crate::activation::ActivationError;
use crate::broker::Broker;
use crate::store::{PolicyVersion, StoreError};

/// All versions, newest first, and what is on trial.
///
/// # Errors
/// When the store fails.
pub async fn versions(broker: &Broker) -> Result<PolicyAnswer, StoreError> {
    let (versions, history) = (broker.store.policy_versions().await?, broker.store.policy_history().await?);
    let active = broker.policy.version();
    let body = |version: &PolicyVersion| PolicyVersionBody {
        version: version.n,
        digest: format!("sha256:{}", hex::encode(version.digest)),
        author: version.author.clone(),
        at: version.at.seconds(),
        active: version.n == active,
        was_active: history.iter().any(|activation| activation.version == version.n),
    };
    let trial = describe(broker).await;
    Ok(PolicyAnswer { versions: versions.iter().rev().map(body).collect(), trial })
}

/// The version that is tried, or in force and watched; `None` where there is none.
pub async fn describe(broker: &Broker) -> Option<TrialBody> {
    let told_only = left_to_a_person(broker).await;
    let open = broker.policy.on_trial()?;
    let trial = &open.trial;
    Some(TrialBody {
        version: trial.version,
        before: trial.before,
        workflows: trial.workflows.iter().flatten().map(ToString::to_string).collect(),
        since: trial.at.seconds(),
        watched_until: trial.until.map(|until| until.seconds()),
        told_only,
        by: trial.operator.clone(),
    })
}

/// One version, with all that is needed to compile it again; `None` where there is none of this number.
///
/// # Errors
/// When it is damaged or the store fails.
pub async fn version(broker: &Broker, number: u64) -> Result<Option<PolicyText>, ActivationError> {
    let known = broker.store.policy_versions().await?;
    let Some(known) = known.into_iter().find(|version| version.n == number) else { return Ok(None) };
    let written = broker.policy.written(number).await?;
    Ok(Some(PolicyText {
        version: number,
        digest: format!("sha256:{}", hex::encode(known.digest)),
        author: known.author,
        at: known.at.seconds(),
        file: written.file,
        source: written.source,
        files: written.files,
    }))
}
