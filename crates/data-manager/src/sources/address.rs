//! Which IP addresses a URL from elsewhere may make us call.
//! Refuses to resolve names or to connect: it judges one address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::options::Network;

/// Whether an address may be called; if not, what kind of address it is.
pub(super) fn allowed(address: IpAddr, network: Network) -> Result<(), &'static str> {
    let kind = match address {
        IpAddr::V4(address) => kind_of_v4(address),
        IpAddr::V6(address) => kind_of_v6(address),
    };
    match (kind, network) {
        (Kind::Public, _) | (Kind::Private(_), Network::Private) => Ok(()),
        (Kind::Private(what) | Kind::Never(what), _) => Err(what),
    }
}

/// Why [`allowed`] said no, and what allows it, for a message about `what` (a host, or a name and its address).
pub(super) fn refusal(what: &str, kind: &str, network: Network) -> String {
    match network {
        Network::Public => format!(
            "{what} is {kind}: not called, so that a descriptor from elsewhere cannot reach this network; allow private \
             addresses with Options.network = Network::Private (--allow-private)"
        ),
        Network::Private => format!("{what} is {kind}: never called"),
    }
}

enum Kind {
    Public,
    /// Called when the operator allows private addresses.
    Private(&'static str),
    /// Never called: no files are there, but clouds keep their credentials on link-local addresses.
    Never(&'static str),
}

const LINK_LOCAL: Kind = Kind::Never("a link-local address");

fn kind_of_v4(address: Ipv4Addr) -> Kind {
    match address.octets() {
        [169, 254, ..] => LINK_LOCAL,
        // A cloud's metadata service outside the link-local range (Alibaba Cloud).
        [100, 100, 100, 200] => Kind::Never("a metadata address"),
        [0, ..] => Kind::Never("an unspecified address"),
        [224..=239, ..] => Kind::Never("a multicast address"),
        [255, 255, 255, 255] => Kind::Never("the broadcast address"),
        [240..=255, ..] => Kind::Never("a reserved address"),
        [127, ..] => Kind::Private("a loopback address"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Kind::Private("a private address"),
        [100, 64..=127, ..] => Kind::Private("a shared (carrier-grade NAT) address"),
        [198, 18 | 19, ..] => Kind::Private("a benchmarking address"),
        [192, 0, 0, _] => Kind::Private("a protocol-assignment address"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Kind::Private("a documentation address"),
        [192, 88, 99, _] => Kind::Private("a 6to4 relay address"),
        _ => Kind::Public,
    }
}

fn kind_of_v6(address: Ipv6Addr) -> Kind {
    if let Some(inner) = embedded_v4(address) {
        return kind_of_v4(inner);
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Kind::Never("an unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Private("a loopback address"),
        [0xfe80..=0xfebf, ..] => LINK_LOCAL,
        // The metadata service of AWS over IPv6 lies among the unique-local addresses.
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] => Kind::Never("a metadata address"),
        [0xff00..=0xffff, ..] => Kind::Never("a multicast address"),
        [0xfc00..=0xfdff, ..] => Kind::Private("a unique-local address"),
        [0xfec0..=0xfeff, ..] => Kind::Private("a site-local address"),
        [0x0064, 0xff9b, 1, ..] => Kind::Private("a local translation (NAT64) address"),
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Kind::Private("a documentation address"),
        // Teredo hides an IPv4 address behind an exclusive or; benchmarking, ORCHID and the rest of 2001:0::/23.
        [0x2001, 0..=0x01ff, ..] => Kind::Private("a protocol-assignment address"),
        // Only 2000::/3 is handed out for the public network.
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::Never("a reserved address"),
    }
}

/// The IPv4 address that a packet to this IPv6 address ends at: mapped, compatible, NAT64 or 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        // ::/128 and ::1/128 are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => return None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x0064, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(text: &str) -> (bool, bool) {
        let address = text.parse().expect("an address");
        (allowed(address, Network::Public).is_ok(), allowed(address, Network::Private).is_ok())
    }

    #[test]
    fn public_addresses_are_called() {
        for text in [
            "1.1.1.1",
            "93.184.216.34",
            "172.32.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "192.0.1.1",
            "198.20.0.1",
        ] {
            assert_eq!(verdicts(text), (true, true), "{text}");
        }
        for text in
            ["2606:4700::1111", "2a00:1450::8a", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1"]
        {
            assert_eq!(verdicts(text), (true, true), "{text}");
        }
    }

    #[test]
    fn private_addresses_are_called_only_when_allowed() {
        for text in [
            "127.0.0.1",
            "127.255.255.254",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "198.18.0.1",
            "198.19.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "203.0.113.9",
            "::1",
            "fc00::1",
            "fd12:3456::1",
            "fec0::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:c0a8:101::1",
            "2001:db8::1",
            "2001::1",
        ] {
            assert_eq!(verdicts(text), (false, true), "{text}");
        }
    }

    #[test]
    fn link_local_and_senseless_addresses_are_never_called() {
        for text in [
            "169.254.169.254",
            "169.254.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "::",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::ffff:0.0.0.0",
            "::ffff:0:169.254.169.254",
            "4000::1",
            "100::1",
        ] {
            assert_eq!(verdicts(text), (false, false), "{text}");
        }
    }

    #[test]
    fn a_refusal_names_what_allows_it() {
        let message = refusal("localhost (127.0.0.1)", "a loopback address", Network::Public);
        assert!(message.contains("localhost") && message.contains("Network::Private"), "{message}");
    }
}
