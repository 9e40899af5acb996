//! Handles under stress: whole valid settings and whole readings, whoever writes; and what a running stage cannot take is
//! refused, and nothing else with it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use voxframe::{Format, Frame, Gain, Handle, HighPass, LevelMeter, Live, NoiseGate, Processor, Result, Stage};
use voxframe_testkit::random::Random;
use voxframe_testkit::signal::level;

/// Updates of each of the four writers.
const UPDATES: u64 = 250_000;

/// One writer moves `open_db`, one `close_db`, which constrain each other; each looks at what is there first, as an
/// application would. The others change fields that constrain nothing, and so must always succeed.
fn write(handle: &Handle<NoiseGate>, writer: u64) -> Result<()> {
    let mut random = Random::new(1000 * writer);
    for _ in 0..UPDATES {
        let (open_db, close_db): (f32, f32) = if random.flip() { (-60.0, -70.0) } else { (-20.0, -30.0) };
        let (hold_ms, floor_db) = (random.between(0.0, 300.0), random.between(-80.0, -1.0));
        handle.update(|gate| match writer {
            0 => gate.open_db = open_db.max(gate.close_db),
            1 => gate.close_db = close_db.min(gate.open_db),
            2 => gate.hold_ms = hold_ms,
            _ => gate.floor_db = floor_db,
        })?;
    }
    Ok(())
}

#[test]
fn a_million_updates_from_four_threads_are_valid_and_none_is_lost() {
    let (stage, handle) = NoiseGate::default().live();
    let mut gate = stage.prepare(Format::mono(8_000).unwrap()).unwrap();
    let mut frame = Frame::new(gate.input_format());
    let (done, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    let frames = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                scope.spawn({
                    let handle = &handle;
                    move || write(handle, writer)
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            while !done.load(Relaxed) {
                handle.settings().validate().unwrap();
                assert!((-120.0..=0.0).contains(&handle.reading().gain_db()));
                seen.fetch_add(1, Relaxed);
            }
        });
        let mut frames = 0u64;
        while !writers.iter().all(|writer| writer.is_finished()) {
            frame.samples_mut().fill(0.02);
            let out = gate.process(&mut frame).unwrap().unwrap();
            assert!(out.samples().iter().all(|sample| (0.0..=0.0201).contains(sample)));
            frames += 1;
        }
        done.store(true, Relaxed);
        reader.join().unwrap();
        for (writer, result) in writers.into_iter().enumerate() {
            assert_eq!(result.join().unwrap(), Ok(()), "writer {writer}");
        }
        frames
    });
    println!("{frames} frames, {} readers' looks", seen.into_inner());
    assert!(frames > 100);
    // The last word of each writer stands.
    let settings = handle.settings();
    settings.validate().unwrap();
    assert!([-60.0, -20.0].contains(&settings.open_db) || settings.open_db == settings.close_db);
    for (writer, found) in [(2, settings.hold_ms), (3, settings.floor_db)] {
        let mut random = Random::new(1000 * writer);
        let mut last = [0.0; 2];
        for _ in 0..UPDATES {
            random.flip();
            last = [random.between(0.0, 300.0), random.between(-80.0, -1.0)];
        }
        assert_eq!(found, last[writer as usize - 2], "writer {writer}");
    }
}

#[test]
fn a_handle_outlives_its_processors() {
    let handle = Handle::new(Gain::db(-20.0));
    let mut frame = Frame::new(Format::mono(48_000).unwrap());
    let mut level = |gain: &mut <Gain as Stage>::Processor| {
        frame.samples_mut().fill(1.0);
        gain.process(&mut frame).unwrap().unwrap().samples()[479]
    };
    let mut first = handle.attach().prepare(Format::mono(48_000).unwrap()).unwrap();
    assert!((level(&mut first) - 0.1).abs() < 1e-6);
    drop(first);
    assert!(!handle.is_attached());
    handle.update(|gain| gain.gain_db = -40.0).unwrap();

    let mut second = handle.attach().prepare(Format::mono(48_000).unwrap()).unwrap();
    assert!((level(&mut second) - 0.01).abs() < 1e-6);
    let mut third = handle.attach_with(Gain::db(0.0)).prepare(Format::mono(48_000).unwrap()).unwrap();
    assert_eq!(handle.settings(), Gain::db(0.0));
    handle.update(|gain| gain.muted = true).unwrap();
    assert!((level(&mut second) - 0.01).abs() < 1e-6, "the one before keeps what it had");
    assert_eq!(level(&mut third), 0.0);
    assert_eq!(handle.reading().gain_db, voxframe::level::SILENCE_DBFS, "the reading is the newest one's");
}

