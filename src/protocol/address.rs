//! What kind of place an IP address leads to: the ground of every guard against server-side request forgery.
//! Addresses are taken from `core`, which knows them and no sockets.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of place an address leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The public internet.
    Public,
    /// A private network (RFC 1918, RFC 6598, RFC 4193).
    Private,
    /// This host.
    Loopback,
    /// The same link: among others, where clouds serve a machine's metadata and its secrets.
    LinkLocal,
    /// No host at all, or one that nobody should connect to: "this network", protocol assignments, documentation,
    /// tunnels, benchmarks, multicast, reserved (RFC 6890).
    Never,
}

/// The class of an address. One that leads to an IPv4 address inside it (IPv4-mapped, NAT64) has the class of that.
#[must_use]
pub fn class(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(address) => class_of_v4(address),
        IpAddr::V6(address) => class_of_v6(address),
    }
}

/// Whether this is an IPv6 spelling of an IPv4 address, `::ffff:192.0.2.1`, which no public name has a reason to be.
#[must_use]
pub fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

fn class_of_v4(address: Ipv4Addr) -> Class {
    let [a, b, c, d] = address.octets();
    match (a, b, c) {
        // A public address by its range, but Azure answers it on every machine's own link.
        (168, 63, 129) if d == 16 => Class::LinkLocal,
        (127, _, _) => Class::Loopback,
        (10, _, _) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Class::Private,
        (169, 254, _) => Class::LinkLocal,
        (0 | 224..=255, _, _)
        | (192, 0, 0 | 2)
        | (192, 88, 99)
        | (198, 18 | 19, _)
        | (198, 51, 100)
        | (203, 0, 113) => Class::Never,
        _ => Class::Public,
    }
}

fn class_of_v6(address: Ipv6Addr) -> Class {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let [g1, g2] = g.to_be_bytes();
    let [h1, h2] = h.to_be_bytes();
    let inner = Ipv4Addr::new(g1, g2, h1, h2);
    match (a, b) {
        _ if address.is_loopback() => Class::Loopback,
        (0, 0) if (c, d, e, f) == (0, 0, 0, 0xffff) => class_of_v4(inner),
        // NAT64 (RFC 6052).
        (0x64, 0xff9b) if (c, d, e, f) == (0, 0, 0, 0) => class_of_v4(inner),
        (0xfc00..=0xfdff, _) => Class::Private,
        (0xfe80..=0xfebf, _) => Class::LinkLocal,
        // Protocol assignments with Teredo, documentation, 6to4.
        (0x2001, 0..=0x01ff | 0xdb8) | (0x2002, _) | (0x3fff, 0..=0x0fff) => Class::Never,
        (0x2000..=0x3fff, _) => Class::Public,
        _ => Class::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_has_its_class() {
        for (addresses, expected) in [
            (
                &["8.8.8.8", "172.32.0.1", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"][..],
                Class::Public,
            ),
            (
                &[
                    "10.1.2.3",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.0.1",
                    "100.64.0.1",
                    "fd00::1",
                    "::ffff:10.0.0.1",
                    "64:ff9b::a00:1",
                ],
                Class::Private,
            ),
            (&["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"], Class::Loopback),
            (
                &[
                    "169.254.169.254",
                    "168.63.129.16",
                    "fe80::1",
                    "::ffff:169.254.169.254",
                    "64:ff9b::a9fe:a9fe",
                ],
                Class::LinkLocal,
            ),
            (
                &[
                    "0.0.0.0",
                    "224.0.0.1",
                    "240.0.0.1",
                    "255.255.255.255",
                    "198.18.0.1",
                    "192.0.0.1",
                    "192.0.2.1",
                    "192.88.99.1",
                    "198.51.100.1",
                    "203.0.113.1",
                    "::",
                    "ff02::1",
                    "::7f00:1",
                    "2002:7f00:1::",
                    "2001:0:1::1",
                    "2001:db8::1",
                    "fec0::1",
                    "64:ff9b:1::a00:1",
                    "100::1",
                ],
                Class::Never,
            ),
        ] {
            for address in addresses {
                assert_eq!(class(address.parse().unwrap()), expected, "{address}");
            }
        }
        assert!(is_mapped("::ffff:8.8.8.8".parse().unwrap()) && !is_mapped("::1".parse().unwrap()));
    }
}
