//! Switching profiles in the middle of a call: nobody hears it, nothing leaps, nothing allocates on the audio thread.
#![cfg(all(feature = "resample", feature = "denoise", feature = "opus"))]

use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::sync::atomic::{AtomicUsize, Ordering};

use voxframe::call::{Controls, ProfileKind, UplinkProcessor, switch};
use voxframe::pipeline::{Pipeline, process_fn};
use voxframe::{Error, Format, Frame, HighPass, Limiter, Processor, Profile};
use voxframe_testkit::alloc::{CountingAllocator, allocations};
use voxframe_testkit::random::Random;
use voxframe_testkit::signal::steepest;
use voxframe_testkit::wav::fixture;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const WARM_UP_MS: u32 = 300;

fn microphone() -> Format {
    Format::mono(48_000).unwrap()
}

fn kinds() -> &'static [ProfileKind] {
    if cfg!(feature = "hush") { &ProfileKind::ALL } else { &ProfileKind::ALL[..2] }
}

fn with(mut profile: Profile, change: impl FnOnce(&mut Profile)) -> Profile {
    change(&mut profile);
    profile
}

/// A limiter whose lookahead delays.
fn delay(lookahead_ms: f32) -> Pipeline {
    let mut pipeline = Pipeline::new(microphone());
    pipeline.push("limiter", Limiter { lookahead_ms, ..Limiter::default() }).unwrap();
    pipeline
}

/// A delay that no latency tells of.
fn secret_delay(samples: usize) -> Pipeline {
    let mut ring = VecDeque::from(vec![0.0; samples]);
    ring.reserve(1);
    let mut pipeline = Pipeline::new(microphone());
    let delay = process_fn(move |frame| {
        for sample in frame.samples_mut() {
            ring.push_back(*sample);
            *sample = ring.pop_front().unwrap();
        }
    });
    pipeline.push("delay", delay).unwrap();
    pipeline
}

#[test]
fn a_sine_through_100_switches_is_nowhere_steeper_than_a_sine() {
    const AMPLITUDE: f64 = 0.3;
    for hz in [100.0, 440.0, 997.0] {
        let sine = |at: i64| (AMPLITUDE * (TAU * hz * at as f64 / 48_000.0).sin()) as f32;
        let (mut processor, mut switch) = switch(secret_delay(0));
        let mut frame = Frame::new(microphone());
        let (mut sound, mut positions) = (Vec::new(), Vec::new());
        let mut random = Random::new(3);
        let mut delay = 0;
        for index in 0..100 * 140 {
            if index % 140 == 0 {
                // Half a period of 100 Hz is 240 samples.
                delay = if index == 0 { 240 } else { (960.0 * random.unit()) as i64 };
                switch.to(secret_delay(delay as usize), WARM_UP_MS).unwrap();
            }
            frame.set_position(index * 480);
            for (i, sample) in frame.samples_mut().iter_mut().enumerate() {
                *sample = sine(index * 480 + i as i64);
            }
            let out = processor.process(&mut frame).unwrap().unwrap();
            positions.push(out.position());
            sound.extend_from_slice(out.samples());
            if index % 140 == 139 {
                assert!((out.samples()[0] - sine(index * 480 - delay)).abs() < 1e-6, "the new one is heard alone");
            }
        }
        assert!(positions.windows(2).all(|two| two[1] - two[0] == 480), "positions count on");
        let own = AMPLITUDE * 2.0 * (std::f64::consts::PI * hz / 48_000.0).sin();
        let most = f64::from(steepest(&sound));
        println!("{hz} Hz: steepest {:.4} of the sine's own", most / own);
        assert!(most < 1.01 * own, "{hz} Hz: {most} {own}");
    }
}

