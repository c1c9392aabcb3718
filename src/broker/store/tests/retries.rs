//! The same answer once more, under the same key: never a second token, never one that is revoked.

use super::*;

on_sqlite! {
    an_answer_is_kept_for_its_time
    two_at_once_get_one_answer
    what_is_given_out_again_still_stands
    an_assertion_is_used_up_by_any_use
}

const SECOND: u64 = NOW.seconds();

fn retry(key: u8) -> Retry {
    Retry { key: [key; 32], keep_until: SECOND + 60, block: b"block".to_vec(), answer: b"{}".to_vec() }
}

fn repeated(n: u64, key: u8) -> Exchange {
    Exchange { retry: Some(retry(key)), ..exchange(n, "worker", SECOND) }
}

fn after(seconds: u64) -> Timestamp {
    NOW.plus(std::time::Duration::from_secs(seconds))
}

async fn an_answer_is_kept_for_its_time(store: &Store) {
    store.record_exchange(repeated(1, 7)).await.unwrap();
    let kept = store.kept([7; 32], after(59)).await.unwrap().unwrap();
    assert_eq!((kept.token, kept.block.as_slice()), (format!("tok_{:032x}", 1), b"block".as_slice()));
    assert_eq!(store.kept([7; 32], after(60)).await.unwrap(), None);
    assert_eq!(store.kept([8; 32], NOW).await.unwrap(), None);
    store.prune(after(61)).await.unwrap();
    let mut later = repeated(2, 7);
    later.audit.at = after(61);
    store.record_exchange(later).await.unwrap();
}

async fn two_at_once_get_one_answer(store: &Store) {
    let (one, two) =
        tokio::join!(store.record_exchange(repeated(1, 7)), store.record_exchange(repeated(2, 7)));
    assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|ok| **ok).count(), 1);
    assert_eq!(one.err().or(two.err()), Some(RecordError::Repeated));
    assert_eq!(store.counts().await.unwrap().tokens, 1);
    assert_eq!(store.counts().await.unwrap().replays, 1, "the loser's assertion is not used up yet");
}

async fn what_is_given_out_again_still_stands(store: &Store) {
    store.record_exchange(repeated(1, 7)).await.unwrap();
    let token = Some(format!("tok_{:032x}", 1));
    let once_more = |n: u8| Use {
        operator: false,
        replay: Some(Replay { hash: [n; 32], keep_until: SECOND + 90, made: SECOND, holder: None }),
        token: token.clone(),
        audit: audit("again"),
    };
    store.record_use(once_more(1)).await.unwrap();
    assert_eq!(store.record_use(once_more(1)).await, Err(RecordError::Replayed));
    revoke(store, workflow("worker"), RevokeMode::Forever).await;
    assert_eq!(store.record_use(once_more(2)).await, Err(RecordError::Revoked(SelectorKind::Workflow)));
    let unknown = Use { token: Some("tok_0".into()), ..once_more(3) };
    assert_eq!(store.record_use(unknown).await, Err(RecordError::NoToken));
}

async fn an_assertion_is_used_up_by_any_use(store: &Store) {
    let exchange = repeated(1, 7);
    let replay = exchange.replay.clone();
    store.record_use(Use { replay, token: None, operator: true, audit: audit("looked") }).await.unwrap();
    assert_eq!(store.record_exchange(exchange).await, Err(RecordError::Replayed));
    assert_eq!(store.kept([7; 32], NOW).await.unwrap(), None, "what was refused is not kept");
}
