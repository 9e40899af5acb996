//! Echo cancellation: what it takes out of a simulated room, and what it leaves.

use voxframe::echo::{EchoCancelReading, FarEnd, Suppression, far_end};
use voxframe::{AutoGain, EchoCancel, Format, Frame, Handle, Live, NoiseGate, Processor, Stage};
use voxframe_testkit::random::noise;
use voxframe_testkit::signal::level;
use voxframe_testkit::wav::fixture;

const RATE: usize = 16_000;

/// A fixture of 48 kHz at 16 kHz, at an RMS of −26 dBFS, for some seconds.
fn speech(name: &str, seconds: usize) -> Vec<f32> {
    let sound = fixture(name).remove(0);
    let third: Vec<f32> = sound.chunks_exact(3).map(|three| three.iter().sum::<f32>() / 3.0).collect();
    let gain = 10f32.powf((-26.0 - level(&third)) / 20.0);
    third.iter().cycle().take(seconds * RATE).map(|sample| sample * gain).collect()
}

/// The voice of the far end, and that of the near end.
fn far(seconds: usize) -> Vec<f32> {
    speech("speech_clean.wav", seconds)
}

/// Echo in a room: a delay, and reverberation of 60 ms.
fn echo(far: &[f32], delay: usize) -> Vec<f32> {
    let mut response: Vec<f32> = noise(9, 960, 1.0);
    response.iter_mut().enumerate().for_each(|(i, tap)| *tap *= 0.2 * (-0.007 * i as f32).exp());
    response[0] = 0.6;
    let mut echo = vec![0.0; far.len()];
    for (start, sample) in far.iter().enumerate().filter(|(_, sample)| **sample != 0.0) {
        for (to, tap) in echo[(start + delay).min(far.len())..].iter_mut().zip(&response) {
            *to += sample * tap;
        }
    }
    echo
}

/// A canceller at work, fed frame by frame.
struct Call {
    far_end: FarEnd,
    canceller: voxframe::echo::EchoCancelProcessor,
    control: Handle<EchoCancel>,
}

impl Call {
    fn new(settings: EchoCancel, far: Format, microphone: Format) -> Self {
        let (far_end, reference) = far_end(far);
        let (stage, control) = settings.live();
        Self { far_end, canceller: stage.with_far_end(&reference).prepare(microphone).unwrap(), control }
    }

    fn mono(settings: EchoCancel) -> Self {
        let format = Format::mono(RATE as u32).unwrap();
        Self::new(settings, format, format)
    }

    /// All channels of the far end, and of the microphone; what comes out, the latency taken off.
    fn run(&mut self, far: &[Vec<f32>], near: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let (far_format, format) = (self.far_end.input_format(), self.canceller.input_format());
        let (far_step, step) = (far_format.samples_per_channel(), format.samples_per_channel());
        let mut out = vec![Vec::new(); near.len()];
        for index in 0..near[0].len() / step {
            self.far_end.push(&frame(far_format, far, index * far_step)).unwrap();
            let mut frame = frame(format, near, index * step);
            let frame = self.canceller.process(&mut frame).unwrap().unwrap();
            for (out, channel) in out.iter_mut().zip(frame.channels()) {
                out.extend_from_slice(channel);
            }
        }
        out.iter_mut().for_each(|channel| drop(channel.drain(..self.canceller.latency())));
        out
    }

    fn run_mono(&mut self, far: &[f32], near: &[f32]) -> Vec<f32> {
        self.run(&[far.to_vec()], &[near.to_vec()]).remove(0)
    }

    fn reading(&self) -> EchoCancelReading {
        self.control.reading()
    }
}

fn frame(format: Format, sound: &[Vec<f32>], start: usize) -> Frame {
    let mut frame = Frame::new(format);
    frame.set_position(start as i64);
    for (to, from) in frame.channels_mut().zip(sound) {
        let from = &from[start.min(from.len())..(start + to.len()).min(from.len())];
        to[..from.len()].copy_from_slice(from);
    }
    frame
}