#[test]
fn a_lower_latency_is_padded_until_a_pause_and_then_nothing_is_missing_but_the_pause() {
    let (mut processor, mut switch) = switch(delay(20.0));
    let mut frame = Frame::new(microphone());
    let (mut sound, mut heard, mut latencies) = (Vec::new(), Vec::new(), Vec::new());
    let mut random = Random::new(5);
    for index in 0..1300 {
        if [100, 300, 500].contains(&index) {
            switch.to(delay(if index == 300 { 10.0 } else { 5.0 }), WARM_UP_MS).unwrap();
        }
        // A pause each second.
        let loudness = if index % 100 < 80 { 0.1 } else { 0.0 };
        frame.samples_mut().iter_mut().for_each(|sample| *sample = loudness * random.white() as f32);
        sound.extend_from_slice(frame.samples());
        heard.extend_from_slice(processor.process(&mut frame).unwrap().unwrap().samples());
        latencies.push(processor.latency());
    }
    let (longest, shortest) = (delay(20.0).latency(), delay(5.0).latency());
    assert!(latencies[..800].iter().all(|&latency| latency == longest), "padded all the time");
    assert_eq!(latencies.last(), Some(&shortest));
    let released = latencies.iter().position(|&latency| latency == shortest).unwrap() * 480;
    for (range, latency) in [(0..released - 4800, longest), (released..sound.len() - longest, shortest)] {
        let differs = range.clone().filter(|&at| (sound[at] - heard[at + latency]).abs() > 1e-6).count();
        assert_eq!(differs, 0, "{range:?}");
    }
}

#[test]
fn what_is_heard_after_a_switch_is_the_other_pipeline_alone() {
    let (mut processor, mut switch) = switch(delay(0.0));
    let mut alone = delay(5.0);
    switch.to(delay(5.0), WARM_UP_MS).unwrap();
    let mut random = Random::new(1);
    let (mut frame, mut equal) = (Frame::new(microphone()), Vec::new());
    for _ in 0..200 {
        frame.samples_mut().iter_mut().for_each(|sample| *sample = 0.1 * random.white() as f32);
        let mut copy = frame.clone();
        let expected = alone.process(&mut copy).unwrap().unwrap();
        equal.push(processor.process(&mut frame).unwrap().unwrap().samples() == expected.samples());
    }
    // Noise has no pause: 0.3 s to warm up, a second of waiting, 40 ms of cross-fade.
    assert_eq!(equal.iter().position(|&equal| equal), Some(134));
    assert!(equal[134..].iter().all(|&equal| equal));
}

#[test]
fn other_formats_are_refused() {
    let (processor, mut switch) = switch(delay(0.0));
    let other = Format::stereo(48_000).unwrap();
    let refused = switch.to(Pipeline::new(other), WARM_UP_MS).err();
    assert_eq!(refused, Some(Error::WrongFormat { expected: microphone(), actual: other }));
    assert!(switch.is_running());
    drop(processor);
    assert!(!switch.is_running());
}

/// An uplink that is given speech over and over, and what its packets say.
struct Talker {
    uplink: UplinkProcessor,
    speech: Vec<f32>,
    frame: Frame,
    frames: usize,
    /// Position that the next packet must have.
    next: Option<i64>,
}

impl Talker {
    fn new(profile: Profile, microphone: Format) -> (Self, Controls) {
        let (uplink, controls) = profile.uplink(microphone).unwrap();
        let (speech, frame) = (fixture("speech_clean.wav").remove(0), Frame::new(microphone));
        (Self { uplink, speech, frame, frames: 0, next: None }, controls)
    }

    /// One frame; the duration of the packet that comes out, in ticks.
    fn step(&mut self) -> Option<u32> {
        let length = self.frame.format().samples_per_channel();
        let speech = &self.speech;
        self.frame.set_position((self.frames * length) as i64);
        for channel in self.frame.channels_mut() {
            let from = self.frames * length % (speech.len() - length);
            channel.copy_from_slice(&speech[from..from + length]);
        }
        self.frames += 1;
        let packet = self.uplink.process(&mut self.frame).unwrap()?;
        assert!(self.next.is_none_or(|next| next == packet.position()), "{:?} {}", self.next, packet.position());
        assert!(packet.as_bytes().len() > 2);
        self.next = Some(packet.position() + i64::from(packet.duration()));
        Some(packet.duration())
    }
}

