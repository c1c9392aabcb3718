//! Every page that an operator gets to by links, one of each kind, so that a new page is looked at without being named.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use shortbread_tests::{Answer, World};

use super::plain::{Plain, text};

/// The paths of pages, from the first page on: of pages that differ in ids alone, one.
pub(super) async fn tour(world: &World, session: &Plain) -> Vec<String> {
    let (mut seen, mut all) = (BTreeSet::new(), Vec::new());
    let mut next = VecDeque::from([home(world, session).await]);
    while let Some(path) = next.pop_front() {
        if path.starts_with("/console/sign-in") || !seen.insert(kind(&path)) {
            continue;
        }
        let page = made(world, session, &path).await;
        if page.status == 303 && seen.len() < 100 {
            next.push_back(page.header("location").to_owned());
            continue;
        }
        assert_eq!(page.status, 200, "{path}: {page:?}");
        let found = text(&page);
        let hrefs = found.split("href=\"/console").skip(1).filter_map(|rest| rest.split('"').next());
        let hrefs = hrefs.filter(|href| !href.starts_with("/assets")).map(|href| format!("/console{href}"));
        next.extend(hrefs.map(|href| href.replace("&#38;", "&").replace("&amp;", "&")));
        all.push(path);
    }
    all
}

// Figures are made beside, and a page says so until they are.
async fn made(world: &World, session: &Plain, path: &str) -> Answer {
    for _ in 0..200 {
        let page = session.get(world, path).await;
        if !["being made", "being counted"].iter().any(|words| text(&page).contains(words)) {
            return page;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{path} is never made");
}

async fn home(world: &World, session: &Plain) -> String {
    session.get(world, "/console").await.header("location").to_owned()
}

// Ids and numbers stand for any other, and so do the values of a query but for those that choose a page.
fn kind(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let is_id = |part: &&str| part.contains(|c: char| c.is_ascii_digit());
    let parts: Vec<&str> = path.split('/').map(|part| if is_id(&part) { "*" } else { part }).collect();
    let query = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name @ ("kind" | "state"), value)) => format!("{name}={value}"),
        Some((name, _)) => name.to_owned(),
        None => String::new(),
    });
    format!("{}?{}", parts.join("/"), query.collect::<Vec<_>>().join("&"))
}
