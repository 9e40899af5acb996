//! What is noted of a call, and told in the end.

use std::fmt;

use serde_json::{Value, json};
use voxframe::jitter::JitterBufferReading;
use voxframe_testkit::call::Call;

/// How long one line of the table is, and one bar of the picture, in ms.
pub const STEP_MS: f64 = 500.0;

/// A call, as it went.
pub struct Log {
    sent: usize,
    kbps: f64,
    /// The share of packets that the network lost, and how many in a row on average.
    lost: f64,
    burst: f64,
    /// Each frame: when, how long ago its sound was captured, and how the buffer stood.
    pub frames: Vec<(f64, f64, JitterBufferReading)>,
}

/// Some of the call: what happened from one reading to another.
pub struct Step {
    pub from_s: f64,
    pub to_s: f64,
    pub missing: f64,
    pub rebuilt: f64,
    /// Sound in ms.
    pub fec: f64,
    pub dred: f64,
    pub concealed: f64,
    pub comfort: f64,
}

impl Log {
    pub fn new(call: &Call<'_>) -> Self {
        let sent = call.arrived().len();
        let lost = call.arrived().iter().filter(|&&arrived| !arrived).count() as f64;
        let bursts = call.arrived().split(|&arrived| arrived).filter(|burst| !burst.is_empty()).count() as f64;
        Self {
            sent,
            kbps: call.kbps(),
            lost: lost / (sent as f64).max(1.0),
            burst: lost / bursts.max(1.0),
            frames: Vec::new(),
        }
    }

    pub fn note(&mut self, now_ms: f64, delay_ms: f64, reading: JitterBufferReading) {
        self.frames.push((now_ms, delay_ms, reading));
    }

    /// The last reading.
    pub fn end(&self) -> JitterBufferReading {
        self.frames.last().map_or_else(JitterBufferReading::default, |frame| frame.2)
    }

    /// The call in steps of [`STEP_MS`].
    pub fn steps(&self) -> Vec<Step> {
        let mut before = (0.0, JitterBufferReading::default());
        let mut steps = Vec::new();
        for (index, &(now_ms, _, reading)) in self.frames.iter().enumerate() {
            if now_ms - before.0 < STEP_MS && index + 1 < self.frames.len() {
                continue;
            }
            let old = std::mem::replace(&mut before, (now_ms, reading));
            steps.push(Step {
                from_s: old.0 / 1000.0,
                to_s: now_ms / 1000.0,
                missing: (reading.packets_missing - old.1.packets_missing) as f64,
                rebuilt: (reading.packets_repaired - old.1.packets_repaired) as f64,
                fec: reading.fec_ms - old.1.fec_ms,
                dred: reading.dred_ms - old.1.dred_ms,
                concealed: reading.concealed_ms - old.1.concealed_ms,
                comfort: reading.comfort_noise_ms - old.1.comfort_noise_ms,
            });
        }
        steps
    }

    /// Delays once the first packet was played: the mean, and one that 95 % do not exceed.
    fn delays(&self) -> (f64, f64) {
        let mut delays: Vec<f64> =
            self.frames.iter().filter(|f| f.2.jitter_buffer_delay_ms > 0.0).map(|f| f.1).collect();
        delays.sort_by(f64::total_cmp);
        let mean = delays.iter().sum::<f64>() / (delays.len() as f64).max(1.0);
        (mean, delays.get(delays.len() * 95 / 100).copied().unwrap_or(0.0))
    }

    /// The figures of the whole call.
    pub fn to_json(&self) -> Value {
        let end = self.end();
        let (delay_mean_ms, delay_p95_ms) = self.delays();
        let waiting = self.frames.iter().map(|frame| frame.2.jitter_buffer_delay_ms).filter(|&ms| ms > 0.0);
        let (waits, waiting_ms) = waiting.fold((0, 0.0), |(count, sum), ms| (count + 1, sum + f64::from(ms)));
        json!({
            "seconds": self.frames.last().map_or(0.0, |frame| frame.0 / 1000.0),
            "sent": self.sent,
            "kbps": self.kbps,
            "network_loss_percent": self.lost * 100.0,
            "received": end.packets_received,
            "missing": end.packets_missing,
            "lost": end.packets_lost,
            "late": end.packets_late,
            "flushed": end.packets_flushed,
            "refused": end.packets_refused,
            "invalid": end.packets_invalid,
            "duplicated": end.packets_duplicated,
            "reordered": end.packets_reordered,
            "restarts": end.stream_restarts,
            "loss_rate_percent": end.packet_loss_rate * 100.0,
            "fec_ms": end.fec_ms,
            "dred_ms": end.dred_ms,
            "concealed_ms": end.concealed_ms,
            "comfort_noise_ms": end.comfort_noise_ms,
            "cut_ms": end.removed_for_acceleration_ms,
            "added_ms": end.inserted_for_deceleration_ms,
            "delay_mean_ms": delay_mean_ms,
            "delay_p95_ms": delay_p95_ms,
            "waiting_mean_ms": waiting_ms / f64::from(waits.max(1)),
        })
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "time s   end to end ms   waiting ms   target ms   missing %   filled in %")?;
        let each_second = self.frames.iter().filter(|frame| frame.0 > 0.0 && frame.0 % 1000.0 == 0.0);
        for (now_ms, delay_ms, reading) in each_second {
            writeln!(
                f,
                "{:6.0} {delay_ms:15.0} {:12.0} {:11.0} {:11.1} {:13.1}",
                now_ms / 1000.0,
                reading.jitter_buffer_delay_ms,
                reading.jitter_buffer_target_delay_ms,
                reading.packet_loss_rate * 100.0,
                reading.concealment_rate * 100.0
            )?;
        }
        let end = self.end();
        let heard_ms = self.frames.last().map_or(1.0, |frame| frame.0);
        let share = |ms: f64| 100.0 * ms / heard_ms;
        let packets = |count: u64| 100.0 * count as f64 / (self.sent as f64).max(1.0);
        let (mean, most) = self.delays();
        writeln!(f, "sent            {} packets, {:.1} kb/s", self.sent, self.kbps)?;
        writeln!(f, "lost            {:.2} % by the network, {:.2} in a row", self.lost * 100.0, self.burst)?;
        writeln!(
            f,
            "buffer          {:.2} % late, {:.2} % left out, {} reordered, {} duplicates, {} restarts",
            packets(end.packets_late),
            packets(end.packets_flushed),
            end.packets_reordered,
            end.packets_duplicated,
            end.stream_restarts
        )?;
        writeln!(
            f,
            "missing         {:.2} %, {:.2} % after redundancy",
            packets(end.packets_missing),
            packets(end.packets_missing.saturating_sub(end.packets_repaired))
        )?;
        writeln!(
            f,
            "filled in       {:.2} % FEC, {:.2} % DRED, {:.2} % concealed, {:.2} % comfort noise",
            share(end.fec_ms),
            share(end.dred_ms),
            share(end.concealed_ms),
            share(end.comfort_noise_ms)
        )?;
        let (fast, slow) = (share(end.removed_for_acceleration_ms), share(end.inserted_for_deceleration_ms));
        writeln!(f, "stretched       {fast:.2} % left out, {slow:.2} % added")?;
        writeln!(f, "end to end      {mean:.1} ms, 95 % within {most:.1} ms")
    }
}
