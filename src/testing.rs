//! What the unit tests share.

/// A fixture (`fixtures/README.md`): its first channel, and its rate in Hz.
pub(crate) fn recording(name: &str) -> (Vec<f32>, u32) {
    let mut wav = hound::WavReader::open(format!("fixtures/{name}.wav")).unwrap();
    let (channels, rate_hz) = (usize::from(wav.spec().channels), wav.spec().sample_rate);
    let samples = wav.samples::<i16>().step_by(channels).map(|s| f32::from(s.unwrap()) / 32_768.0);
    (samples.collect(), rate_hz)
}

/// The first channel of a fixture.
pub(crate) fn fixture(name: &str) -> Vec<f32> {
    recording(name).0
}
