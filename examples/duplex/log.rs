//! What is told of a run: levels and readings over time.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use voxframe::echo::{EchoCancelProcessor, EchoCancelReading};
use voxframe::{Format, Frame, Processor};

/// Blocks of 10 ms in each step of the picture and the report.
const STEP: usize = 10;

/// Far end above which an echo counts, in dBFS.
const LOUD_DBFS: f64 = -55.0;

/// Levels of a tenth of a second, in dBFS, and the reading at its end.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub seconds: f64,
    pub far_dbfs: f64,
    pub mic_dbfs: f64,
    pub out_dbfs: f64,
    pub reading: EchoCancelReading,
}

pub struct Log {
    format: Format,
    latency_ms: f64,
    /// Powers of the far end and the microphone whose output has not come yet, and of all three.
    waiting: VecDeque<(f64, f64)>,
    pending: (f64, f64),
    blocks: Vec<[f64; 3]>,
    readings: Vec<EchoCancelReading>,
    times: Vec<Duration>,
}

fn power(frame: &Frame) -> f64 {
    let sum: f64 = frame.samples().iter().map(|sample| f64::from(*sample).powi(2)).sum();
    sum / frame.samples().len() as f64
}

fn dbfs(power: f64) -> f64 {
    10.0 * power.max(1e-12).log10()
}

impl Log {
    pub fn new(processor: &EchoCancelProcessor) -> Self {
        Self {
            format: processor.input_format(),
            latency_ms: processor.latency_ms(),
            waiting: VecDeque::new(),
            pending: (0.0, 0.0),
            blocks: Vec::new(),
            readings: Vec::new(),
            times: Vec::new(),
        }
    }

    pub fn note_far(&mut self, frame: &Frame) {
        self.pending.0 = power(frame);
    }

    pub fn note_mic(&mut self, frame: &Frame) {
        self.pending.1 = power(frame);
        self.waiting.push_back(self.pending);
    }

    pub fn note_time(&mut self, time: Duration) {
        self.times.push(time);
    }

    /// What came out: its sound is a frame old where there is latency.
    pub fn note_out(&mut self, frame: &Frame, reading: EchoCancelReading) {
        if frame.position() >= 0 {
            let (far, mic) = self.waiting.pop_front().unwrap_or_default();
            self.blocks.push([far, mic, power(frame)]);
            self.readings.push(reading);
        }
    }

    pub fn steps(&self) -> Vec<Step> {
        let steps = self.blocks.chunks(STEP).zip(self.readings.chunks(STEP)).enumerate();
        let step = |(index, (blocks, readings)): (usize, (&[[f64; 3]], &[EchoCancelReading]))| {
            let mean = |which: usize| blocks.iter().map(|block| block[which]).sum::<f64>() / blocks.len() as f64;
            Step {
                seconds: (index * STEP) as f64 / 100.0,
                far_dbfs: dbfs(mean(0)),
                mic_dbfs: dbfs(mean(1)),
                out_dbfs: dbfs(mean(2)),
                reading: readings[readings.len() - 1],
            }
        };
        steps.map(step).collect()
    }

    /// Level of the microphone over that of the output while the far end was loud, in dB.
    fn erle_db(&self) -> Option<f64> {
        let loud = self.blocks.iter().filter(|block| dbfs(block[0]) > LOUD_DBFS);
        let (mic, out) = loud.fold((0.0, 0.0), |(mic, out), block| (mic + block[1], out + block[2]));
        (mic > 0.0).then(|| dbfs(mic) - dbfs(out))
    }

    /// Median and 99th percentile of the time a frame takes, in µs.
    fn times_us(&self) -> [f64; 2] {
        let mut times = self.times.clone();
        times.sort();
        [50, 99].map(|percent| times.get(times.len() * percent / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6))
    }

    fn last(&self) -> EchoCancelReading {
        self.readings.last().copied().unwrap_or_default()
    }

    pub fn to_json(&self) -> Value {
        let last = self.last();
        let [median, p99] = self.times_us();
        let steps = self.steps();
        let over_time = |value: fn(&Step) -> Value| steps.iter().map(value).collect::<Vec<_>>();
        json!({
            "sample_rate_hz": self.format.sample_rate_hz(),
            "channels": self.format.channels(),
            "seconds": self.blocks.len() as f64 / 100.0,
            "latency_ms": self.latency_ms,
            "erle_db": self.erle_db(),
            "echo_return_loss": last.echo_return_loss,
            "echo_return_loss_enhancement": last.echo_return_loss_enhancement,
            "delay_ms": last.delay_ms,
            "drift_ppm": last.drift_ppm,
            "divergent_filter_fraction": last.divergent_filter_fraction,
            "is_transparent": last.is_transparent,
            "frame_us_median": median,
            "frame_us_p99": p99,
            "over_time": {
                "seconds": over_time(|step| json!(step.seconds)),
                "far_dbfs": over_time(|step| json!(step.far_dbfs)),
                "mic_dbfs": over_time(|step| json!(step.mic_dbfs)),
                "out_dbfs": over_time(|step| json!(step.out_dbfs)),
                "echo_return_loss_enhancement": over_time(|step| json!(step.reading.echo_return_loss_enhancement)),
                "delay_ms": over_time(|step| json!(step.reading.delay_ms)),
                "drift_ppm": over_time(|step| json!(step.reading.drift_ppm)),
            },
        })
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.last();
        let db = |value: Option<f64>| value.map_or("–".into(), |db| format!("{db:.1} dB"));
        let [median, p99] = self.times_us();
        writeln!(f, "{}, {:.1} s, latency {} ms", self.format, self.blocks.len() as f64 / 100.0, self.latency_ms)?;
        writeln!(f, "echo return loss              {}", db(last.echo_return_loss.map(f64::from)))?;
        writeln!(f, "less while the far end plays  {}", db(self.erle_db()))?;
        writeln!(f, "delay                         {}", last.delay_ms.map_or("–".into(), |ms| format!("{ms} ms")))?;
        writeln!(f, "clock drift                   {:.0} ppm", last.drift_ppm)?;
        writeln!(f, "time for a frame              {median:.0} µs, 99 %: {p99:.0} µs")
    }
}
