//! Classes of addresses (IANA's special-purpose address registries, and the metadata services of clouds).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Kind of an address, by what lies behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressClass {
    /// An address of the internet.
    Public,
    /// The machine itself: 127.0.0.0/8, `::1`.
    Loopback,
    /// A private network (RFC 1918, ULA).
    Private,
    /// One link (169.254.0.0/16, fe80::/10).
    LinkLocal,
    /// Shared by a provider's customers (RFC 6598).
    Shared,
    /// A cloud's service that hands credentials to whoever asks.
    Metadata,
    /// Many machines: multicast and broadcast.
    Multicast,
    /// No address: 0.0.0.0/8, `::`.
    Unspecified,
    /// Set aside: documentation, benchmarks, translation, future use.
    Reserved,
}

impl AddressClass {
    /// The class in words that follow "it is".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Public => "a public address",
            Self::Loopback => "a loopback address",
            Self::Private => "an address of a private network",
            Self::LinkLocal => "a link-local address",
            Self::Shared => "an address of a provider's own network",
            Self::Metadata => "the address of a cloud's metadata service",
            Self::Multicast => "a multicast address",
            Self::Unspecified => "no address of a machine",
            Self::Reserved => "a reserved address",
        }
    }
}

/// Metadata services at addresses that no other class, or a wider one, would name.
const METADATA_V4: &[Ipv4Addr] = &[
    // Most clouds.
    Ipv4Addr::new(169, 254, 169, 254),
    // Credentials of containers, and time, at one of them.
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    // A public address that a cloud serves to its machines.
    Ipv4Addr::new(168, 63, 129, 16),
];
const METADATA_V6: &[Ipv6Addr] = &[
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254),
];

/// Class of an address; one that carries an IPv4 address within has the class of that.
#[must_use]
pub fn class(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(address) => class_v4(address),
        IpAddr::V6(address) => class_v6(address),
    }
}

/// Tells whether an address is one of the internet.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    class(address) == AddressClass::Public
}

/// The address that a connection would reach: an IPv4-mapped one without its wrapping.
pub(crate) fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// The IPv4 address to which a translator or tunnel would carry a packet for this IPv6 address (NAT64, 6to4).
pub(crate) fn carried(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else {
        return None;
    };
    let join = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

fn class_v4(address: Ipv4Addr) -> AddressClass {
    use AddressClass::{
        LinkLocal, Loopback, Metadata, Multicast, Private, Public, Reserved, Shared, Unspecified,
    };
    if METADATA_V4.contains(&address) {
        return Metadata;
    }
    match address.octets() {
        [0, ..] => Unspecified,
        [127, ..] => Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Private,
        [169, 254, ..] => LinkLocal,
        [100, 64..=127, ..] => Shared,
        [224..=239, ..] | [255, 255, 255, 255] => Multicast,
        // Protocol assignments, documentation, relays of 6to4 (RFC 7526), benchmarks (RFC 2544), future use.
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18 | 19, ..] => Reserved,
        [198, 51, 100, _] | [203, 0, 113, _] | [240..=255, ..] => Reserved,
        _ => Public,
    }
}

fn class_v6(address: Ipv6Addr) -> AddressClass {
    use AddressClass::{
        LinkLocal, Loopback, Metadata, Multicast, Private, Public, Reserved, Unspecified,
    };
    if METADATA_V6.contains(&address) {
        return Metadata;
    }
    let inner = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        class_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Loopback,
        // An IPv4 address within: mapped, translated (RFC 6052), 6to4. The compatible form is out of use, whatever is in it.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            inner(high, low)
        }
        [0x2002, high, low, ..] => inner(high, low),
        // An interface of ISATAP (RFC 5214) carries its IPv4 address too.
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] if inner(high, low) != Public => {
            inner(high, low)
        }
        [0xfc00..=0xfdff, ..] => Private,
        [0xfe80..=0xfebf, ..] => LinkLocal,
        // Site-local, out of use and never of the internet.
        [0xfec0..=0xfeff, ..] => Private,
        [0xff00..=0xffff, ..] => Multicast,
        // Teredo, ORCHID and the other assignments of 2001::/23; documentation (RFC 3849, RFC 9637).
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Reserved,
        // Only 2000::/3 is allocated.
        [0x2000..=0x3fff, ..] => Public,
        _ => Reserved,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::AddressClass::*;
    use super::*;

    #[test]
    fn every_form_of_an_address_has_the_class_of_what_it_reaches() {
        for (text, wanted) in [
            ("8.8.4.4", Public),
            ("2600::1", Public),
            ("0.0.0.0", Unspecified),
            ("0.1.2.3", Unspecified),
            ("::", Unspecified),
            ("127.0.0.1", Loopback),
            ("127.255.255.255", Loopback),
            ("::1", Loopback),
            ("::ffff:127.0.0.1", Loopback),
            ("64:ff9b::7f00:1", Loopback),
            ("2002:7f00:1::", Loopback),
            ("10.0.0.1", Private),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("172.32.0.1", Public),
            ("192.168.1.1", Private),
            ("::ffff:10.0.0.1", Private),
            ("64:ff9b::a00:1", Private),
            ("2002:c0a8:101::1", Private),
            ("2600::5efe:a00:1", Private),
            ("2600::200:5efe:a00:1", Private),
            ("fc00::1", Private),
            ("fdff::1", Private),
            ("fec0::1", Private),
            ("169.254.0.1", LinkLocal),
            ("fe80::1", LinkLocal),
            ("169.254.169.254", Metadata),
            ("::ffff:169.254.169.254", Metadata),
            ("64:ff9b::a9fe:a9fe", Metadata),
            ("2002:a9fe:a9fe::", Metadata),
            ("fd00:ec2::254", Metadata),
            ("168.63.129.16", Metadata),
            ("100.100.100.200", Metadata),
            ("100.64.0.1", Shared),
            ("100.127.0.1", Shared),
            ("100.128.0.1", Public),
            ("224.0.0.1", Multicast),
            ("255.255.255.255", Multicast),
            ("ff02::1", Multicast),
            ("192.0.0.1", Reserved),
            ("192.0.2.1", Reserved),
            ("198.18.0.1", Reserved),
            ("198.51.100.1", Reserved),
            ("203.0.113.1", Reserved),
            ("240.0.0.1", Reserved),
            ("::7f00:1", Reserved),
            ("64:ff9b:1::1", Reserved),
            ("2001::1", Reserved),
            ("2001:db8::1", Reserved),
            ("3fff::1", Reserved),
            ("4000::1", Reserved),
            ("100::1", Reserved),
        ] {
            assert_eq!(class(text.parse().unwrap()), wanted, "{text}");
        }
    }
}
