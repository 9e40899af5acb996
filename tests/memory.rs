//! What one more stream takes on the heap is small, for each profile: weights, tables and filters are there once for all.
#![cfg(all(feature = "hush", feature = "vad", feature = "resample"))]

use voxframe::{Format, Profile, Stage};
use voxframe_testkit::alloc::{CountingAllocator, most_held};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn a_stream_takes_little_memory() {
    let format = Format::mono(48_000).unwrap();
    for (profile, kib) in [(Profile::low_latency(), 16), (Profile::balanced(), 94), (Profile::high_quality(), 99)] {
        // What all streams share is there after the first; what building takes for a moment is in both.
        let _first = profile.prepare(format).unwrap();
        let [few, many] = [10, 20]
            .map(|streams| most_held(|| (0..streams).map(|_| profile.prepare(format).unwrap()).collect::<Vec<_>>()).1);
        let bytes = (many - few) / 10;
        println!("{profile}: {bytes} bytes");
        assert!(bytes < kib << 10, "{profile}: {bytes} bytes, {kib} KiB at most");
    }
}