#[test]
fn from_every_profile_to_every_other_positions_go_on_and_packets_have_their_length() {
    for microphone in [microphone(), Format::stereo(16_000).unwrap(), Format::mono(44_100).unwrap()] {
        for &from in kinds() {
            for &to in kinds().iter().filter(|&&to| to != from) {
                let (mut talker, controls) = Talker::new(from.into(), microphone);
                (0..50).for_each(|_| _ = talker.step());
                controls.switch(to.into()).unwrap();
                // 2 s to warm up and 1 s to wait, or 1.3 s, 5 s and the next pause.
                let durations: Vec<_> = (0..1000).filter_map(|_| talker.step()).collect();
                let packet_ms = Profile::from(to).opus.packet_ms;
                assert_eq!(durations.last(), Some(&(packet_ms as u32 * 48)), "{from} to {to}");
                let fresh = Profile::from(to).uplink(microphone).unwrap().0;
                assert_eq!(talker.uplink.latency_ms(), fresh.latency_ms(), "{from} to {to}");
            }
        }
    }
}

#[test]
fn handles_gain_mute_redundancy_and_level_stay() {
    let quiet = |sample: &mut f32| *sample *= 0.05;
    let (mut talker, controls) = Talker::new(Profile::balanced(), microphone());
    talker.speech.iter_mut().for_each(quiet);
    (0..1500).for_each(|_| _ = talker.step());
    let found = controls.auto_gain.reading();
    assert!(found.gain_db > 8.0, "{}", found.gain_db);
    controls.opus.update(|opus| (opus.fec, opus.loss_percent) = (true, 9)).unwrap();
    controls.gain.update(|gain| gain.gain_db = 1.0).unwrap();
    let application = controls.opus.settings().application;

    let mut least = f32::INFINITY;
    for (profile, tolerance_db) in
        [(Profile::balanced(), 0.5), (Profile::low_latency(), 0.5), (Profile::balanced(), 6.0)]
    {
        controls.switch(profile).unwrap();
        for _ in 0..350 {
            talker.step();
            least = least.min(controls.auto_gain.reading().gain_db);
        }
        assert!(least > found.gain_db - tolerance_db, "{profile}: the gain is found anew: {least} {}", found.gain_db);
    }
    assert_eq!(controls.gain.settings().gain_db, 1.0);
    let opus = controls.opus.settings();
    assert_eq!((opus.fec, opus.loss_percent, opus.application), (true, 9, application));
    controls.gain.mute();
    (0..30).for_each(|_| _ = talker.step());
    assert!(controls.meter.reading().rms_dbfs(0) < -90.0, "{}", controls.meter.reading().rms_dbfs(0));
}

#[test]
fn a_profile_that_cannot_run_changes_nothing() {
    let frames_of_20_ms = microphone().with_frame_ms(20).unwrap();
    let (mut talker, controls) = Talker::new(Profile::balanced(), frames_of_20_ms);
    let (before, gate) = (controls.opus.settings(), controls.gate.settings());
    let broken = with(Profile::balanced(), |profile| profile.high_pass = Some(HighPass::hz(-1.0)));
    for profile in [Profile::low_latency(), broken] {
        assert!(matches!(controls.switch(profile), Err(Error::OutOfRange { .. })), "{profile}");
        assert_eq!((controls.opus.settings(), controls.gate.settings()), (before, gate));
    }
    (0..100).for_each(|_| _ = talker.step());
    controls.gate.update(|gate| gate.floor_db = -3.0).unwrap();
    talker.step();
    assert!(controls.gate.is_attached() && controls.denoise.is_attached());
    drop(talker);
    assert_eq!(controls.switch(Profile::balanced()), Err(Error::NotRunning));
}

