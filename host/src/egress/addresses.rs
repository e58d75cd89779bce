//! The check after DNS: a name on the list may still lead into the machine room.
//!
//! Whoever controls a name's DNS chooses the address (DNS rebinding). So each address that a name
//! resolves to is looked at again, in the one place through which every connection finds its
//! address.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use super::Network;
use super::origin::Origin;

/// Looks a name up.
pub(crate) type Lookup = Arc<dyn Fn(String) -> Found + Send + Sync>;

type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Whom the machine's own resolver finds.
pub(crate) fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
    })
}

/// Resolves the names of configured endpoints, and drops addresses that they must not lead to.
#[derive(Clone)]
pub(crate) struct Resolver {
    lookup: Lookup,
    reaches: Arc<BTreeMap<String, Reach>>,
}

/// How far a name may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Internet,
    /// The configuration names it: a private network, or this machine.
    Private,
}

/// All addresses of a name are of a kind that it must not lead to.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to an address that is not allowed for it")]
pub(crate) struct Prohibited;

impl Resolver {
    /// A resolver for these endpoints and no other name.
    pub(crate) fn new(lookup: Lookup, endpoints: &[(Origin, Network)]) -> Self {
        let mut reaches = BTreeMap::new();
        for (origin, network) in endpoints {
            let private = network.private_addresses || origin.is_this_machine();
            let reach = if private {
                Reach::Private
            } else {
                Reach::Internet
            };
            let known = reaches.entry(origin.host().to_owned()).or_insert(reach);
            *known = reach.max(*known);
        }
        Self {
            lookup,
            reaches: Arc::new(reaches),
        }
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let host = name.as_str().trim_end_matches('.').to_ascii_lowercase();
        let reach = self.reaches.get(&host).copied();
        let found = (self.lookup)(host);
        Box::pin(async move {
            let reach = reach.ok_or_else(|| io::Error::other(Prohibited))?;
            let mut addresses = found.await?;
            let any = !addresses.is_empty();
            addresses.retain(|address| reach.allows(address.ip()));
            if addresses.is_empty() && any {
                return Err(io::Error::other(Prohibited));
            }
            Ok(addresses.into_iter())
        })
    }
}

impl Reach {
    fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Private => !is_never_an_endpoint(address),
            Self::Internet => is_public(address),
        }
    }
}

/// Where clouds answer with metadata and credentials beside the link-local `169.254.169.254` that
/// most of them use: Azure, whose address looks like any other
/// (<https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16>), Alibaba
/// Cloud (<https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata>), and Oracle
/// Cloud's older one.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// The same over IPv6: Amazon
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>)
/// and Google (<https://cloud.google.com/compute/docs/metadata/querying-metadata>).
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// Addresses that no configuration makes right: where clouds keep their metadata and credentials,
/// and what is no address of one machine.
pub(crate) fn is_never_an_endpoint(address: IpAddr) -> bool {
    match embedded(address) {
        IpAddr::V4(v4) => {
            v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets()[0] == 0
                || METADATA_V4.contains(&v4)
        }
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || v6.is_multicast()
                || v6.is_unspecified()
                || METADATA_V6.contains(&v6)
        }
    }
}

/// Whether an address is one of the internet's. The ranges that are not:
/// <https://www.iana.org/assignments/iana-ipv4-special-registry> and its IPv6 sister.
fn is_public(address: IpAddr) -> bool {
    if is_never_an_endpoint(address) {
        return false;
    }
    match embedded(address) {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let protocols = a == 192 && b == 0 && c == 0;
            let benchmarks = a == 198 && (18..20).contains(&b);
            let reserved = a >= 240;
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_documentation()
                || shared
                || protocols
                || benchmarks
                || reserved)
        }
        // Only 2000::/3 is handed out, and of it not Teredo, not the examples.
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            let teredo = first == 0x2001 && second == 0;
            let documentation = first == 0x2001 && second == 0x0db8;
            (0x2000..0x4000).contains(&first) && !teredo && !documentation
        }
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, or compatible as it was once called
/// (RFC 4291), translated by NAT64 at its own prefix (RFC 6052) or at a network's (RFC 8215), or
/// 6to4 (RFC 3056).
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let v4 = match v6.octets() {
        // Of the compatible ones, `::` and `::1` are IPv6's own.
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, _] => return address,
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, v4 @ ..]
        | [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4 @ ..]
        | [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, v4 @ ..]
        | [0, 0x64, 0xff, 0x9b, 0, 1, _, _, _, _, _, _, v4 @ ..] => v4,
        [0x20, 0x02, first, second, third, fourth, ..] => [first, second, third, fourth],
        _ => return address,
    };
    IpAddr::V4(Ipv4Addr::from(v4))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each range by its edges, and each way to write an IPv4 address as an IPv6 one.
    #[test]
    fn addresses_are_told_apart() {
        let check = |text: &str, public: bool, private: bool| {
            let address: IpAddr = text.parse().unwrap();
            let found = (
                Reach::Internet.allows(address),
                Reach::Private.allows(address),
            );
            assert_eq!(found, (public, private), "{text}");
        };
        for text in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.32.0.1",
            "2606:4700::1111",
        ] {
            check(text, true, true);
        }
        for text in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.2.1",
            "240.0.0.1",
            "::1",
            "fc00::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:0:1::1",
            "::127.0.0.1",
            "64:ff9b:1::7f00:1",
        ] {
            check(text, false, true);
        }
        for text in [
            "0.0.0.0",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "64:ff9b:1:fffe:7::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::169.254.169.254",
            "168.63.129.16",
            "::ffff:168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd20:ce::254",
        ] {
            check(text, false, false);
        }
    }
}
