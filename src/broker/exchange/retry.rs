//! `Idempotency-Key`: who repeats a request within a minute, with a fresh assertion, gets the same answer and no second
//! token. What is kept for that is the signed block without its signature: the token is made again, byte for byte.

use std::time::Duration;

use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::dpop::Proof;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::oauth::TokenAnswer;
use shortbread_protocol::reason::Reason;
use shortbread_verifier::chain::{Token, decode};
use zeroize::Zeroizing;

use super::entry::{minted, moment};
use super::flow::Context;
use super::record::Trail;
use super::refusal::Refusal;
use crate::broker::Broker;
use crate::delimited::delimited;
use crate::identity::Verified;
use crate::mint::sign;
use crate::policy::Granted;
use crate::policy::model::Principal;
use crate::store::{Kept, Replay, Retry, Use};

/// How long a request may be repeated.
const KEPT: Duration = Duration::from_secs(60);

/// The longest key, in bytes.
const MAX_KEY: usize = 255;

/// What names a request that may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RetryKey([u8; 32]);

/// The answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Stored {
    sealed: bool,
    answer: TokenAnswer,
}

impl RetryKey {
    /// For a key that the client chose: it counts for this identity, this request and this DPoP key alone.
    ///
    /// # Errors
    /// When the key is empty, longer than 255 bytes, or not printable ASCII.
    pub(super) fn new(
        chosen: &str,
        identity: &Verified,
        principal: &Principal,
        request: [u8; 32],
        proof: Option<&Proof>,
    ) -> Result<Self, Refusal> {
        sound(chosen)?;
        let holder = proof.map_or("", Proof::thumbprint);
        let principal = principal.to_string();
        let named = [identity.issuer.as_str(), &identity.subject, &principal, holder, chosen];
        Ok(Self(delimited(Sha256::new_with_prefix(request), named).finalize().into()))
    }

    /// For a key that the client chose for fetching the answer of a request that waited.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn of_fetch(chosen: &str, approval: &str, holder: &str) -> Result<Self, Refusal> {
        sound(chosen)?;
        let named = [approval, holder, chosen];
        Ok(Self(delimited(Sha256::new_with_prefix(b"fetched answer"), named).finalize().into()))
    }

    /// The same for what is granted: another grant is another answer.
    ///
    /// # Errors
    /// When what is granted cannot be written down, which does not happen.
    pub(super) fn granting(self, granted: &Granted) -> Result<Self, Refusal> {
        let rights: Vec<_> = granted
            .rights
            .iter()
            .map(|right| {
                let ways: Vec<_> = right.alternatives.iter().map(|way| way.arguments.as_ref()).collect();
                // As short as the windows are now: a longer one from before is another answer.
                let windows = (right.windows.privileged, right.windows.write);
                (right.operation.to_string(), right.access.as_str(), windows, ways)
            })
            .collect();
        let said = serde_json::to_vec(&(granted.ttl.as_secs(), rights));
        let said = said.map_err(|error| Refusal::plain(Reason::Internal).because(error))?;
        Ok(Self(Sha256::new().chain_update(self.0).chain_update(said).finalize().into()))
    }

    /// The answer that was given, if it was given within the last minute.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn kept(self, broker: &Broker, now: Timestamp) -> Result<Option<Kept>, Refusal> {
        Ok(broker.store.kept(self.0, now).await?)
    }

    /// What to keep of an answer, for as long as its token lives.
    pub(super) fn keep(
        self,
        block: Vec<u8>,
        sealed: bool,
        answer: &TokenAnswer,
        expires: u64,
        now: Timestamp,
    ) -> Retry {
        let mut answer = TokenAnswer { access_token: String::new(), ..answer.clone() };
        answer.shortbread.calls.iter_mut().for_each(|call| call.access_token.clear());
        // Texts, numbers and maps with text keys always serialise.
        let answer = serde_json::to_vec(&Stored { sealed, answer }).unwrap_or_default();
        Retry { key: self.0, keep_until: now.plus(KEPT).seconds().min(expires), block, answer }
    }
}

fn sound(chosen: &str) -> Result<(), Refusal> {
    if chosen.is_empty() || chosen.len() > MAX_KEY || !chosen.bytes().all(|b| b.is_ascii_graphic()) {
        let detail = "Idempotency-Key is 1 to 255 printable ASCII characters without spaces";
        return Err(Refusal::new(Reason::RequestMalformed, detail));
    }
    Ok(())
}

/// The secret at the end of a token that may be made again: from the store's secret and the token's id.
pub(super) fn next_key(broker: &Broker, token: &str) -> Result<PrivateKey, Refusal> {
    let secret = broker.store.meta().hmac_secret.as_slice();
    let mac = Hmac::<Sha256>::new_from_slice(secret);
    let mac = mac.map_err(|error| Refusal::plain(Reason::Internal).because(error))?;
    let mac = mac.chain_update(b"next key of ").chain_update(token);
    let seed = Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()));
    Ok(PrivateKey::from_seed(&seed))
}

/// Gives an answer once more. The assertion is used up, and what could have been revoked meanwhile is looked at, before
/// the token is made and again in the transaction that records it.
///
/// # Errors
/// When the token is revoked, the assertion was used before, or the store or the signer fails.
pub(super) async fn repeat(
    broker: &Broker,
    kept: Kept,
    grants: &[String],
    replay: Option<Replay>,
    trail: &mut Trail,
    context: &Context,
) -> Result<TokenAnswer, Refusal> {
    trail.stage = "retry";
    let internal = || Refusal::plain(Reason::Internal);
    let stored: Stored = serde_json::from_slice(&kept.answer).map_err(|error| internal().because(error))?;
    let next = next_key(broker, &kept.token)?;
    // By the key that signed it first, whichever signs now: the block names it.
    let signed = broker.keyring.token_signers().into_iter().find_map(|signer| {
        let token = sign(&kept.block, stored.sealed, &*signer, &next).ok()?;
        let bytes = decode(&token).ok()?;
        Token::open(&bytes, &*broker.keyring).is_ok().then_some(token)
    });
    let gone = "the token key that the request was first answered with is gone";
    let token = signed.ok_or_else(|| internal().because(gone))?;
    let data = trail.repeated(grants, &stored.answer, moment(broker, context));
    let audit = minted(broker, context, trail, data)?;
    broker
        .store
        .record_use(Use { replay, token: Some(kept.token), operator: trail.is_operators(), audit })
        .await?;
    let mut answer = TokenAnswer { access_token: token.clone(), ..stored.answer };
    // Of a plan no answer is kept, so that it is one call at most.
    answer.shortbread.calls.iter_mut().for_each(|call| call.access_token.clone_from(&token));
    Ok(answer)
}
