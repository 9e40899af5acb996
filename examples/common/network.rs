//! A network in a box: packets go in with the time they were sent, and come out late, twice, in the wrong order, or
//! not at all; and a call over it.
#![allow(dead_code, reason = "each user takes what it needs")]

use std::error::Error;
use std::path::Path;

use voxframe::jitter::JitterBufferReading;
use voxframe::{Format, Frame, JitterBuffer, Packet, Result, Source};

/// Which packets are lost.
#[derive(Clone, Debug)]
pub enum Loss {
    /// Those that the trace says, over and over.
    Trace(Vec<bool>),
    /// A share of them, in bursts of a mean length: the Gilbert model, in whose bad state everything is lost.
    Bursty { share: f64, burst: f64 },
}

impl Loss {
    /// A trace from a file with a 0 or a 1 for each packet, whatever white space is between them.
    pub fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let text = std::fs::read_to_string(path)?;
        let marks = text.chars().filter(|mark| !mark.is_whitespace()).map(|mark| match mark {
            '0' => Ok(false),
            '1' => Ok(true),
            _ => Err(format!("'{mark}' in a loss trace: it has only 0 and 1")),
        });
        let trace: Vec<bool> = marks.collect::<Result<_, _>>()?;
        if trace.is_empty() { Err("a loss trace without a packet".into()) } else { Ok(Self::Trace(trace)) }
    }

    /// The share of packets that is lost, in percent.
    pub fn percent(&self) -> u8 {
        let share = match self {
            Self::Trace(trace) => trace.iter().filter(|&&lost| lost).count() as f64 / trace.len().max(1) as f64,
            Self::Bursty { share, .. } => *share,
        };
        (share * 100.0).round() as u8
    }
}

/// What happens to packets. Times are in ms; the same for a seed.
#[derive(Clone, Debug)]
pub struct Network {
    pub loss: Loss,
    /// Each packet is delayed by 0 to this, and by as much as the one before it that it may not overtake.
    pub jitter_ms: f64,
    /// The share of packets that are overtaken by the next one to three.
    pub reorder: f64,
    /// The share of packets that come twice.
    pub duplicate: f64,
    /// When nothing gets through, and for how long; then everything comes at once.
    pub stalls: Vec<(f64, f64)>,
    /// By how much the sender's clock is faster than the receiver's.
    pub drift_ppm: f64,
    pub seed: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            loss: Loss::Bursty { share: 0.0, burst: 1.0 },
            jitter_ms: 0.0,
            reorder: 0.0,
            duplicate: 0.0,
            stalls: Vec::new(),
            drift_ppm: 0.0,
            seed: 1,
        }
    }
}

/// A packet that got through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// When, by the receiver's clock.
    pub at_ms: f64,
    /// Which of those sent.
    pub packet: usize,
}

impl Network {
    /// A spike of `length_ms` every `every_ms`.
    pub fn with_spikes(mut self, every_ms: f64, length_ms: f64, until_ms: f64) -> Self {
        self.stalls = (1..).map(|i| (f64::from(i) * every_ms, length_ms)).take_while(|s| s.0 < until_ms).collect();
        self
    }

    /// A time by the sender's clock as one by the receiver's.
    pub fn received_ms(&self, sent_ms: f64) -> f64 {
        sent_ms / (1.0 + self.drift_ppm * 1e-6)
    }

