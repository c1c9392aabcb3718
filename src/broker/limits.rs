//! Request limits: by client address, by grant, and for failed authentication by address, never by a claimed name.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use shortbread_protocol::clock::Clock;

use crate::config;
use crate::policy::model::Rate;

type Keyed<K> = RateLimiter<K, DefaultKeyedStateStore<K>, Monotonic, NoOpMiddleware<Duration>>;

/// The broker's own clock, as the limiter wants it.
#[derive(Clone)]
struct Monotonic(Arc<dyn Clock>);

impl GovernorClock for Monotonic {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

/// How many signatures are checked a second, in all, for requests that claim to be an operator's where their address has
/// used up its budget: a twentieth of a core. Strangers who claim it can use that up, and no more.
const CHECKS: u32 = 2000;

/// How many of an operator's requests are let in so a second, once their signature held.
const OPERATOR: u32 = 20;

/// Too many requests; the duration says when to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited(pub Duration);

/// All limiters of a broker.
pub struct Limits {
    clock: Monotonic,
    exchanges: Keyed<IpAddr>,
    failures: Keyed<IpAddr>,
    admin: Keyed<IpAddr>,
    checks: Keyed<()>,
    operators: Keyed<String>,
    messages: Keyed<IpAddr>,
    reports: Keyed<(Arc<str>, IpAddr)>,
    batches: Keyed<(Arc<str>, IpAddr)>,
    log: Keyed<IpAddr>,
    // One limiter per distinct rate, kept over activations so that a new policy gives nobody a fresh budget.
    grants: Mutex<Vec<(Rate, Arc<Keyed<String>>)>>,
}

impl Limits {
    /// With the configured rates.
    #[must_use]
    pub fn new(config: &config::Limits, clock: Arc<dyn Clock>) -> Self {
        let clock = Monotonic(clock);
        let second = Quota::per_second(at_least_one(config.exchanges_per_second));
        let minute = Quota::per_minute(at_least_one(config.failures_per_minute));
        Self {
            exchanges: keyed(second, &clock),
            failures: keyed(minute, &clock),
            admin: keyed(Quota::per_second(at_least_one(config.admin_per_second)), &clock),
            messages: keyed(bursting(2000, 10_000), &clock),
            reports: keyed(bursting(4, 10), &clock),
            batches: keyed(bursting(32, 64), &clock),
            log: keyed(bursting(50, 500), &clock),
            checks: keyed(Quota::per_second(at_least_one(CHECKS)), &clock),
            operators: keyed(Quota::per_second(at_least_one(OPERATOR)), &clock),
            grants: Mutex::new(Vec::new()),
            clock,
        }
    }

    /// One more exchange from this address.
    ///
    /// # Errors
    /// When there were too many.
    pub fn exchange(&self, address: IpAddr) -> Result<(), Limited> {
        self.check(&self.exchanges, &subnet(address))
    }

    /// One more request of the admin API from this address.
    ///
    /// # Errors
    /// When there were too many.
    pub fn admin(&self, address: IpAddr) -> Result<(), Limited> {
        self.check(&self.admin, &subnet(address))
    }

    /// One more message of a verifier from this address: a thousand of them may stand behind one, and all report at once
    /// when something is revoked.
    ///
    /// # Errors
    /// When there were too many.
    pub fn messages(&self, address: IpAddr) -> Result<(), Limited> {
        self.check(&self.messages, &subnet(address))
    }

    /// One more message of this instance of a verifier, as it says: a batch of call decisions, or a report. Counted by
    /// address too, so that nobody else uses its budget up.
    ///
    /// # Errors
    /// When there were too many.
    pub fn instance(&self, instance: &Arc<str>, address: IpAddr, batch: bool) -> Result<(), Limited> {
        let limiter = if batch { &self.batches } else { &self.reports };
        self.check(limiter, &(Arc::clone(instance), subnet(address)))
    }

    /// One more question about the audit log's tree from this address: at once as many as it takes to follow a long log, and
    /// then no more than leaves the store to others.
    ///
    /// # Errors
    /// When there were too many.
    pub fn log(&self, address: IpAddr) -> Result<(), Limited> {
        self.check(&self.log, &subnet(address))
    }

