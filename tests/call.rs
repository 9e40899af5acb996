//! A call in both directions: it adapts, its handles hold, and neither audio thread ever allocates.
#![cfg(all(feature = "resample", feature = "denoise", feature = "hush", feature = "opus"))]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use voxframe::call::{Adaptation, Call, ConnectionReport, Device, DeviceCapability, OpenCall, ProfileKind};
use voxframe_testkit::alloc::{CountingAllocator, allocations};
use voxframe_testkit::signal::level;
use voxframe_testkit::wav::fixture;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// A call watches how long its frames take, so one at a time has the machine.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(capability: DeviceCapability) -> OpenCall {
    let adaptation = Adaptation { capability, ..Adaptation::default() };
    Call { adaptation, ..Call::default() }.open(Device::new(44_100, 2), Device::new(48_000, 2)).unwrap()
}

fn report(second: u64, loss: f32, round_trip_time_ms: f32) -> ConnectionReport {
    ConnectionReport {
        at: Duration::from_secs(second),
        loss: Some(loss),
        round_trip_time_ms: Some(round_trip_time_ms),
        ..ConnectionReport::default()
    }
}

#[test]
fn neither_audio_thread_allocates_while_profile_volume_and_encoder_change() {
    let _turn = alone();
    let (mut microphone, mut loudspeaker, mut network, mut controls) = open(DeviceCapability::High);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let done = &done;
        let capture = scope.spawn(move || {
            let buffer: Vec<i16> = (0..2 * 441).map(|i| ((i * 7919) % 2000 - 1000) as i16).collect();
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                count += allocations(|| microphone.callback(&buffer).unwrap());
                std::thread::sleep(Duration::from_millis(1));
            }
            count
        });
        let playout = scope.spawn(move || {
            let mut buffer = [0.0f32; 2 * 480];
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                count += allocations(|| loudspeaker.callback(&mut buffer).unwrap());
                std::thread::sleep(Duration::from_millis(1));
            }
            count
        });
        let mut profiles = Vec::new();
        for second in 0..400 {
            let (mut sequence, mut packets) = (second * 100, 0);
            while let Some(packet) = network.outgoing.pop() {
                let (position, bytes) = (packet.position() as u32, packet.as_bytes());
                network.incoming.push(sequence as u16, position, 7, bytes).ok();
                sequence += 1;
                packets += 1;
                if packets == 10 {
                    break;
                }
            }
            let (loss, rtt) = if second / 20 % 2 == 0 { (0.2, 500.0) } else { (0.0, 20.0) };
            controls.report(&report(second, loss, rtt)).unwrap();
            profiles.push(controls.profile());
            controls.downlink.volume.update(|volume| volume.gain_db = -((second % 10) as f32)).unwrap();
            std::thread::sleep(Duration::from_millis(3));
        }
        done.store(true, Ordering::Relaxed);
        assert_eq!((capture.join().unwrap(), playout.join().unwrap()), (0, 0));
        profiles.dedup();
        assert!(profiles.len() >= 5, "{profiles:?}");
    });
}

#[test]
fn what_is_spoken_is_heard_and_profile_and_encoder_follow_the_network() {
    let _turn = alone();
    let (mut microphone, mut loudspeaker, mut network, mut controls) = open(DeviceCapability::High);
    let speech: Vec<f32> = fixture("speech_stereo_44100.wav").remove(0);
    let mut seen = Vec::new();
    let (mut heard, mut sequence) = (Vec::new(), 0u16);
    for tick in 0..4000usize {
        let from = tick * 441 % (speech.len() - 441);
        let buffer: Vec<f32> = speech[from..from + 441].iter().flat_map(|&sample| [sample; 2]).collect();
        microphone.callback(&buffer).unwrap();
        while let Some(packet) = network.outgoing.pop() {
            sequence = sequence.wrapping_add(1);
            network.incoming.push(sequence, packet.position() as u32, 7, packet.as_bytes()).unwrap();
        }
        let mut played = [0.0f32; 2 * 480];
        loudspeaker.callback(&mut played).unwrap();
        heard.extend(played.iter().step_by(2));
        if tick % 100 == 99 {
            let second = tick as u64 / 100;
            let loss = if (10..20).contains(&second) { 0.15 } else { 0.0 };
            controls.report(&report(second, loss, 20.0)).unwrap();
            let opus = controls.uplink.opus.settings();
            seen.push((controls.profile(), opus.bitrate_bps, opus.fec));
        }
    }
    assert_eq!(seen[5], (ProfileKind::HighQuality, 64_000, false));
    assert_eq!((seen[18].0, seen[18].1, seen[18].2), (ProfileKind::LowLatency, 32_000, true));
    let last = seen.last().unwrap();
    assert!(last.0 != ProfileKind::LowLatency && last.1 == 64_000 && !last.2, "{last:?}");
    assert_eq!(controls.downlink.jitter_buffer.reading().packets_lost, 0, "no gap, no leap");
    // The far end hears a voice in each 3 s of it, through four switches.
    for (index, seconds) in heard.chunks_exact(3 * 48_000).enumerate().skip(1) {
        assert!(level(seconds) > -30.0, "{} s: {} dBFS", index * 3, level(seconds));
    }
}
