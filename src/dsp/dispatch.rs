//! Run-time dispatch of inner loops by instruction set.

/// Definition of functions that are compiled twice, the second time for AVX2, which is chosen at run time where the
/// machine has it. No version is given FMA, and the compiler fuses nothing by itself, so both give the same bits.
macro_rules! kernels {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block)*) => {$(
        $(#[$doc])*
        #[inline]
        pub(crate) fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn portable($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(test)]
            if $crate::dsp::dispatch::is_portable_wanted(concat!(module_path!(), "::", stringify!($name))) {
                return portable($($arg),*);
            }
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    portable($($arg),*)
                }
                #[allow(unsafe_code, reason = "a function compiled for AVX2 is unsafe to call unless the machine has it")]
                // SAFETY: the line above has found AVX2 on this machine, and nothing else is asked of the caller.
                return unsafe { avx2($($arg),*) };
            }
            portable($($arg),*)
        }
    )*};
}

pub(crate) use kernels;

#[cfg(test)]
pub(crate) use tests::is_portable_wanted;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    thread_local! {
        /// Whether portable versions are wanted on this thread, and the kernels that ran since; `None` where nobody asks.
        static ASKED: RefCell<Option<(bool, BTreeSet<&'static str>)>> = const { RefCell::new(None) };
    }

    /// Whether the portable version of a kernel is wanted, which is about to run.
    pub(crate) fn is_portable_wanted(kernel: &'static str) -> bool {
        ASKED.with_borrow_mut(|asked| {
            asked.as_mut().is_some_and(|(portable, run)| {
                run.insert(kernel);
                *portable
            })
        })
    }

    #[cfg(all(feature = "hush", feature = "vad", feature = "opus", feature = "resample"))]
    mod versions {
        use std::fs;
        use std::path::Path;

        use super::*;
        use crate::control::Live;
        use crate::core::{Format, Frame, Packet, Pipeline, Processor, Source, Stage};
        use crate::dsp::curve::LinearCurve;
        use crate::dsp::speech_level::SpeechLevel;
        use crate::jitter::JitterBuffer;
        use crate::opus::OpusEncode;
        use crate::stages::auto_gain::AutoGain;
        use crate::stages::denoise::{Denoise, DenoiseBatch, Engine};
        use crate::stages::echo::{EchoCancel, far_end};
        use crate::stages::gain::Gain;
        use crate::stages::gate::NoiseGate;
        use crate::stages::high_pass::HighPass;
        use crate::stages::input_check::InputCheck;
        use crate::stages::limiter::Limiter;
        use crate::stages::meter::LevelMeter;
        use crate::testing::fixture;
        use crate::vad::VoiceActivity;

        const FRAMES: usize = 150;

        /// Runs every kernel, and returns the bits of all that comes out.
        fn everything() -> Vec<u32> {
            let mut bits = Vec::new();
            let speech = fixture("speech_noisy");
            for (channels, engine) in [(1, Engine::Light), (2, Engine::Best)] {
                let format = Format::new(48_000, channels).unwrap();
                let (mut loudspeaker, reference) = far_end(format);
                let (gain, volume) = Gain::default().live();
                let mut pipeline = Pipeline::new(format);
                pipeline.push("input-check", InputCheck::default()).unwrap();
                pipeline.push("echo", EchoCancel::default().with_far_end(&reference)).unwrap();
                pipeline.push("denoise", Denoise { engine, ..Denoise::default() }).unwrap();
                pipeline.push("high-pass", HighPass::default()).unwrap();
                pipeline.push("voice", VoiceActivity::default()).unwrap();
                pipeline.push("auto-gain", AutoGain::default()).unwrap();
                pipeline.push("gate", NoiseGate { lookahead_ms: 5.0, ..NoiseGate::default() }).unwrap();
                pipeline.push("gain", gain).unwrap();
                pipeline.push("meter", LevelMeter::default()).unwrap();
                let without_lookahead = Limiter { ceiling_db: 0.0, lookahead_ms: 0.0, ..Limiter::default() };
                pipeline.push("limiter-without-lookahead", without_lookahead).unwrap();
                pipeline.push("limiter", Limiter::default()).unwrap();
                let mut frame = Frame::new(format);
                for (index, block) in speech.chunks_exact(480).take(FRAMES).enumerate() {
                    frame.set_position(480 * index as i64);
                    frame.channels_mut().for_each(|channel| channel.copy_from_slice(block));
                    loudspeaker.process(&mut frame).unwrap();
                    // Not the same in both channels, with an echo, and from soft to beyond full scale.
                    for (channel, samples) in frame.channels_mut().enumerate() {
                        let gain = (1 + index % 50 * (1 + channel)) as f32 * 0.3;
                        samples.iter_mut().for_each(|sample| *sample *= gain);
                        samples[7] = if index % 20 == 0 { f32::NAN } else { samples[7] };
                    }
                    volume.update(|gain| gain.gain_db = (index / 10 % 5 * 3) as f32).unwrap();
                    if let Some(out) = pipeline.process(&mut frame).unwrap() {
                        bits.extend(out.samples().iter().map(|sample| sample.to_bits()));
                    }
                }
            }
            bits.extend(received(&speech));
            bits.extend(batched(&speech));
            let mut level = SpeechLevel::new(48_000);
            level.push(&speech);
            let mut ramped = speech[..4800].to_vec();
            LinearCurve { start: 0.2, step: 1e-4, range: 0.2..0.6 }.multiply(&mut ramped);
            bits.extend(ramped.iter().map(|sample| sample.to_bits()));
            bits.extend([level.rms_dbov(), level.dbov().unwrap_or_default()].map(f32::to_bits));
            bits
        }

        /// What a jitter buffer makes of packets that come late, and of some that do not come.
        fn received(speech: &[f32]) -> Vec<u32> {
            let format = Format::mono(48_000).unwrap();
            let mut encoder = OpusEncode::voip().prepare(format).unwrap();
            let (mut input, mut output) = JitterBuffer::default().open(format).unwrap();
            let (mut frame, mut bits) = (Frame::new(format), Vec::new());
            let mut held: Vec<Packet> = Vec::new();
            for (index, block) in speech.chunks_exact(480).take(3 * FRAMES).enumerate() {
                frame.samples_mut().copy_from_slice(block);
                frame.set_position(480 * index as i64);
                held.extend(encoder.process(&mut frame).unwrap().cloned());
                if index % 100 < 70 {
                    for packet in held.drain(..) {
                        let number = packet.position() / 960;
                        if number % 15 != 0 {
                            input.push(number as u16, packet.position() as u32, 1, packet.as_bytes()).unwrap();
                        }
                    }
                }
                bits.extend(output.pull().samples().iter().map(|sample| sample.to_bits()));
            }
            bits
        }

        /// What a batch makes of two streams, whose products are summed up side by side and scaled afterwards.
        fn batched(speech: &[f32]) -> Vec<u32> {
            let format = Format::mono(48_000).unwrap();
            let stream = || Denoise { engine: Engine::Light, ..Denoise::default() }.prepare(format).unwrap();
            let mut streams = [(stream(), Frame::new(format)), (stream(), Frame::new(format))];
            let (mut batch, mut bits) = (DenoiseBatch::new(), Vec::new());
            for (index, block) in speech.chunks_exact(480).take(20).enumerate() {
                for (_, frame) in &mut streams {
                    frame.set_position(480 * index as i64);
                    frame.samples_mut().copy_from_slice(block);
                }
                batch.process(streams.iter_mut().map(|(denoise, frame)| (denoise, frame))).unwrap();
                bits.extend(streams.iter().flat_map(|(_, frame)| frame.samples()).map(|sample| sample.to_bits()));
            }
            bits
        }

        /// The kernels in the sources, by their paths.
        fn kernels_of(folder: &Path, module: &str, found: &mut BTreeSet<String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let module = format!("{module}::{}", path.file_stem().unwrap().to_str().unwrap());
                if path.is_dir() {
                    kernels_of(&path, &module, found);
                    continue;
                }
                if path.extension().is_none_or(|extension| extension != "rs") {
                    continue;
                }
                let text = fs::read_to_string(&path).unwrap();
                let blocks = text.split("\nkernels! {\n").skip(1).filter_map(|rest| rest.split("\n}\n").next());
                for line in blocks.flat_map(str::lines) {
                    if let Some((name, _)) = line.strip_prefix("    fn ").and_then(|rest| rest.split_once('(')) {
                        found.insert(format!("{module}::{name}"));
                    }
                }
            }
        }

        #[test]
        fn both_versions_of_every_kernel_give_the_same_bits() {
            let run = |portable| {
                ASKED.set(Some((portable, BTreeSet::new())));
                let bits = everything();
                (bits, ASKED.take().unwrap().1)
            };
            let (vector, kernels) = run(false);
            let (portable, _) = run(true);
            let mut in_sources = BTreeSet::new();
            kernels_of(Path::new("src"), "voxframe", &mut in_sources);
            let not_run: Vec<_> = in_sources.iter().filter(|name| !kernels.contains(name.as_str())).collect();
            assert!(
                kernels.len() > 50 && not_run.is_empty(),
                "{} kernels were run, but not {not_run:#?}",
                kernels.len()
            );
            assert_eq!(vector.len(), portable.len());
            let differ = vector.iter().zip(&portable).position(|(vector, portable)| vector != portable);
            assert_eq!(differ, None, "first of {} samples that differs", vector.len());
        }
    }
}
