//! http and https URLs, read strictly: whatever two readers are known to take for two different hosts is refused.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt::Write as _;

use super::Refused;
use super::percent::{byte, decoded, hex};
use crate::address::{self, Class};

/// The longest host name (RFC 1035).
const MAX_HOST: usize = 253;

/// Names that lead to private places wherever they are looked up, with everything below them. A name without a dot is
/// one too.
const PRIVATE_NAMES: [&str; 7] = ["localhost", "localdomain", "local", "internal", "home.arpa", "lan", "svc"];

/// A URL in its one spelling.
pub(super) struct Url {
    /// Scheme and host in lower case, no default port, a path.
    pub(super) whole: String,
    /// Host and port, and the scheme when it is http.
    pub(super) host: String,
}

/// Reads a URL. `private` lets it lead to private networks, the same link and this host.
///
/// # Errors
/// When it is no http or https URL, or readers might disagree about it.
pub(super) fn read(text: &str, private: bool) -> Result<Url, Refused> {
    text.bytes().try_for_each(character)?;
    let (scheme, rest) = text.split_once("://").ok_or(Refused("is no http or https URL"))?;
    let https = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => return Err(Refused("is no http or https URL")),
    };
    let (place, tail) = match rest.find(['/', '?']) {
        None => (rest, "/"),
        Some(at) => rest.split_at_checked(at).ok_or(Refused("is no http or https URL"))?,
    };
    if tail.starts_with('?') {
        return Err(Refused("has no slash after its host"));
    }
    below(tail)?;
    let place = authority(place, https, private)?;
    let scheme = if https { "https" } else { "http" };
    Ok(Url { whole: format!("{scheme}://{place}{tail}"), host: spelled(place, https) })
}

/// Reads a host as `host_in` lists it: `api.example`, `api.example:8443`, `http://api.example`.
///
/// # Errors
/// When it is no host, or one that readers might disagree about.
pub(super) fn host(text: &str, private: bool) -> Result<String, Refused> {
    text.bytes().try_for_each(character)?;
    let (place, https) = text.strip_prefix("http://").map_or((text, true), |place| (place, false));
    if place.contains('/') {
        return Err(Refused("is more than a host"));
    }
    authority(place, https, private).map(|place| spelled(place, https))
}

fn spelled(place: String, https: bool) -> String {
    if https { place } else { format!("http://{place}") }
}

// The characters of RFC 3986, but for the mark of a fragment: old readers look for the host behind it.
fn character(byte: u8) -> Result<(), Refused> {
    match byte {
        b'\\' => Err(Refused("has a backslash")),
        b'#' => Err(Refused("has a fragment; leave it out")),
        b'*' | b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => Ok(()),
        // One by one, so that this is a table and not a search for every byte.
        b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b'?' | b'[' | b']' | b'@' | b'!' | b'$' | b'&' | b'\''
        | b'(' | b')' | b'+' | b',' | b';' | b'=' | b'%' => Ok(()),
        0..=0x20 | 0x7f => Err(Refused("has a space or a control character")),
        0x80.. => Err(Refused(
            "has a character outside ASCII; write a host in its xn-- form and percent-encode the rest",
        )),
        _ => Err(Refused("has a character that no URL has")),
    }
}

/// Path and query: no dots to resolve, nothing half encoded, and no bracket, which belongs to a host.
fn below(tail: &str) -> Result<(), Refused> {
    if tail.contains(['[', ']']) {
        return Err(Refused("has a bracket after its host"));
    }
    for code in tail.split('%').skip(1) {
        match code.as_bytes() {
            [high, low, ..] => match byte(*high, *low) {
                None => return Err(Refused("has a percent sign that encodes nothing")),
                Some(0..=0x1f | 0x7f) => return Err(Refused("encodes a control character")),
                Some(_) => {}
            },
            _ => return Err(Refused("has a percent sign that encodes nothing")),
        }
    }
    let path = tail.split('?').next().unwrap_or_default();
    // 0xc0 and 0xc1 begin nothing but overlong spellings of ASCII.
    let plain = decoded(path, |byte| byte >= 0x20 && !matches!(byte, 0x7f | 0xc0 | 0xc1))?;
    let parts = plain.split(|byte| matches!(byte, b'/' | b'\\'));
    // To some readers a part ends at its first semicolon.
    let mut names = parts.map(|part| part.split(|byte| *byte == b';').next().unwrap_or_default());
    if names.any(|name| matches!(name, b"." | b"..")) { Err(Refused("has a dot segment")) } else { Ok(()) }
}

/// Host and port in one spelling, without the port that the scheme has anyway.
fn authority(place: &str, https: bool, private: bool) -> Result<String, Refused> {
    if place.contains('@') {
        return Err(Refused("has a user before its host"));
    }
    if place.contains('%') {
        return Err(Refused("has a percent sign in its host"));
    }
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (inner, after) = rest.split_once(']').ok_or(Refused("has an open bracket in its host"))?;
            let port = match after.strip_prefix(':') {
                Some(port) => Some(port),
                None if after.is_empty() => None,
                None => return Err(Refused("has something between its host and its port")),
            };
            let ip: Ipv6Addr = inner.parse().map_err(|_| Refused("has a host that is no IPv6 address"))?;
            (address(IpAddr::V6(ip), private)?, port)
        }
        None => {
            let (host, port) = place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)));
            (named(&host.to_ascii_lowercase(), private)?, port)
        }
    };
    let mut spelled = host;
    if let Some(port) = port.map(number).transpose()?.filter(|port| *port != if https { 443 } else { 80 }) {
        // Writing to a text does not fail.
        let _ = write!(spelled, ":{port}");
    }
    Ok(spelled)
}

fn number(port: &str) -> Result<u16, Refused> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    port.parse().ok().filter(|_| digits).ok_or(Refused("has no port from 1 to 65535 in plain digits"))
}

fn named(host: &str, private: bool) -> Result<String, Refused> {
    if host.is_empty() {
        return Err(Refused("has no host"));
    }
    if host.contains('*') {
        return Err(Refused("has a wildcard; name each host"));
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    if is_number(last) {
        // The one spelling that every reader takes for the same address.
        let ip: Ipv4Addr = host.parse().map_err(|_| Refused("has an IPv4 address in another spelling"))?;
        return address(IpAddr::V4(ip), private);
    }
    if host.ends_with('.') {
        return Err(Refused("has a dot at the end of its host"));
    }
    if host.len() > MAX_HOST || !host.split('.').all(is_label) {
        return Err(Refused("has a host that is no name of letters, digits, hyphens and dots"));
    }
    let below =
        |name: &str| host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if !private && (!host.contains('.') || PRIVATE_NAMES.into_iter().any(below)) {
        return Err(Refused("leads to a private place"));
    }
    Ok(host.to_owned())
}

// Readers take a name for an IPv4 address when its last part is one of these.
fn is_number(last: &str) -> bool {
    let digits = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    digits || last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| hex(byte).is_some()))
}

fn is_label(label: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&label.len())
        && label.bytes().all(plain)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn address(ip: IpAddr, private: bool) -> Result<String, Refused> {
    match address::class(ip) {
        Class::Public if !address::is_mapped(ip) || private => {}
        Class::Never => return Err(Refused("names an address that no host has")),
        _ if private => {}
        _ => return Err(Refused("leads to a private place")),
    }
    Ok(match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    })
}