#[test]
fn a_thousand_switches_at_random_from_another_thread_and_not_one_allocation() {
    // Without networks, so that a minute takes seconds.
    let profiles = [
        Profile::low_latency(),
        with(Profile::low_latency(), |profile| profile.opus.packet_ms = 20.0),
        with(Profile::balanced(), |profile| profile.denoise = None),
    ];
    let (mut talker, controls) = Talker::new(profiles[0], microphone());
    talker.step();
    let (frames, switches) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let wait_for = |count: &AtomicUsize, least| {
        while count.load(Ordering::Relaxed) < least {
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        let (frames, switches) = (&frames, &switches);
        let audio = scope.spawn(move || {
            let (mut count, mut latencies) = (0, Vec::with_capacity(6000));
            for frame in 0..6000usize {
                wait_for(switches, frame.div_ceil(6));
                count += allocations(|| _ = talker.step());
                latencies.push(talker.uplink.latency_ms());
                frames.store(frame, Ordering::Relaxed);
            }
            latencies.dedup();
            (count, latencies.len())
        });
        let mut random = Random::new(7);
        for switch in 0..1000 {
            wait_for(frames, (6 * switch).max(10) - 10);
            controls.switch(random.of(&profiles)).unwrap();
            switches.store(switch + 1, Ordering::Relaxed);
        }
        let (count, latencies) = audio.join().unwrap();
        println!("{latencies} latencies, one after the other");
        assert_eq!(count, 0, "allocations");
        assert!(latencies > 20);
    });
}

/// A profile of any stages and settings, most of them valid.
fn any_profile(random: &mut Random) -> Profile {
    let mut profile = Profile::from(random.of(kinds()));
    profile.sample_rate_hz = random.of(&[8_000, 12_000, 16_000, 24_000, 48_000, 44_100]);
    profile.opus.packet_ms = random.of(&[2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0]);
    profile.opus.dtx = random.flip();
    if random.unit() < 0.8 {
        profile.denoise = None;
    }
    for stage in 0..4 {
        let leave_out = random.unit() < 0.3;
        match stage {
            0 if leave_out => profile.high_pass = None,
            1 if leave_out => profile.auto_gain = None,
            2 if leave_out => profile.gate = None,
            3 if leave_out => profile.limiter = None,
            3 => {
                profile.limiter =
                    Some(Limiter { lookahead_ms: random.of(&[0.0, 1.0, 20.0, 50.0]), ..Limiter::default() })
            }
            _ => {}
        }
    }
    profile
}

#[test]
fn any_profile_after_any_other_with_any_microphone_and_any_sound() {
    let mut random = Random::new(11);
    let mut refused = 0;
    for _ in 0..40 {
        let rate_hz = random.of(&[8_000, 16_000, 44_100, 48_000, 96_000]);
        let format = Format::new(rate_hz, random.of(&[1, 2])).unwrap();
        let format = format.with_frame_ms(random.of(&[10, 20])).unwrap();
        let Ok((mut uplink, controls)) = any_profile(&mut random).uplink(format) else { continue };
        let mut frame = Frame::new(format);
        let mut next = None;
        for index in 0..300 {
            let kind = random.of(&[0, 1, 2, 3]);
            for sample in frame.samples_mut() {
                *sample = match kind {
                    0 => 0.0,
                    1 => 0.3 * random.white() as f32,
                    2 => f32::NAN,
                    _ => 1e9 * random.white() as f32,
                };
            }
            frame.set_position(index * format.samples_per_channel() as i64);
            frame.clear_detections();
            if random.unit() < 0.05 {
                refused += usize::from(controls.switch(any_profile(&mut random)).is_err());
            }
            if random.unit() < 0.002 {
                uplink.reset();
                next = None;
            }
            if let Some(packet) = uplink.process(&mut frame).unwrap() {
                // Positions in ticks of 48 kHz are rounded where the microphone's are not whole.
                let gap = next.map_or(0i64, |next: i64| packet.position() - next);
                assert!(gap.abs() <= 1, "{gap}");
                next = Some(packet.position() + i64::from(packet.duration()));
            }
        }
    }
    println!("{refused} refused");
    assert!(refused > 10);
}
