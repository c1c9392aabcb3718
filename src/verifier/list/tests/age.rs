//! How old the list is.

use super::*;

#[test]
fn age_is_counted_from_issued_and_from_first_seen() {
    let (broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    clock.advance(Duration::from_millis(20_500));
    assert_eq!(trust.age(), Age::Seconds(21));
    // The same head again is not fresher, a heartbeat is as fresh as it was issued.
    assert!(matches!(trust.offer_head(&broker.signed(10, NOW)), Ok(Next::Nothing)));
    assert_eq!(trust.age(), Age::Seconds(21));
    assert!(matches!(trust.offer_head(&broker.signed(11, NOW + 8)), Ok(Next::Nothing)));
    assert_eq!((trust.age(), trust.state().seq()), (Age::Seconds(12), 11));
    // A head from a clock that is ahead of ours ages by our own.
    assert!(matches!(trust.offer_head(&broker.signed(12, NOW + 50)), Ok(Next::Nothing)));
    clock.advance(Duration::from_secs(7));
    assert_eq!(trust.age(), Age::Seconds(7));
}

#[test]
fn a_head_does_not_get_younger_while_its_snapshot_is_fetched() {
    let (mut broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    broker.revoke(11, "payroll");
    let head = broker.signed(11, NOW + 25);
    assert!(matches!(trust.offer_head(&head), Ok(Next::Snapshot(_))));
    clock.advance(Duration::from_secs(40));
    assert_eq!(trust.age(), Age::Seconds(40));
    assert!(matches!(trust.offer_head(&head), Ok(Next::Snapshot(_))));
    trust.offer_snapshot(&broker.snapshot()).unwrap();
    assert_eq!(trust.age(), Age::Seconds(40));
}

#[test]
fn a_jump_of_the_clock_makes_the_age_unknown_until_the_next_head() {
    for jump in [NOW - 60, NOW + 60] {
        let (broker, clock) = (Broker::new(), clock());
        let trust = following(&broker, &clock, None);
        clock.jump_to(Timestamp::from_seconds(NOW + 5));
        assert_eq!(trust.age(), Age::Seconds(5));
        clock.jump_to(Timestamp::from_seconds(jump));
        assert_eq!(trust.age(), Age::Unsure);
        assert!(matches!(trust.offer_head(&broker.signed(11, jump)), Ok(Next::Nothing)));
        assert_eq!(trust.age(), Age::Seconds(0));
    }
}

#[test]
fn an_expired_head_has_no_age() {
    let (broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    clock.advance(Duration::from_secs(899));
    assert_eq!(trust.age(), Age::Seconds(899));
    clock.advance(Duration::from_secs(1));
    assert_eq!(trust.age(), Age::Expired);
    // Beyond its end by a jump says nothing of its age.
    clock.jump_to(Timestamp::from_seconds(NOW + 5000));
    assert_eq!(trust.age(), Age::Unsure);
}
