//! Whoever holds a token may give it back (RFC 7009), and nothing else with it.

use shortbread_protocol::names::Operation;
use shortbread_protocol::random::SystemRandom;
use shortbread_tests::World;
use shortbread_verifier::narrow::{Narrowing, narrow, seal};

use crate::revoked::{ALLOWED, Use, ask};

#[tokio::test]
async fn a_holder_may_give_a_token_back() {
    let world = World::start().await;
    let mut used = Use::of(&world, "github/issues.read").await;
    let given = world.form("/oauth/revoke", &[("token", &used.token)]).await;
    assert_eq!((given.status, given.bytes.len()), (200, 0));
    assert_eq!(used.token_now().await, "revoked.token");
    assert_eq!(ask(&world, used.verb).await.status, 200, "the workflow asks on");
    let seq = world.broker.store.seq();
    assert_eq!(world.form("/oauth/revoke", &[("token", &used.token)]).await.status, 200);
    assert_eq!(world.broker.store.seq(), seq, "what is dead already is left alone");
}

#[tokio::test]
async fn a_narrowed_copy_is_given_back_alone() {
    let world = World::start().await;
    let mut used = Use::of(&world, "github/issues.read").await;
    let read: Operation = "github/issues.read".parse().unwrap();
    let by = Narrowing { operations: Some(vec![read]), ..Narrowing::default() };
    let copy = || narrow(&used.token, &by, &SystemRandom).unwrap();
    let (child, sibling, grandchild) = (copy(), copy(), narrow(&copy(), &by, &SystemRandom).unwrap());
    let offspring = narrow(&child, &by, &SystemRandom).unwrap();
    assert_eq!(world.form("/oauth/revoke", &[("token", &child)]).await.status, 200);
    assert_eq!(used.now(&child).await, "revoked.block");
    assert_eq!(used.now(&offspring).await, "revoked.block", "and what was narrowed from it");
    assert_eq!(used.now(&seal(&child).unwrap()).await, "revoked.block");
    for living in [&sibling, &grandchild, &used.token.clone()] {
        assert_eq!(used.now(living).await, ALLOWED);
    }
    // After eight copies the next takes the token with it: a holder cannot fill the list.
    for _ in 0..8 {
        let copy = narrow(&used.token, &by, &SystemRandom).unwrap();
        assert_eq!(world.form("/oauth/revoke", &[("token", &copy)]).await.status, 200);
    }
    assert_eq!(used.token_now().await, "revoked.token");
}

#[tokio::test]
async fn what_is_no_living_token_is_taken_back_without_a_word() {
    let world = World::start().await;
    let other = World::start().await;
    let foreign = other.demo("github:issues.read").await.token().to_owned();
    let dead = world.demo("github:issues.read").await.token().to_owned();
    world.clock.advance(std::time::Duration::from_secs(600));
    let seq = world.broker.store.seq();
    for token in [foreign.as_str(), dead.as_str(), "nonsense", &"A".repeat(20_000)] {
        let answer = world.form("/oauth/revoke", &[("token", token)]).await;
        assert_eq!((answer.status, answer.bytes.len()), (200, 0));
    }
    assert_eq!(world.broker.store.seq(), seq);
    let twice = world.form("/oauth/revoke", &[("token", "a"), ("token", "b")]).await;
    assert_eq!(twice.refusal(), (400, "invalid_request", "request.malformed"));
}
