//! Revocations go before exchanges that wait, and what fails among exchanges takes none of them along.

use std::time::Duration;

use super::*;

type Run = std::pin::Pin<Box<dyn Future<Output = (u64, &'static str)> + Send>>;

fn recorded(store: &Store, n: u64, principal: &'static str) -> Run {
    let store = store.clone();
    Box::pin(async move {
        let mut exchange = exchange(n, "enrich", NOW.seconds());
        exchange.token.principal = principal.into();
        (store.record_exchange(exchange).await.unwrap(), principal)
    })
}

/// Queues 1,200 exchanges behind a busy writer, more than have room in their lane, and then the switch.
async fn flooded(store: &Store) -> (mpsc::Sender<()>, Vec<tokio::task::JoinHandle<(u64, &'static str)>>) {
    let release = hold(store).await;
    let flood = (0..1200).map(|n| tokio::spawn(recorded(store, n, "workflow:enrich"))).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    (release, flood)
}

#[tokio::test]
async fn the_switch_goes_before_a_flood_of_exchanges() {
    let place = Place::new();
    let store = place.create();
    let (release, flood) = flooded(&store).await;
    let mut switch: Run = {
        let store = store.clone();
        Box::pin(async move {
            let changed = revoke(&store, workflow("mail-merge"), RevokeMode::Forever).await;
            let logged = store.audit_by_decision(&format!("rev_{}", changed.seq)).await.unwrap();
            (logged[0].idx, "switch")
        })
    };
    let mut operator = recorded(&store, 5000, "operator:alice");
    for first in [&mut switch, &mut operator] {
        let queued = std::future::poll_fn(|cx| std::task::Poll::Ready(first.as_mut().poll(cx)));
        assert!(queued.await.is_pending(), "a full lane of exchanges keeps nobody from queueing here");
    }
    drop(release);
    let places = [switch.await.0, operator.await.0];
    assert_eq!(places, [0, 1], "they are the first that the log has");
    for exchange in flood {
        assert!(exchange.await.unwrap().0 >= 2);
    }
    assert_eq!(store.counts().await.unwrap().tokens, 1201);
}

#[tokio::test]
async fn exchanges_go_on_under_a_flood_of_revocations() {
    let place = Place::new();
    let store = place.create();
    let release = hold(&store).await;
    let revoking: Vec<_> = (0..1500)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let name = format!("workflow-{n}");
                revoke(&store, workflow(&name), RevokeMode::Forever).await;
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut exchange = recorded(&store, 1, "workflow:enrich");
    let queued = std::future::poll_fn(|cx| std::task::Poll::Ready(exchange.as_mut().poll(cx)));
    assert!(queued.await.is_pending());
    drop(release);
    let (place, _) = exchange.await;
    assert!(place < 1500, "it waited for every revocation");
    for revoked in revoking {
        revoked.await.unwrap();
    }
}

#[tokio::test]
async fn a_failing_exchange_takes_no_revocation_along() {
    let place = Place::new();
    let store = place.create();
    let release = hold(&store).await;
    let broken = {
        let store = store.clone();
        let audit = |_: &BlockChanged| panic!("a holder's request broke");
        let revoke = RevokeBlock {
            hash: [1; 16],
            token: "tok_1".into(),
            until: 1,
            reason: "x".into(),
            by: "x".into(),
        };
        tokio::spawn(async move { store.revoke_block(revoke, NOW, audit).await })
    };
    tokio::time::sleep(Duration::from_millis(10)).await;
    drop(release);
    assert!(matches!(broken.await.unwrap(), Err(StoreError::Unavailable { .. })));
    revoke(&store, workflow("mail-merge"), RevokeMode::Forever).await;
    assert_eq!(store.audit_size(), 1);
}
