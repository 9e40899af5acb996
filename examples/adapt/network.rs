//! A network that changes: loss, round trip and jitter over time.

use std::path::Path;

use crate::common::{Failure, Of, Result};

/// State of the network from a time on.
#[derive(Clone, Copy)]
struct Condition {
    from_s: f64,
    /// Share of packets lost, 0 to 1.
    loss: f64,
    round_trip_ms: f64,
    /// Each packet is delayed by 0 to this.
    jitter_ms: f64,
}

/// Packet on its way.
struct Flying {
    at_ms: f64,
    sequence: u16,
    timestamp: u32,
    payload: Vec<u8>,
}

/// The network, with the packets in it and the counters of its far end.
pub struct Network {
    conditions: Vec<Condition>,
    now: Condition,
    flying: Vec<Flying>,
    random: fastrand::Rng,
    sent: u16,
    pub lost: i64,
    pub received: u64,
}

impl Network {
    /// A network from a file with a line for each change, `seconds,loss,round_trip_ms,jitter_ms`, the loss from 0 to 1. Empty lines,
    /// and those that begin with `#`, are comments.
    pub fn read(path: &Path, seed: u64) -> Result<Self> {
        let text = voxframe_testkit::text::read(path).of(path)?;
        let mut conditions = Vec::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let condition = Condition::parse(line).ok_or_else(|| {
                let expected = "`seconds,loss,round_trip_ms,jitter_ms`, in order";
                Failure(format!("{}: line {}: not {expected}: {line}", path.display(), index + 1))
            })?;
            if conditions.last().is_some_and(|last: &Condition| last.from_s >= condition.from_s) {
                return Err(Failure(format!("{}: line {}: not later than the one before", path.display(), index + 1)));
            }
            conditions.push(condition);
        }
        let now = *conditions.first().ok_or_else(|| Failure(format!("{}: no line of a network", path.display())))?;
        let random = fastrand::Rng::with_seed(seed);
        Ok(Self { conditions, now, flying: Vec::new(), random, sent: 0, lost: 0, received: 0 })
    }

    /// Takes the state of a time.
    pub fn advance(&mut self, ms: f64) {
        let at = |condition: &&Condition| condition.from_s * 1000.0 <= ms;
        self.now = self.conditions.iter().rfind(at).copied().unwrap_or(self.now);
    }

    /// Share of packets lost now, 0 to 1.
    pub fn loss(&self) -> f64 {
        self.now.loss
    }

    pub fn round_trip_ms(&self) -> f64 {
        self.now.round_trip_ms
    }

    pub fn jitter_ms(&self) -> f64 {
        self.now.jitter_ms
    }

    pub fn send(&mut self, now_ms: f64, position: i64, payload: &[u8]) {
        self.sent = self.sent.wrapping_add(1);
        if self.random.f64() < self.now.loss {
            self.lost += 1;
            return;
        }
        let at_ms = now_ms + self.now.round_trip_ms / 2.0 + self.now.jitter_ms * self.random.f64();
        // RTP timestamps are the low 32 bits of the position.
        self.flying.push(Flying { at_ms, sequence: self.sent, timestamp: position as u32, payload: payload.to_vec() });
        self.flying.sort_by(|a, b| b.at_ms.total_cmp(&a.at_ms));
    }

    /// Next packet that has arrived by then: sequence number, timestamp and payload.
    pub fn receive(&mut self, now_ms: f64) -> Option<(u16, u32, Vec<u8>)> {
        let packet = self.flying.pop_if(|packet| packet.at_ms <= now_ms)?;
        self.received += 1;
        Some((packet.sequence, packet.timestamp, packet.payload))
    }
}

impl Condition {
    fn parse(line: &str) -> Option<Self> {
        let values: Vec<f64> = line.split(',').map(|field| field.trim().parse().ok()).collect::<Option<_>>()?;
        let &[from_s, loss, round_trip_ms, jitter_ms] = &values[..] else { return None };
        let is_time = |value: f64| (0.0..=1e5).contains(&value);
        let all_good = is_time(from_s) && is_time(round_trip_ms) && is_time(jitter_ms) && (0.0..=1.0).contains(&loss);
        all_good.then_some(Self { from_s, loss, round_trip_ms, jitter_ms })
    }
}
