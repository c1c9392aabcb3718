//! Who holds the key that a token is bound to: a DPoP proof becomes the demand fact `holder`, or a refusal.
//!
//! What costs little is asked first, then the one signature, then what only the holder of the key can bring about: the
//! hash of the arguments and a place in the memory of used proofs. So a bad proof costs no more than a good one.

use std::sync::atomic::{AtomicU64, Ordering};

use shortbread_protocol::access::Access;
use shortbread_protocol::call::Args;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::dpop::{Claims, Expected, Proof, ProofError, Unproved, token_hash};
use shortbread_protocol::reason::Reason;

use crate::decision::{Call, SentProof};
use crate::replay::ReplayMemory;
use crate::scope::Refusal;

/// What proofs are checked with.
pub(crate) struct Proofs {
    used: ReplayMemory,
    since: Timestamp,
    signatures: AtomicU64,
}

/// A token that wants to know who holds its key, as far as a proof has to be about it.
pub(crate) struct Bound<'a> {
    /// The token's text, as it was sent.
    pub(crate) token: &'a str,
    /// The thumbprint that it names, if it does: then no other key's signature is looked at.
    pub(crate) holder: Option<&'a str>,
    /// The access that it grants for the call.
    pub(crate) access: Access,
}

/// The holder of a key, who makes this call. Only [`Proofs::holder`] makes one.
pub(crate) struct Holder(Proof);

impl Holder {
    /// The thumbprint of the key, as the demand fact `holder` has it.
    pub(crate) fn thumbprint(&self) -> &str {
        self.0.thumbprint()
    }
}

impl Proofs {
    /// Proofs made before `since` are refused: whether they were used before is not known.
    pub(crate) fn new(capacity: usize, since: Timestamp) -> Self {
        Self { used: ReplayMemory::new(capacity), since, signatures: AtomicU64::new(0) }
    }

    /// As before, with room for as many proofs as this.
    pub(crate) fn capacity(self, capacity: usize) -> Self {
        Self { used: ReplayMemory::new(capacity), ..self }
    }

    /// How many used proofs are remembered.
    pub(crate) fn remembered(&self) -> usize {
        self.used.len()
    }

    /// How many signatures of proofs were checked.
    pub(crate) fn signatures(&self) -> u64 {
        self.signatures.load(Ordering::Relaxed)
    }

    /// Checks the proof that came with a call and notes its use.
    pub(crate) fn holder(
        &self,
        sent: Option<&SentProof<'_>>,
        bound: &Bound<'_>,
        call: &Call<'_>,
        now: Timestamp,
    ) -> Result<Holder, Refusal> {
        let sent = sent.ok_or_else(|| Refusal::plain(Reason::ProofRequired))?;
        if sent.url.is_empty() {
            let detail = "this service was not told its own URL, so it cannot tell whether a proof is for it: \
                          whoever runs it sets the origin of its check layer";
            return Err(mismatch(detail));
        }
        let unproved = Unproved::read(sent.text).map_err(bad)?;
        let claimed = claimed(unproved.claims(), bound.access, call)?;
        let fitting = unproved.fit(&Expected {
            method: sent.method,
            url: sent.url,
            token: Some(token_hash(bound.token)),
            holder: bound.holder,
            now,
            since: self.since,
        });
        let fitting = fitting.map_err(bad)?;
        self.signatures.fetch_add(1, Ordering::Relaxed);
        let proof = fitting.verify().map_err(bad)?;
        if let Some(claimed) = claimed {
            claimed.check()?;
        }
        self.used
            .first_use(&proof.id(), proof.claims().iat, now.seconds())
            .map_err(|error| Refusal { detail: Some(error.to_string()), ..Refusal::plain(error.reason()) })?;
        Ok(Holder(proof))
    }
}

/// The arguments of a call, and what the proof says their hash is.
struct Claimed<'a> {
    args: &'a Args,
    hash: [u8; 32],
}

/// What the proof says of the call itself. It must for a privileged verb; what it says must fit for any.
fn claimed<'a>(claims: &Claims, access: Access, call: &Call<'a>) -> Result<Option<Claimed<'a>>, Refusal> {
    let privileged = access == Access::Privileged;
    match &claims.operation {
        None if privileged => return Err(bad(ProofError::Mismatch("sb_op"))),
        Some(operation) if operation.split_once('/') != Some((call.tool, call.verb)) => {
            return Err(bad(ProofError::Mismatch("sb_op")));
        }
        _ => {}
    }
    match (claims.args, call.args) {
        (None, _) if privileged => Err(bad(ProofError::Mismatch("sb_args"))),
        (None, _) => Ok(None),
        (Some(hash), Some(args)) => Ok(Some(Claimed { args, hash })),
        (Some(_), None) => {
            Err(mismatch("the arguments of the call were not read, so the proof cannot be held against them"))
        }
    }
}

impl Claimed<'_> {
    fn check(&self) -> Result<(), Refusal> {
        let Some(hash) = self.args.digest() else {
            let detail = "arguments with numbers that are no integers within 2^53 have no hash for sb_args; \
                          send such numbers as texts";
            return Err(mismatch(detail));
        };
        if hash == self.hash { Ok(()) } else { Err(bad(ProofError::Mismatch("sb_args"))) }
    }
}

fn bad(error: ProofError) -> Refusal {
    Refusal { detail: Some(error.to_string()), ..Refusal::plain(error.reason()) }
}

fn mismatch(detail: &str) -> Refusal {
    Refusal { detail: Some(detail.to_owned()), ..Refusal::plain(Reason::ProofMismatch) }
}
