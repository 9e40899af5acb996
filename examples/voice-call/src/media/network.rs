//! Simulated network between the media server and its participants, for tests: loss and jitter of datagrams.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Condition of the network, in each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkCondition {
    /// Share of datagrams lost, 0 to 1.
    pub loss: f32,
    /// Each datagram is late by 0 to this, in ms, up to 1000.
    pub jitter_ms: f32,
}

impl NetworkCondition {
    /// Whether there can be such a network.
    pub fn is_valid(&self) -> bool {
        (0.0..=1.0).contains(&self.loss) && (0.0..=1000.0).contains(&self.jitter_ms)
    }
}

/// Datagram on its way.
#[derive(Debug)]
pub struct Datagram {
    /// Whether it goes to the server.
    pub is_incoming: bool,
    /// Address of the participant.
    pub remote: SocketAddr,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Network with the datagrams in it. Without loss and jitter it holds none.
#[derive(Debug, Default)]
pub struct SimulatedNetwork {
    condition: NetworkCondition,
    random: fastrand::Rng,
    /// The last is due first.
    flying: Vec<(Instant, Datagram)>,
}

impl SimulatedNetwork {
    /// Sets its condition.
    pub fn set(&mut self, condition: NetworkCondition) {
        self.condition = condition;
    }

    /// Whether nothing is lost or late.
    pub fn is_clean(&self) -> bool {
        self.condition == NetworkCondition::default() && self.flying.is_empty()
    }

    /// Takes a datagram in.
    pub fn send(&mut self, now: Instant, datagram: Datagram) {
        if self.random.f32() < self.condition.loss {
            return;
        }
        let late = Duration::from_secs_f32(self.condition.jitter_ms * self.random.f32() / 1e3);
        self.flying.push((now + late, datagram));
        self.flying.sort_by_key(|(due, _)| std::cmp::Reverse(*due));
    }

    /// Next datagram that has arrived.
    pub fn receive(&mut self, now: Instant) -> Option<Datagram> {
        self.flying.pop_if(|(due, _)| *due <= now).map(|(_, datagram)| datagram)
    }

    /// When the next one arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.flying.last().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_lost_and_late_as_set() {
        let mut network = SimulatedNetwork { random: fastrand::Rng::with_seed(1), ..SimulatedNetwork::default() };
        assert!(network.is_clean());
        network.set(NetworkCondition { loss: 0.1, jitter_ms: 50.0 });
        let start = Instant::now();
        for number in 0..1000u16 {
            let bytes = number.to_be_bytes().to_vec();
            network.send(start, Datagram { is_incoming: true, remote: ([127, 0, 0, 1], 1).into(), bytes });
        }
        let arrived = |network: &mut SimulatedNetwork, ms| {
            std::iter::from_fn(|| network.receive(start + Duration::from_millis(ms))).count()
        };
        assert!(network.next_arrival().unwrap() < start + Duration::from_millis(2));
        let half = arrived(&mut network, 25);
        assert!((400..500).contains(&half), "{half}");
        let all = half + arrived(&mut network, 50);
        assert!((870..930).contains(&all), "{all}");
        network.set(NetworkCondition::default());
        assert!(network.is_clean());
        assert!(!NetworkCondition { loss: f32::NAN, ..NetworkCondition::default() }.is_valid());
    }
}
