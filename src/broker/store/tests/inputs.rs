//! Inputs are kept with their entries, and erased for good.

use super::*;

on_sqlite! {
    an_input_is_kept_with_its_entry_or_neither_is
    erasing_leaves_the_log_and_everyone_else
    erasing_goes_in_steps
}

const MARK: &[u8] = b"a-name-that-must-go";

fn entry(n: u64, subject: u8, principal: &str, at: u64) -> AuditEntry {
    let mark = String::from_utf8_lossy(MARK);
    let body = format!(r#"{{"identity":{{"principal":"{principal}","claims":{{"name":"{mark}"}}}}}}"#);
    let input = ErasableInput { subject: [subject; 32], salt: [3; 16], body: body.into_bytes() };
    let at = Timestamp::from_seconds(at);
    AuditEntry { at, input: Some(input), ..audit(&format!("dec_{n}")) }
}

fn of(subject: u8) -> Erase {
    Erase { subject: [subject; 32], principal: None, before: None }
}

async fn erase(store: &Store, erase: Erase) -> Erased {
    store.erase_inputs(erase, |erased| audit(&format!("erased_{}", erased.count))).await.unwrap()
}

async fn an_input_is_kept_with_its_entry_or_neither_is(store: &Store) {
    let one = entry(1, 1, "workflow:a", 5);
    store.record_denial(None, one.clone()).await.unwrap();
    let large = AuditEntry { body: vec![b' '; AUDIT_LIMIT + 1], ..entry(2, 1, "workflow:a", 5) };
    store.record_denial(None, large).await.unwrap_err();
    store.record_denial(None, audit("dec_3")).await.unwrap();
    let kept = store.audit_inputs(0, 10).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((&kept[0].input, &kept[0].entry.body), (one.input.as_ref().unwrap(), &one.body));
    assert_eq!(store.audit_input(0).await.unwrap(), one.input);
    assert_eq!(store.audit_input(1).await.unwrap(), None);
    assert!(store.audit_inputs(u64::MAX, 10).await.unwrap().is_empty());
    // Of what came last, by its place in the log.
    store.record_denial(None, entry(4, 1, "workflow:a", 6)).await.unwrap();
    store.record_denial(None, entry(5, 1, "workflow:a", 7)).await.unwrap();
    for (newest, place) in [(1, 3), (2, 2), (3, 0), (4, 0), (u64::MAX, 0)] {
        assert_eq!(store.inputs_place(newest).await.unwrap(), place, "{newest}");
    }
}

async fn erasing_leaves_the_log_and_everyone_else(store: &Store) {
    for (n, subject, principal, at) in
        [(1, 1, "workflow:a", 5), (2, 1, "workflow:b", 6), (3, 2, "workflow:a", 7), (4, 1, "workflow:a", 8)]
    {
        store.record_denial(None, entry(n, subject, principal, at)).await.unwrap();
    }
    let before = store.audit_tail(0, 10).await.unwrap();
    let early = Erase { before: Some(Timestamp::from_seconds(6)), ..of(1) };
    let of_b = Erase { principal: Some("workflow:b".into()), ..of(1) };
    for (which, many) in [(early.clone(), 1), (of_b.clone(), 1), (of(1), 3), (of(9), 0)] {
        assert_eq!(store.erasable(which).await.unwrap(), many);
    }
    for (which, many) in [(of_b, 1), (early, 1), (of(1), 1), (of(1), 0)] {
        assert_eq!(erase(store, which).await, Erased { count: many, more: false });
    }
    let left = store.audit_inputs(0, 10).await.unwrap();
    assert_eq!(left.iter().map(|one| one.entry.idx).collect::<Vec<_>>(), [2]);
    let after = store.audit_tail(0, 10).await.unwrap();
    assert_eq!(after[..4], before[..], "no entry is another");
    assert_eq!(after.len(), 8, "each time is recorded");
    assert!(!store.has_traces());
}

async fn erasing_goes_in_steps(store: &Store) {
    let mut waiting = Vec::new();
    for n in 0..2003 {
        waiting.push(store.record_denial(None, entry(n, 1, "workflow:a", 5)));
    }
    futures_util::future::try_join_all(waiting).await.unwrap();
    assert_eq!(erase(store, of(1)).await, Erased { count: 2000, more: true });
    assert_eq!(erase(store, of(1)).await, Erased { count: 3, more: false });
    assert!(store.audit_inputs(0, 1).await.unwrap().is_empty());
}

/// Whether a file of the store has the mark in it.
fn is_marked(place: &Place) -> bool {
    let files = std::fs::read_dir(place.0.path()).unwrap();
    files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .any(|bytes| bytes.windows(MARK.len()).any(|window| window == MARK))
}

#[tokio::test]
async fn what_is_erased_is_in_no_file() {
    let place = Place::new();
    let store = place.create();
    for n in 0..400 {
        // Long ones lie on pages of their own.
        let mut long = entry(n, 1, "workflow:a", 5);
        if n % 50 == 0 {
            let input = long.input.as_mut().unwrap();
            let text = String::from_utf8(input.body.clone()).unwrap();
            let mark = String::from_utf8_lossy(MARK);
            let more = text.replace(&*mark, &mark.repeat(700));
            input.body = more.into_bytes();
        }
        store.record_denial(None, long).await.unwrap();
    }
    assert!(is_marked(&place));
    assert_eq!(erase(&store, of(1)).await.count, 400);
    assert!(!is_marked(&place) && !store.has_traces());
}

/// A reader that sees the inputs as they are now, and so keeps them in the database's log.
fn reading(place: &Place) -> rusqlite::Connection {
    let reader = place.raw();
    reader.execute_batch("BEGIN").unwrap();
    reader.query_row("SELECT count(*) FROM audit_input", [], |row| row.get::<_, i64>(0)).unwrap();
    reader
}

#[tokio::test]
async fn a_reader_in_the_way_is_told_of_and_not_waited_for() {
    let place = Place::new();
    let store = place.create();
    store.record_denial(None, entry(1, 1, "workflow:a", 5)).await.unwrap();
    let reader = reading(&place);
    assert_eq!(erase(&store, of(1)).await.count, 1);
    assert!(store.has_traces() && is_marked(&place));
    assert!(!store.wipe_traces().await.unwrap());
    // Each erasing tries at once, whatever failed before it.
    reader.execute_batch("COMMIT").unwrap();
    store.record_denial(None, entry(2, 2, "workflow:a", 5)).await.unwrap();
    assert_eq!(erase(&store, of(2)).await.count, 1);
    assert!(!store.has_traces() && !is_marked(&place));
}

#[tokio::test]
async fn what_a_reader_kept_in_the_log_is_wiped_when_it_is_next_asked_for() {
    let place = Place::new();
    let store = place.create();
    store.record_denial(None, entry(1, 1, "workflow:a", 5)).await.unwrap();
    let reader = reading(&place);
    erase(&store, of(1)).await;
    assert!(store.has_traces() && is_marked(&place));
    reader.execute_batch("COMMIT").unwrap();
    assert!(store.wipe_traces().await.unwrap() && !is_marked(&place), "with nothing else to write");
}

#[tokio::test]
async fn what_is_pruned_is_in_no_file_either() {
    let place = Place::new();
    let store = place.create();
    let entries = (0..256).map(|n| store.record_denial(None, entry(n, 1, "workflow:a", 5)));
    futures_util::future::try_join_all(entries).await.unwrap();
    let checkpoint = StoredCheckpoint { size: 256, at: NOW, note: b"x".to_vec() };
    assert!(store.keep_checkpoint(checkpoint).await.unwrap());
    assert!(store.wipe_traces().await.unwrap() && is_marked(&place));
    let later = NOW.plus(std::time::Duration::from_secs(60));
    while store.prune_log(Some(later), later).await.unwrap() {}
    assert!(store.audit_inputs(0, 1).await.unwrap().is_empty() && store.has_traces());
    assert!(store.wipe_traces().await.unwrap() && !is_marked(&place));
}