    /// What arrives of packets of `packet_ms` sent at these times (by the sender's clock), in the order of arrival.
    pub fn carry(&self, sent_ms: &[f64], packet_ms: f64) -> Vec<Arrival> {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut bad = false;
        let mut last = f64::MIN;
        let mut arrivals = Vec::new();
        for (packet, &sent_ms) in sent_ms.iter().enumerate() {
            let lost = match &self.loss {
                Loss::Trace(trace) => trace.get(packet % trace.len().max(1)).is_some_and(|&lost| lost),
                Loss::Bursty { share, burst } => {
                    let leave = if bad { 1.0 - 1.0 / burst } else { share / (burst * (1.0 - share)) };
                    bad = random.f64() < leave;
                    bad
                }
            };
            let (jitter, overtaken, twice) = (random.f64() * self.jitter_ms, random.f64(), random.f64());
            let back = packet_ms * (0.5 + f64::from(random.u8(1..=3)));
            if lost {
                continue;
            }
            let sent_ms = self.received_ms(sent_ms);
            let mut at_ms = sent_ms + jitter;
            if let Some(stall) = self.stalls.iter().find(|s| (s.0..s.0 + s.1).contains(&sent_ms)) {
                at_ms = at_ms.max(stall.0 + stall.1);
            }
            at_ms = at_ms.max(last);
            if overtaken < self.reorder {
                at_ms += back;
            } else {
                last = at_ms;
            }
            arrivals.push(Arrival { at_ms, packet });
            if twice < self.duplicate {
                arrivals.push(Arrival { at_ms: at_ms + back, packet });
            }
        }
        arrivals.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        arrivals
    }
}

/// One frame at the far end of a call.
pub struct Heard<'a> {
    /// When it is played, by the receiver's clock.
    pub now_ms: f64,
    /// How long ago the sound in it was captured.
    pub delay_ms: f64,
    pub frame: &'a mut Frame,
    pub reading: JitterBufferReading,
}

/// Sends packets over a network into a jitter buffer and plays what comes out, to the end of the last one.
pub fn call(
    packets: &[Packet],
    network: &Network,
    buffer: JitterBuffer,
    format: Format,
    mut heard: impl FnMut(Heard<'_>),
) -> Result<JitterBufferReading> {
    // A packet of silence need not be sent.
    let sent: Vec<&Packet> = packets.iter().filter(|p| !p.is_dtx()).collect();
    let ms = |ticks: i64| ticks as f64 / 48.0;
    let begin = sent.first().map_or(0, |p| p.position());
    let length = sent.windows(2).map(|two| two[1].position() - two[0].position()).min().unwrap_or(960);
    // A packet is sent when its last sound has been captured.
    let sent_ms: Vec<f64> = sent.iter().map(|p| ms(p.position() - begin + length)).collect();
    let arrivals = network.carry(&sent_ms, ms(length));
    let first = arrivals.iter().map(|a| a.packet).min().unwrap_or(0);
    let end_ms = arrivals.last().map_or(0.0, |a| a.at_ms) + 1000.0;
    let (mut sender, mut receiver) = buffer.open(format)?;
    let statistics = receiver.statistics();
    let mut next = arrivals.iter().peekable();
    let mut standing = None;
    for pull in 0.. {
        let now_ms = f64::from(pull) * f64::from(format.frame_ms());
        if now_ms > end_ms {
            break;
        }
        while let Some(arrival) = next.next_if(|a| a.at_ms <= now_ms) {
            let packet = sent[arrival.packet];
            // Both numbers wrap within the first seconds.
            let sequence = (arrival.packet as u16).wrapping_add(65_500);
            let timestamp = ((packet.position() - begin) as u32).wrapping_sub(48_000);
            // What does not fit is counted as refused.
            let _ = sender.push(sequence, timestamp, 0x5eed, packet.as_bytes());
        }
        let frame = receiver.pull();
        let position = frame.position();
        let captured =
            ms(sent[first].position() - begin) + position as f64 * 1000.0 / f64::from(format.sample_rate_hz());
        let delay_ms = now_ms - network.received_ms(captured);
        heard(Heard { now_ms, delay_ms, frame, reading: statistics.reading() });
        // All was heard once the sound stands still and nothing more comes.
        if next.peek().is_none() && standing == Some(position) {
            break;
        }
        standing = (position > 0).then_some(position);
    }
    Ok(statistics.reading())
}
