//! A token that was made of another dies with it, and with whatever the other dies by.

use super::*;

on_sqlite! {
    a_descendant_dies_with_its_parent
    a_descendant_dies_with_the_key_of_its_parent
    a_descendant_dies_with_the_copy_it_was_made_of
    a_descendant_lives_again_with_its_parent_unless_something_else_holds_it
    nothing_is_made_of_what_is_revoked
    what_ended_is_not_listed
    what_was_revoked_by_name_stays_so_when_its_parent_lives_again
    what_is_lifted_at_once_revives_what_hung_on_both
    nobody_makes_tokens_of_tokens_without_end
}

const SECOND: u64 = NOW.seconds();

fn id(n: u64) -> String {
    format!("tok_{n:032x}")
}

fn token(n: u64) -> Target {
    target(SelectorKind::Token, &id(n))
}

/// Token `n`, made of the `parents`, whose key is `key`.
fn child(n: u64, parents: &[u64], key: &str) -> Exchange {
    let mut child = exchange(n, "worker", SECOND);
    for parent in parents {
        child.standing.selectors.push((SelectorKind::Token, id(*parent)));
        child.ties.push(Tie::Selector(SelectorKind::Token, id(*parent)));
    }
    child.standing.selectors.push((SelectorKind::Holder, key.to_owned()));
    child.ties.push(Tie::Selector(SelectorKind::Holder, key.to_owned()));
    child.standing.blocks.push([9; 16]);
    child.ties.push(Tie::Block([9; 16]));
    child
}

/// A parent, its child, the child's child, and a stranger.
async fn family(store: &Store) {
    for exchange in
        [exchange(1, "worker", SECOND), child(2, &[1], "k1"), child(3, &[2], "k2"), exchange(4, "w", SECOND)]
    {
        store.record_exchange(exchange).await.unwrap();
    }
}

fn dead(store: &Store) -> Vec<u64> {
    let mirror = store.mirror();
    (1..=4).filter(|n| mirror.entry(SelectorKind::Token, &id(*n)).is_some_and(|e| e.listed)).collect()
}

async fn a_descendant_dies_with_its_parent(store: &Store) {
    family(store).await;
    let changed = revoke(store, token(1), RevokeMode::Forever).await;
    assert_eq!(changed.entries.len(), 3, "the audit log names all that died");
    assert_eq!(dead(store), [1, 2, 3]);
}

async fn a_descendant_dies_with_the_key_of_its_parent(store: &Store) {
    family(store).await;
    revoke(store, target(SelectorKind::Holder, "k2"), RevokeMode::Forever).await;
    assert_eq!(dead(store), [3]);
    revoke(store, target(SelectorKind::Holder, "k1"), RevokeMode::IssuedSoFar).await;
    assert_eq!(dead(store), [2, 3]);
}

async fn a_descendant_dies_with_the_copy_it_was_made_of(store: &Store) {
    family(store).await;
    let (reason, by) = ("returned".to_owned(), "holder".to_owned());
    let block = RevokeBlock { hash: [9; 16], token: id(1), until: SECOND + 600, reason, by };
    store.revoke_block(block, NOW, |_| audit("back")).await.unwrap();
    assert_eq!(dead(store), [2, 3]);
}

async fn a_descendant_lives_again_with_its_parent_unless_something_else_holds_it(store: &Store) {
    family(store).await;
    revoke(store, token(1), RevokeMode::Forever).await;
    let lifted = lift(store, token(1), LiftMode::Revive).await.unwrap();
    assert_eq!(lifted.entries.len(), 3);
    assert_eq!(dead(store), [0; 0]);
    revoke(store, target(SelectorKind::Holder, "k2"), RevokeMode::Forever).await;
    revoke(store, token(1), RevokeMode::Forever).await;
    lift(store, token(1), LiftMode::Revive).await.unwrap();
    assert_eq!(dead(store), [3], "its key is still revoked");
    revoke(store, token(2), RevokeMode::Forever).await;
    revoke(store, token(1), RevokeMode::Forever).await;
    lift(store, token(2), LiftMode::Revive).await.unwrap();
    assert_eq!(dead(store), [1, 3], "what an operator lifts by name lives, what hangs on others does not");
}

async fn nothing_is_made_of_what_is_revoked(store: &Store) {
    store.record_exchange(exchange(1, "worker", SECOND)).await.unwrap();
    revoke(store, token(1), RevokeMode::Forever).await;
    let refused = store.record_exchange(child(2, &[1], "k1")).await.unwrap_err();
    assert_eq!(refused, RecordError::Revoked(SelectorKind::Token));
}

async fn what_ended_is_not_listed(store: &Store) {
    family(store).await;
    let late = NOW.plus(std::time::Duration::from_secs(700));
    let audit = |_: &Changed| audit("late");
    let revocation = revocation(token(1), RevokeMode::Forever);
    let changed = store.revoke(vec![revocation], "alice".into(), late, audit).await.unwrap();
    assert_eq!(changed.entries.len(), 1);
    assert!(!store.prune(late).await.unwrap().more);
}

async fn what_was_revoked_by_name_stays_so_when_its_parent_lives_again(store: &Store) {
    family(store).await;
    revoke(store, token(2), RevokeMode::Forever).await;
    revoke(store, token(1), RevokeMode::Forever).await;
    lift(store, token(1), LiftMode::Revive).await.unwrap();
    assert_eq!(dead(store), [2, 3], "the child was revoked before, and its own child with it");
    lift(store, token(2), LiftMode::Revive).await.unwrap();
    assert_eq!(dead(store), [0; 0]);
    let both = [1, 2].map(|n| revocation(token(n), RevokeMode::Forever)).to_vec();
    store.revoke(both, "alice".into(), NOW, |_: &Changed| audit("both")).await.unwrap();
    lift(store, token(1), LiftMode::Revive).await.unwrap();
    assert_eq!(dead(store), [2, 3], "it was named in the same breath");
}

async fn what_is_lifted_at_once_revives_what_hung_on_both(store: &Store) {
    family(store).await;
    revoke(store, target(SelectorKind::Holder, "k1"), RevokeMode::Forever).await;
    revoke(store, token(1), RevokeMode::Forever).await;
    let targets = [token(1), target(SelectorKind::Holder, "k1")];
    let lifts = targets.map(|target| Lift { target, mode: LiftMode::Revive, until: None }).to_vec();
    store.lift(lifts, NOW, |_: &Changed| audit("lift")).await.unwrap();
    assert_eq!(dead(store), [0; 0]);
}

async fn nobody_makes_tokens_of_tokens_without_end(store: &Store) {
    store.record_exchange(exchange(1, "worker", SECOND)).await.unwrap();
    for n in 2..=9 {
        store.record_exchange(child(n, &[n - 1], "k")).await.unwrap();
    }
    let deeper = store.record_exchange(child(10, &[9], "k")).await;
    assert_eq!(deeper.unwrap_err(), RecordError::TooMany, "eight in one line");
    for n in 10..=257 {
        store.record_exchange(child(n, &[2], "k")).await.unwrap();
    }
    for parent in [1, 2, 100] {
        let one_more = store.record_exchange(child(1000, &[parent], "k")).await;
        assert_eq!(one_more.unwrap_err(), RecordError::TooMany, "256 of token 1, whoever of them made them");
    }
    store.record_exchange(exchange(1001, "worker", SECOND)).await.unwrap();
    store.record_exchange(child(1002, &[1001], "k")).await.unwrap();
}
