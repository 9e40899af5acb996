//! Comfort noise: what the line sounds like when nobody speaks.

use crate::Format;

/// Order of the filter that gives the noise its colour.
const ORDER: usize = 16;

/// The loudest comfort noise, as a mean square: −45 dBFS. What is louder was not background.
const LOUDEST: f32 = 3.16e-5;

/// Below this mean square a frame is silent whatever came before: −75 dBFS.
const SILENT: f32 = 3.16e-8;

/// No sample is larger, whatever the filter was made of: 19 dB above the loudest.
const PEAK: f32 = 0.05;

/// How far above the floor a frame may be and count as background: 6 dB.
const BACKGROUND: f32 = 4.0;

/// How the floor rises while nothing as quiet is heard: 1.5 dB/s, a factor a 10 ms frame.
const RISE: f32 = 1.003_46;

/// Listens to the background of a voice, and continues it: white noise through an all-pole filter of the background's
/// spectrum, at its level.
pub(super) struct Comfort {
    floor: f32,
    /// Autocorrelation of the background, smoothed over frames; the first is its mean square.
    spectrum: [f32; ORDER + 1],
    filter: [f32; ORDER],
    gain: f32,
    stale: bool,
    /// The filter's past output, newest last, for each channel.
    memory: [[f32; ORDER]; Format::MAX_CHANNELS],
    random: u32,
}

impl Comfort {
    pub fn new() -> Self {
        Self {
            floor: LOUDEST,
            spectrum: [0.0; ORDER + 1],
            filter: [0.0; ORDER],
            gain: 0.0,
            stale: false,
            memory: [[0.0; ORDER]; Format::MAX_CHANNELS],
            random: 0x9e37_79b9,
        }
    }

    /// Hears 10 ms of the line; whether they were background.
    pub fn hear(&mut self, samples: &[f32]) -> bool {
        let length = samples.len().max(1) as f32;
        let power = crate::kernels::energy(samples) / length;
        self.floor = if power < self.floor { power.max(SILENT) } else { (self.floor * RISE).min(LOUDEST) };
        if !self.is_background(power) {
            return false;
        }
        for (lag, smooth) in self.spectrum.iter_mut().enumerate() {
            let product: f32 = samples.iter().zip(samples.get(lag..).unwrap_or(&[])).map(|(a, b)| a * b).sum();
            *smooth += 0.1 * (product / length - *smooth);
        }
        self.stale = true;
        true
    }

    /// Whether sound of this mean square is no louder than the background.
    pub fn is_background(&self, power: f32) -> bool {
        power <= (self.floor * BACKGROUND).max(SILENT)
    }

    /// Writes the noise of one channel.
    pub fn fill(&mut self, channel: usize, samples: &mut [f32]) {
        if self.stale {
            self.design();
        }
        let Some(memory) = self.memory.get_mut(channel) else { return };
        let mut oldest = 0;
        for sample in samples {
            // Xorshift (Marsaglia 2003); uniform noise of unit power.
            self.random ^= self.random << 13;
            self.random ^= self.random >> 17;
            self.random ^= self.random << 5;
            let white = (self.random as i32) as f32 * (1.732_050_8 / 2_147_483_648.0);
            let mut value = white * self.gain;
            for (tap, weight) in self.filter.iter().enumerate() {
                value -= weight * memory[(oldest + ORDER - 1 - tap) % ORDER];
            }
            value = value.clamp(-PEAK, PEAK);
            memory[oldest] = value;
            oldest = (oldest + 1) % ORDER;
            *sample = value;
        }
        memory.rotate_left(oldest);
    }

    /// The all-pole filter of the spectrum, by the Levinson–Durbin recursion.
    fn design(&mut self) {
        self.stale = false;
        let mut spectrum = self.spectrum;
        // A floor 40 dB down keeps the recursion well-conditioned and the filter stable.
        spectrum[0] = spectrum[0] * 1.0001 + 1e-12;
        let mut error = spectrum[0];
        let mut filter = [0.0f32; ORDER];
        for order in 0..ORDER {
            let sum: f32 = (0..order).map(|i| filter[i] * spectrum[order - i]).sum();
            let reflection = -(spectrum[order + 1] + sum) / error;
            if reflection.abs() >= 0.999 {
                break;
            }
            let before = filter;
            for i in 0..order {
                filter[i] += reflection * before[order - 1 - i];
            }
            filter[order] = reflection;
            error *= 1.0 - reflection * reflection;
        }
        self.filter = filter;
        self.gain = error.max(0.0).sqrt();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::rms_dbfs;

    /// Noise with a low-pass colour, −`db` dBFS or so.
    fn background(frames: usize) -> Vec<f32> {
        let mut random = 1u32;
        let mut low = 0.0;
        (0..frames * 480)
            .map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                low += 0.2 * ((random >> 8) as f32 / 8_388_608.0 - 1.0 - low);
                low * 0.004
            })
            .collect()
    }

    /// How alike neighbouring samples are, −1 to 1: the colour in one figure.
    fn colour(samples: &[f32]) -> f32 {
        let product: f32 = samples.windows(2).map(|w| w[0] * w[1]).sum();
        product / samples.iter().map(|s| s * s).sum::<f32>()
    }

    #[test]
    fn it_has_level_and_colour_of_the_background_and_not_of_speech() {
        let mut comfort = Comfort::new();
        let noise = background(300);
        for (index, frame) in noise.chunks_exact(480).enumerate() {
            let mut frame = frame.to_vec();
            if index % 100 > 30 {
                frame.iter_mut().enumerate().for_each(|(i, s)| *s += (i as f32 * 0.4).sin() * 0.3);
            }
            comfort.hear(&frame);
        }
        let mut made = vec![0.0; 48_000];
        made.chunks_mut(480).for_each(|frame| comfort.fill(0, frame));
        let change = rms_dbfs(&made) - rms_dbfs(&noise);
        assert!(change.abs() < 1.0, "{change} dB");
        assert!((colour(&made) - colour(&noise)).abs() < 0.03, "{} {}", colour(&made), colour(&noise));
        let mut right = vec![0.0; 480];
        comfort.fill(1, &mut right);
        let alike: f32 = right.iter().zip(&made[47_520..]).map(|(a, b)| a * b).sum::<f32>();
        assert!(alike.abs() < 0.5 * right.iter().map(|s| s * s).sum::<f32>(), "channels are independent");
    }

    #[test]
    fn it_is_silent_until_it_has_heard_something_and_never_loud() {
        let mut comfort = Comfort::new();
        let mut made = vec![1.0; 480];
        comfort.fill(0, &mut made);
        assert_eq!(rms_dbfs(&made), crate::level::SILENCE_DBFS);
        let loud: Vec<f32> = (0..480).map(|i| (i as f32 * 0.1).sin()).collect();
        (0..1000).for_each(|_| assert!(!comfort.hear(&loud)));
        comfort.fill(0, &mut made);
        assert!(rms_dbfs(&made) < -45.0);
    }
}
