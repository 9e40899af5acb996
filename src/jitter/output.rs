//! Output of a jitter buffer.

use super::input::Arrivals;
use super::playout_state::PlayoutState;
use super::reading::JitterBufferReading;
use super::settings::JitterBuffer;
use super::ticks::TICKS_PER_MS;
use crate::control::ControlPort;
use crate::core::{Format, Frame, Result, Source};

/// Output of a [`JitterBuffer`], for the playout thread: a [`Source`] of one frame whenever one is wanted.
///
/// A frame is always there: comfort noise before the first packet, concealed where packets are missing. Its
/// [`position`](Frame::position) is that of the sound in it, in samples since the first packet that was played. It
/// stands still while sound is filled in for which no packet came yet.
pub struct JitterBufferOutput {
    state: PlayoutState,
    frame: Frame,
    port: ControlPort<JitterBuffer>,
    /// Delay of the frame pulled last, in ms.
    delay_ms: f32,
}

impl JitterBufferOutput {
    pub(super) fn new(
        settings: JitterBuffer,
        output: Format,
        arrivals: Arrivals,
        port: ControlPort<JitterBuffer>,
    ) -> Result<Self> {
        let state = PlayoutState::new(settings, output, arrivals)?;
        Ok(Self { state, frame: Frame::new(output), port, delay_ms: 0.0 })
    }
}

impl Source for JitterBufferOutput {
    fn pull(&mut self) -> &mut Frame {
        if let Some(settings) = self.port.changed() {
            self.state.configure(settings);
        }
        self.state.receive();
        self.state.make_frame(&mut self.frame);
        let reading = self.state.reading();
        self.port.publish(reading);
        self.delay_ms = reading.jitter_buffer_delay_ms;
        self.state.now += i64::from(self.frame.format().frame_ms()) * TICKS_PER_MS;
        &mut self.frame
    }

    fn output_format(&self) -> Format {
        self.frame.format()
    }

    /// As if just opened: packets that wait are dropped, counters begin at 0, and nothing is known of the network.
    fn reset(&mut self) {
        self.state.reset();
        self.port.publish(JitterBufferReading::default());
        self.delay_ms = 0.0;
    }

    /// Delay in the buffer of the frame pulled last ([`JitterBufferReading::jitter_buffer_delay_ms`]); it changes.
    fn latency(&self) -> usize {
        self.frame.format().samples_in_ms(self.delay_ms.max(0.0))
    }
}

impl std::fmt::Debug for JitterBufferOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JitterBufferOutput({}, {} packets waiting)", self.frame.format(), self.state.reorder.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::input::JitterBufferInput;
    use super::*;
    use crate::control::{Handle, Live};
    use crate::core::{Error, Processor, Stage};
    use crate::opus::{OpusDecode, OpusEncode};
    use crate::testing::fixture;

    fn format() -> Format {
        Format::mono(16_000).unwrap()
    }

    /// Payloads of 20 ms speech packets.
    fn payloads(count: usize) -> Vec<Vec<u8>> {
        let speech: Vec<f32> = fixture("speech_clean").iter().step_by(3).copied().collect();
        let mut encoder = OpusEncode::voip().prepare(format()).unwrap();
        let mut frame = Frame::new(format());
        let mut payloads = Vec::new();
        for block in speech.chunks_exact(160).skip(50) {
            frame.samples_mut().copy_from_slice(block);
            payloads.extend(encoder.process(&mut frame).unwrap().map(|packet| packet.as_bytes().to_vec()));
        }
        payloads.truncate(count);
        assert_eq!(payloads.len(), count);
        payloads
    }

    /// Pushes packets and pulls 20 ms for each but every ninth, which is lost.
    fn play(input: &mut JitterBufferInput, output: &mut JitterBufferOutput, payloads: &[Vec<u8>]) -> Vec<f32> {
        let mut sound = Vec::new();
        for (index, payload) in payloads.iter().enumerate() {
            if index % 9 != 8 {
                input.push(index as u16, index as u32 * 960, 1, payload).unwrap();
            }
            (0..2).for_each(|_| sound.extend_from_slice(output.pull().samples()));
        }
        sound
    }

    #[test]
    fn reset_is_as_good_as_fresh() {
        let payloads = payloads(60);
        let handle = Handle::new(JitterBuffer::default());
        let (mut input, mut output) = handle.attach().open(format()).unwrap();
        let first = play(&mut input, &mut output, &payloads);
        let reading = handle.reading();
        assert!(reading.packets_missing == 6 && reading.playing && output.latency_ms() > 5.0, "{reading:?}");

        input.push(60, 60 * 960, 1, &payloads[0]).unwrap();
        assert!(input.push(0, 0, 0, &[0; 1501]).is_err());
        output.reset();
        assert_eq!((handle.reading(), output.latency()), (JitterBufferReading::default(), 0));
        assert_eq!(play(&mut input, &mut output, &payloads), first);
        assert_eq!(handle.reading(), reading);
    }

    #[test]
    fn every_setting_is_live() {
        let payloads = payloads(120);
        let control = Handle::new(JitterBuffer::default());
        let (mut input, mut output) = control.attach().open(format()).unwrap();
        play(&mut input, &mut output, &payloads[..50]);
        assert!(control.reading().jitter_buffer_target_delay_ms < 50.0);

        let decoder = OpusDecode { gain_db: -120.0, ..OpusDecode::default() };
        control.update(|buffer| (buffer.min_delay_ms, buffer.decoder) = (150.0, decoder)).unwrap();
        let mut loudest = 0.0f32;
        for (index, payload) in payloads.iter().enumerate().skip(50) {
            input.push(index as u16, index as u32 * 960, 1, payload).unwrap();
            for _ in 0..2 {
                let peak = output.pull().samples().iter().fold(0.0f32, |peak, s| peak.max(s.abs()));
                loudest = if index > 110 { loudest.max(peak) } else { 0.0 };
            }
        }
        let reading = control.reading();
        assert_eq!(reading.jitter_buffer_target_delay_ms, 150.0);
        assert!(reading.jitter_buffer_delay_ms > 100.0 && reading.inserted_for_deceleration_ms > 60.0, "{reading:?}");
        assert!(loudest < 1e-4, "{loudest}");

        let refused = control.update(|buffer| buffer.max_delay_ms = 100.0);
        assert!(matches!(refused, Err(Error::OutOfRange { setting: "JitterBuffer::max_delay_ms", .. })));
        assert!(JitterBuffer { quantile: f32::NAN, ..JitterBuffer::default() }.validate().is_err());
    }

    #[test]
    fn a_handle_goes_on_with_the_next_buffer() {
        let control = Handle::new(JitterBuffer::default());
        let first = control.attach().open(format()).unwrap();
        assert!(control.attach().open(Format::mono(44_100).unwrap()).is_err());
        assert!(control.is_attached());
        drop(first);
        control.update(|buffer| buffer.start_delay_ms = 70.0).unwrap();
        let (mut input, mut output) = control.attach().open(format()).unwrap();
        let payloads = payloads(2);
        assert!(input.push(0, 0, 0, &[0; 1501]).is_err());
        input.push(0, 0, 1, &payloads[0]).unwrap();
        (0..5).for_each(|_| _ = output.pull());
        let reading = control.reading();
        assert_eq!((reading.packets_received, reading.packets_refused, reading.playing), (1, 1, false));
        assert_eq!((reading.jitter_buffer_target_delay_ms, reading.since_last_packet_ms), (70.0, 40.0));
    }
}
