//! A source that takes its time holds nobody else up.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::push::Pusher;
use super::*;
use crate::feed::follow::Asked;

/// Begins to answer each request, if at all, and never comes to an end.
async fn slow(answers: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = connection.read(&mut [0; 4096]).await;
                if answers {
                    let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n").await;
                }
                loop {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    if answers && connection.write_all(b"x").await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

fn core(broker: &Server, mirror: String) -> Arc<Core> {
    let trust = Arc::new(open(&clock(), None).unwrap());
    let timeout = Duration::from_millis(200);
    let config = FeedConfig { mirrors: vec![mirror], timeout, ..FeedConfig::new(&broker.url) };
    Arc::new(Core::new(trust, &config, Arc::new(SeededRandom::new(1))).unwrap())
}

#[tokio::test]
async fn a_mirror_that_trickles_a_list_does_not_keep_the_broker_waiting() {
    let (server, mut broker) = (Server::start().await, Broker::new());
    server.publish(&broker, 10, NOW);
    let core = core(&server, slow(true).await);
    core.settle(&core.broker.fetch, broker.signed(10, NOW), &mut Asked).await.unwrap();
    broker.revoke(11, "payroll");
    server.publish(&broker, 11, NOW);
    let (theirs, mut tasks) = (broker.signed(11, NOW), JoinSet::new());
    let mirror = Arc::clone(&core);
    tasks.spawn(async move { mirror.settle(&mirror.mirrors[0].fetch, theirs, &mut Asked).await });
    // The mirror has its turn.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let applied = core.settle(&core.broker.fetch, broker.signed(12, NOW), &mut Asked).await.unwrap();
    assert_eq!((applied, core.trust.state().contents()), (Some(12), 11));
    assert!(tasks.try_join_next().is_none(), "the mirror still trickles");
}

#[tokio::test]
async fn a_file_that_is_not_answered_at_all_is_given_up_as_soon_as_a_head() {
    let (server, broker) = (Server::start().await, Broker::new());
    server.publish(&broker, 10, NOW);
    let core = core(&server, slow(false).await);
    let named = broker.head(10, NOW).snapshot;
    let fetched = core.mirrors[0].fetch.snapshot(&named);
    let fetched = tokio::time::timeout(Duration::from_secs(1), fetched).await;
    assert!(matches!(fetched, Ok(Err(FeedError::Http { .. }))), "twelve times as long is for what comes");
}

#[tokio::test]
async fn files_of_two_heads_at_once_are_taken_for_the_head_that_asked() {
    let (server, mut broker) = (Server::start().await, Broker::new());
    server.publish(&broker, 10, NOW);
    let core = core(&server, server.url.clone());
    core.settle(&core.broker.fetch, broker.signed(10, NOW), &mut Asked).await.unwrap();
    broker.revoke(11, "payroll");
    server.publish(&broker, 11, NOW);
    let head = Arc::new(broker.signed(11, NOW));
    let Next::Snapshot(_) = core.offer_head(&head, None).await.unwrap() else { panic!("it needs its list") };
    // Another head comes between, with another list.
    let mut later = Broker::new();
    later.revoke(12, "mail");
    core.offer_head(&Arc::new(later.signed(12, NOW)), None).await.unwrap();
    let bytes = broker.snapshot();
    let offered = core.offer_file(&head, move |trust| Ok(trust.offer_snapshot(&bytes)?)).await;
    assert!(offered.is_err_and(|error| error.is_older()), "for that is what it is by now");
    assert_eq!(core.trust.status().files_refused.len(), 0);
}

#[cfg(feature = "report")]
#[tokio::test]
async fn a_break_glass_head_that_was_not_judged_is_asked_for_again() {
    let (server, stop) = (Pusher::start().await, crate::list::testing::stop(7, NOW));
    server.put("break-glass", stop.clone());
    let trust = Arc::new(open(&clock(), None).unwrap());
    let failed = std::sync::atomic::AtomicBool::new(false);
    trust.watch(Arc::new(move |_| {
        assert!(failed.swap(true, std::sync::atomic::Ordering::Relaxed), "whoever is told fails once");
    }));
    let core = Core::new(trust, &server.config(), Arc::new(SeededRandom::new(1))).unwrap();
    glass::ask_all(&core).await;
    assert!(core.broker.is_news(&stop));
    glass::ask_all(&core).await;
    assert!(!core.broker.is_news(&stop));
}