/// Level before over level after between two seconds, in dB.
fn erle(before: &[f32], after: &[f32], from: f32, to: f32) -> f32 {
    let range = (from * RATE as f32) as usize..((to * RATE as f32) as usize).min(after.len());
    level(&before[range.clone()]) - level(&after[range])
}

fn sum(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// Scale-invariant signal-to-distortion ratio, in dB.
fn si_sdr(wanted: &[f32], heard: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let gain = dot(wanted, heard) / dot(wanted, wanted);
    let wanted_power = gain * gain * dot(wanted, wanted);
    10.0 * (wanted_power / (dot(heard, heard) - wanted_power).max(1e-20)).log10()
}

#[test]
fn an_echo_is_gone_within_a_second_wherever_it_comes() {
    for delay_ms in [15, 80, 250, 470] {
        let far = far(6);
        let near = sum(&echo(&far, delay_ms * RATE / 1000), &noise(3, far.len(), 1e-4));
        let mut call = Call::mono(EchoCancel::default());
        let out = call.run_mono(&far, &near);
        let (early, late) = (erle(&near, &out, 2.0, 3.0), erle(&near, &out, 3.0, 6.0));
        let reading = call.reading();
        println!("{delay_ms} ms: {early} dB, {late} dB, {reading:?}");
        assert!(early > 30.0 && late > 35.0, "{delay_ms} ms: {early}, {late}");
        assert!((reading.delay_ms.unwrap() - delay_ms as f32).abs() <= 20.0, "{delay_ms} ms: {reading:?}");
        assert!(reading.echo_return_loss.unwrap().abs() < 6.0, "{reading:?}");
        assert!(reading.echo_return_loss_enhancement.unwrap() > 20.0 && reading.divergent_filter_fraction < 0.1);
        assert!(!reading.is_transparent, "{reading:?}");
    }
}

#[test]
fn another_delay_is_followed_within_a_second() {
    for (before_ms, after_ms) in [(50, 200), (200, 50)] {
        let far = far(9);
        let mut near = echo(&far, before_ms * RATE / 1000);
        let change = 4 * RATE + RATE / 2;
        near[change..].copy_from_slice(&echo(&far, after_ms * RATE / 1000)[change..]);
        let out = Call::mono(EchoCancel::default()).run_mono(&far, &near);
        let erle = erle(&near, &out, 5.5, 6.5);
        println!("{before_ms} to {after_ms} ms: {erle} dB");
        assert!(erle > 20.0, "{before_ms} to {after_ms} ms: {erle}");
    }
}

#[test]
fn clocks_may_drift() {
    for ppm in [-300.0, 200.0] {
        let far = far(14);
        let echo = echo(&far, 1600);
        let drifted = |i: usize| {
            let place = i as f64 * (1.0 + ppm * 1e-6);
            let (whole, part) = (place as usize, place.fract() as f32);
            let at = |index: usize| echo.get(index).copied().unwrap_or(0.0);
            at(whole) * (1.0 - part) + at(whole + 1) * part
        };
        let near: Vec<f32> = (0..far.len()).map(drifted).collect();
        let mut call = Call::mono(EchoCancel { suppression: Suppression::Off, ..EchoCancel::default() });
        let out = call.run_mono(&far, &near);
        let (erle, found) = (erle(&near, &out, 10.0, 13.5), call.reading().drift_ppm);
        println!("{ppm} ppm: {erle} dB, {found} ppm");
        assert!(erle > 22.0 && (found - ppm as f32).abs() < 60.0, "{ppm} ppm: {erle} dB, {found} ppm");
    }
}

#[test]
fn the_near_end_is_heard_over_the_echo() {
    let far = far(12);
    let mut near = speech("speech_room.wav", 12);
    near[..3 * RATE].fill(0.0);
    let mic = sum(&near, &echo(&far, 1000));
    let run = |suppression| {
        let mut call = Call::mono(EchoCancel { suppression, ..EchoCancel::default() });
        let out = call.run_mono(&far, &mic);
        si_sdr(&near[3 * RATE..out.len()], &out[3 * RATE..])
    };
    let (linear, light, full) = (run(Suppression::Off), run(Suppression::Light), run(Suppression::Full));
    let before = si_sdr(&near[3 * RATE..], &mic[3 * RATE..]);
    println!("SI-SDR {before} dB, linear {linear}, light {light}, full {full}");
    assert!(linear > before + 10.0, "{linear}");
    assert!(light > linear - 2.0 && full > linear - 2.0, "{light} {full}");
}

#[test]
fn without_echo_nothing_is_changed() {
    let sound = speech("speech_clean.wav", 4);
    let silence = vec![0.0; sound.len()];
    let settings = [EchoCancel::default(), EchoCancel { suppression: Suppression::Off, ..EchoCancel::default() }];
    for settings in settings {
        // The far end is silent; there is none; it is bypassed.
        let mut call = Call::mono(settings);
        let out = call.run_mono(&silence, &sound);
        assert!(out == sound[..out.len()], "{settings:?}");
        assert!(call.reading().is_transparent);
        let mut bypassed = Call::mono(EchoCancel { bypassed: true, ..settings });
        let out = bypassed.run_mono(&far(4), &sound);
        assert!(out == sound[..out.len()], "{settings:?}, bypassed");
    }
}

#[test]
fn a_headset_is_noticed_and_then_let_alone() {
    let far = far(10);
    let near = speech("speech_room.wav", 10);
    let mut call = Call::mono(EchoCancel::default());
    let out = call.run_mono(&far, &near);
    assert!(out[4 * RATE..] == near[4 * RATE..out.len()]);
    assert!(call.reading().is_transparent && call.reading().delay_ms.is_none(), "{:?}", call.reading());
}

#[test]
fn an_echo_that_begins_after_a_headset_is_found() {
    let far = far(12);
    let mut near = echo(&far, 1000);
    near[..5 * RATE].fill(0.0);
    let out = Call::mono(EchoCancel::default()).run_mono(&far, &near);
    let erle = erle(&near, &out, 6.5, 12.0);
    assert!(erle > 30.0, "{erle}");
}

#[test]
fn a_far_end_begins_late_stops_and_comes_again() {
    let mut far = far(12);
    far[..2 * RATE].fill(0.0);
    far[5 * RATE..8 * RATE].fill(0.0);
    let echo = echo(&far, 1200);
    let near = speech("speech_room.wav", 12);
    let mut mic = echo.clone();
    // The near end speaks while the far end is silent.
    mic[6 * RATE..8 * RATE].copy_from_slice(&near[6 * RATE..8 * RATE]);
    let out = Call::mono(EchoCancel::default()).run_mono(&far, &mic);
    let gaps: Vec<f32> = out[6 * RATE..8 * RATE].iter().zip(&mic[6 * RATE..]).map(|(a, b)| a - b).collect();
    assert!(level(&gaps) < -90.0, "{}", level(&gaps));
    let again = erle(&mic, &out, 8.2, 12.0);
    assert!(again > 30.0, "{again}");
}

/// Sound at 16 kHz at three times the rate, by linear interpolation.
fn at_48k(sound: &[f32]) -> Vec<f32> {
    let next = |i: usize| sound.get(i + 1).copied().unwrap_or(0.0);
    let three = |(i, &s): (usize, &f32)| [0.0, 1.0, 2.0].map(|part| s + (next(i) - s) * part / 3.0);
    sound.iter().enumerate().flat_map(three).collect()
}

#[test]
fn far_end_and_microphone_may_have_any_rate_and_channels() {
    let far = far(6);
    let near = echo(&far, 1280);
    let (far_48k, near_48k) = (at_48k(&far), at_48k(&near));
    for (far_hz, near_hz, far_sound, near_sound) in
        [(48_000, 48_000, &far_48k, &near_48k), (48_000, 16_000, &far_48k, &near), (16_000, 48_000, &far, &near_48k)]
    {
        let (far_format, near_format) = (Format::stereo(far_hz).unwrap(), Format::stereo(near_hz).unwrap());
        let mut call = Call::new(EchoCancel::default(), far_format, near_format);
        let quieter: Vec<f32> = near_sound.iter().map(|sample| 0.5 * sample).collect();
        // Far away to the left: the mean is half of it.
        let silence = vec![0.0; far_sound.len()];
        let out = call.run(&[far_sound.clone(), silence], &[near_sound.clone(), quieter.clone()]);
        let second = near_hz as usize;
        for (before, after) in [near_sound, &quieter].into_iter().zip(&out) {
            let erle = level(&before[2 * second..]) - level(&after[2 * second..]);
            println!("{far_hz} Hz to {near_hz} Hz: {erle} dB");
            assert!(erle > 30.0, "{far_hz} Hz to {near_hz} Hz: {erle}");
        }
    }
}

#[test]
fn above_8_khz_the_near_end_stays() {
    let format = Format::mono(48_000).unwrap();
    let hiss = noise(5, 4 * 48_000, 0.05);
    let mut far = at_48k(&far(4));
    far[2 * 48_000..].fill(0.0);
    let out = Call::new(EchoCancel::default(), format, format).run(&[far], std::slice::from_ref(&hiss));
    let late = 3 * 48_000;
    let change = level(&out[0][late..]) - level(&hiss[late..]);
    assert!(change.abs() < 0.1, "{change} dB");
}

#[test]
fn frames_of_the_far_end_may_come_in_bursts() {
    let far = far(8);
    let near = echo(&far, 1600);
    let format = Format::mono(RATE as u32).unwrap();
    let mut call = Call::mono(EchoCancel::default());
    let mut out = Vec::new();
    for index in 0..near.len() / 160 {
        if index % 4 == 0 {
            for ahead in index..index + 4 {
                call.far_end.push(&frame(format, std::slice::from_ref(&far), ahead * 160)).unwrap();
            }
        }
        let mut frame = frame(format, std::slice::from_ref(&near), index * 160);
        out.extend_from_slice(call.canceller.process(&mut frame).unwrap().unwrap().samples());
    }
    out.drain(..160);
    let erle = erle(&near, &out, 2.0, 8.0);
    assert!(erle > 30.0, "{erle}");
}

#[test]
fn what_the_microphone_missed_moves_nothing() {
    let far = far(8);
    let near = echo(&far, 1600);
    let format = Format::mono(RATE as u32).unwrap();
    let mut call = Call::mono(EchoCancel::default());
    let mut out = vec![0.0; near.len()];
    for index in 0..near.len() / 160 {
        call.far_end.push(&frame(format, std::slice::from_ref(&far), index * 160)).unwrap();
        // Nothing for a third of a second.
        if !(400..433).contains(&index) {
            let mut frame = frame(format, std::slice::from_ref(&near), index * 160);
            let frame = call.canceller.process(&mut frame).unwrap().unwrap();
            let start = usize::try_from(frame.position()).unwrap_or(0);
            out[start..start + 160].copy_from_slice(frame.samples());
        }
    }
    let erle = erle(&near, &out, 4.6, 6.0);
    assert!(erle > 30.0, "{erle}");
    assert!((call.reading().delay_ms.unwrap() - 100.0).abs() <= 20.0, "{:?}", call.reading());
}

#[test]
fn both_channels_get_the_same_suppression() {
    let far = far(8);
    let mic = sum(&echo(&far, 1000), &speech("speech_room.wav", 8));
    let right: Vec<f32> = mic.iter().map(|sample| 0.25 * sample).collect();
    let format = Format::stereo(RATE as u32).unwrap();
    let settings = EchoCancel { comfort_noise: false, ..EchoCancel::default() };
    let mut call = Call::new(settings, Format::mono(RATE as u32).unwrap(), format);
    let out = call.run(&[far], &[mic, right]);
    // The filters differ where they are unsure, so that the channels are not the same but for their level.
    let moved = level(&out[1][2 * RATE..]) - level(&out[0][2 * RATE..]) + 12.04;
    assert!(moved.abs() < 1.0, "{moved} dB");
}

#[test]
fn latency_is_fixed_while_it_runs() {
    let call = Call::mono(EchoCancel::default());
    assert_eq!(call.canceller.latency(), 160);
    call.control.update(|echo| echo.suppression = Suppression::Light).unwrap();
    assert!(call.control.update(|echo| echo.suppression = Suppression::Off).is_err());
    let linear = Call::mono(EchoCancel { suppression: Suppression::Off, ..EchoCancel::default() });
    assert_eq!(linear.canceller.latency(), 0);
}

/// What stages behind the canceller learn from, with the mark of the far end and without.
struct Behind {
    call: Call,
    auto_gain: <AutoGain as Stage>::Processor,
    gate: <NoiseGate as Stage>::Processor,
    learnt: (Handle<AutoGain>, Handle<NoiseGate>),
    keeps_mark: bool,
    position: usize,
}

impl Behind {
    fn new(keeps_mark: bool) -> Self {
        // Light, so that enough of the echo is left to be taken for a voice.
        let call = Call::mono(EchoCancel { suppression: Suppression::Light, ..EchoCancel::default() });
        let format = call.canceller.output_format();
        let ((auto_gain, levels), (gate, noise)) = (AutoGain::default().live(), NoiseGate::default().live());
        let (auto_gain, gate) = (auto_gain.prepare(format).unwrap(), gate.prepare(format).unwrap());
        Self { call, auto_gain, gate, learnt: (levels, noise), keeps_mark, position: 0 }
    }

    /// Runs on. Returns the shares of marked frames, and of those in which the gate was open.
    fn run(&mut self, far: &[f32], near: &[f32]) -> [f32; 2] {
        let format = self.call.canceller.input_format();
        let (mut marked, mut open) = (0, 0);
        for start in (0..near.len()).step_by(160) {
            let [mut played, mut captured] = [far, near].map(|sound| frame(format, &[sound.to_vec()], start));
            played.set_position((self.position + start) as i64);
            captured.set_position((self.position + start) as i64);
            self.call.far_end.push(&played).unwrap();
            let frame = self.call.canceller.process(&mut captured).unwrap().unwrap();
            marked += u32::from(frame.far_end_speech());
            frame.set_far_end_speech(frame.far_end_speech() && self.keeps_mark);
            self.gate.process(self.auto_gain.process(frame).unwrap().unwrap()).unwrap();
            open += u32::from(self.learnt.1.reading().open);
        }
        self.position += near.len();
        [marked, open].map(|count| count as f32 * 160.0 / near.len() as f32)
    }
}

#[test]
fn an_echo_teaches_neither_automatic_gain_nor_gate() {
    let room = noise(5, 8 * RATE, 1e-3);
    let near = sum(&speech("speech_room.wav", 8), &room);
    // A loudspeaker that distorts.
    let distorted: Vec<f32> = far(8).iter().map(|s| 0.4 * (12.0 * s).tanh() + 0.1 * s.abs()).collect();
    let echo = sum(&echo(&distorted, 800), &room);
    let silence = vec![0.0; near.len()];
    let learns = |keeps_mark: bool| {
        let mut behind = Behind::new(keeps_mark);
        let [marked, _] = behind.run(&silence, &near);
        assert_eq!(marked, 0.0, "the near end alone is marked");
        let before = behind.learnt.0.reading();
        let [marked, open] = behind.run(&far(8), &echo);
        let after = behind.learnt.0.reading();
        let [both, _] = behind.run(&far(8), &sum(&near, &echo));
        let learnt = [after.gain_db - before.gain_db, after.noise_dbfs - before.noise_dbfs];
        println!(
            "mark kept: {keeps_mark}. Marked {marked}, in double talk {both}; gate open {open}, learnt {learnt:?} dB"
        );
        assert!(marked > 0.6 && both < 0.2, "{marked} {both}");
        (open, learnt)
    };
    let (open, [gain, noise]) = learns(true);
    assert!(open < 0.4 && gain.abs() < 0.3 && noise.abs() < 2.0, "{open} {gain} {noise}");
    let (open, [gain, _]) = learns(false);
    assert!(open > 0.7 && gain > 1.5, "unmarked it is a talker: {open} {gain}");
}
