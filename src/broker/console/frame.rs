//! What stands around every page: where one is, who one is, and what one may look at.

use super::assets;
use super::origin;
use super::visit::{FRESH_MINUTES, Visit};
use crate::policy::builtin;

/// A place in the console: its path, its name, and the verbs of which one opens it.
struct Place(&'static str, &'static str, &'static [&'static str]);

const PLACES: [Place; 7] = [
    Place("/console/approvals", "Approvals", &["approvals.read", builtin::DECIDE]),
    Place("/console/switch", "Switch", &["revocations.read"]),
    Place("/console/activity", "Activity", &["audit.read"]),
    Place("/console/workflows", "Workflows", &["policy.read"]),
    Place("/console/policy", "Policy", &["policy.read"]),
    Place("/console/signals", "Signals", &["audit.read"]),
    Place("/console/health", "Health", &["status.read"]),
];

/// One of the links at the top.
pub(super) struct Link {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    pub(super) here: bool,
    /// How many things wait there.
    pub(super) waiting: u64,
}

/// What stands around a page.
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) css: &'static str,
    pub(super) js: &'static str,
    pub(super) links: Vec<Link>,
    pub(super) operator: String,
    /// What forms bear, so that nobody else's are taken.
    pub(super) form_token: String,
    /// The broker's clock, in seconds since the epoch.
    pub(super) now: u64,
    /// Every how many seconds the page is looked at again; 0: never.
    pub(super) live: u32,
    pub(super) fresh: bool,
    pub(super) fresh_minutes: u64,
    /// Where to sign in again.
    pub(super) again: String,
    pub(super) host: String,
}

impl Frame {
    /// For a page of this title, at one of the places.
    pub(super) async fn of(visit: &Visit, title: impl Into<String>, place: &str) -> Self {
        let broker = &visit.broker;
        let mut links = Vec::with_capacity(PLACES.len());
        for Place(path, name, verbs) in PLACES {
            if verbs.iter().any(|verb| visit.may(verb)) {
                let counted = path == "/console/approvals";
                let waiting =
                    if counted { broker.store.open_approvals().await.unwrap_or_default() } else { 0 };
                links.push(Link { path, name, here: name == place, waiting });
            }
        }
        let again = form_urlencoded::Serializer::new(String::new()).append_pair("to", &visit.here).finish();
        let host = origin::of(&broker.issuer);
        Self {
            title: title.into(),
            css: assets::css(),
            js: assets::js(),
            links,
            operator: visit.session.who.operator.to_string(),
            form_token: visit.session.form.reveal().to_owned(),
            now: broker.clock.now().seconds(),
            live: 0,
            fresh: visit.is_fresh(),
            fresh_minutes: FRESH_MINUTES,
            again: format!("/console/sign-in?{again}"),
            host: host.split_once("://").map_or(host.as_str(), |(_, host)| host).to_owned(),
        }
    }

    /// Looked at again every so many seconds.
    pub(super) fn live(self, seconds: u32) -> Self {
        Self { live: seconds, ..self }
    }
}

/// The first page that somebody may look at.
pub(super) fn first(visit: &Visit) -> Option<&'static str> {
    let open = PLACES.into_iter().find(|Place(_, _, verbs)| verbs.iter().any(|verb| visit.may(verb)));
    open.map(|Place(path, _, _)| path)
}
