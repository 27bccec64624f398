//! Subnets and bridge names that nobody has yet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::error::{Error, Result};

/// The default network's, where it is free: below podman's (10.88 and up) and clear of docker's (172.17 and up).
const DEFAULT: (u8, u8) = (84, 16);
/// The second octets of the /24 networks that are given out.
const POOL: std::ops::RangeInclusive<u8> = 85..=87;

/// The default network's subnet.
pub(crate) fn default_subnet(taken: &[IpNet]) -> Result<IpNet> {
    let wanted = v4(DEFAULT.0, 0, DEFAULT.1);
    wanted.filter(|net| is_free(*net, taken)).map_or_else(|| subnet4(taken), Ok)
}

/// An IPv4 subnet that overlaps nothing that is taken.
pub(crate) fn subnet4(taken: &[IpNet]) -> Result<IpNet> {
    POOL.flat_map(|second| (0..=255).filter_map(move |third| v4(second, third, 24)))
        .find(|net| is_free(*net, taken))
        .ok_or_else(|| Error::Invalid("no free IPv4 subnet is left; name one with --subnet".into()))
}

/// A random subnet of the unique local addresses, RFC 4193.
pub(crate) fn subnet6(taken: &[IpNet]) -> Result<IpNet> {
    for _ in 0..16 {
        let mut random = [0; 7];
        dhow_sys::random::fill(&mut random).map_err(Error::kernel("get random bytes"))?;
        let mut octets = [0; 16];
        octets[0] = 0xfd;
        octets[1..8].copy_from_slice(&random);
        let net = IpNet::new(IpAddr::V6(Ipv6Addr::from(octets)), 64).ok();
        if let Some(net) = net.filter(|net| is_free(*net, taken)) {
            return Ok(net);
        }
    }
    Err(Error::Invalid("no free IPv6 subnet was found; name one with --subnet".into()))
}

/// What a subnet overlaps.
pub(crate) fn overlapped(net: IpNet, taken: &[IpNet]) -> Option<IpNet> {
    taken
        .iter()
        .copied()
        .find(|other| net.contains(&other.trunc().addr()) || other.contains(&net.trunc().addr()))
}

fn is_free(net: IpNet, taken: &[IpNet]) -> bool {
    overlapped(net, taken).is_none()
}

fn v4(second: u8, third: u8, length: u8) -> Option<IpNet> {
    Ipv4Net::new(Ipv4Addr::new(10, second, third, 0), length).ok().map(IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_first_that_overlaps_nothing() {
        assert_eq!(default_subnet(&[]).unwrap().to_string(), "10.84.0.0/16");
        assert_eq!(default_subnet(&nets(&["10.84.3.0/24"])).unwrap().to_string(), "10.85.0.0/24");
        assert_eq!(
            subnet4(&nets(&["10.85.0.7/32", "10.85.1.0/25"])).unwrap().to_string(),
            "10.85.2.0/24"
        );
        assert_eq!(subnet4(&nets(&["10.84.0.0/15"])).unwrap().to_string(), "10.86.0.0/24");
        assert!(subnet4(&nets(&["10.0.0.0/8"])).is_err());
    }

    proptest! {
        #[test]
        fn nothing_taken_is_chosen(taken in prop::collection::vec((any::<u32>(), 9..=32_u8), 0..40)) {
            let taken: Vec<IpNet> = taken
                .into_iter()
                .map(|(bits, length)| Ipv4Net::new(Ipv4Addr::from(0x0a54_0000 | bits & 0x0003_ffff), length).unwrap().into())
                .collect();
            if let Ok(net) = subnet4(&taken) {
                for other in &taken {
                    prop_assert!(!net.contains(&other.network()) && !other.contains(&net.network()));
                }
            }
        }
    }
}
