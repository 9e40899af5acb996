//! Voice of a participant: its sound received, cleaned by the stages of a profile, and the sound for it encoded.

use voxframe::call::{
    Advice, Downlink, DownlinkControls, DownlinkOutput, PipelineSwitch, ProfileKind, SwitchProcessor, switch,
};
use voxframe::jitter::JitterBufferInput;
use voxframe::opus::{Bandwidth, OpusEncode, OpusEncodeProcessor};
use voxframe::{Error, Format, Frame, Handle, Packet, Pipeline, Processor, Profile, Result, Source, Stage};

/// Rate of the sound in the server, in Hz.
pub const RATE_HZ: u32 = 48_000;

/// Time in which new stages settle before they are heard, in ms: noise suppression, and all others.
const DENOISE_WARM_UP_MS: u32 = 2000;
const WARM_UP_MS: u32 = 300;

/// Voice of one participant.
pub struct Voice {
    /// Where its packets go.
    pub incoming: JitterBufferInput,
    /// Handles to what plays them.
    pub downlink: DownlinkControls,
    output: DownlinkOutput,
    cleaner: SwitchProcessor,
    switch: PipelineSwitch,
    kind: ProfileKind,
    encoder: OpusEncodeProcessor,
    opus: Handle<OpusEncode>,
}

impl Voice {
    /// Voice with the stages of the balanced profile.
    ///
    /// # Errors
    /// Those of the stages.
    pub fn new() -> Result<Self> {
        let format = Format::mono(RATE_HZ)?;
        let (incoming, output, downlink) = Downlink::default().open(format)?;
        let kind = ProfileKind::Balanced;
        let (cleaner, switch) = switch(stages(kind, format)?);
        let opus = Handle::new(encoder_settings(kind));
        let encoder = opus.attach().prepare(format)?;
        Ok(Self { incoming, downlink, output, cleaner, switch, kind, encoder, opus })
    }

    /// Next frame of the participant's sound, cleaned.
    ///
    /// # Errors
    /// Those of the stages.
    pub fn pull(&mut self) -> Result<&mut Frame> {
        let frame = self.output.pull();
        self.cleaner.process(frame)?.ok_or(Error::Internal { stage: "Voice" })
    }

    /// Encodes a frame of what the participant hears; the packet, when it is full.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn encode<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Packet>> {
        self.encoder.process(frame)
    }

    /// Profile of the cleaning.
    pub fn profile(&self) -> ProfileKind {
        self.kind
    }

    /// Changes the profile of the cleaning, without a click.
    ///
    /// # Errors
    /// Those of the stages; then nothing is changed.
    pub fn set_profile(&mut self, kind: ProfileKind) -> Result<()> {
        if kind == self.kind {
            return Ok(());
        }
        let pipeline = stages(kind, self.cleaner.input_format())?;
        let warm_up_ms = if kind == ProfileKind::LowLatency { WARM_UP_MS } else { DENOISE_WARM_UP_MS };
        self.switch.to(pipeline, warm_up_ms)?;
        self.kind = kind;
        Ok(())
    }

    /// Follows the advice for what is sent to the participant.
    ///
    /// # Errors
    /// Those of the encoder; then nothing is changed.
    pub fn follow(&mut self, advice: &Advice) -> Result<()> {
        self.opus.update(|opus| {
            *opus = OpusEncode { application: opus.application, ..encoder_settings(advice.profile.value) };
            advice.apply(opus);
        })
    }

    /// Settings of the encoder.
    pub fn encoder(&self) -> OpusEncode {
        self.opus.settings()
    }

    /// Delay from a packet that arrives to a packet with the same sound, in ms: jitter buffer, cleaning, encoder.
    pub fn latency_ms(&self) -> f64 {
        self.output.latency_ms() + self.cleaner.latency_ms() + self.encoder.latency_ms()
    }
}

/// Stages of a profile, at the server's rate whatever the profile's: the mix has one rate, and the encoder narrows the
/// band.
fn stages(kind: ProfileKind, format: Format) -> Result<Pipeline> {
    let mut profile = Profile::from(kind);
    profile.sample_rate_hz = format.sample_rate_hz();
    profile.prepare(format)
}

fn encoder_settings(kind: ProfileKind) -> OpusEncode {
    let max_bandwidth = if kind == ProfileKind::LowLatency { Bandwidth::Wide } else { Bandwidth::Full };
    OpusEncode { max_bandwidth, ..Profile::from(kind).encoder(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_says_is_encoded_for_another_and_profiles_change_without_a_gap() {
        let (mut ann, mut bob) = (Voice::new().unwrap(), Voice::new().unwrap());
        let format = Format::mono(RATE_HZ).unwrap();
        let mut microphone = OpusEncode::voip().prepare(format).unwrap();
        let (mut sequence, mut packets, mut loudest) = (0, 0, 0.0f32);
        for index in 0..600 {
            let mut frame = Frame::new(format);
            for (i, sample) in frame.samples_mut().iter_mut().enumerate() {
                // Syllables of 220 Hz and its partials.
                let t = (index * 480 + i) as f32 / RATE_HZ as f32;
                let tone: f32 = (1..8).map(|n| (t * 220.0 * n as f32 * std::f32::consts::TAU).sin() / n as f32).sum();
                *sample = 0.1 * tone * (t * 3.0 * std::f32::consts::TAU).sin().max(0.0);
            }
            if let Some(packet) = microphone.process(&mut frame).unwrap() {
                ann.incoming.push(sequence, u32::from(sequence) * 960, 7, packet.as_bytes()).unwrap();
                sequence += 1;
            }
            if index == 200 {
                ann.set_profile(ProfileKind::LowLatency).unwrap();
            }
            let heard = ann.pull().unwrap();
            assert_eq!(heard.samples().len(), 480);
            loudest = loudest.max(heard.samples().iter().fold(0.0, |max, sample| max.max(sample.abs())));
            packets += u32::from(bob.encode(heard).unwrap().is_some());
        }
        assert_eq!(packets, 300);
        assert!(loudest > 0.05, "{loudest}");
        assert_eq!(ann.profile(), ProfileKind::LowLatency);
    }

    #[test]
    fn advice_is_followed() {
        use voxframe::call::{Adaptation, ConnectionMonitor, ConnectionReport};
        let mut voice = Voice::new().unwrap();
        let mut monitor = ConnectionMonitor::default();
        for second in 0..9 {
            let at = std::time::Duration::from_secs(second);
            monitor.report(&ConnectionReport { at, loss: Some(0.1), ..ConnectionReport::default() });
        }
        voice.follow(&Adaptation::default().advise(&monitor.reading(), None)).unwrap();
        let opus = voice.encoder();
        assert_eq!(
            (opus.bitrate_bps, opus.fec, opus.packet_ms, opus.max_bandwidth),
            (32_000, true, 20.0, Bandwidth::Wide)
        );
    }
}
