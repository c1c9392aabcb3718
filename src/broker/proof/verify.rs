//! The check: lines against leaves, leaves against checkpoints, checkpoints against keys.

use std::io::BufRead;

use shortbread_protocol::key_document::KeyPurpose;
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::log;

use super::checkpoint::{CheckpointError, Claim, Held};
use super::file::{Head, Proof, ProofError, Tail, keys_of};
use super::growth::{Growth, Judge};
use super::report::Report;
use super::walk::Walk;

/// What vouches for a checkpoint.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The root key: the key documents in the proof that it signed name the audit keys.
    Root(PublicKey),
    /// The audit key itself.
    Audit(PublicKey),
}

/// What is asked of an export beside that it is as it was signed. What covers less does not pass: whoever left something out
/// would else say how much is looked for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Which log, by the origin under which it began, where that is known.
    pub log: Option<String>,
    /// The export has to begin at this place, or before it.
    pub from: u64,
    /// It has to reach up to this place; to the end of the log unless told.
    pub until: Option<u64>,
    /// Any part will do.
    pub partial: bool,
    /// Ids of restores that are known of: what they took away is no complaint.
    pub restored: Vec<String>,
}

/// Checks an export against its proof and against checkpoints that were kept outside; `tell` hears how many of how many
/// entries were read.
///
/// # Errors
/// When nothing can be told: a file is not read, or the proof is none, of another log, or without keys that the root
/// vouches for.
pub fn verify(
    export: impl BufRead,
    proof: impl BufRead,
    trust: &Trust,
    held: &[Held],
    asked: &Asked,
    tell: &mut dyn FnMut(u64, u64),
) -> Result<Report, ProofError> {
    let proof = Proof::open(proof)?;
    let head = proof.head.clone();
    if let Some(wanted) = asked.log.as_ref().filter(|wanted| !log::is_origin_of(&head.origin, wanted)) {
        return Err(ProofError::Origin { found: head.origin, wanted: wanted.clone() });
    }
    // The head is only opened with both.
    let (before, after) = head.around().unwrap_or_default();
    let mut walk = Walk::new(export, proof, Growth::new(before, held));
    walk.run(tell)?;
    let Walk { sides, mut tree, findings, damages, last, lines, restores, .. } = walk;
    after.into_iter().for_each(|(level, root)| tree.join(level, root));
    let tail = sides.proof.tail()?;
    let keys = Keys::of(trust, &tail, &head.origin)?;
    let newest = newest(&tail, &head, &keys.newest);
    let believed = newest.as_ref().ok().map(|claim| claim.root);
    // Whoever signed it, it is of use to know whether it fits.
    let signed = believed.or_else(|| Claim::read(&tail.checkpoint).ok().map(|claim| claim.root));
    let judge = Judge { head: &head, keys: &keys.all, restores: &restores, asked };
    let outside = tree.outside(held, &judge, believed);
    Ok(Report {
        lines,
        keys: keys.version,
        findings,
        damages,
        unsigned: newest.err().map(|error| error.to_string()),
        root: signed == Some(tree.range.root()),
        lines_root: damages > 0 && tree.by_lines.is_some_and(|range| signed == Some(range.root())),
        outside,
        restores,
        asked: asked.into(),
        last,
        origin: head.origin,
        first: head.first,
        next: head.next,
        size: head.size,
    })
}

/// The checkpoint of the proof, by one of these keys and over as many entries as the proof says.
fn newest(tail: &Tail, head: &Head, keys: &[PublicKey]) -> Result<Claim, CheckpointError> {
    let claim = Claim::open(&tail.checkpoint, &head.origin, keys)?;
    let other = CheckpointError::Line("size: the proof says another, and it");
    if claim.size == head.size { Ok(claim) } else { Err(other) }
}

/// The audit keys: of the newest key document for the newest checkpoint, of all for older ones.
struct Keys {
    newest: Vec<PublicKey>,
    all: Vec<PublicKey>,
    version: Option<u64>,
}

impl Keys {
    fn of(trust: &Trust, tail: &Tail, log: &str) -> Result<Self, ProofError> {
        match trust {
            Trust::Audit(key) => Ok(Self { newest: vec![*key], all: vec![*key], version: None }),
            Trust::Root(root) => {
                let (document, all) = keys_of(&tail.keys, root, log)?;
                let audit = document.of(KeyPurpose::Audit);
                Ok(Self { newest: audit.map(|key| key.key).collect(), all, version: Some(document.version) })
            }
        }
    }
}
