//! Budgets: what is taken never comes to more than there is, whatever is minted, claimed, given back and forgotten.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const LIMIT: u64 = 100;
const PER: u64 = 300;

#[derive(Clone, Debug)]
enum Step {
    Mint { budget: u8, amount: u64, life: u64 },
    Claim { which: usize },
    GiveBack,
    Prune,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<(Step, u64)>> {
    let mint = (0..2_u8, 0..70_u64, 1..600_u64).prop_map(|(budget, amount, life)| Step::Mint {
        budget,
        amount,
        life,
    });
    let step = prop_oneof![
        5 => mint,
        4 => (0..8_usize).prop_map(|which| Step::Claim { which }),
        2 => Just(Step::GiveBack),
        1 => Just(Step::Prune),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec((step, prop_oneof![0..5_u64, 0..400_u64]), 1..40)
}

/// A token that is good once, and what it took.
#[derive(Clone)]
struct Taken {
    token: String,
    budget: u8,
    amount: u64,
    ends: u64,
    expires: u64,
    used: Option<u64>,
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn minted(n: u64, budget: u8, amount: u64, now: u64, life: u64) -> Exchange {
    let exchange = exchange(n, "desk", now);
    let (token, expires) = (exchange.token.id.clone(), now + life);
    let one_shot = OneShot {
        token: token.clone(),
        tool: "github".parse().unwrap(),
        verbs: vec!["issues.write".parse().unwrap()],
        args_sha256: None,
        expires,
    };
    let spend = Spend {
        budget: [budget; 32],
        grant: "grant:1".to_owned(),
        argument: "amount".to_owned(),
        amount,
        limit: LIMIT,
        by: token,
        ends: at(expires + PER),
        expires: at(expires),
    };
    let audit = AuditEntry { at: at(now), ..audit("mint") };
    Exchange { replay: None, one_shots: vec![one_shot], spends: vec![spend], audit, ..exchange }
}

async fn claimed(store: &Store, token: &str, now: u64) -> Claimed {
    let claim = ClaimUse {
        token: token.to_owned(),
        tool: "github".parse().unwrap(),
        verb: "issues.write".parse().unwrap(),
        args_sha256: None,
        attempt: "a".to_owned(),
        verifier: "github".to_owned(),
        instance: "one".to_owned(),
        at: at(now),
    };
    store.claim_use(claim, |_, _| audit("claim")).await.unwrap()
}

async fn give_back(store: &Store, now: u64) -> Vec<String> {
    let mut back = Vec::new();
    for unused in store.unused(at(now), vec!["github".parse().unwrap()], 100).await.unwrap() {
        back.push(unused.token.clone());
        let audit = AuditEntry { at: at(now), ..audit("back") };
        assert!(store.return_unused(unused, audit).await.unwrap());
    }
    back
}

// As much as was used within any period is as much as there is, at most.
fn holds(all: &[Taken]) {
    for one in all.iter().filter(|taken| taken.used.is_some()) {
        let used = |taken: &&Taken| {
            taken.budget == one.budget && taken.used <= one.used && taken.used > one.used.map(|at| at - PER)
        };
        let sum: u64 = all.iter().filter(|taken| taken.used.is_some()).filter(used).map(|t| t.amount).sum();
        assert!(sum <= LIMIT, "{sum} within one period");
    }
}

async fn run(place: &Place, steps: Vec<(Step, u64)>) {
    let mut store = place.create();
    let mut all: Vec<Taken> = Vec::new();
    let mut now = NOW.seconds();
    for (n, (step, wait)) in steps.into_iter().enumerate() {
        now += wait;
        match step {
            Step::Mint { budget, amount, life } => {
                let exchange = minted(n as u64, budget, amount, now, life);
                let token = exchange.token.id.clone();
                let standing = all.iter().filter(|taken| taken.budget == budget && taken.ends > now);
                let left = LIMIT - standing.map(|taken| taken.amount).sum::<u64>();
                let result = store.record_exchange(exchange).await;
                assert_eq!(result.is_ok(), amount <= left, "{result:?}");
                if let Err(RecordError::BudgetSpent(spent)) = &result {
                    assert_eq!((spent.left, spent.amount), (left, amount));
                }
                if result.is_ok() {
                    let (expires, ends) = (now + life, now + life + PER);
                    all.push(Taken { token, budget, amount, ends, expires, used: None });
                }
            }
            Step::Claim { which } => {
                let Some(taken) = all.iter_mut().rev().nth(which) else { continue };
                let won = claimed(&store, &taken.token, now).await == Claimed::Won;
                assert_eq!(won, now < taken.expires && taken.used.is_none());
                if won {
                    taken.used = Some(now);
                }
            }
            Step::GiveBack => {
                for token in give_back(&store, now).await {
                    let taken = all.iter_mut().find(|taken| taken.token == token).unwrap();
                    assert!(taken.used.is_none() && taken.expires + 60 <= now && taken.ends > now);
                    taken.ends = 0;
                }
            }
            Step::Prune => drop(store.prune(at(now)).await.unwrap()),
            Step::Reopen => {
                drop(store);
                store = place.open();
            }
        }
        holds(&all);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_more_is_used_within_a_period_than_there_is(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(&Place::new(), steps));
    }
}

#[tokio::test]
async fn what_is_left_and_when_there_is_more_is_told() {
    let place = Place::new();
    let store = place.create();
    let now = NOW.seconds();
    store.record_exchange(minted(1, 1, 60, now, 100)).await.unwrap();
    let Err(RecordError::BudgetSpent(spent)) = store.record_exchange(minted(2, 1, 50, now + 10, 100)).await
    else {
        panic!("more than is left")
    };
    assert_eq!((spent.left, spent.frees), (40, Some(Duration::from_secs(390))));
    assert_eq!(
        spent.to_string(),
        "the budget of grant:1 has 40 of 100 left for amount and this may take 50; ask for less, or wait: the next amount \
         comes free in 390 s"
    );
    let Err(RecordError::BudgetSpent(never)) = store.record_exchange(minted(3, 1, 101, now, 100)).await
    else {
        panic!("more than there is")
    };
    assert_eq!(never.frees, None);
    assert_eq!(
        never.to_string(),
        "this may take 101 of amount and the budget of grant:1 is 100 in all; ask for less"
    );
    assert_eq!(store.counts().await.unwrap().tokens, 1);
    store.prune(at(now + 400)).await.unwrap();
    let left: i64 =
        place.raw().query_row("SELECT count(*) FROM budget_charge", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0, "what left its period is forgotten");
}
