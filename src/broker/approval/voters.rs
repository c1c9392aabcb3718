//! Which votes stand: whoever was revoked since they voted has none any more, and one person has one, whatever their names.

use shortbread_protocol::revocations::SelectorKind;

use crate::store::{Revocations, Standing, StoredVote};

/// The votes that stand, the first first.
#[must_use]
pub fn standing_votes(votes: &[StoredVote], asker: &[String], list: &Revocations) -> Vec<StoredVote> {
    let mut kept: Vec<StoredVote> = Vec::with_capacity(votes.len());
    for vote in votes {
        let shares = |marks: &[String]| vote.marks.iter().any(|mark| marks.contains(mark));
        let twice = kept.iter().any(|other| shares(&other.marks));
        if !twice && !shares(asker) && list.standing(&standing_of(vote)).is_ok() {
            kept.push(vote.clone());
        }
    }
    kept
}

/// What a vote can be revoked by: its operator, the key and the token that they voted with.
#[must_use]
pub fn standing_of(vote: &StoredVote) -> Standing {
    let kinds = [("key:", SelectorKind::Holder), (TOKEN, SelectorKind::Token)];
    let of_mark = |mark: &String| {
        let named = kinds.iter().find_map(|(prefix, kind)| Some((*kind, mark.strip_prefix(prefix)?)))?;
        Some((named.0, named.1.to_owned()))
    };
    let operator = (SelectorKind::Operator, vote.operator.clone());
    let selectors = vote.marks.iter().filter_map(of_mark).chain([operator]).collect();
    // A stop of everything ends the request itself, which is older.
    Standing { issued: vote.at.seconds(), selectors, exempt_global: true, ..Standing::default() }
}

/// What stands before the id of the token that a vote was cast with, among its marks.
pub const TOKEN: &str = "token:";
