//! What was found out about a run, as a table and as JSON.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use voxframe::{Capture, Frame, Packet, Pipeline, Processor, Profile, level};

use super::Result;
use super::input::SoundInput;
use super::ogg_opus::OpusOutput;
use super::wav::WavOutput;

/// All about a run.
pub struct Report {
    profile: String,
    /// The edge, the stages and, where there is one, the encoder.
    steps: Vec<Step>,
    /// Frames so far, the silence behind the file's end included.
    frames: u64,
    input_seconds: f64,
    output_seconds: f64,
    energy_in: f64,
    rms_in_dbfs: f32,
    rms_out_dbfs: f32,
    packets: Option<Packets>,
}

/// A step on the way, and the time it has taken.
struct Step {
    name: &'static str,
    latency_ms: f64,
    busy: Duration,
}

struct Packets {
    count: u64,
    bytes: u64,
    packet_ms: f64,
    bitrate_kbps: f64,
}

impl Step {
    fn new(name: &'static str, latency_ms: f64) -> Self {
        Self { name, latency_ms, busy: Duration::ZERO }
    }
}

impl Report {
    pub fn new(profile: &Profile, input: &SoundInput, capture: &Capture, pipeline: &Pipeline) -> Self {
        let mut steps = vec![Step::new("capture", capture.output_format().ms(capture.latency()))];
        steps.extend(pipeline.stages().map(|(name, stage)| Step::new(name, stage.output_format().ms(stage.latency()))));
        Self {
            profile: profile.to_string(),
            steps,
            frames: 0,
            input_seconds: input.seconds(),
            output_seconds: 0.0,
            energy_in: 0.0,
            rms_in_dbfs: level::SILENCE_DBFS,
            rms_out_dbfs: level::SILENCE_DBFS,
            packets: None,
        }
    }

    /// Takes note of a frame that goes in.
    pub fn count(&mut self, frame: &Frame) {
        self.frames += 1;
        let energy: f64 = frame.samples().iter().map(|sample| f64::from(*sample).powi(2)).sum();
        // For each second and channel, so that rates do not matter.
        self.energy_in += energy / f64::from(frame.format().sample_rate_hz()) / frame.format().channels() as f64;
    }

    /// Takes a frame through the stages of a pipeline, one at a time, and adds up the time each takes.
    pub fn run_stages<'a>(
        &mut self,
        pipeline: &'a mut Pipeline,
        frame: &'a mut Frame,
    ) -> Result<Option<&'a mut Frame>> {
        let mut frame = frame;
        for ((_, stage), step) in pipeline.stages_mut().zip(&mut self.steps[1..]) {
            let start = Instant::now();
            let out = stage.process(frame)?;
            step.busy += start.elapsed();
            match out {
                Some(next) => frame = next,
                None => return Ok(None),
            }
        }
        Ok(Some(frame))
    }

    /// Encodes a frame as the last step.
    pub fn encode<'a, E>(&mut self, encoder: &'a mut E, frame: &'a mut Frame) -> Result<Option<&'a mut Packet>>
    where
        E: Processor<Input = Frame, Output = Packet>,
    {
        if self.steps.last().is_none_or(|step| step.name != "opus") {
            self.steps.push(Step::new("opus", encoder.output_format().ms(encoder.latency())));
        }
        let start = Instant::now();
        let packet = encoder.process(frame)?;
        if let Some(step) = self.steps.last_mut() {
            step.busy += start.elapsed();
        }
        Ok(packet)
    }

    /// Takes note of what came out, and of the time the edge took.
    pub fn finish(&mut self, edge: Duration, wav: &WavOutput, opus: Option<&OpusOutput>) {
        self.steps[0].busy = edge;
        self.output_seconds = wav.seconds();
        if self.input_seconds > 0.0 {
            self.rms_in_dbfs = level::to_dbfs((self.energy_in / self.input_seconds).sqrt() as f32);
        }
        self.rms_out_dbfs = level::to_dbfs(wav.rms());
        self.packets = opus.map(|opus| Packets {
            count: opus.packets,
            bytes: opus.bytes,
            packet_ms: opus.packet_ms(),
            bitrate_kbps: opus.bitrate_kbps(),
        });
    }

    /// The delay of all steps. The time to fill a packet is not in it.
    fn latency_ms(&self) -> f64 {
        self.steps.iter().map(|step| step.latency_ms).sum()
    }

    /// Time taken by time of sound: below 1 is faster than it was spoken.
    fn real_time_factor(&self) -> f64 {
        let busy: Duration = self.steps.iter().map(|step| step.busy).sum();
        if self.input_seconds > 0.0 { busy.as_secs_f64() / self.input_seconds } else { 0.0 }
    }

    fn ns_per_frame(&self, step: &Step) -> f64 {
        (step.busy.as_nanos() as f64 / self.frames.max(1) as f64).round()
    }

    pub fn to_json(&self) -> Value {
        let stage = |step: &Step| {
            let ns_per_frame = self.ns_per_frame(step);
            json!({ "name": step.name, "latency_ms": step.latency_ms, "ns_per_frame": ns_per_frame })
        };
        let opus = |packets: &Packets| {
            json!({
                "packets": packets.count,
                "bytes": packets.bytes,
                "packet_ms": packets.packet_ms,
                "bitrate_kbps": packets.bitrate_kbps,
                "microphone_to_packet_ms": self.latency_ms() + packets.packet_ms,
            })
        };
        json!({
            "profile": self.profile,
            "latency_ms": self.latency_ms(),
            "real_time_factor": self.real_time_factor(),
            "input_seconds": self.input_seconds,
            "output_seconds": self.output_seconds,
            "rms_in_dbfs": self.rms_in_dbfs,
            "rms_out_dbfs": self.rms_out_dbfs,
            "frames": self.frames,
            "stages": self.steps.iter().map(stage).collect::<Vec<_>>(),
            "opus": self.packets.as_ref().map(opus),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<12}  latency  time a frame", self.profile)?;
        let mut all = 0.0;
        for step in &self.steps {
            let us = self.ns_per_frame(step) / 1000.0;
            all += us;
            writeln!(f, "  {:<10} {:>5.1} ms {us:>10.1} µs", step.name, step.latency_ms)?;
        }
        writeln!(f, "  {:<10} {:>5.1} ms {all:>10.1} µs", "together", self.latency_ms())?;
        writeln!(f, "length            {:.3} s in, {:.3} s out", self.input_seconds, self.output_seconds)?;
        writeln!(f, "level (RMS)       {:.1} dBFS in, {:.1} dBFS out", self.rms_in_dbfs, self.rms_out_dbfs)?;
        writeln!(f, "real-time factor  {:.4}", self.real_time_factor())?;
        if let Some(Packets { count, packet_ms, bitrate_kbps, .. }) = &self.packets {
            writeln!(f, "packets           {count} of {packet_ms} ms, {bitrate_kbps:.1} kb/s")?;
            writeln!(f, "to a packet       {:.1} ms, filling it included", self.latency_ms() + packet_ms)?;
        }
        Ok(())
    }
}
