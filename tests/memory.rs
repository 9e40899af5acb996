//! What one more stream takes on the heap is small, for each profile: weights, tables and filters are there once for all.
#![cfg(all(feature = "hush", feature = "vad", feature = "resample"))]

use voxframe::resample::{Quality, Resample};
use voxframe::{Format, Profile, Stage};
use voxframe_testkit::alloc::{CountingAllocator, most_held};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Bytes on the heap that one more of these takes, itself included.
fn bytes<S: Stage + Copy>(stage: S, format: Format) -> usize {
    // What all share is there after the first; what building takes for a moment is in both.
    let _first = stage.prepare(format).unwrap();
    let [few, many] =
        [10, 20].map(|count| most_held(|| (0..count).map(|_| stage.prepare(format).unwrap()).collect::<Vec<_>>()).1);
    (many - few) / 10
}

#[test]
fn a_stream_takes_little_memory() {
    let format = Format::mono(48_000).unwrap();
    for (profile, kib) in [(Profile::low_latency(), 32), (Profile::balanced(), 78), (Profile::high_quality(), 83)] {
        let bytes = bytes(profile, format);
        println!("{profile}: {bytes} bytes");
        assert!(bytes < kib << 10, "{profile}: {bytes} bytes, {kib} KiB at most");
    }
}

#[test]
fn so_does_each_stage() {
    let format = Format::mono(48_000).unwrap();
    let profile = Profile::high_quality();
    let resample = Resample { sample_rate_hz: 16_000, quality: Quality::LowLatency };
    let stages = [
        ("gain", bytes(profile.gain, format), 1_500),
        ("denoise", bytes(profile.denoise.unwrap(), format), 42_000),
        ("resample", bytes(resample, format), 17_000),
        ("high-pass", bytes(profile.high_pass.unwrap(), format), 3_100),
        ("auto-gain", bytes(profile.auto_gain.unwrap(), format), 18_000),
        ("gate", bytes(profile.gate.unwrap(), format), 4_000),
        ("limiter", bytes(profile.limiter.unwrap(), format), 15_000),
        ("meter", bytes(profile.meter, format), 1_700),
    ];
    for (name, bytes, max) in stages {
        println!("{name}: {bytes} bytes");
        assert!(bytes < max, "{name}: {bytes} bytes, {max} at most");
    }
}
