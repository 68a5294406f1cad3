//! Which addresses pings may go to, judged by what a name resolved to, never by the name.
//!
//! A buyer chooses the name, so a name that points into our own network must not become a way into it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a ping may be sent to this address. `allow_private` opens loopback and private networks, for tests, the demo
/// and buyers in the operator's own network; what no host can have stays closed.
pub fn may_reach(address: IpAddr, allow_private: bool) -> bool {
    match address {
        IpAddr::V4(v4) => reach_v4(v4, allow_private),
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => reach_v4(v4, allow_private),
            None => reach_v6(v6, allow_private),
        },
    }
}

fn reach_v4(address: Ipv4Addr, allow_private: bool) -> bool {
    let [a, b, c, _] = address.octets();
    let nowhere = a == 0 || a >= 224 || address.is_broadcast();
    let private = address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (18..20).contains(&b))
        || (a == 192 && b == 0 && c == 0);
    !nowhere && (allow_private || !private)
}

fn reach_v6(address: Ipv6Addr, allow_private: bool) -> bool {
    let first = address.segments()[0];
    let nowhere = address.is_unspecified() || address.is_multicast();
    let private = address.is_loopback()
        || first & 0xfe00 == 0xfc00
        || first & 0xffc0 == 0xfe80
        || first & 0xffc0 == 0xfec0
        || (first == 0x2001 && address.segments()[1] == 0x0db8);
    !nowhere && (allow_private || !private)
}

/// The IPv4 address inside a mapped, translated (NAT64) or 6to4 address: that is where packets end up.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = address.octets();
    let at =
        |start: usize| Ipv4Addr::new(octets[start], octets[start + 1], octets[start + 2], octets[start + 3]);
    let segments = address.segments();
    let is_compatible = segments[..6] == [0; 6] && segments[6] != 0;
    match segments {
        _ if address.to_ipv4_mapped().is_some() || is_compatible => Some(at(12)),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => Some(at(12)),
        [0x2002, ..] => Some(at(2)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_networks_are_closed_by_their_address_in_every_spelling() {
        let table = "
            93.184.216.34 always | 2606:2800:220:1::1 always | 100.63.255.255 always | 198.17.0.1 always
            127.0.0.1 private | 10.1.2.3 private | 172.16.0.1 private | 192.168.1.1 private | 169.254.169.254 private
            100.64.0.1 private | 198.18.0.1 private | 192.0.0.8 private | 203.0.113.9 private
            ::1 private | fd00::1 private | fe80::1 private | fec0::1 private | 2001:db8::1 private
            ::ffff:127.0.0.1 private | ::ffff:10.0.0.1 private | 64:ff9b::a9fe:a9fe private | 2002:7f00:1::1 private
            ::ffff:93.184.216.34 always | 64:ff9b::5db8:d822 always | ::127.0.0.1 private
            0.0.0.0 never | 255.255.255.255 never | 224.0.0.1 never | 240.0.0.1 never | :: never | ff02::1 never";
        for case in table.split(['|', '\n']).map(str::trim).filter(|case| !case.is_empty()) {
            let (address, expected) = case.split_once(' ').expect("address and verdict");
            let address: IpAddr = address.parse().expect("an address");
            let open = (may_reach(address, false), may_reach(address, true));
            let expected = match expected {
                "always" => (true, true),
                "private" => (false, true),
                _ => (false, false),
            };
            assert_eq!(open, expected, "{address}");
        }
    }
}
