//! What lives of a workflow.

use super::*;

async fn a_workflow_has_what_did_not_end_and_is_not_revoked(store: &Store) {
    let now = NOW.seconds();
    for (n, name, issued) in [(1, "enrich", now - 900), (2, "enrich", now), (3, "enrich", now + 1)] {
        store.record_exchange(exchange(n, name, issued)).await.unwrap();
    }
    store.record_exchange(exchange(4, "mail-merge", now - 900)).await.unwrap();
    let of = |names: &[&str]| store.living(names.iter().map(|name| (*name).to_owned()).collect(), NOW);
    let living = of(&["enrich", "mail-merge", "nobody"]).await.unwrap();
    let at = |seconds| Some(Timestamp::from_seconds(seconds));
    assert_eq!(living[0], Living { tokens: 2, revoked: 0, whole: true, last: at(now + 1) });
    assert_eq!(living[1], Living { tokens: 0, revoked: 0, whole: true, last: at(now - 900) });
    assert_eq!(living[2], Living { whole: true, ..Living::default() });
    revoke(store, target(SelectorKind::Token, &format!("tok_{:032x}", 2)), RevokeMode::Forever).await;
    let living = of(&["enrich"]).await.unwrap();
    assert_eq!((living[0].tokens, living[0].revoked, living[0].whole), (1, 1, true));
    revoke(store, workflow("enrich"), RevokeMode::Forever).await;
    let living = of(&["enrich"]).await.unwrap();
    assert_eq!((living[0].tokens, living[0].revoked), (0, 2));
}

async fn the_last_is_the_newest_and_not_the_one_that_ends_last(store: &Store) {
    let now = NOW.seconds();
    let mut long = exchange(1, "enrich", now - 100);
    long.token.expires = now + 3000;
    store.record_exchange(long).await.unwrap();
    store.record_exchange(exchange(2, "enrich", now - 50)).await.unwrap();
    let living = store.living(vec!["enrich".to_owned()], NOW).await.unwrap();
    assert_eq!((living[0].tokens, living[0].last), (2, Some(Timestamp::from_seconds(now - 50))));
}

on_sqlite! {
    a_workflow_has_what_did_not_end_and_is_not_revoked
    the_last_is_the_newest_and_not_the_one_that_ends_last
}