#[test]
fn a_processor_that_cannot_be_made_leaves_the_one_before() {
    let handle = Handle::new(Gain::db(0.0));
    let _running = handle.attach().prepare(Format::mono(48_000).unwrap()).unwrap();
    assert!(handle.attach_with(Gain::db(f32::NAN)).prepare(Format::mono(48_000).unwrap()).is_err());
    assert_eq!(handle.settings(), Gain::db(0.0));
    assert!(handle.is_attached());
}

#[test]
fn readings_are_of_one_frame() {
    let (stage, handle) = LevelMeter::default().live();
    let mut meter = stage.prepare(Format::mono(8_000).unwrap()).unwrap();
    let mut frame = Frame::new(meter.input_format());
    frame.samples_mut().fill(1.0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut before = 0;
                    while !done.load(Relaxed) {
                        let reading = handle.reading();
                        assert_eq!(reading.clipped(), reading.samples(), "every sample of every frame clips");
                        assert_eq!(reading.samples() % 80, 0);
                        assert!(reading.samples() >= before, "a reading never goes back");
                        before = reading.samples();
                    }
                    before
                })
            })
            .collect();
        for _ in 0..300_000 {
            meter.process(&mut frame).unwrap();
        }
        done.store(true, Relaxed);
        assert!(readers.into_iter().all(|reader| reader.join().unwrap() > 0));
    });
    assert_eq!(handle.reading().samples(), 300_000 * 80);
}

/// The level of a tone of 40 Hz behind a high-pass at 80 Hz, a second after a change.
fn rumble_db(high_pass: &mut impl Processor<Input = Frame, Output = Frame>) -> f32 {
    let mut frame = Frame::new(high_pass.input_format());
    let mut heard = Vec::new();
    for start in (0..48_000).step_by(480) {
        for (index, sample) in frame.samples_mut().iter_mut().enumerate() {
            *sample = (std::f32::consts::TAU * 40.0 * (start + index) as f32 / 48_000.0).sin();
        }
        heard.extend_from_slice(high_pass.process(&mut frame).unwrap().unwrap().samples());
    }
    level(&heard[24_000..])
}

#[test]
fn the_order_of_a_high_pass_changes_while_it_runs() {
    let (stage, handle) = HighPass { order: 2, ..HighPass::default() }.live();
    let mut high_pass = stage.prepare(Format::mono(48_000).unwrap()).unwrap();
    let second = rumble_db(&mut high_pass);
    handle.update(|high_pass| high_pass.order = 4).unwrap();
    let fourth = rumble_db(&mut high_pass);
    // An octave below its corner each order takes 6 dB.
    assert!((second - fourth - 12.0).abs() < 2.0, "{second} dBFS, then {fourth}");
    assert!(handle.update(|high_pass| high_pass.order = 5).is_err());
    assert_eq!(handle.settings().order, 4);
}

/// The bit rate of a second of sound, in kb/s; every frame must become a packet.
#[cfg(feature = "opus")]
fn kbps(encoder: &mut impl Processor<Input = Frame, Output = voxframe::Packet>) -> f32 {
    let mut frame = Frame::new(encoder.input_format());
    let sound = voxframe_testkit::wav::fixture("speech_clean.wav").remove(0);
    let mut bytes = 0;
    for block in sound[36_000..].chunks_exact(960).take(50) {
        frame.samples_mut().copy_from_slice(block);
        bytes += encoder.process(&mut frame).unwrap().expect("a packet for each frame").as_bytes().len();
    }
    bytes as f32 * 8.0 / 1000.0
}

#[cfg(feature = "opus")]
#[test]
fn a_packet_length_that_the_frames_do_not_allow_is_refused_and_encoding_goes_on() {
    use voxframe::opus::RateControl;
    use voxframe::{Error, OpusEncode};
    let cbr = OpusEncode { rate_control: RateControl::Cbr, bitrate_bps: 64_000, ..OpusEncode::voip() };
    let (stage, handle) = cbr.live();
    let mut encoder = stage.prepare(Format::mono(48_000).unwrap().with_frame_ms(20).unwrap()).unwrap();
    assert!((kbps(&mut encoder) - 64.0).abs() < 1.0);
    let refused = handle.update(|opus| opus.packet_ms = 10.0);
    assert!(matches!(refused, Err(Error::Fixed { .. } | Error::OutOfRange { .. })), "{refused:?}");
    assert_eq!(handle.settings(), cbr);
    assert!((kbps(&mut encoder) - 64.0).abs() < 1.0);
    for bitrate_bps in [16_000, 32_000] {
        handle.update(|opus| opus.bitrate_bps = bitrate_bps).unwrap();
        let kbps = kbps(&mut encoder);
        assert!((kbps - bitrate_bps as f32 / 1000.0).abs() < 1.0, "{kbps} kb/s");
    }
}
