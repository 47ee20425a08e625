//! How many connections may be open: in all, and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{ListenerConfig, ListenerStats};

/// Hands out one [`Permit`] per open connection.
#[derive(Clone, Debug)]
pub(super) struct Permits {
    config: Arc<ListenerConfig>,
    stats: Arc<ListenerStats>,
    /// Open connections by address. Locked for a few instructions per connection, never across an
    /// await; it has as many entries as there are open connections at most.
    by_ip: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// The right to be open; given back on drop.
#[derive(Debug)]
pub(super) struct Permit {
    permits: Permits,
    ip: Option<IpAddr>,
}

impl Permits {
    pub(super) fn new(config: Arc<ListenerConfig>, stats: Arc<ListenerStats>) -> Permits {
        Permits {
            config,
            stats,
            by_ip: Arc::default(),
        }
    }

    /// A permit for a connection from `ip`, or `None` (counted) when one of the limits is reached.
    pub(super) fn take(&self, ip: IpAddr) -> Option<Permit> {
        // Only the accept loop takes, so between this look and the addition none is added.
        if self.stats.active() >= self.config.connections_max as u64 {
            self.stats.refused_full.fetch_add(1, Relaxed);
            return None;
        }
        let ip = counted(ip);
        if let Some(ip) = ip {
            let mut by_ip = self.lock();
            let open = by_ip.get(&ip).copied().unwrap_or(0);
            if open >= self.config.connections_per_ip_max {
                self.stats.refused_per_ip.fetch_add(1, Relaxed);
                return None;
            }
            by_ip.insert(ip, open + 1);
        }
        self.stats.active.fetch_add(1, Relaxed);
        self.stats.accepted.fetch_add(1, Relaxed);
        Some(Permit {
            permits: self.clone(),
            ip,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // The counts are right after every statement, so a panic elsewhere does not spoil them.
        self.by_ip.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.permits.stats.active.fetch_sub(1, Relaxed);
        let Some(ip) = self.ip else { return };
        let mut by_ip = self.permits.lock();
        if let Some(open) = by_ip.get_mut(&ip) {
            *open -= 1;
            if *open == 0 {
                by_ip.remove(&ip);
            }
        }
    }
}

/// The address a connection counts for: none on loopback, the /64 for IPv6, since that is what one
/// household gets.
fn counted(ip: IpAddr) -> Option<IpAddr> {
    let ip = ip.to_canonical();
    if ip.is_loopback() {
        return None;
    }
    Some(match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => {
            let network = v6.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(connections_max: usize, connections_per_ip_max: usize) -> Permits {
        let config = ListenerConfig {
            connections_max,
            connections_per_ip_max,
            ..ListenerConfig::default()
        };
        Permits::new(Arc::new(config), Arc::default())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_cannot_take_everything() {
        let permits = permits(100, 2);
        let first = permits.take(ip("192.0.2.1"));
        let second = permits.take(ip("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some());
        assert!(permits.take(ip("192.0.2.1")).is_none());
        assert!(permits.take(ip("192.0.2.2")).is_some());
        assert_eq!(permits.stats.refused_per_ip(), 1);
        drop(first);
        assert!(permits.take(ip("192.0.2.1")).is_some());
    }

    #[test]
    fn a_household_is_one_address_and_this_machine_none() {
        let permits = permits(100, 1);
        let _first = permits.take(ip("2001:db8::1")).unwrap();
        assert!(permits.take(ip("2001:db8::ffff")).is_none());
        assert!(permits.take(ip("2001:db8:0:1::1")).is_some());
        let loopback: Vec<_> = (0..5)
            .map_while(|_| permits.take(ip("127.0.0.1")))
            .collect();
        assert_eq!(loopback.len(), 5);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let permits = permits(3, 3);
        let taken: Vec<_> = (0..3)
            .map_while(|_| permits.take(ip("192.0.2.1")))
            .collect();
        assert_eq!(taken.len(), 3);
        assert!(permits.take(ip("192.0.2.9")).is_none());
        assert_eq!(permits.stats.refused_full(), 1);
        drop(taken);
        assert_eq!(permits.stats.active(), 0);
        assert!(permits.lock().is_empty(), "nothing is kept of the gone");
    }
}
