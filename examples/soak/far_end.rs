//! The far end: RTP, jitter buffer, loudspeaker.

use voxframe::call::{Downlink, DownlinkControls, DownlinkOutput};
use voxframe::jitter::JitterBufferInput;
use voxframe::rtp::RtpReceiver;
use voxframe::{Packet, Playout};

use crate::common::{Failure, Result};

/// Delay that the jitter buffer may have on top of its longest, and for how long, in ms, when the network has settled.
const SPARE_MS: f32 = 150.0;
const PATIENCE_MS: f64 = 10_000.0;

/// Samples and channels of a buffer of the device: 10 ms at 44.1 kHz.
const DEVICE: (u32, usize) = (44_100, 2);

pub struct FarEnd {
    input: JitterBufferInput,
    output: DownlinkOutput,
    playout: Playout,
    pub controls: DownlinkControls,
    receiver: RtpReceiver,
    packet: Packet,
    buffer: Vec<f32>,
    long_delay_since_ms: Option<f64>,
    /// Of what was heard since the last report: energy, number of samples, peak; sum of the delays, and the longest.
    pub energy: f64,
    pub samples: u64,
    pub peak: f32,
    pub delays_ms: f64,
    pub longest_delay_ms: f32,
    pub ticks: u64,
}

impl FarEnd {
    pub fn new() -> Result<Self> {
        let (rate_hz, channels) = DEVICE;
        let (input, output, playout, controls) = Downlink::default().open_for(rate_hz, channels)?;
        Ok(Self {
            input,
            output,
            playout,
            controls,
            receiver: RtpReceiver::new(111)?,
            packet: Packet::new(),
            buffer: vec![0.0; rate_hz as usize / 100 * channels],
            long_delay_since_ms: None,
            energy: 0.0,
            samples: 0,
            peak: 0.0,
            delays_ms: 0.0,
            longest_delay_ms: 0.0,
            ticks: 0,
        })
    }

    pub fn receive(&mut self, datagram: &[u8]) -> Result {
        let header = self.receiver.read(datagram, &mut self.packet)?;
        // Behind a stall there is more than fits: that is counted, and no error of this end.
        match self.input.push(header.sequence, header.timestamp, header.ssrc, self.packet.as_bytes()) {
            Ok(()) | Err(voxframe::Error::Full) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub fn play(&mut self, now_ms: f64, settled_ms: f64) -> Result {
        self.playout.fill(&mut self.buffer, &mut self.output)?;
        for &sample in &self.buffer {
            if !(-1.0..=1.0).contains(&sample) {
                return Err(Failure(format!("a sample of {sample} after {now_ms} ms")));
            }
            self.energy += f64::from(sample).powi(2);
            self.peak = self.peak.max(sample.abs());
        }
        self.samples += self.buffer.len() as u64;
        let delay_ms = self.controls.jitter_buffer.reading().jitter_buffer_delay_ms;
        self.delays_ms += f64::from(delay_ms);
        self.longest_delay_ms = self.longest_delay_ms.max(delay_ms);
        self.ticks += 1;

        let limit_ms = self.controls.jitter_buffer.settings().max_delay_ms + SPARE_MS;
        if delay_ms <= limit_ms {
            self.long_delay_since_ms = None;
        } else if now_ms - self.long_delay_since_ms.get_or_insert(now_ms).max(settled_ms) > PATIENCE_MS {
            return Err(Failure(format!(
                "after {now_ms} ms the delay has been over {limit_ms} ms for {PATIENCE_MS} ms"
            )));
        }
        Ok(())
    }

    /// Forgets what was heard, for the next report.
    pub fn begin_report(&mut self) {
        (self.energy, self.samples, self.peak) = (0.0, 0, 0.0);
        (self.delays_ms, self.longest_delay_ms, self.ticks) = (0.0, 0.0, 0);
    }
}
