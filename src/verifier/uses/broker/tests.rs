//! That no token runs twice, whatever is lost between here and the broker.

use std::collections::HashMap;

use proptest::prelude::*;
use reqwest::StatusCode;
use shortbread_protocol::random::SeededRandom;

use super::*;
use crate::decision::Call;

/// What becomes of one message.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    /// It never reaches the broker.
    Lost,
    /// The broker takes it, and its answer is lost.
    AnswerLost,
    /// The broker cannot make its record durable.
    Unable,
    /// A later message overtook it.
    Overtaken,
}

/// A broker that keeps uses as a real one does, and the calls that ran.
#[derive(Debug, Default)]
struct World {
    claimed: HashMap<String, String>,
    ran: HashMap<String, usize>,
}

fn no(status: StatusCode, reason: Reason) -> ReportError {
    ReportError::Refused { what: "claim", status, reason: Some(reason), retry_after: None }
}

impl World {
    fn ask(&mut self, claim: &Claim, fate: Fate) -> Result<ClaimAnswer, ReportError> {
        let lost = || ReportError::Http { what: "claim", cause: "lost".to_owned() };
        match fate {
            Fate::Lost => return Err(lost()),
            Fate::Unable => return Err(no(StatusCode::SERVICE_UNAVAILABLE, Reason::StoreUnavailable)),
            Fate::Overtaken => return Err(no(StatusCode::UNAUTHORIZED, Reason::MessageReplayed)),
            Fate::Arrives | Fate::AnswerLost => {}
        }
        let again = self.claimed.contains_key(&claim.token);
        let attempt = self.claimed.entry(claim.token.clone()).or_insert_with(|| claim.attempt.clone());
        let held = *attempt == claim.attempt;
        match fate {
            Fate::AnswerLost => Err(lost()),
            _ if held => Ok(ClaimAnswer { again }),
            _ => Err(no(StatusCode::CONFLICT, Reason::AlreadyUsed)),
        }
    }
}

/// A call of one instance, and how far it comes.
#[derive(Clone, Debug)]
struct Attempt {
    token: u8,
    /// What becomes of its messages; what comes after these arrives.
    fates: Vec<Fate>,
    /// How often others come before it.
    waits: u8,
    /// The instance restarts after so many steps of all.
    restarts: Option<u8>,
}

const PACE: [Duration; 2] = [Duration::from_secs(60), Duration::ZERO];

const CALL: Call<'_> = Call { tool: "github", verb: "issues.write", args: None };

fn wanted(token: &str) -> Use<'_> {
    Use { token, expires: 1, call: &CALL }
}

async fn run(
    attempted: Attempt,
    world: Arc<Mutex<World>>,
    random: Arc<SeededRandom>,
) -> Result<(), Unclaimed> {
    let token = format!("tok_{}", attempted.token);
    let claim = attempt(&wanted(&token), &*random).unwrap();
    let fates = Mutex::new(attempted.fates.into_iter());
    let send = || async {
        for _ in 0..attempted.waits {
            tokio::task::yield_now().await;
        }
        let fate = fates.lock().unwrap().next().unwrap_or(Fate::Arrives);
        let answer = world.lock().unwrap().ask(&claim, fate);
        tokio::task::yield_now().await;
        answer
    };
    let restart = async {
        for _ in 0..attempted.restarts.unwrap_or(0) {
            tokio::task::yield_now().await;
        }
        if attempted.restarts.is_none() {
            std::future::pending::<()>().await;
        }
    };
    let claimed = tokio::select! {
        claimed = insist(PACE, &*random, send) => claimed,
        () = restart => Err(SILENT),
    };
    if claimed.is_ok() {
        *world.lock().unwrap().ran.entry(token).or_default() += 1;
    }
    claimed
}

