//! A downlink through whatever a network, a sender and a device do: steady, finite, without clicks, without allocations.
#![cfg(feature = "opus")]

use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::sync::LazyLock;

use voxframe::call::{Downlink, DownlinkControls, DownlinkOutput, Mixer};
use voxframe::jitter::JitterBufferInput;
use voxframe::pipeline::process_fn;
use voxframe::{Format, Frame, Gain, OpusDecode, OpusEncode, Packet, Processor, Source, Stage};
use voxframe_testkit::alloc::{CountingAllocator, allocations};
use voxframe_testkit::random::Random;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const RATE_HZ: u32 = 16_000;
const SINE_HZ: f64 = 440.0;
const AMPLITUDE: f64 = 0.1;
/// 3 s of a sine, with soft ends, and 1 s of silence, in packets of 20 ms.
const PACKETS: usize = 200;

fn format() -> Format {
    Format::mono(RATE_HZ).unwrap()
}

fn loudness(sample: usize) -> f64 {
    let rise = |samples: f64| (samples / 1600.0).clamp(0.0, 1.0);
    let ease = |x: f64| x * x * (3.0 - 2.0 * x);
    ease(rise(sample as f64)) * ease(rise(48_000.0 - sample as f64))
}

/// What is said, over and over.
static PAYLOADS: LazyLock<Vec<Packet>> = LazyLock::new(|| {
    let mut encoder = OpusEncode { dtx: true, ..OpusEncode::voip() }.prepare(format()).unwrap();
    let mut packets = Vec::new();
    let mut frame = Frame::new(format());
    for index in 0..2 * PACKETS {
        frame.set_position(index as i64 * 160);
        for (i, sample) in frame.samples_mut().iter_mut().enumerate() {
            let at = index * 160 + i;
            let sine = (TAU * SINE_HZ * at as f64 / f64::from(RATE_HZ)).sin();
            *sample = (AMPLITUDE * loudness(at) * sine) as f32;
        }
        packets.extend(encoder.process(&mut frame).unwrap().cloned());
    }
    assert_eq!(packets.len(), PACKETS);
    packets
});

/// A sender, a network and a playout thread with a clock of 10 ms, to which anything may happen.
struct Call {
    random: Random,
    tick: usize,
    /// Sender.
    spoken: usize,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    was_dtx: bool,
    quiet_until: usize,
    clock_stands: bool,
    /// Network.
    on_the_way: VecDeque<(usize, u16, u32, u32, usize)>,
    latency: usize,
    lost: usize,
    blocked_until: usize,
    /// Playout.
    asleep_until: usize,
    catches_up: bool,
}

impl Call {
    fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            tick: 0,
            spoken: 0,
            sequence: 65_500,
            timestamp: u32::MAX - 9600,
            ssrc: 1,
            was_dtx: false,
            quiet_until: 0,
            clock_stands: false,
            on_the_way: VecDeque::with_capacity(1000),
            latency: 2,
            lost: 0,
            blocked_until: 0,
            asleep_until: 0,
            catches_up: false,
        }
    }

    fn ticks(&mut self, min: usize, max: usize) -> usize {
        min + (self.random.unit() * (max - min + 1) as f64) as usize
    }

    /// Something happens.
    fn event(&mut self) {
        match self.ticks(0, 6) {
            0 => self.latency = self.ticks(0, 30),
            1 => self.blocked_until = self.tick + self.ticks(5, 50),
            2 => (self.asleep_until, self.catches_up) = (self.tick + self.ticks(5, 50), self.random.flip()),
            3 => self.renumber(),
            4 => {
                self.ssrc += 1;
                self.renumber();
            }
            5 => self.lost = self.ticks(1, 15),
            _ => (self.quiet_until, self.clock_stands) = (self.tick + self.ticks(20, 100), self.random.flip()),
        }
    }

    fn renumber(&mut self) {
        self.sequence = self.ticks(0, 65_535) as u16;
        self.timestamp = (self.random.unit() * f64::from(u32::MAX)) as u32;
    }

    /// The next 10 ms: what is sent, what arrives, and how many frames are pulled.
    fn step(&mut self, input: &mut JitterBufferInput) -> usize {
        if self.tick.is_multiple_of(2) {
            self.send();
        }
        while let Some(&(at, sequence, timestamp, ssrc, spoken)) = self.on_the_way.front()
            && at <= self.tick
        {
            self.on_the_way.pop_front();
            // What does not fit is counted as refused.
            let _ = input.push(sequence, timestamp, ssrc, PAYLOADS[spoken].as_bytes());
        }
        self.tick += 1;
        let slept = if self.catches_up { 51 } else { 1 };
        match self.tick {
            tick if tick < self.asleep_until => 0,
            tick if tick == self.asleep_until => slept,
            _ => 1,
        }
    }

    fn send(&mut self) {
        let spoken = self.spoken % PACKETS;
        if self.tick < self.quiet_until {
            self.timestamp = self.timestamp.wrapping_add(if self.clock_stands { 0 } else { 960 });
            return;
        }
        self.spoken += 1;
        let dtx = PAYLOADS[spoken].is_dtx();
        if !(dtx && self.was_dtx) {
            if self.lost > 0 {
                self.lost -= 1;
            } else {
                let before = self.on_the_way.back().map_or(0, |last| last.0);
                let at = (self.tick + self.latency).max(self.blocked_until).max(before);
                self.on_the_way.push_back((at, self.sequence, self.timestamp, self.ssrc, spoken));
            }
            self.sequence = self.sequence.wrapping_add(1);
        }
        self.was_dtx = dtx;
        self.timestamp = self.timestamp.wrapping_add(960);
    }
}

