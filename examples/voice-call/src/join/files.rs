//! WAV files in place of microphone and loudspeaker, at the pace of a sound card.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use voxframe::call::{Call, CallControls, CallNetwork, Device, Loudspeaker, Microphone};

use super::{JoinArgs, JoinError};

/// Rate of what is heard, in Hz.
const RATE_HZ: u32 = 48_000;

/// Length of a device buffer.
const BUFFER: Duration = Duration::from_millis(10);

/// Sound of files.
pub struct FileSound {
    thread: JoinHandle<Result<(), JoinError>>,
    stop: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

/// What is said.
struct Input {
    /// Interleaved samples; none for silence.
    samples: Vec<f32>,
    next: usize,
    repeats: bool,
}

impl Input {
    /// Fills a device buffer; whether there was anything.
    fn fill(&mut self, out: &mut [f32]) -> bool {
        if self.samples.is_empty() {
            out.fill(0.0);
            return true;
        }
        let has_ended = self.next >= self.samples.len() && !self.repeats;
        for sample in out {
            if self.next >= self.samples.len() && self.repeats {
                self.next = 0;
            }
            *sample = self.samples.get(self.next).copied().unwrap_or(0.0);
            self.next += 1;
        }
        !has_ended
    }
}

impl FileSound {
    /// Opens the files and the call between them. The sound begins at once.
    ///
    /// # Errors
    /// [`JoinError::Sound`] for a file that cannot be read or written.
    pub fn open(args: &JoinArgs, call: &Call) -> Result<(CallNetwork, CallControls, Self), JoinError> {
        let (device, samples) = match &args.input {
            Some(path) => read(path)?,
            None => (Device::new(RATE_HZ, 1), Vec::new()),
        };
        let (microphone, loudspeaker, network, controls) = call.open(device, Device::new(RATE_HZ, 1))?;
        let spec = WavSpec { channels: 1, sample_rate: RATE_HZ, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let output =
            args.output.as_deref().map(|path| WavWriter::create(path, spec).map_err(failed(path))).transpose()?;
        let (stop, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let input = Input { samples, next: 0, repeats: args.repeat };
        let (stopping, ending) = (Arc::clone(&stop), Arc::clone(&ended));
        let thread = thread::spawn(move || {
            let result = run(input, output, device, microphone, loudspeaker, (&stopping, &ending));
            ending.store(true, Relaxed);
            result
        });
        Ok((network, controls, Self { thread, stop, ended }))
    }

    /// Flag that says when the input has come to its end.
    pub fn ended(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.ended)
    }

    /// Ends the sound, and completes the output.
    ///
    /// # Errors
    /// [`JoinError::Sound`] for an output that could not be written.
    pub fn finish(self) -> Result<(), JoinError> {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap_or(Ok(()))
    }
}

fn run(
    mut input: Input,
    mut output: Option<WavWriter<BufWriter<File>>>,
    device: Device,
    mut microphone: Microphone,
    mut loudspeaker: Loudspeaker,
    (stop, ended): (&AtomicBool, &AtomicBool),
) -> Result<(), JoinError> {
    let start = Instant::now();
    let wav = |error: hound::Error| JoinError::Sound("output".into(), error.to_string());
    let mut buffers = 0u32;
    while !stop.load(Relaxed) {
        // The samples of this buffer, whatever the rate.
        let until = |buffers: u32| (u64::from(buffers) * u64::from(device.sample_rate_hz) / 100) as usize;
        let mut spoken = vec![0.0; (until(buffers + 1) - until(buffers)) * device.channels];
        if !input.fill(&mut spoken) {
            ended.store(true, Relaxed);
        }
        microphone.callback(&spoken)?;
        let mut heard = [0i16; RATE_HZ as usize / 100];
        loudspeaker.callback(&mut heard)?;
        if let Some(output) = &mut output {
            heard.iter().try_for_each(|sample| output.write_sample(*sample)).map_err(wav)?;
        }
        buffers += 1;
        thread::sleep((start + BUFFER * buffers).saturating_duration_since(Instant::now()));
    }
    output.map_or(Ok(()), |output| output.finalize().map_err(wav))
}

fn read(path: &Path) -> Result<(Device, Vec<f32>), JoinError> {
    let reader = WavReader::new(BufReader::new(File::open(path).map_err(failed(path))?)).map_err(failed(path))?;
    let spec = reader.spec();
    let scale = 1.0 / (1i64 << (spec.bits_per_sample.clamp(1, 32) - 1)) as f32;
    let samples: Result<Vec<f32>, _> = match spec.sample_format {
        SampleFormat::Float => reader.into_samples::<f32>().collect(),
        SampleFormat::Int => {
            reader.into_samples::<i32>().map(|sample| sample.map(|sample| sample as f32 * scale)).collect()
        }
    };
    Ok((Device::new(spec.sample_rate, spec.channels.into()), samples.map_err(failed(path))?))
}

fn failed<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> JoinError {
    move |error| JoinError::Sound(path.display().to_string(), error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_ends_or_repeats() {
        let mut once = Input { samples: vec![0.1, 0.2, 0.3], next: 0, repeats: false };
        let mut out = [9.0; 2];
        let said: Vec<_> = (0..3).map(|_| (once.fill(&mut out), out)).collect();
        assert_eq!(said, [(true, [0.1, 0.2]), (true, [0.3, 0.0]), (false, [0.0, 0.0])]);
        let mut again = Input { samples: vec![0.1, 0.2, 0.3], next: 0, repeats: true };
        let said: Vec<_> = (0..3).map(|_| (again.fill(&mut out), out)).collect();
        assert_eq!(said, [(true, [0.1, 0.2]), (true, [0.3, 0.1]), (true, [0.2, 0.3])]);
        assert!(Input { samples: Vec::new(), next: 0, repeats: false }.fill(&mut out), "silence has no end");
    }

    #[test]
    fn what_is_no_recording_is_refused() {
        let name = read(Path::new("Cargo.toml")).map(|_| ()).unwrap_err().to_string();
        assert!(name.starts_with("Cargo.toml: "), "{name}");
        assert!(read(Path::new("no-such.wav")).is_err());
    }
}