fn attempted() -> impl Strategy<Value = Attempt> {
    let fate = prop::sample::select(vec![
        Fate::Arrives,
        Fate::Lost,
        Fate::AnswerLost,
        Fate::Unable,
        Fate::Overtaken,
    ]);
    let fates = prop::collection::vec(fate, 0..5);
    (0..3_u8, fates, 0..4_u8, prop::option::weighted(0.3, 0..12_u8))
        .prop_map(|(token, fates, waits, restarts)| Attempt { token, fates, waits, restarts })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_token_runs_twice(attempts in prop::collection::vec(attempted(), 1..12)) {
        let world = Arc::new(Mutex::new(World::default()));
        let random = Arc::new(SeededRandom::new(1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let results: Vec<_> = runtime.block_on(async {
            let run = |attempt: &Attempt| run(attempt.clone(), Arc::clone(&world), Arc::clone(&random));
            let running: Vec<_> = attempts.iter().map(|attempt| tokio::spawn(run(attempt))).collect();
            let mut results = Vec::new();
            for one in running {
                results.push(one.await.unwrap());
            }
            results
        });
        let world = world.lock().unwrap();
        for (token, ran) in &world.ran {
            prop_assert_eq!(*ran, 1, "{} ran so often", token);
        }
        // Whoever is told that it was used is told so by another's claim, never by its own that was repeated.
        for (attempt, result) in attempts.iter().zip(&results) {
            let others = attempts.iter().filter(|other| other.token == attempt.token).count();
            prop_assert!(attempt.restarts.is_some() || others > 1 || result.is_ok(), "{:?}: {:?}", attempt, result);
        }
    }
}

#[tokio::test]
async fn a_broker_that_stays_silent_is_not_waited_for_any_longer() {
    let asked = Mutex::new(0);
    let send = || async {
        *asked.lock().unwrap() += 1;
        Err(no(StatusCode::BAD_GATEWAY, Reason::Internal))
    };
    let pace = [Duration::from_millis(200), Duration::from_millis(10)];
    assert_eq!(insist(pace, &SeededRandom::new(1), send).await, Err(SILENT));
    assert!((3..40).contains(&*asked.lock().unwrap()), "{asked:?}");
    let hangs = || std::future::pending();
    assert_eq!(insist(pace, &SeededRandom::new(1), hangs).await, Err(SILENT));
}

#[tokio::test]
async fn what_the_broker_says_for_good_is_asked_once() {
    let revoked = Reason::Revoked(shortbread_protocol::revocations::SelectorKind::Token);
    for (status, reason, expected) in [
        (StatusCode::CONFLICT, Reason::AlreadyUsed, Unclaimed::Used),
        (StatusCode::FORBIDDEN, revoked, Unclaimed::Revoked(revoked)),
        (StatusCode::FORBIDDEN, Reason::RevokedAll, Unclaimed::Revoked(Reason::RevokedAll)),
        (StatusCode::UNAUTHORIZED, Reason::InstanceUnknown, REFUSED),
        (StatusCode::BAD_REQUEST, Reason::RequestMalformed, REFUSED),
        (StatusCode::TOO_MANY_REQUESTS, Reason::RateLimited, REFUSED),
    ] {
        let asked = Mutex::new(0);
        let send = || async {
            *asked.lock().unwrap() += 1;
            Err(no(status, reason))
        };
        assert_eq!(insist(PACE, &SeededRandom::new(1), send).await, Err(expected));
        assert_eq!(*asked.lock().unwrap(), 1, "{reason}");
    }
}

#[test]
fn each_attempt_has_a_name_of_its_own() {
    let random = SeededRandom::new(1);
    let [one, other] = [(); 2].map(|()| attempt(&wanted("tok_1"), &random).unwrap());
    assert_ne!(one.attempt, other.attempt);
    assert!(one.attempt.len() == 32 && one.attempt.bytes().all(|b| b.is_ascii_hexdigit()));
    assert_eq!(one.args_sha256, None);
    let call = Call { tool: "No Name", ..CALL };
    assert_eq!(attempt(&Use { call: &call, ..wanted("t") }, &random), Err(NO_NAME));
}
