//! A call: noisy speech with the echo of the far end in it, for echo cancellers.

use std::hint::black_box;

use sonora::config::{
    AdaptiveDigital, EchoCanceller, GainController2, MaxProcessingRate, NoiseSuppression, NoiseSuppressionLevel,
    Pipeline,
};
use sonora::{AudioProcessing, Config, StreamConfig};
use voxframe::echo::{EchoCancel, FarEnd, far_end};
use voxframe::{Format, Frame, Processor, Profile, Stage};
use voxframe_testkit::wav::fixture;

use crate::cases::{Case, Ring};

/// Echo path: delays in ms and gains.
const ECHO: [(usize, f32); 4] = [(40, 0.3), (47, -0.15), (61, 0.08), (85, 0.04)];

pub fn add(cases: &mut Vec<Case>, format: Format) {
    let ns = Some(NoiseSuppression { level: NoiseSuppressionLevel::High, ..NoiseSuppression::default() });
    let agc =
        Some(GainController2 { adaptive_digital: Some(AdaptiveDigital::default()), ..GainController2::default() });
    let aec = Some(EchoCanceller::default());
    let mut peer = |what, noise_suppression, gain_controller2, echo_canceller| {
        // All else is off by default. Its own default of 32 kHz would leave out the upper third of the band.
        let pipeline =
            Pipeline { maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz, ..Pipeline::default() };
        let config = Config { pipeline, noise_suppression, gain_controller2, echo_canceller, ..Config::default() };
        cases.push(Case::new(what, format, move |format| sonora(format, config.clone())));
    };
    peer("sonora-ns", ns.clone(), None, None);
    peer("sonora-agc2", None, agc.clone(), None);
    peer("sonora-ns-agc2", ns.clone(), agc.clone(), None);
    peer("sonora-aec3", None, None, aec.clone());
    peer("sonora-aec3-ns-agc2", ns, agc, aec);

    cases.push(Case::new("call-echo-cancel", format, |format| {
        let (far_end, reference) = far_end(format);
        ours(format, far_end, EchoCancel::default().with_far_end(&reference).prepare(format).unwrap())
    }));
    for profile in [Profile::low_latency(), Profile::balanced(), Profile::high_quality()] {
        cases.push(Case::new(&format!("call-{profile}"), format, move |format| {
            let echo_cancel = profile.echo_cancel.expect("all three have one");
            let (far_end, reference) = far_end(format);
            ours(format, far_end, echo_cancel.with_far_end(&reference).then(profile).prepare(format).unwrap())
        }));
    }
}

/// What is played and what the microphone hears, over and over.
pub struct Call {
    frames: Ring<[Frame; 2]>,
    position: i64,
}

impl Call {
    pub fn new(format: Format) -> Self {
        let [played, spoken] = ["speech_room.wav", "speech_noisy.wav"].map(|name| fixture(name).remove(0));
        let heard = |index: usize| {
            let echo = ECHO.iter().map(|(ms, gain)| gain * played[(index + played.len() - 48 * ms) % played.len()]);
            spoken[index] + echo.sum::<f32>()
        };
        let heard: Vec<f32> = (0..played.len().min(spoken.len())).map(heard).collect();
        let frame = |samples: &[f32]| {
            let mut frame = Frame::new(format);
            frame.samples_mut().copy_from_slice(samples);
            frame
        };
        let length = format.samples_per_channel();
        let frames = played.chunks_exact(length).zip(heard.chunks_exact(length));
        Self { frames: Ring::new(frames.map(|(played, heard)| [frame(played), frame(heard)]).collect()), position: 0 }
    }

    /// The next frame of the far end and of the microphone.
    pub fn next(&mut self) -> &mut [Frame; 2] {
        let frames = self.frames.next();
        for frame in &mut *frames {
            frame.set_position(self.position);
        }
        self.position += frames[0].format().samples_per_channel() as i64;
        frames
    }
}

fn ours<P>(format: Format, mut far_end: FarEnd, mut processor: P) -> impl FnMut()
where
    P: Processor<Input = Frame, Output = Frame>,
{
    let mut call = Call::new(format);
    let mut frame = Frame::new(format);
    move || {
        let [played, heard] = black_box(call.next());
        far_end.push(played).unwrap();
        frame.copy_from(heard).unwrap();
        black_box(processor.process(&mut frame).unwrap());
    }
}

fn sonora(format: Format, config: Config) -> impl FnMut() {
    let has_far_end = config.echo_canceller.is_some();
    let stream = StreamConfig::new(format.sample_rate_hz(), format.channels() as u16);
    let mut processing = AudioProcessing::builder().config(config).capture_config(stream).render_config(stream).build();
    let mut call = Call::new(format);
    let mut out = vec![0.0; format.samples_per_channel()];
    move || {
        let [played, heard] = black_box(call.next());
        if has_far_end {
            processing.process_render_f32(&[played.samples()], &mut [&mut out]).unwrap();
        }
        processing.process_capture_f32(&[heard.samples()], &mut [&mut out]).unwrap();
        black_box(&mut out);
    }
}
