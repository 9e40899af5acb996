//! Limits: rates of messages, and connections and rooms by address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Token bucket: so many at once, and so many a second.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    burst: f64,
    per_second: f64,
    tokens: f64,
    last: Instant,
}

impl TokenBucket {
    /// Full bucket.
    pub fn new(burst: f64, per_second: f64, now: Instant) -> Self {
        Self { burst, per_second, tokens: burst, last: now }
    }

    /// Takes a token; whether there was one.
    pub fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.last).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.per_second).min(self.burst);
        self.last = now;
        let has_one = self.tokens >= 1.0;
        self.tokens -= if has_one { 1.0 } else { 0.0 };
        has_one
    }
}

/// Counters by address with a common limit. A place is given back when its [`Place`] is dropped.
#[derive(Clone, Debug)]
pub struct PlacesByAddress {
    limit: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// Place taken by an address.
#[derive(Debug)]
pub struct Place {
    address: IpAddr,
    places: PlacesByAddress,
}

impl PlacesByAddress {
    /// So many places for each address.
    pub fn new(limit: usize) -> Self {
        Self { limit, taken: Arc::default() }
    }

    /// A place, while there is one.
    pub fn take(&self, address: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(network(address)).or_default();
        let has_one = *count < self.limit;
        *count += usize::from(has_one);
        has_one.then(|| Place { address: network(address), places: self.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: of IPv6 the first 64 bits, which is what one customer has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => std::net::Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(5.0, 2.0, start);
        let mut passed = |from_ms: u64, to_ms: u64| {
            (from_ms..to_ms).step_by(10).filter(|&ms| bucket.take(start + Duration::from_millis(ms))).count()
        };
        assert_eq!(passed(0, 100), 5);
        assert_eq!(passed(100, 10_100), 20);
    }

    #[test]
    fn places_are_given_back() {
        let places = PlacesByAddress::new(2);
        let (ann, bob) = ("192.0.2.1".parse().unwrap(), "::ffff:192.0.2.2".parse().unwrap());
        let first = places.take(ann).unwrap();
        let _second = places.take(ann).unwrap();
        assert!(places.take(ann).is_none());
        let _other = places.take(bob).unwrap();
        drop(first);
        let _third = places.take(ann).unwrap();
        let [one, two, other] = ["2001:db8::1", "2001:db8::2:3", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        let taken = [one, two, one, other].map(|address| places.take(address));
        assert_eq!(taken.map(|place| place.is_some()), [true, true, false, true]);
        assert_eq!(places.taken.lock().unwrap().len(), 2, "whoever has no place is forgotten");
    }
}
