//! Streams in a `DenoiseBatch` sound as they do alone, bit for bit, whoever joins, leaves or stands still beside them.
#![cfg(feature = "denoise")]

use voxframe::control::Handle;
use voxframe::denoise::{DenoiseBatch, DenoiseProcessor, Engine};
use voxframe::{Denoise, Error, Format, Frame, Processor, Stage};
use voxframe_testkit::random::Random;
use voxframe_testkit::wav::fixture;

const ENGINES: &[Engine] = &[
    Engine::Standard,
    Engine::Light,
    #[cfg(feature = "hush")]
    Engine::Best,
];

/// Speech of one talker, twice: for the batch and alone.
struct Talker {
    sound: Vec<f32>,
    /// Samples so far.
    at: usize,
    /// Handles of both.
    controls: [Handle<Denoise>; 2],
    together: DenoiseProcessor,
    alone: DenoiseProcessor,
    frame: Frame,
    wanted: Frame,
}

impl Talker {
    /// Talker with sound and loudness of its own.
    fn new(number: usize, engine: Engine, format: Format) -> Self {
        let controls = [(); 2].map(|()| Handle::new(Denoise { engine, ..Denoise::default() }));
        let [together, alone] = controls.each_ref().map(|control| control.attach().prepare(format).unwrap());
        let mut sound = fixture(["speech_noisy.wav", "speech_room.wav", "speech_clean.wav"][number % 3]).remove(0);
        let loudness = 0.3 + 0.01 * number as f32;
        sound.rotate_left(25_000 + 977 * number);
        sound.iter_mut().for_each(|sample| *sample *= loudness);
        Self { sound, at: 0, controls, together, alone, frame: Frame::new(format), wanted: Frame::new(format) }
    }

    /// Fills both frames with what comes next, which is silence now and then, and processes the one that is alone.
    fn next(&mut self) {
        let length = self.frame.format().samples_per_channel();
        for (index, channel) in self.frame.channels_mut().enumerate() {
            let from = (self.at + 30 * index) % (self.sound.len() - length);
            channel.copy_from_slice(&self.sound[from..from + length]);
        }
        if (self.at / length) % 19 < 2 {
            self.frame.samples_mut().fill(0.0);
        }
        self.frame.set_position(self.at as i64);
        self.frame.clear_detections();
        self.at += length;
        self.wanted.copy_from(&self.frame).unwrap();
        self.alone.process(&mut self.wanted).unwrap().unwrap();
    }

    fn check(&self, name: &str) {
        let [found, wanted] = [&self.frame, &self.wanted].map(|frame| {
            let samples: Vec<u32> = frame.samples().iter().map(|sample| sample.to_bits()).collect();
            (samples, frame.position(), frame.speech_probability().map(f32::to_bits))
        });
        assert!(found == wanted, "{name} at {}", self.at);
    }
}

fn format(number: usize) -> Format {
    let (channels, ms) = [(1, 10), (2, 10), (1, 20), (2, 20)][number % 4];
    Format::new(48_000, channels).and_then(|format| format.with_frame_ms(ms)).unwrap()
}

/// Gives the frames of the talkers in these places to the batch, and checks what comes out.
fn tick(batch: &mut DenoiseBatch, talkers: &mut [Talker], speaks: &mut dyn FnMut(usize) -> bool) {
    let mut speaking: Vec<_> = talkers.iter_mut().enumerate().filter(|(number, _)| speaks(*number)).collect();
    speaking.iter_mut().for_each(|(_, talker)| talker.next());
    batch.process(speaking.iter_mut().map(|(_, talker)| (&mut talker.together, &mut talker.frame))).unwrap();
    for (number, talker) in &speaking {
        talker.check(&format!("talker {number}, with {} speaking", speaking.len()));
    }
}

#[test]
fn any_number_of_streams_sounds_as_each_alone() {
    for &engine in ENGINES {
        for streams in [1, 2, 5, 16, 17, 70] {
            let mut batch = DenoiseBatch::new();
            let mut talkers: Vec<_> =
                (0..streams).map(|number| Talker::new(number, engine, Format::mono(48_000).unwrap())).collect();
            for _ in 0..12 {
                tick(&mut batch, &mut talkers, &mut |_| true);
            }
            // What is compared is different sound, and not what went in.
            for (number, talker) in talkers.iter().enumerate() {
                assert!(talkers[..number].iter().all(|other| other.wanted.samples() != talker.wanted.samples()));
                assert!(talker.wanted.samples().iter().any(|&sample| sample != 0.0), "{engine:?}, {number}");
            }
        }
    }
}

#[test]
fn streams_join_leave_pause_and_change_without_disturbing_others() {
    let mut random = Random::new(5);
    let mut batch = DenoiseBatch::new();
    let new = |number: usize| Talker::new(number, ENGINES[number / 4 % ENGINES.len()], format(number));
    let mut talkers: Vec<_> = (0..30).map(new).collect();
    for round in 0..60 {
        match round % 6 {
            // One joins in the middle, one leaves, one begins anew.
            0 => talkers.insert(round % talkers.len(), new(30 + round)),
            2 => drop(talkers.swap_remove(round % talkers.len())),
            4 => {
                let talker = &mut talkers[round / 2];
                talker.together.reset();
                talker.alone.reset();
            }
            // For one the engine changes, which fades, so all networks run in it for a while.
            5 => {
                let engine = ENGINES[round / 6 % ENGINES.len()];
                for control in &talkers[round / 3].controls {
                    control.update(|denoise| denoise.engine = engine).unwrap();
                }
            }
            _ => {}
        }
        tick(&mut batch, &mut talkers, &mut |_| random.unit() < 0.7);
        // Some do without the batch for a while.
        for talker in talkers.iter_mut().step_by(7) {
            talker.next();
            talker.together.process(&mut talker.frame).unwrap();
            talker.check("a talker alone again");
        }
    }
}

#[test]
fn a_frame_of_another_format_is_refused_and_all_others_are_processed() {
    let [right, wrong] = [1, 2].map(|channels| Format::new(48_000, channels).unwrap());
    let mut batch = DenoiseBatch::new();
    let mut talkers: Vec<_> = (0..20).map(|number| Talker::new(number, Engine::Standard, right)).collect();
    for round in 0..6 {
        talkers.iter_mut().for_each(Talker::next);
        let mut other = Frame::new(wrong);
        other.samples_mut().fill(0.25);
        let mut streams: Vec<_> = talkers.iter_mut().map(|talker| (&mut talker.together, &mut talker.frame)).collect();
        if round == 3 {
            let third = std::mem::replace(&mut streams[3].1, &mut other);
            let error = batch.process(streams.iter_mut().map(|(processor, frame)| (&mut **processor, &mut **frame)));
            assert_eq!(error, Err(Error::WrongFormat { expected: right, actual: wrong }));
            assert!(streams[3].1.samples() == [0.25; 960]);
            // Its stream stands where it stood.
            streams[3].1 = third;
            streams.drain(..3);
            streams.truncate(1);
        }
        batch.process(streams).unwrap();
        talkers.iter().for_each(|talker| talker.check("after a wrong frame"));
    }
    assert_eq!(batch.process([]), Ok(()));
}