    /// One more signature to check of a request that claims to be an operator's and comes from an address that asked too
    /// often.
    ///
    /// # Errors
    /// When there were too many, whoever sent them.
    pub fn check_of_operator(&self) -> Result<(), Limited> {
        self.check(&self.checks, &())
    }

    /// One more request that this operator's key signed, from an address that asked too often. Whoever else is behind that
    /// address takes nothing of this.
    ///
    /// # Errors
    /// When there were too many.
    pub fn operator(&self, name: &str) -> Result<(), Limited> {
        self.check(&self.operators, &name.to_owned())
    }

    /// One more failed authentication from this address.
    ///
    /// # Errors
    /// When there were too many; the caller answers that instead.
    pub fn failure(&self, address: IpAddr) -> Result<(), Limited> {
        self.check(&self.failures, &subnet(address))
    }

    /// One more use of a grant by a principal.
    ///
    /// # Errors
    /// When its rate is used up.
    pub fn grant(&self, principal: &str, grant: &str, rate: Rate) -> Result<(), Limited> {
        let limiter = self.of_rate(rate);
        self.check(&limiter, &format!("{principal} {grant}"))
    }

    /// Forgets keys that have their full budget again. To be called now and then.
    pub fn sweep(&self) {
        self.exchanges.retain_recent();
        self.failures.retain_recent();
        self.admin.retain_recent();
        self.operators.retain_recent();
        self.messages.retain_recent();
        self.reports.retain_recent();
        self.batches.retain_recent();
        self.log.retain_recent();
        for (_, limiter) in self.grants.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            limiter.retain_recent();
        }
    }

    fn of_rate(&self, rate: Rate) -> Arc<Keyed<String>> {
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, limiter)) = grants.iter().find(|(known, _)| *known == rate) {
            return Arc::clone(limiter);
        }
        let count = at_least_one(rate.count);
        let quota =
            Quota::with_period(rate.per / count.get()).unwrap_or(Quota::per_second(count)).allow_burst(count);
        let limiter = Arc::new(keyed(quota, &self.clock));
        grants.push((rate, Arc::clone(&limiter)));
        limiter
    }

    fn check<K: std::hash::Hash + Eq + Clone>(&self, limiter: &Keyed<K>, key: &K) -> Result<(), Limited> {
        limiter.check_key(key).map_err(|until| Limited(until.wait_time_from(self.clock.now())))
    }
}

fn keyed<K: std::hash::Hash + Eq + Clone>(quota: Quota, clock: &Monotonic) -> Keyed<K> {
    RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock.clone())
}

fn bursting(per_second: u32, at_once: u32) -> Quota {
    Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(at_once))
}

fn at_least_one(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
}

/// The range an address is counted under: a single IPv4 address, a /64 of IPv6, which one machine may own whole.
#[must_use]
pub fn subnet(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shortbread_protocol::clock::{ManualClock, Timestamp};

    #[test]
    fn budgets_are_per_key_and_come_back_with_time() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1)));
        let config = config::Limits { exchanges_per_second: 2, ..config::Limits::default() };
        let limits = Limits::new(&config, Arc::clone(&clock) as Arc<dyn Clock>);
        let (one, other) = (IpAddr::from([1, 1, 1, 1]), IpAddr::from([2, 2, 2, 2]));
        assert!(limits.exchange(one).is_ok() && limits.exchange(one).is_ok());
        let Err(Limited(wait)) = limits.exchange(one) else { panic!("not limited") };
        assert!(wait <= Duration::from_secs(1) && limits.exchange(other).is_ok());
        clock.advance(wait);
        assert!(limits.exchange(one).is_ok());
        let rate = Rate { count: 1, per: Duration::from_secs(60) };
        assert!(limits.grant("workflow:a", "grant:1", rate).is_ok());
        assert!(limits.grant("workflow:b", "grant:1", rate).is_ok());
        assert!(limits.grant("workflow:a", "grant:1", rate).is_err());
    }

    #[test]
    fn an_ipv6_neighbourhood_counts_as_one() {
        let at = |text: &str| subnet(text.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_eq!(at("::ffff:1.2.3.4"), at("1.2.3.4"));
    }
}
