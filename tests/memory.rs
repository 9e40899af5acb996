//! What one more stream takes on the heap is small, for each profile: weights, tables and filters are there once for all.
#![cfg(all(feature = "hush", feature = "vad", feature = "resample"))]

use voxframe::resample::{Quality, Resample};
use voxframe::{Format, Profile, Stage};
use voxframe_testkit::alloc::{CountingAllocator, most_held};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Bytes on the heap that one more of these takes, itself included.
fn bytes<T>(prepare: impl Fn() -> T) -> usize {
    // What all share is there after the first; what building takes for a moment is in both.
    let _first = prepare();
    let [few, many] = [10, 20].map(|count| most_held(|| (0..count).map(|_| prepare()).collect::<Vec<_>>()).1);
    (many - few) / 10
}

/// Bytes of a stage without a handle.
fn bytes_of<S: Stage + Copy>(stage: S, format: Format) -> usize {
    bytes(|| stage.prepare(format).unwrap())
}

#[test]
fn a_stream_takes_little_memory() {
    let format = Format::mono(48_000).unwrap();
    // Without handles, and with those to all stages kept.
    for (profile, kib) in
        [(Profile::low_latency(), [22, 29]), (Profile::balanced(), [60, 70]), (Profile::high_quality(), [64, 74])]
    {
        let found = [bytes_of(profile, format), bytes(|| profile.pipeline(format).unwrap())];
        println!("{profile}: {} bytes, {} with handles", found[0], found[1]);
        assert!(found[0] < kib[0] << 10 && found[1] < kib[1] << 10, "{profile}: {found:?} bytes, {kib:?} KiB at most");
    }
}

#[test]
fn so_does_each_stage() {
    let format = Format::mono(48_000).unwrap();
    let profile = Profile::high_quality();
    let resample = Resample { sample_rate_hz: 16_000, quality: Quality::LowLatency };
    let stages = [
        ("gain", bytes_of(profile.gain, format), 100),
        ("denoise", bytes_of(profile.denoise.unwrap(), format), 37_000),
        ("resample", bytes_of(resample, format), 17_000),
        ("high-pass", bytes_of(profile.high_pass.unwrap(), format), 1_700),
        ("auto-gain", bytes_of(profile.auto_gain.unwrap(), format), 15_700),
        ("gate", bytes_of(profile.gate.unwrap(), format), 2_500),
        ("limiter", bytes_of(profile.limiter.unwrap(), format), 8_700),
        ("meter", bytes_of(profile.meter, format), 300),
    ];
    for (name, bytes, max) in stages {
        println!("{name}: {bytes} bytes");
        assert!(bytes < max, "{name}: {bytes} bytes, {max} at most");
    }
}
