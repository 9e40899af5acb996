//! The near end: a talker who pauses and mutes, whose device and profile change.

use std::time::Instant;

use fastrand::Rng;
use voxframe::call::{Controls, ProfileKind, UplinkProcessor};
use voxframe::rtp::RtpSender;
use voxframe::{Capture, OpusEncode, Profile};

use crate::common::{Failure, Result};
use crate::network::Network;

/// How much slower the clock of this end is.
const DRIFT: f64 = 180e-6;

/// Devices that take turns: rate and channels.
const DEVICES: [(u32, usize); 4] = [(48_000, 1), (44_100, 2), (16_000, 1), (48_000, 2)];

/// The mean time between two changes, in ticks of 10 ms.
const PROFILE_TICKS: u32 = 12_000;
const DEVICE_TICKS: u32 = 60_000;
const STREAM_TICKS: u32 = 120_000;
const STALL_TICKS: u32 = 60_000;

/// What is said.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Talking,
    Soft,
    Noise,
    Silence,
    Muted,
}

pub struct NearEnd {
    speech: Vec<f32>,
    at: usize,
    mood: Mood,
    mood_ends_ms: f64,
    /// When the next 10 ms are there.
    next_ms: f64,
    device: usize,
    capture: Capture,
    uplink: UplinkProcessor,
    controls: Controls,
    profile: Profile,
    sender: RtpSender,
    streams: u32,
    /// End of the last packet, in ticks of 48 kHz.
    end: i64,
    /// How long each tick took since the last report, in µs.
    pub costs_us: Vec<f32>,
    pub switches: u64,
    pub devices: u64,
}

/// What is switched to, the quick one more often.
const PROFILES: [ProfileKind; 6] = {
    use ProfileKind::*;
    [LowLatency, LowLatency, LowLatency, LowLatency, Balanced, HighQuality]
};

fn profile(kind: ProfileKind) -> Profile {
    let mut profile = Profile::from(kind);
    // The search of the encoder is not what grows in many hours, and takes half of the time.
    profile.opus = OpusEncode { dtx: true, fec: true, loss_percent: 10, complexity: 2, ..profile.opus };
    profile
}

impl NearEnd {
    pub fn new(speech: Vec<f32>, first: Profile) -> Result<Self> {
        let profile = profile(first.kind);
        let (rate_hz, channels) = DEVICES[0];
        let (mut capture, uplink, controls) = profile.uplink_for(rate_hz, channels)?;
        // Three seconds before 2³².
        let end = (1 << 32) - 3 * 48_000;
        capture.continue_after(end, &uplink);
        Ok(Self {
            speech,
            at: 0,
            mood: Mood::Talking,
            mood_ends_ms: 0.0,
            next_ms: 0.0,
            device: 0,
            capture,
            uplink,
            controls,
            profile,
            sender: RtpSender::new(111, 1, 65_500, 0)?,
            streams: 1,
            end,
            costs_us: Vec::new(),
            switches: 0,
            devices: 0,
        })
    }

    /// Speaks until `now_ms` by the receiver's clock, and lets happen what happens.
    pub fn run_until(&mut self, now_ms: f64, random: &mut Rng, network: &mut Network) -> Result {
        while self.next_ms <= now_ms {
            self.next_ms += 10.0 * (1.0 + DRIFT);
            if now_ms >= self.mood_ends_ms {
                self.change_mood(now_ms, random)?;
            }
            self.speak(now_ms, random, network)?;
            if random.u32(0..PROFILE_TICKS) == 0 {
                self.profile = profile(PROFILES[random.usize(0..PROFILES.len())]);
                self.controls.switch(self.profile)?;
                self.switches += 1;
            }
            if random.u32(0..DEVICE_TICKS) == 0 {
                self.change_device(random)?;
            }
            if random.u32(0..STREAM_TICKS) == 0 {
                self.streams += 1;
                self.sender = RtpSender::new(111, self.streams, random.u16(65_000..), random.u32(..))?;
                network.disturb_until(now_ms);
            }
            if random.u32(0..STALL_TICKS) == 0 {
                network.stall_until(now_ms + 1000.0 * random.f64() * 60.0);
            }
        }
        Ok(())
    }

    fn change_mood(&mut self, now_ms: f64, random: &mut Rng) -> Result {
        self.mood =
            [Mood::Talking, Mood::Talking, Mood::Soft, Mood::Noise, Mood::Silence, Mood::Muted][random.usize(0..6)];
        // Now and then nobody is there for an hour.
        let away = self.mood == Mood::Silence && random.u32(0..12) == 0;
        let seconds = if away { random.u64(1800..5400) } else { random.u64(2..60) };
        self.mood_ends_ms = now_ms + 1000.0 * seconds as f64;
        self.controls.gain.update(|gain| gain.muted = self.mood == Mood::Muted)?;
        Ok(())
    }

    fn speak(&mut self, now_ms: f64, random: &mut Rng, network: &mut Network) -> Result {
        let (rate_hz, channels) = DEVICES[self.device];
        // The recording is played at the device's rate: at another one the voice is lower, and still a voice.
        let mut buffer = Vec::with_capacity(960);
        for _ in 0..rate_hz / 100 {
            self.at = (self.at + 1) % self.speech.len();
            let sample = match self.mood {
                Mood::Talking | Mood::Muted => self.speech[self.at],
                Mood::Soft => 0.1 * self.speech[self.at],
                Mood::Noise => 0.004 * (random.f32() - 0.5),
                Mood::Silence => 0.0,
            };
            buffer.extend([sample; 2].into_iter().take(channels));
        }
        let Self { capture, uplink, sender, end, .. } = self;
        let start = Instant::now();
        capture.run(&buffer, uplink, |packet| {
            let (position, after) = (packet.position(), packet.end());
            if position < *end {
                return Err(Failure(format!("a packet begins at {position}, before the end of the last one at {end}")));
            }
            *end = after;
            let mut datagram = [0; 1500];
            if let Some(length) = sender.write(packet, &mut datagram)? {
                network.send(now_ms, &datagram[..length], random);
            }
            Ok(())
        })?;
        self.costs_us.push(1e6 * start.elapsed().as_secs_f32());
        Ok(())
    }

    fn change_device(&mut self, random: &mut Rng) -> Result {
        self.device = random.usize(0..DEVICES.len());
        let (rate_hz, channels) = DEVICES[self.device];
        self.capture = Capture::for_device(rate_hz, channels)?;
        self.uplink = self.profile.uplink_with(self.capture.output_format(), &self.controls)?;
        self.capture.continue_after(self.end, &self.uplink);
        self.devices += 1;
        Ok(())
    }
}
