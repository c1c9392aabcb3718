//! A backup in the place of a store: what is ended, and what its log is signed under.

use std::collections::BTreeMap;

use shortbread_protocol::log::{Hash, origin};

use super::*;

const ISSUER: &str = "https://broker.acme.example";

pub(super) fn back_up_to(place: &Place, name: &str) {
    back_up(&place.path(), ISSUER, &place.0.path().join(name), true, &mut |_| true).unwrap();
}

pub(super) async fn restore(
    place: &Place,
    name: &str,
    id: &str,
    seen: Vec<KnownLog>,
) -> (Restored, Option<PathBuf>) {
    let (backup, store) = (place.0.path().join(name), place.path());
    let floor = check(&store).map_or(500, |checked| checked.facts.seq.max(500));
    let restore = Restore { backup: &backup, store: &store, issuer: ISSUER, floor };
    let restoring = Restoring::begin(&restore, &mut |_| true).unwrap();
    let settle = Settle { now: NOW, id: id.to_owned(), seen, unsure: false };
    let entry = id.to_owned();
    let (settled, done) = restoring.settle(settle, move |_| audit(&entry)).await.unwrap();
    (done, settled.put_in_place(NOW).unwrap())
}

/// Every checkpoint that could have been signed: by origin and size.
#[derive(Default)]
struct Signed(BTreeMap<(String, u64), Hash>);

impl Signed {
    /// Adds entries, and signs each size that the log has on the way. No size may have two roots.
    async fn grow(&mut self, store: &Store, word: &str, count: u64) {
        let entries = (0..count).map(|n| store.record_denial(None, audit(&format!("{word}_{n}"))));
        futures_util::future::try_join_all(entries).await.unwrap();
        for size in store.audit_size() - count + 1..=store.audit_size() {
            self.sign(store, size).await;
        }
    }

    async fn sign(&mut self, store: &Store, size: u64) {
        let root = store.log_roots(vec![size]).await.unwrap()[0];
        let key = (store.log_origin().to_owned(), size);
        let known = self.0.entry(key.clone()).or_insert(root);
        assert_eq!(*known, root, "two roots of one size under one origin: {key:?}");
    }
}

#[tokio::test]
async fn no_origin_has_two_roots_of_one_size_after_any_restore() {
    let (place, mut signed) = (Place::new(), Signed::default());
    let store = place.create();
    signed.grow(&store, "before", 300).await;
    back_up_to(&place, "early.db");
    signed.grow(&store, "lost", 20).await;
    drop(store);
    let mut origins = vec![origin(ISSUER)];
    for round in 0..3 {
        let (done, _) = restore(&place, "early.db", &format!("dec_{round}"), Vec::new()).await;
        let store = place.open();
        assert!(done.log.is_new() && done.log.origin == store.log_origin());
        assert_eq!((done.log.kept.size, &done.log.kept.origin), (300, &origin(ISSUER)));
        let last = done.log.last.unwrap();
        assert_eq!((last.size, Some(&last.origin)), (if round == 0 { 320 } else { 312 }, origins.last()));
        assert_eq!(signed.0[&(last.origin, last.size)], last.root);
        origins.push(done.log.origin);
        signed.sign(&store, 301).await;
        signed.grow(&store, &format!("round_{round}"), 10 + u64::from(round == 2)).await;
        signed.grow(&store, "other", 1).await;
        if round == 2 {
            back_up_to(&place, "late.db");
        }
    }
    // A backup of the branch that counts, and one from before it.
    let store = place.open();
    signed.grow(&store, "more", 5).await;
    drop(store);
    restore(&place, "late.db", "dec_late", Vec::new()).await;
    let store = place.open();
    assert_eq!(store.log_origin(), format!("{}@dec_late", origin(ISSUER)));
    signed.grow(&store, "late", 30).await;
    drop(store);
    // What was signed under origins that this log has left behind says nothing against the one that it has.
    back_up_to(&place, "now.db");
    let seen = signed.0.iter().map(|((origin, size), root)| (origin, *size, *root));
    let seen = seen.map(|(origin, size, root)| KnownLog { origin: origin.clone(), size, root });
    let left = format!("{}@dec_2", origin(ISSUER));
    let known = seen.filter(|log| [&origin(ISSUER), &left].contains(&&log.origin)).collect();
    assert!(!restore(&place, "now.db", "dec_now", known).await.0.log.is_new());
    signed.grow(&place.open(), "now", 3).await;
}

