//! Leases of verifiers' instances: recorded with their assertion and their entry, or not at all.

use super::*;

on_sqlite! {
    a_lease_is_recorded_whole_or_not_at_all
    progress_is_written_for_those_who_have_a_lease
}

fn new(seed: u8, label: &str, evicted: &[&str]) -> NewLease {
    let lease = Lease {
        instance: format!("instance-{seed}"),
        key: [seed; 32],
        verifier: "github".parse().unwrap(),
        proof: [1; 32],
        tools: vec!["github".parse().unwrap()],
        label: Some(label.to_owned()),
        since: NOW,
    };
    let progress = Progress { n: 3, seen: NOW, ..Progress::default() };
    let replay =
        Some(Replay { hash: [seed; 32], keep_until: NOW.seconds() + 60, made: NOW.seconds(), holder: None });
    let evicted = evicted.iter().map(|instance| (*instance).to_owned()).collect();
    NewLease { replay, lease, progress, evicted, audit: audit(&format!("dec_{label}")) }
}

async fn kept(store: &Store) -> Vec<(Lease, Progress)> {
    let mut kept = store.instances().await.unwrap();
    kept.sort_by(|(one, _), (other, _)| one.instance.cmp(&other.instance));
    kept
}

async fn a_lease_is_recorded_whole_or_not_at_all(store: &Store) {
    let first = new(1, "a", &[]);
    store.record_lease(first.clone()).await.unwrap();
    assert_eq!(kept(store).await, [(first.lease.clone(), first.progress)]);
    let again = NewLease { evicted: vec!["instance-1".to_owned()], ..new(1, "b", &[]) };
    assert_eq!(store.record_lease(again).await, Err(RecordError::Replayed));
    assert_eq!(kept(store).await, [(first.lease, first.progress)], "nor was any forgotten for it");
    assert_eq!(store.audit_size(), 1);
    let second = new(2, "c", &["instance-1"]);
    store.record_lease(second.clone()).await.unwrap();
    assert_eq!(kept(store).await, [(second.lease.clone(), second.progress)]);
    store.forget_instances(vec!["instance-2".to_owned()], Some(audit("dec_d"))).await.unwrap();
    assert_eq!((kept(store).await.len(), store.audit_size()), (0, 3));
}

async fn progress_is_written_for_those_who_have_a_lease(store: &Store) {
    let new = new(1, "a", &[]);
    store.record_lease(new.clone()).await.unwrap();
    let at = |second| Some(NOW.plus(std::time::Duration::from_secs(second)));
    let progress = Progress {
        n: 9,
        seq: 8,
        contents: 7,
        keys_version: 2,
        seen: at(5).unwrap(),
        silent: at(6),
        gone: at(7),
    };
    let rows = vec![("instance-1".to_owned(), progress), ("instance-2".to_owned(), progress)];
    store.save_instances(rows).await.unwrap();
    assert_eq!(kept(store).await, [(new.lease, progress)]);
}
