//! Which addresses that are not on the internet a guarded client may reach.

use std::net::IpAddr;
use std::str::FromStr;

use crate::address::{Place, place};

/// The private addresses that requests may go to; public ones always may.
///
/// **Invariant.** Link-local addresses, and those where clouds give credentials away, are never
/// allowed, whatever the list says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowList {
    hosts: Vec<String>,
    networks: Vec<Network>,
}

/// Why a text is not a list of allowed addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{entry:?} {problem}; write a host (`cube.internal`, `*.internal`) or a network \
         (`10.0.0.0/8`)"
)]
pub struct AllowError {
    /// The entry.
    pub entry: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// The addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

/// Why an address is not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// It may be allowed.
    #[error("is in a private network")]
    Private,
    /// It may not.
    #[error("is one that no request may go to")]
    Never,
}

impl AllowList {
    /// No private address at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// The machine itself, where an address names it: `localhost`, `127.0.0.1` and `::1`.
    ///
    /// Another name that leads here is refused: whoever owns it decides where it leads.
    pub fn this_machine() -> Self {
        let hosts = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        Self { hosts, networks: Vec::new() }
    }

    /// Whether a request to `host` may reach `address`, to which the host's name leads.
    pub(crate) fn judge(&self, host: &str, address: IpAddr) -> Result<(), Refusal> {
        match place(address) {
            Place::Public => Ok(()),
            Place::Never => Err(Refusal::Never),
            Place::Private if self.has_host(host) => Ok(()),
            Place::Private if self.networks.iter().any(|it| it.holds(address)) => Ok(()),
            Place::Private => Err(Refusal::Private),
        }
    }

    fn has_host(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        self.hosts.iter().any(|known| match known.strip_prefix("*.") {
            Some(domain) => host
                .len()
                .checked_sub(domain.len() + 1)
                .and_then(|start| host.get(start..))
                .and_then(|end| end.strip_prefix('.'))
                .is_some_and(|end| end.eq_ignore_ascii_case(domain)),
            None => host.eq_ignore_ascii_case(known),
        })
    }
}

impl FromStr for AllowList {
    type Err = AllowError;

    /// Entries between commas: hosts, and networks in the form `10.0.0.0/8`.
    fn from_str(text: &str) -> Result<Self, AllowError> {
        let mut list = Self::none();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let fail = |problem| Err(AllowError { entry: entry.to_owned(), problem });
            if let Some((address, bits)) = entry.split_once('/') {
                let (Ok(address), Ok(bits)) = (address.parse::<IpAddr>(), bits.parse::<u32>())
                else {
                    return fail("is no network");
                };
                if bits > width(address) {
                    return fail("has more bits than the address");
                }
                list.networks.push(Network { address, bits });
                continue;
            }
            let host = entry.trim_start_matches('[').trim_end_matches(']');
            let name = host.strip_prefix("*.").unwrap_or(host);
            let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            if name.is_empty() || (!is_name && name.parse::<IpAddr>().is_err()) {
                return fail("is no host");
            }
            list.hosts.push(host.to_owned());
        }
        Ok(list)
    }
}

impl Network {
    fn holds(self, address: IpAddr) -> bool {
        let address = match address {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        if self.address.is_ipv4() != address.is_ipv4() {
            return false;
        }
        let dropped = width(address) - self.bits;
        let shifted = |address| number(address).checked_shr(dropped).unwrap_or(0);
        shifted(self.address) == shifted(address)
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(list: &str, host: &str, address: &str) -> Result<(), Refusal> {
        list.parse::<AllowList>().unwrap().judge(host, address.parse().unwrap())
    }

    #[test]
    fn a_host_is_allowed_by_its_name_and_a_network_by_its_addresses() {
        for (list, host, address, wanted) in [
            ("", "cube.internal", "10.0.0.7", Err(Refusal::Private)),
            ("cube.internal", "CUBE.internal.", "10.0.0.7", Ok(())),
            ("cube.internal", "cube.internal.evil.example", "10.0.0.7", Err(Refusal::Private)),
            ("*.internal", "cube.internal", "10.0.0.7", Ok(())),
            ("*.internal", "internal", "10.0.0.7", Err(Refusal::Private)),
            ("10.0.0.0/8, fd12::/16", "any.example", "10.9.9.9", Ok(())),
            ("10.0.0.0/8", "any.example", "::ffff:10.9.9.9", Ok(())),
            ("10.0.0.0/8, fd12::/16", "any.example", "fd12::1", Ok(())),
            ("10.0.0.0/8", "any.example", "192.168.0.1", Err(Refusal::Private)),
            ("10.0.0.7", "any.example", "10.0.0.7", Err(Refusal::Private)),
            ("10.0.0.7", "10.0.0.7", "10.0.0.7", Ok(())),
            ("[::1]", "[::1]", "::1", Ok(())),
            ("", "any.example", "1.1.1.1", Ok(())),
        ] {
            assert_eq!(judge(list, host, address), wanted, "{list:?} {host} {address}");
        }
    }

    #[test]
    fn a_metadata_address_is_refused_even_by_a_list_that_names_it() {
        for list in ["0.0.0.0/0", "169.254.169.254", "169.254.0.0/16"] {
            assert_eq!(judge(list, "169.254.169.254", "169.254.169.254"), Err(Refusal::Never));
        }
    }

    #[test]
    fn the_machine_itself_is_reached_by_its_own_names_alone() {
        let list = AllowList::this_machine();
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(list.judge("localhost", loopback), Ok(()));
        assert_eq!(list.judge("rebind.example", loopback), Err(Refusal::Private));
        assert_eq!(list.judge("localhost", IpAddr::from([10, 0, 0, 1])), Ok(()));
    }

    #[test]
    fn an_entry_that_is_neither_is_an_error_that_shows_both() {
        for entry in ["10.0.0.0/33", "http://cube", "10.0.0/8", "*."] {
            let error = entry.parse::<AllowList>().unwrap_err();
            assert_eq!(error.entry, entry);
            assert!(error.to_string().contains("10.0.0.0/8"), "{error}");
        }
    }
}