/// The sharpest bend of a sound: its second difference, 0.003 for the sine itself, and up to 0.1 where it is cut.
#[derive(Default)]
struct Clicks {
    before: Option<[f32; 2]>,
    sharpest: f32,
}

impl Clicks {
    fn hear(&mut self, samples: &[f32]) {
        for &sample in samples {
            if let Some([first, second]) = self.before {
                self.sharpest = self.sharpest.max((sample - 2.0 * second + first).abs());
            }
            self.before = Some([self.before.map_or(sample, |before| before[1]), sample]);
        }
    }
}

/// What the codec itself does to the sine: the decoder alone, with bursts of losses, behind which the sine goes on,
/// or goes on elsewhere, as that of another sender does; and decoders that begin in the middle of it.
fn clicks_of_the_codec(bursts: usize) -> f32 {
    let mut decoder = OpusDecode::default().prepare(format()).unwrap();
    let (mut random, mut clicks) = (Random::new(5), Clicks::default());
    let (mut gap, mut index) = (Packet::new(), 0);
    for burst in 0..bursts {
        if burst % 3 > 0 {
            index = (random.unit() * PACKETS as f64) as usize;
        }
        if burst % 3 == 2 {
            decoder.reset();
            clicks.before = None;
        }
        let (good, lost) = (random.between(1.0, 20.0) as usize, random.between(1.0, 16.0) as usize);
        for number in 0..good + lost {
            let mut packet = PAYLOADS[index % PACKETS].clone();
            index += 1;
            if number >= good {
                gap.set_lost(packet.position(), packet.duration(), &[], 0).unwrap();
                packet.copy_from(&gap);
            }
            while !packet.is_empty() {
                if let Some(frame) = decoder.process(&mut packet).unwrap() {
                    clicks.hear(frame.samples());
                }
            }
        }
    }
    clicks.sharpest
}

#[test]
fn a_thousand_mishaps_are_heard_as_little_as_the_codec_lets_them() {
    let (mut input, mut downlink, controls) = Downlink::default().open(format()).unwrap();
    let mut call = Call::new(3);
    let mut clicks = Clicks::default();
    let (mut position, mut allocated, mut worst_ms) = (0, 0, 0.0f32);
    let mut run = |call: &mut Call, ticks: usize| {
        for _ in 0..ticks {
            for _ in 0..call.step(&mut input) {
                let (mut samples, mut at) = ([0.0; 160], 0);
                allocated += allocations(|| {
                    let frame = downlink.pull();
                    samples.copy_from_slice(frame.samples());
                    at = frame.position();
                });
                assert_eq!(at, position);
                position += 160;
                assert!(samples.iter().all(|sample| sample.is_finite() && sample.abs() < 0.9));
                clicks.hear(&samples);
            }
        }
    };
    run(&mut call, 500);
    let mut events = 0;
    while events < 1000 {
        for _ in 0..call.ticks(1, 3) {
            call.event();
            events += 1;
            let pause = call.ticks(0, 60);
            run(&mut call, pause);
        }
        // What was asked for may last for a second; then nothing happens for 5, or until somebody speaks again.
        run(&mut call, 100 + 500);
        while !(25..140).contains(&(call.spoken % PACKETS)) {
            run(&mut call, 1);
        }
        let reading = controls.jitter_buffer.reading();
        let excess_ms = reading.jitter_buffer_delay_ms - reading.jitter_buffer_target_delay_ms;
        worst_ms = worst_ms.max(reading.jitter_buffer_delay_ms);
        assert!(reading.playing && excess_ms < 40.0, "after {events} events: {reading:?}");
    }
    let codec = clicks_of_the_codec(5 * events);
    println!("sharpest bend {}, the codec alone {codec}; delay at most {worst_ms:.0} ms", clicks.sharpest);
    println!("{:?}", controls.jitter_buffer.reading());
    assert_eq!(allocated, 0);
    assert!(clicks.sharpest <= codec && codec < 0.05, "{}, the codec alone {codec}", clicks.sharpest);
}

