//! What everything here that goes over the network keeps to.

use std::error::Error as _;
use std::net::IpAddr;

use reqwest::Url;

/// Whether an address may be talked to: it has no credentials, query or fragment, and it is `https`, or `http` to this
/// machine or where that is allowed expressly.
///
/// # Errors
/// Says what is wrong with it.
pub(crate) fn checked(address: &str, allow_http: bool) -> Result<Url, &'static str> {
    let url = Url::parse(address).map_err(|_| "it is not a URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it must not hold a user name or password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it must not have a query or fragment");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if allow_http || is_loopback(&url) => Ok(url),
        "http" => Err("use https; http is for this machine alone, unless it is allowed expressly"),
        _ => Err("use https"),
    }
}

/// Whether it is on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An address as it may be shown: what stands before an `@` may be a password.
pub(crate) fn redacted(address: &str) -> String {
    address.rsplit_once('@').map_or(address, |(_, rest)| rest).chars().take(256).collect()
}

/// An error with its causes: the first one alone says only that the request failed.
pub(crate) fn with_causes(error: &reqwest::Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        said = format!("{said}: {error}");
        next = error.source();
    }
    said
}
