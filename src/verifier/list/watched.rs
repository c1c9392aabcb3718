//! The state that checks read, and who is told when it was replaced.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::{ArcSwap, Guard};

use super::state::State;

/// What is called after each change, with the state that holds now. It must be quick and must not ask the trust for
/// its status: whoever offers a head waits for it.
pub(crate) type Watcher = Arc<dyn Fn(&State) + Send + Sync>;

/// A state behind one atomic pointer.
pub(super) struct Watched {
    state: ArcSwap<State>,
    /// The state before. Should a check have the last hold on a large list, a call would wait until it is taken apart.
    before: Mutex<Option<Arc<State>>>,
    watcher: OnceLock<Watcher>,
}

impl Watched {
    pub(super) fn from_pointee(state: State) -> Self {
        Self { state: ArcSwap::from_pointee(state), before: Mutex::default(), watcher: OnceLock::new() }
    }

    pub(super) fn load(&self) -> Guard<Arc<State>> {
        self.state.load()
    }

    pub(super) fn load_full(&self) -> Arc<State> {
        self.state.load_full()
    }

    pub(super) fn store(&self, state: Arc<State>) {
        let replaced = self.state.swap(Arc::clone(&state));
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).replace(replaced);
        drop(before);
        if let Some(watcher) = self.watcher.get() {
            watcher(&state);
        }
    }

    /// Whether this one is told from now on: the first is, and nobody after it.
    #[cfg(feature = "report")]
    pub(super) fn watch(&self, watcher: Watcher) -> bool {
        self.watcher.set(watcher).is_ok()
    }
}