/// A relay plays what comes and sends it on.
#[cfg(feature = "rtp")]
#[test]
fn what_is_relayed_has_steady_timestamps_through_losses_pauses_and_stretching() {
    use voxframe::JitterBuffer;
    use voxframe::pipeline::Restamp;
    use voxframe::rtp::{RtpReceiver, RtpSender};
    let (mut input, output) = JitterBuffer::default().open(format()).unwrap();
    let mut encoder = OpusEncode::voip().prepare(format()).unwrap();
    let mut sender = RtpSender::new(111, 7, 65_500, u32::MAX - 48_000).unwrap();
    let (mut receiver, mut datagram, mut received) = (RtpReceiver::new(111).unwrap(), [0; 1500], Packet::new());
    let mut headers = Vec::new();
    let mut call = Call::new(11);
    // What the jitter buffer itself says: where the sound comes from.
    let (mut media, mut jumps) = (0, 0);
    let watched = process_fn(|frame| {
        jumps += usize::from(frame.position() != media + 160);
        media = frame.position();
    });
    let mut relay = output.then(watched).unwrap().then(Restamp).unwrap();
    for tick in 0..6000 {
        if tick % 100 == 99 {
            call.event();
        }
        for _ in 0..call.step(&mut input) {
            if let Some(packet) = encoder.process(relay.pull()).unwrap()
                && let Some(length) = sender.write(packet, &mut datagram).unwrap()
            {
                headers.push(receiver.read(&datagram[..length], &mut received).unwrap());
            }
        }
    }
    assert!(headers.len() > 2900);
    for two in headers.windows(2) {
        let steps = (two[1].sequence.wrapping_sub(two[0].sequence), two[1].timestamp.wrapping_sub(two[0].timestamp));
        assert_eq!(steps, (1, 960));
    }
    drop(relay);
    assert!(jumps > 100, "{jumps}: there was nothing to hold steady");
}

/// The far end of an echo canceller: what is played, with its play time, in another thread.
#[test]
fn a_tap_hands_on_what_is_played_to_another_thread_without_a_lock() {
    let settings = Downlink { volume: Gain::db(20.0), ..Downlink::default() };
    let (mut input, downlink, _controls) = settings.open(format()).unwrap();
    let (mut tapped, mut far_end) = rtrb::RingBuffer::<(i64, f32)>::new(160 * 400);
    let tap = process_fn(move |frame: &mut Frame| {
        for (at, &sample) in (frame.position()..).zip(frame.samples()) {
            let _ = tapped.push((at, sample));
        }
    });
    let mut loudspeaker = downlink.then(tap).unwrap();
    let mut call = Call::new(1);
    let (mut played, mut allocated) = (Vec::new(), 0);
    for _ in 0..400 {
        for _ in 0..call.step(&mut input) {
            let mut samples = [0.0; 160];
            allocated += allocations(|| samples.copy_from_slice(loudspeaker.pull().samples()));
            played.extend(samples);
        }
    }
    let heard = std::thread::spawn(move || std::iter::from_fn(|| far_end.pop().ok()).collect::<Vec<_>>());
    let heard = heard.join().unwrap();
    assert_eq!(allocated, 0);
    assert!(heard.iter().enumerate().all(|(index, &(at, sample))| at == index as i64 && sample == played[index]));
    let peak = played.iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()));
    assert!(heard.len() == played.len() && (0.8..0.9).contains(&peak), "{peak}: behind volume and limiter");
}

#[test]
fn downlinks_of_a_conference_are_mixed_each_with_its_volume_and_the_loudest_is_told() {
    let open = || Downlink::default().open(format()).unwrap();
    let legs: [(JitterBufferInput, DownlinkOutput, DownlinkControls); 3] = [open(), open(), open()];
    let (mut inputs, mut sources, mut controls) = (Vec::new(), Vec::new(), Vec::new());
    for (input, source, control) in legs {
        inputs.push(input);
        sources.push(source);
        controls.push(control);
    }
    let mut mixer = Mixer::new(format(), sources).unwrap();
    let mut calls = [Call::new(1), Call::new(2), Call::new(3)];
    mixer.bus().volume(0).unwrap().update(|volume| volume.gain_db = -20.0).unwrap();
    controls[1].volume.mute();
    let mut allocated = 0;
    for tick in 0..200 {
        for (call, input) in calls.iter_mut().zip(&mut inputs) {
            assert_eq!(call.step(input), 1);
        }
        let (mut position, mut peak) = (0, 0.0f32);
        allocated += allocations(|| {
            let frame = mixer.pull();
            position = frame.position();
            peak = frame.samples().iter().fold(0.0, |peak, sample| peak.max(sample.abs()));
        });
        assert_eq!(position, tick * 160 - mixer_delay(), "steady");
        assert!(peak < 0.9);
    }
    assert_eq!(allocated, 0);
    let bus = mixer.bus();
    let levels = [0, 1, 2].map(|leg| bus.level_dbfs(leg));
    println!("{levels:.1?} dBFS");
    assert!((levels[2] + 23.0).abs() < 1.5 && (levels[0] + 43.0).abs() < 1.5 && levels[1] < -100.0, "{levels:?}");
    assert_eq!(bus.active_speaker(), Some(2));
    assert!(controls.iter().all(|control| control.jitter_buffer.reading().playing));
}

fn mixer_delay() -> i64 {
    voxframe::Limiter::default().prepare(format()).unwrap().latency() as i64
}
