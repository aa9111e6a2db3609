//! What kind of place an IP address is.
//!
//! An address that carries another inside (mapped, translated, tunnelled) is judged by that one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The internet.
    Public,
    /// This machine or a network behind it.
    Private,
    /// Nothing that a request has business with: machines' metadata, link-local, multicast.
    Never,
}

/// Addresses at which clouds give credentials to whoever asks, beside the link-local ones.
const METADATA: &[Ipv4Addr] = &[
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// The place that `address` is in.
pub(crate) fn place(address: IpAddr) -> Place {
    match address {
        IpAddr::V4(address) => place_v4(address),
        IpAddr::V6(address) => place_v6(address),
    }
}

fn place_v4(address: Ipv4Addr) -> Place {
    let [a, b, c, _] = address.octets();
    if a == 0
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || METADATA.contains(&address)
    {
        return Place::Never;
    }
    let is_private = address.is_private()
        || address.is_loopback()
        || address.is_documentation()
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (18..20).contains(&b))
        || (a == 192 && b == 0 && c == 0);
    if is_private { Place::Private } else { Place::Public }
}

fn place_v6(address: Ipv6Addr) -> Place {
    if let Some(inner) = inner_v4(address) {
        return place_v4(inner);
    }
    let [a, b, ..] = address.segments();
    if address.is_unspecified()
        || address.is_multicast()
        || address.is_unicast_link_local()
        || (a == 0xfd00 && b == 0x0ec2)
    {
        return Place::Never;
    }
    let is_private = address.is_loopback()
        || address.is_unique_local()
        || a & 0xffc0 == 0xfec0
        || (a == 0x2001 && (b == 0 || b == 0x0db8))
        || (a == 0x0064 && b == 0xff9b)
        || a == 0x0100;
    if is_private { Place::Private } else { Place::Public }
}

/// The IPv4 address inside of `address`: mapped, compatible, translated (NAT64) or 6to4.
fn inner_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // `::` and `::1` have meanings of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => of(high, low),
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => of(high, low),
        [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(place_of: Place, addresses: &[&str]) {
        for text in addresses {
            assert_eq!(place(text.parse().unwrap()), place_of, "{text}");
        }
    }

    #[test]
    fn metadata_and_link_local_addresses_are_never_reached_in_any_disguise() {
        check(
            Place::Never,
            &[
                "169.254.169.254",
                "::ffff:169.254.169.254",
                "64:ff9b::a9fe:a9fe",
                "2002:a9fe:a9fe::1",
                "fd00:ec2::254",
                "fe80::1",
                "0.0.0.0",
                "0.1.2.3",
                "::",
                "224.0.0.1",
                "ff02::1",
                "255.255.255.255",
                "100.100.100.200",
            ],
        );
    }

    #[test]
    fn addresses_of_this_machine_and_of_networks_behind_it_are_private() {
        check(
            Place::Private,
            &[
                "127.0.0.1",
                "127.8.8.8",
                "10.0.0.1",
                "172.16.0.1",
                "192.168.1.1",
                "100.64.0.1",
                "198.18.0.1",
                "240.0.0.1",
                "::1",
                "::ffff:10.0.0.1",
                "::127.0.0.1",
                "fc00::1",
                "fd12:3456::1",
                "fec0::1",
                "64:ff9b:1::1",
                "2001:db8::1",
                "2001::1",
            ],
        );
    }

    #[test]
    fn all_others_are_public() {
        check(
            Place::Public,
            &["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"],
        );
    }
}
