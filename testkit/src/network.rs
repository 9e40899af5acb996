//! Simulated network: packets go in with the time they were sent, and come out late, twice, in the wrong order, or not
//! at all. The same for a seed.

use std::error::Error;
use std::path::Path;

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
        let trace = read_trace(path)?;
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

/// A text file of zeros and ones, a one for each packet that is lost, whatever white space is between them.
pub fn read_trace(path: &Path) -> Result<Vec<bool>, Box<dyn Error>> {
    let text = crate::text::read(path)?;
    let marks = text.chars().filter(|mark| !mark.is_whitespace()).map(|mark| match mark {
        '0' => Ok(false),
        '1' => Ok(true),
        _ => Err(format!("'{mark}' in a loss trace: it has only 0 and 1")),
    });
    Ok(marks.collect::<Result<_, _>>()?)
}

/// What happens to packets. Times are in ms.
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
    /// From when on all packets come later, and by how much: another way through the network.
    pub step: Option<(f64, f64)>,
    /// The share of padding-only packets among all RTP packets: empty payload, an old timestamp, and a sequence number of
    /// their own, as browsers and SFUs send them to probe for bandwidth.
    pub padding: f64,
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
            step: None,
            padding: 0.0,
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
    /// A stall of `length_ms` every `every_ms`.
    pub fn with_stalls(mut self, every_ms: f64, length_ms: f64, until_ms: f64) -> Self {
        self.stalls = (1..).map(|i| (f64::from(i) * every_ms, length_ms)).take_while(|s| s.0 < until_ms).collect();
        self
    }

    /// A time by the sender's clock as one by the receiver's.
    pub fn received_ms(&self, sent_ms: f64) -> f64 {
        sent_ms / (1.0 + self.drift_ppm * 1e-6)
    }

    /// When a packet arrives that is sent then and delayed by so much, both by the receiver's clock.
    fn arrival_ms(&self, sent_ms: f64, jitter_ms: f64) -> f64 {
        let at_ms = sent_ms + jitter_ms + self.step.filter(|step| sent_ms >= step.0).map_or(0.0, |step| step.1);
        let stall = self.stalls.iter().find(|s| (s.0..s.0 + s.1).contains(&sent_ms));
        stall.map_or(at_ms, |stall| at_ms.max(stall.0 + stall.1))
    }

    /// Which packets are followed by padding, and when that arrives; `None` is padding that was lost. The media packets'
    /// own arrivals are those without padding, so that both can be compared.
    pub fn carry_padding(&self, sent_ms: &[f64], arrivals: &[Arrival]) -> Vec<(usize, Option<f64>)> {
        let mut random = fastrand::Rng::with_seed(!self.seed);
        let mut arrived = vec![None; sent_ms.len()];
        arrivals.iter().rev().for_each(|arrival| arrived[arrival.packet] = Some(arrival.at_ms));
        let lost = f64::from(self.loss.percent()) / 100.0;
        let (mut padding, mut last) = (Vec::new(), f64::MIN);
        for (packet, (&sent_ms, arrived)) in sent_ms.iter().zip(arrived).enumerate() {
            last = arrived.unwrap_or_else(|| last.max(self.arrival_ms(self.received_ms(sent_ms), 0.0)));
            while random.f64() < self.padding {
                padding.push((packet, (random.f64() >= lost).then_some(last)));
            }
        }
        padding
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
                    let bad_next = if bad { 1.0 - 1.0 / burst } else { share / (burst * (1.0 - share)) };
                    bad = random.f64() < bad_next;
                    bad
                }
            };
            let (jitter, overtaken, twice) = (random.f64() * self.jitter_ms, random.f64(), random.f64());
            let back = packet_ms * (0.5 + f64::from(random.u8(1..=3)));
            if lost {
                continue;
            }
            let sent_ms = self.received_ms(sent_ms);
            let mut at_ms = self.arrival_ms(sent_ms, jitter).max(last);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(network: &Network) -> Vec<Arrival> {
        let sent_ms: Vec<f64> = (0..20_000).map(|i| f64::from(i) * 20.0).collect();
        network.carry(&sent_ms, 20.0)
    }

    #[test]
    fn a_good_network_changes_nothing_and_a_seed_says_it_all() {
        let good = carried(&Network::default());
        assert!(good.iter().enumerate().all(|(i, a)| a.packet == i && a.at_ms == i as f64 * 20.0));
        let bad = Network { jitter_ms: 30.0, reorder: 0.1, duplicate: 0.1, ..Network::default() };
        assert_eq!(carried(&bad), carried(&bad));
        assert_ne!(carried(&bad), carried(&Network { seed: 2, ..bad }));
    }

    #[test]
    fn losses_have_their_share_and_their_length() {
        for (share, burst) in [(0.05, 1.0), (0.2, 3.0)] {
            let mut lost = vec![true; 20_000];
            let network = Network { loss: Loss::Bursty { share, burst }, ..Network::default() };
            carried(&network).iter().for_each(|arrival| lost[arrival.packet] = false);
            let count = lost.iter().filter(|&&lost| lost).count() as f64;
            let bursts = lost.split(|&lost| !lost).filter(|burst| !burst.is_empty()).count() as f64;
            assert!((count / 20_000.0 / share - 1.0).abs() < 0.1, "{count}");
            assert!((count / bursts / burst - 1.0).abs() < 0.1, "{count} in {bursts}");
        }
        let trace = Network { loss: Loss::Trace(vec![false, true]), ..Network::default() };
        assert!(carried(&trace).iter().all(|arrival| arrival.packet % 2 == 0));
    }

    #[test]
    fn jitter_stalls_and_drift_delay_and_only_reordering_overtakes() {
        let network = Network { jitter_ms: 50.0, ..Network::default() }.with_stalls(10_000.0, 500.0, 400_000.0);
        let arrivals = carried(&network);
        assert!(arrivals.windows(2).all(|two| two[0].packet < two[1].packet));
        assert!(arrivals.iter().all(|a| !network.stalls.iter().any(|s| (s.0 + 50.0..s.0 + s.1).contains(&a.at_ms))));
        let late = |network: &Network| {
            let arrivals = carried(network);
            arrivals.iter().map(|a| a.at_ms - a.packet as f64 * 20.0).fold(0.0, f64::max)
        };
        assert!((450.0..=500.0).contains(&late(&network)));
        // 400 s at 100 ppm.
        assert!((late(&Network { drift_ppm: -100.0, ..Network::default() }) - 40.0).abs() < 0.1);
        let reordered = carried(&Network { reorder: 0.1, ..Network::default() });
        let overtaken = reordered.windows(2).filter(|two| two[0].packet > two[1].packet).count();
        assert!((1800..2200).contains(&overtaken), "{overtaken}");
    }

    #[test]
    fn a_step_delays_all_that_is_sent_from_then_on() {
        let arrivals = carried(&Network { step: Some((6000.0, 200.0)), ..Network::default() });
        let late = |arrival: &Arrival| if arrival.packet < 300 { 0.0 } else { 200.0 };
        assert!(arrivals.iter().all(|a| a.at_ms == a.packet as f64 * 20.0 + late(a)));
    }

    #[test]
    fn padding_has_its_share_of_packets_and_of_losses_and_comes_behind_its_packet() {
        let sent_ms: Vec<f64> = (0..20_000).map(|i| f64::from(i) * 20.0).collect();
        let loss = Loss::Bursty { share: 0.1, burst: 1.0 };
        let network = Network { loss, padding: 0.4, jitter_ms: 30.0, ..Network::default() };
        let arrivals = network.carry(&sent_ms, 20.0);
        assert_eq!(arrivals, Network { padding: 0.0, ..network.clone() }.carry(&sent_ms, 20.0));
        let padding = network.carry_padding(&sent_ms, &arrivals);
        let share = padding.len() as f64 / (padding.len() + sent_ms.len()) as f64;
        assert!((share - 0.4).abs() < 0.01, "{share}");
        let lost = padding.iter().filter(|p| p.1.is_none()).count() as f64 / padding.len() as f64;
        assert!((lost - 0.1).abs() < 0.01, "{lost}");
        assert!(padding.iter().all(|(packet, at)| at.is_none_or(|at| at >= sent_ms[*packet])));
    }
}