#[tokio::test]
async fn the_origin_stays_where_nothing_was_lost_and_nothing_else_was_seen() {
    let known = async |store: &Store, size: u64| KnownLog {
        origin: store.log_origin().to_owned(),
        size,
        root: store.log_roots(vec![size]).await.unwrap()[0],
    };
    // (what was seen outside, whether the origin stays)
    type Seen = fn(KnownLog) -> KnownLog;
    let cases: [(&str, Seen, bool); 5] = [
        ("an earlier checkpoint", |seen| seen, true),
        ("one with another root", |seen| KnownLog { root: [9; 32], ..seen }, false),
        ("a later one", |seen| KnownLog { size: 300, ..seen }, false),
        ("one over no more, with another root", |seen| KnownLog { size: 270, ..seen }, false),
        (
            "one of a branch that nobody knows",
            |seen| KnownLog { origin: "x/log@dec_1".into(), ..seen },
            false,
        ),
    ];
    for (what, seen, stays) in cases {
        let (place, mut signed) = (Place::new(), Signed::default());
        let store = place.create();
        signed.grow(&store, "before", 270).await;
        let checkpoint = seen(known(&store, 200).await);
        drop(store);
        back_up_to(&place, "backup.db");
        let (done, _) = restore(&place, "backup.db", "dec_1", vec![checkpoint]).await;
        let store = place.open();
        assert_eq!((done.log.is_new(), store.log_origin() == origin(ISSUER)), (!stays, stays), "{what}");
        signed.grow(&store, "after", 10).await;
    }
}

#[tokio::test]
async fn a_store_that_is_gone_or_damaged_may_have_signed_anything() {
    for damage in ["gone", "torn"] {
        let (place, mut signed) = (Place::new(), Signed::default());
        let store = place.create();
        signed.grow(&store, "before", 200).await;
        drop(store);
        back_up_to(&place, "backup.db");
        if damage == "gone" {
            std::fs::remove_file(place.path()).unwrap();
        } else {
            place.raw().execute_batch("DROP TABLE revoked_block").unwrap();
        }
        let (done, _) = restore(&place, "backup.db", "dec_1", Vec::new()).await;
        assert!(done.log.is_new() && place.open().log_origin() == done.log.origin, "{damage}: {done:?}");
    }
}

#[tokio::test]
async fn an_assertion_from_before_a_restore_is_refused() {
    let place = Place::new();
    let store = place.create();
    for n in 0..120 {
        store.record_exchange(exchange(n, "enrich", NOW.seconds())).await.unwrap();
    }
    drop(store);
    back_up_to(&place, "backup.db");
    let (done, aside) = restore(&place, "backup.db", "dec_restored", Vec::new()).await;
    let aside = aside.expect("a former store");
    assert!(aside.exists() && aside.to_string_lossy().contains("before-restore-"));
    let store = place.open();
    assert_eq!((done.seq, store.seq(), store.head()), (501, 501, None));
    assert_eq!(store.mirror().made_from(), done.made_from);
    assert_eq!(store.mirror().global(), NOW.seconds() + 31);
    let of = |n: u64, at: u64| {
        let mut exchange = exchange(n, "other", at);
        exchange.replay.as_mut().unwrap().made = at;
        exchange
    };
    assert_eq!(store.record_exchange(of(900, NOW.seconds())).await, Err(RecordError::RevokedAll));
    // A token's date is ours; when the assertion was made is another matter.
    let mut dated = of(901, done.made_from);
    dated.replay.as_mut().unwrap().made = done.made_from - 1;
    assert_eq!(store.record_exchange(dated).await, Err(RecordError::Outdated));
    assert!(store.record_exchange(of(902, done.made_from)).await.is_ok());
    assert!(head(&store).await.seq > 501);
    // The switch's own tokens are dead too, if they are of before.
    let standing = Standing { issued: NOW.seconds(), exempt_global: true, ..Standing::default() };
    assert_eq!(store.mirror().standing(&standing), Err(Revoked::All));
}
