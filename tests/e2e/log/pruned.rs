//! What is too old is forgotten, and what remains is proved as before.

use super::*;

#[tokio::test]
async fn a_log_that_was_pruned_still_proves() {
    let world = World::builder().config("[log]\nkeep = \"30d\"\n").start().await;
    let old = world.demo("github:issues.read").await.decision().to_owned();
    let mut earlier = Vec::new();
    for _ in 0..3 {
        fill(&world, 250).await;
        world.broker.log.sign().await.unwrap();
        earlier.push(checkpoint(&world).await);
    }
    world.clock.advance(Duration::from_secs(29 * DAY));
    world.broker.log.prune().await;
    assert_eq!(world.get(&format!("/log/proof/{old}")).await.status, 200, "not yet");
    world.clock.advance(Duration::from_secs(2 * DAY));
    world.broker.publish().await.unwrap();
    world.broker.log.prune().await;
    let world = world.restart().await;
    let first = world.broker.store.audit_tail(0, 1).await.unwrap()[0].idx;
    assert_eq!(first, 512);
    let gone = world.get(&format!("/log/proof/{old}")).await;
    assert_eq!((gone.status, gone.reason()), (404, "not_found"), "{gone:?}");
    let token = world.operator("alice", "audit.read").await;
    let bundle = async |name: &str| {
        world.call("get", &format!("/api/v1/log/tile/entries/{name}"), Some(&token), None).await.status
    };
    assert_eq!((bundle("000").await, bundle("002.p/1").await), (404, 200));
    assert_eq!(hashes(&world.get("/log/tile/0/000").await).len(), 256, "tiles stay");
    let fresh = world.demo("github:issues.read").await;
    let answer = world.get(&format!("/log/proof/{}", fresh.decision())).await;
    let proof = Proof::read(text(&answer)).unwrap();
    let newest = opened(&world, proof.checkpoint.as_bytes()).await;
    let entry = &world.broker.store.audit_by_decision(fresh.decision()).await.unwrap()[0];
    assert!(is_included(merkle::leaf(&entry.body), proof.index, newest.size, &proof.hashes, newest.root));
    for one in earlier {
        let answer = world.get(&format!("/log/consistency/{}", one.size)).await;
        let proof: Vec<Hash> = answer.body["hashes"].as_array().unwrap().iter().map(hash).collect();
        assert!(is_continued((one.size, one.root), (newest.size, newest.root), &proof), "{one:?}");
    }
    let tail = world.call("get", "/api/v1/audit?after=0&limit=5", Some(&token), None).await;
    assert_eq!(tail.body["entries"][0]["index"], first);
    let last = world.call("get", "/api/v1/audit?limit=1", Some(&token), None).await;
    assert_eq!(last.body["entries"][0]["index"].as_u64(), Some(world.broker.store.audit_size() - 1));
}

#[tokio::test]
async fn a_clock_that_goes_too_far_does_not_empty_the_log() {
    let lines = Lines::default();
    let writer = lines.clone();
    let logs = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let _logs = tracing::subscriber::set_default(logs);
    let said = |words: &str| String::from_utf8_lossy(&lines.0.lock().unwrap()).contains(words);
    let world = World::builder().config("[log]\nkeep = \"30d\"\n").start().await;
    let right = world.clock.now();
    fill(&world, 600).await;
    world.broker.log.sign().await.unwrap();
    let first = async |world: &World| {
        world.broker.log.prune().await;
        world.broker.store.audit_tail(0, 1).await.unwrap()[0].idx
    };
    // While it runs, and over a restart that finds the wrong time from the beginning.
    world.clock.jump_to(right.plus(Duration::from_secs(200 * DAY)));
    assert_eq!(first(&world).await, 0);
    assert!(said("overdue by more than a day"));
    let world = world.restart().await;
    fill(&world, 3).await;
    world.broker.log.sign().await.unwrap();
    assert_eq!(first(&world).await, 0);
    world.clock.advance(Duration::from_secs(1800));
    assert_eq!(first(&world).await, 0, "there is time to set it right");
    world.clock.jump_to(right.plus(Duration::from_secs(DAY)));
    world.clock.advance(Duration::from_secs(3 * DAY));
    assert_eq!(first(&world).await, 0, "and nothing is lost then");
    assert!(!said("dated more than a day after"));
    // After a long rest what is too old goes all the same, in its time.
    let world = world.restart().await;
    assert!(said("dated more than a day after"), "what was signed meanwhile bears the wrong date");
    world.clock.advance(Duration::from_secs(90 * DAY));
    let world = world.restart().await;
    assert_eq!(first(&world).await, 0);
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(first(&world).await, 512);
}
