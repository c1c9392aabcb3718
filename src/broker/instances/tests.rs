use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::verifiers::SILENT_AFTER;

use super::*;

const START: u64 = 1_795_176_000;

fn now(second: u64) -> Now {
    Now { wall: Timestamp::from_seconds(START + second), monotonic: Duration::from_secs(second) }
}

fn key(seed: u64) -> PublicKey {
    let mut bytes = [9; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    PrivateKey::from_seed(&bytes).public()
}

fn lease(verifier: &str, seed: u64) -> Lease {
    Lease {
        // Leases are told apart by this alone, and keys cost time to make.
        instance: format!("instance-{seed}"),
        key: [0; 32],
        verifier: verifier.parse().unwrap(),
        proof: [0; 32],
        tools: Vec::new(),
        label: None,
        since: now(0).wall,
    }
}

fn none() -> Instances {
    Instances::load(Vec::new(), 0, now(0))
}

fn admit(instances: &Instances, lease: Lease, key: PublicKey, at: u64) -> Result<Vec<String>, LeaseError> {
    let room = instances.room(&lease, now(at))?;
    let evicted = room.evicted.clone();
    instances.admit(lease, key, room, now(at));
    Ok(evicted)
}

fn report(contents: u64) -> Said {
    Said::Report(Report { seq: contents, contents, ..Report::default() })
}

#[test]
fn one_verifier_has_so_many_instances_and_the_dead_go_first() {
    let (instances, key) = (none(), key(0));
    for seed in 0..MOST_OF_ONE as u64 {
        assert_eq!(admit(&instances, lease("github", seed), key, 0), Ok(Vec::new()));
    }
    assert_eq!(admit(&instances, lease("github", 5000), key, 1), Err(LeaseError::Full));
    assert_eq!(admit(&instances, lease("github", 3), key, 1), Ok(Vec::new()), "its own again");
    assert_eq!(admit(&instances, lease("payments", 6000), key, 1), Ok(Vec::new()), "another verifier's");
    // Everybody speaks again but two: 8 was heard last at 20, 7 never since.
    instances.hear("instance-8", 1, report(0), now(20)).unwrap();
    let late = 21 + SILENT_AFTER;
    for seed in (0..MOST_OF_ONE as u64).filter(|seed| ![7, 8].contains(seed)) {
        instances.hear(&format!("instance-{seed}"), 1, report(0), now(late)).unwrap();
    }
    instances.hear("instance-9", 2, Said::Goodbye, now(late)).unwrap();
    // A lease that is not recorded after all makes nobody forgotten.
    let room = instances.room(&lease("github", 5000), now(late)).unwrap();
    assert_eq!(room.evicted, ["instance-9"]);
    drop(room);
    assert!(instances.find("instance-9", now(late)).is_some());
    for (seed, dead) in [(5000, 9), (5001, 7), (5002, 8)] {
        let evicted = admit(&instances, lease("github", seed), key, late);
        assert_eq!(evicted, Ok(vec![format!("instance-{dead}")]));
    }
    assert_eq!(admit(&instances, lease("github", 5003), key, late), Err(LeaseError::Full));
    assert_eq!(instances.hear("instance-7", 9, report(0), now(late)), Err(HearError::Unknown));
}

#[test]
fn all_together_have_a_limit_too_and_those_at_the_door_count() {
    let key = key(0);
    let stored = (0..MOST as u64 - 1).map(|seed| {
        let lease = lease(&format!("v-{}", seed / MOST_OF_ONE as u64), seed);
        (Lease { key: *key.as_bytes(), ..lease }, Progress::default())
    });
    let instances = Instances::load(stored.collect(), 0, now(0));
    let wanted = lease("last", MOST as u64);
    let room = instances.room(&wanted, now(0)).unwrap();
    assert!(matches!(instances.room(&lease("other", 1 << 20), now(0)), Err(LeaseError::Full)));
    drop(room);
    let room = instances.room(&lease("other", 1 << 20), now(0)).unwrap();
    instances.admit(lease("other", 1 << 20), key, room, now(0));
    assert_eq!(admit(&instances, wanted, key, 0), Err(LeaseError::Full));
}

#[test]
fn a_key_of_another_verifier_is_not_taken_over() {
    let instances = none();
    admit(&instances, lease("github", 1), key(1), 0).unwrap();
    assert_eq!(admit(&instances, lease("payments", 1), key(1), 0), Err(LeaseError::OthersKey));
}

#[test]
fn a_second_lease_of_the_same_key_takes_no_old_message() {
    let instances = none();
    admit(&instances, lease("github", 1), key(1), 0).unwrap();
    instances.hear("instance-1", 7, report(0), now(1)).unwrap();
    instances.hear("instance-1", 8, Said::Goodbye, now(2)).unwrap();
    admit(&instances, lease("github", 1), key(1), 3).unwrap();
    assert_eq!(instances.hear("instance-1", 8, report(0), now(4)), Err(HearError::Replayed));
    assert!(instances.hear("instance-1", 9, report(0), now(4)).is_ok());
}

#[test]
fn little_is_written_and_a_change_at_once() {
    let instances = none();
    admit(&instances, lease("github", 1), key(1), 0).unwrap();
    let written = |at| {
        let due = instances.due(None, now(at));
        instances.written(&due.progress, now(at));
        due.progress.iter().map(|(_, progress)| (progress.n, progress.contents)).collect::<Vec<_>>()
    };
    for n in 1..=3 {
        instances.hear("instance-1", n, report(0), now(n * 15)).unwrap();
        assert_eq!(written(n * 15), []);
    }
    instances.hear("instance-1", 4, report(0), now(60)).unwrap();
    assert_eq!(written(60), [(4, 0)], "once in a minute");
    instances.hear("instance-1", 5, report(6), now(61)).unwrap();
    assert_eq!(written(61), [(5, 6)], "what is new");
    assert_eq!(written(62), []);
}

#[test]
fn silence_is_told_once_and_so_is_its_end() {
    let instances = none();
    admit(&instances, lease("github", 1), key(1), 0).unwrap();
    assert!(instances.due(None, now(SILENT_AFTER)).silent.is_empty());
    assert_eq!(instances.due(None, now(SILENT_AFTER + 1)).silent.len(), 1);
    assert!(instances.due(None, now(SILENT_AFTER + 5)).silent.is_empty());
    let seconds = now(SILENT_AFTER + 6);
    assert_eq!(instances.hear("instance-1", 1, report(0), seconds).unwrap().back, Some(0));
    assert_eq!(instances.hear("instance-1", 2, report(0), seconds).unwrap().back, None);
}

#[test]
fn only_those_who_report_hold_a_new_key_back() {
    let entry = "[[identities]]\nverifier = \"github\"\ntools = [\"github\"]\nkey = \"k.pem\"\n";
    let source = format!(
        "[tools.github]\naudience = \"https://tools.acme.example/github\"\nverbs.\"issues.read\" = {{ access = \"read\" }}\n\
         [[identities]]\noperator = \"alice\"\nkey = \"alice.pem\"\n{entry}\
         [[grants]]\noperator = \"alice\"\ntool = \"shortbread\"\nverbs = [\"revocations.*\", \"policy.*\"]\n"
    );
    let files = |name: &str| Ok(key(if name == "k.pem" { 50 } else { 51 }).to_pem());
    let options = crate::policy::Options { issuer: "https://broker.acme.example".to_owned() };
    let policy = Policy::compile(&source, "policy.toml", &files, &options).unwrap();
    let entry = policy.identities().iter().find(|identity| identity.entry == "github").unwrap();
    let proof = fingerprint(entry);
    let instances = none();
    for seed in 0..4 {
        admit(&instances, Lease { proof, ..lease("github", seed) }, key(seed), 0).unwrap();
    }
    let behind = |second| instances.with_older_keys(2, &policy, now(second).monotonic);
    assert_eq!(behind(0), 0, "nobody has said anything");
    let report = |keys_version| Said::Report(Report { keys_version, ..Report::default() });
    for (seed, version) in [(0, 1), (1, 2), (2, 1)] {
        instances.hear(&format!("instance-{seed}"), 1, report(version), now(1)).unwrap();
    }
    instances.hear("instance-2", 2, Said::Goodbye, now(1)).unwrap();
    assert_eq!((behind(2), instances.with_older_keys(3, &policy, now(2).monotonic)), (1, 2));
    instances.hear("instance-0", 2, report(2), now(2)).unwrap();
    assert_eq!(behind(4), 0);
    admit(&instances, lease("github", 9), key(9), 4).unwrap();
    instances.hear("instance-9", 1, report(1), now(4)).unwrap();
    assert_eq!(behind(6), 0, "one with no place in the policy");
}

#[test]
fn a_jump_of_the_wall_clock_silences_nobody() {
    let instances = none();
    admit(&instances, lease("github", 1), key(1), 0).unwrap();
    let jumped = Now { wall: Timestamp::from_seconds(START + (1 << 30)), ..now(10) };
    let due = instances.due(None, jumped);
    assert!(due.silent.is_empty() && due.forgotten.is_empty());
}

#[test]
fn who_is_told_waits_for_news_alone() {
    let instances = none();
    let mut moves = instances.moves();
    admit(&instances, lease("github", 1), key(1), 0).unwrap();
    assert!(moves.has_changed().unwrap());
    moves.mark_unchanged();
    instances.hear("instance-1", 1, report(0), now(1)).unwrap();
    assert!(!moves.has_changed().unwrap(), "nothing new");
    instances.hear("instance-1", 2, report(1), now(1)).unwrap();
    assert!(moves.has_changed().unwrap());
}

#[test]
fn a_change_is_timed_between_its_publication_and_its_report() {
    let instances = none();
    admit(&instances, lease("github", 1), key(1), 0).unwrap();
    instances.changed(5, now(10).wall);
    instances.changed(6, now(20).wall);
    let hear = |n, contents, applied: u64, at| {
        let applied_at = Some(now(applied).wall.millis());
        let said = Said::Report(Report { contents, applied_at, ..Report::default() });
        instances.hear("instance-1", n, said, now(at)).unwrap().propagation
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(hear(1, 5, 12, 14), seconds(2));
    assert_eq!(hear(2, 5, 12, 15), None, "nothing new");
    assert_eq!(hear(3, 6, 500, 21), seconds(1), "a clock ahead: no later than it was said");
    instances.changed(7, now(30).wall);
    assert_eq!(hear(4, 7, 2, 31), seconds(0), "a clock behind: no sooner than it was there");
}

#[test]
fn the_lag_is_counted_in_changes() {
    let mut changes = Changes::default();
    assert_eq!((changes.lag(0), changes.last()), (None, 0));
    let at = |second| now(second).wall;
    assert!(changes.note(3, at(1)) && changes.note(8, at(2)) && !changes.note(8, at(3)));
    assert_eq!(changes.lag(8), None);
    assert_eq!(changes.lag(3), Some(Lag { changes: 1, since: at(2) }));
    assert_eq!(changes.lag(0), Some(Lag { changes: 2, since: at(1) }));
    assert_eq!((changes.published(8), changes.published(3), changes.published(5)), (Some(at(2)), None, None));
    (9..5000).for_each(|seq| assert!(changes.note(seq, at(seq))));
    assert_eq!(changes.lag(0).map(|lag| lag.changes), Some(1024));
}

#[test]
fn what_the_store_knows_has_time_to_speak() {
    let progress = Progress { n: 4, contents: 2, seen: now(0).wall, ..Progress::default() };
    let dead = Progress { silent: Some(now(0).wall), ..progress };
    let at = |seed| Lease { key: *key(seed).as_bytes(), ..lease("github", seed) };
    let broken = Lease { key: [0; 32], ..lease("github", 3) };
    let stored = vec![(at(1), progress), (at(2), dead), (broken, progress)];
    let instances = Instances::load(stored, 2, now(100));
    let state =
        |seed, second| instances.find(&format!("instance-{seed}"), now(second)).map(|(_, state)| state);
    assert_eq!(state(1, 100 + SILENT_AFTER), Some(InstanceState::Enforcing));
    assert_eq!(state(1, 101 + SILENT_AFTER), Some(InstanceState::Silent));
    assert_eq!((state(2, 100), state(3, 100)), (Some(InstanceState::Silent), None));
    assert_eq!(instances.hear("instance-1", 4, report(2), now(101)), Err(HearError::Replayed));
}
