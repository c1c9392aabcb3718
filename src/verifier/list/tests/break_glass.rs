//! What the offline root key stops.

use super::*;

const LATER: u64 = NOW + 1000;

fn global(trust: &Trust) -> u64 {
    trust.state().set().map_or(0, RevocationSet::global)
}

fn offered(trust: &Trust, bytes: &[u8]) -> &'static str {
    trust.offer_break_glass(bytes).map_or_else(|refused| refused.code(), |()| "taken")
}

#[test]
fn no_head_of_the_broker_undoes_it_and_a_newer_one_does() {
    let (broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    let before = trust.state().set().unwrap().generation();
    assert_eq!(offered(&trust, &stop(7, LATER)), "taken");
    // What a token asked the list before is asked again.
    assert!(global(&trust) == LATER && trust.state().set().unwrap().generation() != before);
    for (seq, theirs, now) in [(11, 0, LATER), (12, NOW, LATER), (13, LATER + 1, LATER + 1), (14, 0, LATER)] {
        let head = Head { global: theirs, ..broker.head(seq, NOW) };
        trust.offer_head(&sign(&head)).unwrap();
        assert_eq!(global(&trust), now);
    }
    assert_eq!(offered(&trust, &stop(6, 0)), "older");
    assert_eq!((offered(&trust, &stop(7, LATER)), trust.status().break_glass), ("taken", 7));
    let before = trust.state().set().unwrap().generation();
    assert_eq!((offered(&trust, &stop(8, 0)), global(&trust)), ("taken", 0));
    assert!(trust.state().set().unwrap().generation() != before);
    assert_eq!((offered(&trust, &stop(7, LATER)), global(&trust)), ("older", 0));
}

#[test]
fn lifting_it_leaves_what_the_broker_stopped() {
    let (broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    trust.offer_break_glass(&stop(7, LATER)).unwrap();
    trust.offer_head(&sign(&Head { global: NOW, ..broker.head(11, NOW) })).unwrap();
    trust.offer_break_glass(&stop(8, 0)).unwrap();
    assert_eq!(global(&trust), NOW);
}

#[test]
fn of_two_with_one_sequence_the_one_that_stops_more_counts() {
    for pair in [[LATER, 0], [0, LATER], [NOW, LATER]] {
        let (broker, clock) = (Broker::new(), clock());
        let trust = following(&broker, &clock, None);
        let [first, second] = pair.map(|global| stop(7, global));
        assert_eq!(offered(&trust, &first), "taken");
        assert_eq!((offered(&trust, &second), global(&trust)), ("break_glass_equivocation", LATER));
        // The alarm goes on for as long as both are served.
        let codes = [&first, &second].map(|bytes| offered(&trust, bytes));
        assert_eq!(codes.iter().filter(|code| **code == "break_glass_equivocation").count(), 1);
        assert_eq!(global(&trust), LATER);
        assert_eq!((offered(&trust, &stop(8, 0)), global(&trust)), ("taken", 0));
    }
}

#[test]
fn a_line_by_a_stranger_makes_no_second_one() {
    let trust = open(&clock(), None).unwrap();
    let stranger = BreakGlass { seq: 7, issued: NOW, global: LATER }.sign(&origin(ISSUER), &key(9));
    trust.offer_break_glass(&stop(7, LATER)).unwrap();
    let more = [stop(7, LATER), format!("{}\n", stranger.lines().last().unwrap()).into_bytes()].concat();
    assert_eq!(offered(&trust, &more), "taken");
    assert_eq!(offered(&trust, stranger.as_bytes()), "signature");
}

#[test]
fn nobody_else_stops_anything() {
    let (broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    let all = BreakGlass { seq: 7, issued: NOW, global: LATER };
    let signed = |origin: &str, seed| all.sign(origin, &key(seed)).into_bytes();
    assert_eq!(offered(&trust, &signed(&origin(ISSUER), 3)), "signature", "the broker's own revocation key");
    assert_eq!(offered(&trust, &signed("other.example/revocations", 1)), "signature");
    assert_eq!(offered(&trust, &broker.signed(11, NOW)), "signature", "a head");
    assert_eq!(offered(&trust, &broker.keys()), "signature", "a key document");
    assert_eq!(offered(&trust, b"x"), "malformed");
    assert_eq!(offered(&trust, &[b'x'; 9000]), "too_large");
    assert_eq!((global(&trust), trust.status().break_glass), (0, 0));
    assert_eq!(code(trust.offer_head(&stop(7, LATER))), "signature", "and it is no head");
}

#[test]
fn the_key_document_says_which_one_is_over() {
    let (mut broker, clock) = (Broker::new(), clock());
    let trust = following(&broker, &clock, None);
    trust.offer_break_glass(&stop(7, LATER)).unwrap();
    for (version, least, left) in [(2, 7, LATER), (3, 8, 0)] {
        (broker.document.version, broker.document.break_glass) = (version, least);
        trust.offer_keys(&broker.keys()).unwrap();
        assert_eq!(global(&trust), left);
    }
    assert_eq!((offered(&trust, &stop(7, LATER)), trust.status().break_glass), ("older", 0));
    // A fresh verifier takes no old one either, whether the document comes first or second.
    for first in [true, false] {
        let fresh = open(&clock, None).unwrap();
        if first {
            fresh.offer_keys(&broker.keys()).unwrap();
            assert_eq!(offered(&fresh, &stop(7, LATER)), "older");
        } else {
            assert_eq!((offered(&fresh, &stop(7, LATER)), fresh.status().break_glass), ("taken", 7));
            fresh.offer_keys(&broker.keys()).unwrap();
        }
        assert_eq!(fresh.status().break_glass, 0);
        assert_eq!(offered(&fresh, &stop(8, LATER)), "taken");
    }
}

#[test]
fn it_is_no_list_and_makes_none_younger() {
    let (broker, clock) = (Broker::new(), clock());
    let trust = open(&clock, None).unwrap();
    trust.offer_break_glass(&stop(7, LATER)).unwrap();
    assert_eq!((trust.age(), trust.state().set().is_none()), (Age::None, true));
    trust.offer_keys(&broker.keys()).unwrap();
    trust.offer_head(&broker.signed(10, NOW)).unwrap();
    trust.offer_snapshot(&broker.snapshot()).unwrap();
    assert_eq!(global(&trust), LATER, "what was known before the list");
    clock.advance(Duration::from_secs(100));
    trust.offer_break_glass(&stop(8, 0)).unwrap();
    assert_eq!(trust.age(), Age::Seconds(100));
    assert_eq!(code(trust.offer_head(&broker.signed(10, NOW + 1))), "equivocation");
    trust.offer_break_glass(&stop(9, LATER)).unwrap();
    assert_eq!((trust.age(), global(&trust)), (Age::Expired, LATER));
}

#[test]
fn it_outlasts_a_restart_with_and_without_a_list() {
    for list in [true, false] {
        let (broker, clock) = (Broker::new(), clock());
        let tmp = tempfile::tempdir().unwrap();
        let fresh = || open(&clock, Some(tmp.path())).unwrap();
        let trust = if list { following(&broker, &clock, Some(tmp.path())) } else { fresh() };
        trust.offer_break_glass(&stop(7, LATER)).unwrap();
        drop(trust);
        let trust = fresh();
        assert_eq!((trust.status().break_glass, trust.status().last_error.clone()), (7, None));
        assert_eq!(global(&trust), if list { LATER } else { 0 });
        assert_eq!(offered(&trust, &stop(6, 0)), "older");
        assert_eq!(offered(&trust, &stop(7, 0)), "break_glass_equivocation");
        drop(trust);
        // Damaged, it still stops what it stopped.
        let path = tmp.path().join("floor.json");
        let floor = fs::read_to_string(&path).unwrap();
        fs::write(&path, floor.replace("shortbread-break-glass", "shortbread-broken-glass")).unwrap();
        let trust = fresh();
        assert!(trust.status().break_glass == 7 && trust.status().last_error.unwrap().contains("damaged"));
        assert_eq!((offered(&trust, &stop(8, 0)), trust.state().break_glass().unwrap().seq), ("taken", 8));
    }
}

#[test]
fn one_that_is_over_does_not_come_back_with_a_restart() {
    let (mut broker, clock) = (Broker::new(), clock());
    let tmp = tempfile::tempdir().unwrap();
    let trust = following(&broker, &clock, Some(tmp.path()));
    trust.offer_break_glass(&stop(7, LATER)).unwrap();
    (broker.document.version, broker.document.break_glass) = (2, 8);
    trust.offer_keys(&broker.keys()).unwrap();
    drop(trust);
    let trust = open(&clock, Some(tmp.path())).unwrap();
    assert_eq!((global(&trust), offered(&trust, &stop(7, LATER))), (0, "older"));
}
