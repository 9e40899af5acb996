//! What is told of the call, and what of it may not be.

use std::fs;

use serde_json::{Value, json};
use voxframe::jitter::JitterBufferReading;

use crate::common::{Failure, Result};
use crate::far_end::FarEnd;
use crate::near_end::NearEnd;

/// By how much the memory may grow after the first report, in KiB.
const GROWTH_KIB: u64 = 4096;

/// Share of sound that may be concealed: the network loses 5 % in the mean, and stalls take 5 % more.
const MOST_CONCEALED: f64 = 0.25;

pub struct Step {
    pub hours: f64,
    pub level_dbfs: f64,
    pub delay_ms: f64,
    pub longest_delay_ms: f64,
    pub resident_kib: u64,
    pub median_us: f64,
    pub p99_us: f64,
    pub concealed: f64,
}

#[derive(Default)]
pub struct Log {
    pub steps: Vec<Step>,
    last: JitterBufferReading,
}

impl Log {
    /// Figures since the last report, as JSON. Fails where they break a promise.
    pub fn note(&mut self, hours: f64, near: &mut NearEnd, far: &mut FarEnd) -> Result<Value> {
        near.costs_us.sort_unstable_by(f32::total_cmp);
        let cost =
            |share: f64| near.costs_us.get((share * near.costs_us.len() as f64) as usize).copied().unwrap_or(0.0);
        let reading = far.controls.jitter_buffer.reading();
        let step = Step {
            hours,
            level_dbfs: 10.0 * (far.energy / far.samples.max(1) as f64 + 1e-12).log10(),
            delay_ms: far.delays_ms / far.ticks.max(1) as f64,
            longest_delay_ms: far.longest_delay_ms.into(),
            resident_kib: resident_kib(),
            median_us: cost(0.5).into(),
            p99_us: cost(0.99).into(),
            concealed: (reading.concealed_ms - self.last.concealed_ms) / (10.0 * far.ticks.max(1) as f64),
        };
        let told = json!({
            "hours": hours,
            "level_dbfs": step.level_dbfs,
            "peak": far.peak,
            "delay_ms": step.delay_ms,
            "longest_delay_ms": step.longest_delay_ms,
            "resident_kib": step.resident_kib,
            "frame_us": { "median": step.median_us, "p99": step.p99_us, "longest": cost(1.0 - 1e-9) },
            "concealed": step.concealed,
            "packets_received": reading.packets_received - self.last.packets_received,
            "packets_lost": reading.packets_lost - self.last.packets_lost,
            "packets_repaired": reading.packets_repaired - self.last.packets_repaired,
            "stream_restarts": reading.stream_restarts - self.last.stream_restarts,
            "switches": near.switches,
            "devices": near.devices,
        });
        if let Some(first) = self.steps.first()
            && step.resident_kib > first.resident_kib + GROWTH_KIB
        {
            return Err(Failure(format!("memory grew from {} to {} KiB", first.resident_kib, step.resident_kib)));
        }
        if step.concealed > MOST_CONCEALED {
            return Err(Failure(format!("after {hours} h {:.0} % of the sound was concealed", 100.0 * step.concealed)));
        }
        near.costs_us.clear();
        far.begin_report();
        self.last = reading;
        self.steps.push(step);
        Ok(told)
    }
}

/// Memory in use, in KiB; 0 where the system does not tell.
fn resident_kib() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    4 * pages.unwrap_or(0)
}
