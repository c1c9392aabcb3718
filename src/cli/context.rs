//! What commands are handed: output, time, randomness and the environment.

use shortbread_broker::config::Passphrase;
use shortbread_protocol::clock::{Clock, SystemClock, Timestamp};
use shortbread_protocol::random::{Random, SystemRandom};

use crate::ui::Ui;

/// The variable that holds the passphrase of encrypted key files.
pub(crate) const PASSPHRASE: &str = "SHORTBREAD_KEY_PASSPHRASE";

/// Looks an environment variable up; an empty one counts as absent.
pub(crate) type Env = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Everything a command reaches for outside its arguments.
pub(crate) struct Context {
    pub(crate) ui: Ui,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) random: Box<dyn Random>,
    pub(crate) env: Env,
}

impl Context {
    /// The machine's own.
    pub(crate) fn system(json: bool) -> Self {
        let env: Env = Box::new(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        Self {
            ui: Ui::of_process(json, &env),
            clock: Box::new(SystemClock::start()),
            random: Box::new(SystemRandom),
            env,
        }
    }

    /// What encrypted key files are opened with, as the environment says it. Never an argument: those are seen by others.
    pub(crate) fn passphrase(&self) -> Option<Passphrase> {
        (self.env)(PASSPHRASE).map(Passphrase::new)
    }

    /// The wall clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
