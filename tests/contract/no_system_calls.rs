//! Nothing makes a system call once it is prepared, so nothing waits for a lock either: every stage, every profile, the
//! edges, both ends of queues and jitter buffer, while other threads hold their handles.
//!
//! A filter kills the process that makes one. So the work is done in a process of its own, which this test starts.

use std::process::Command;

use voxframe::device::packet_queue;
use voxframe::{Capture, Format, Frame, Gain, Live, Packet, Playout, Processor, Stage};
use voxframe_testkit::random::noise;
use voxframe_testkit::system_calls::{exit, forbid, say};

use crate::cases::{cases, formats};

/// Environment variable that tells the started process what to do.
const TASK: &str = "VOXFRAME_WITHOUT_SYSTEM_CALLS";

/// What goes on without system calls: a name, and one round of it.
type Work = (String, Box<dyn FnMut(usize)>);

#[test]
fn nothing_makes_a_system_call_once_it_is_prepared() {
    assert_eq!(run("everything"), (Some(0), "done".to_owned()));
}

#[test]
fn a_system_call_would_be_noticed() {
    assert_eq!(run("a system call"), (None, "a system call".to_owned()));
}

/// Exit code of a process with this task, and the last line it said.
fn run(task: &str) -> (Option<i32>, String) {
    let test = "no_system_calls::in_a_process_of_its_own";
    let mut process = Command::new(std::env::current_exe().unwrap());
    let output = process.args(["--exact", test, "--nocapture", "--test-threads=2"]).env(TASK, task).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    (output.status.code(), said.lines().last().unwrap_or_default().to_owned())
}

#[test]
fn in_a_process_of_its_own() {
    let Ok(task) = std::env::var(TASK) else { return };
    let mut works: Vec<Work> = match &*task {
        "everything" => stages().chain([edges(), queue(), controlled()]).collect(),
        _ => vec![(task, Box::new(|_| std::thread::yield_now()))],
    };
    #[cfg(feature = "opus")]
    works.push(jitter_buffer());
    #[cfg(feature = "denoise")]
    works.push(batch());
    forbid().unwrap();
    for (name, work) in &mut works {
        say(name);
        say("\n");
        (0..50).for_each(work);
    }
    say("done\n");
    exit(0);
}

/// Noise that comes and goes.
fn fill(frame: &mut Frame, sound: &[f32], round: usize) {
    let loudness = if round % 20 < 10 { 1.0 } else { 0.001 };
    for (index, sample) in frame.samples_mut().iter_mut().enumerate() {
        *sample = loudness * sound[(index + 17 * round) % sound.len()];
    }
}

fn stages() -> impl Iterator<Item = Work> {
    cases().into_iter().flat_map(|case| {
        let formats = formats(&case).into_iter();
        formats.map(move |format| -> Work {
            let mut processor = (case.prepare)(format).unwrap();
            let (mut frame, sound) = (Frame::new(format), noise(3, 5000, 0.5));
            let work = move |round| {
                fill(&mut frame, &sound, round);
                processor.process(&mut frame).unwrap();
                if round == 30 {
                    processor.reset();
                }
            };
            (format!("{} at {format}", case.name), Box::new(work))
        })
    })
}

/// A stage whose handle other threads read and write without a pause.
fn controlled() -> Work {
    let format = Format::mono(48_000).unwrap();
    let (stage, handle) = Gain::default().live();
    let mut gain = stage.prepare(format).unwrap();
    for seed in 0..2 {
        let handle = handle.clone();
        std::thread::spawn(move || {
            for db in (0..40).map(|db| (db + seed) as f32).cycle() {
                handle.update(|gain| gain.gain_db = -db).unwrap();
                std::hint::black_box(handle.reading());
            }
        });
    }
    let mut frame = Frame::new(format);
    let work = move |_| (0..2000).for_each(|_| _ = gain.process(&mut frame).unwrap().is_some());
    ("gain while two threads write its handle".to_owned(), Box::new(work))
}

fn edges() -> Work {
    let format = Format::stereo(48_000).unwrap();
    let rate = if cfg!(feature = "resample") { 44_100 } else { 48_000 };
    let mut capture = Capture::new(rate, 2, format).unwrap();
    let mut playout = Playout::new(format, rate, 2).unwrap();
    let (input, mut output) = (vec![1000i16; 2 * 700], vec![0i16; 2 * 600]);
    let work = move |_| {
        capture.push_interleaved(&input[..], |frame| _ = playout.push(frame)).unwrap();
        playout.pull_interleaved(&mut output[..]).unwrap();
    };
    ("edges".to_owned(), Box::new(work))
}

fn queue() -> Work {
    let (mut input, mut output) = packet_queue(4);
    let mut packet = Packet::new();
    packet.set_bytes(&[1; 100], 0).unwrap();
    let work = move |_| {
        (0..6).for_each(|_| input.push(&packet));
        while output.pop().is_some() {}
    };
    ("packet queue".to_owned(), Box::new(work))
}

#[cfg(feature = "opus")]
fn jitter_buffer() -> Work {
    use voxframe::{JitterBuffer, OpusEncode, Source};
    let format = Format::mono(48_000).unwrap();
    let mut encoder = OpusEncode::voip().prepare(format).unwrap();
    let (mut frame, sound) = (Frame::new(format), noise(4, 5000, 0.5));
    let (mut input, mut output) = JitterBuffer::default().open(format).unwrap();
    let work = move |round: usize| {
        fill(&mut frame, &sound, round);
        if let Some(packet) = encoder.process(&mut frame).unwrap().filter(|_| !round.is_multiple_of(9)) {
            input.push(round as u16, 480 * round as u32, 1, packet.as_bytes()).unwrap();
        }
        std::hint::black_box(output.pull());
    };
    ("jitter buffer".to_owned(), Box::new(work))
}

#[cfg(feature = "denoise")]
fn batch() -> Work {
    use voxframe::Denoise;
    use voxframe::denoise::{DenoiseBatch, Engine};
    let format = Format::mono(48_000).unwrap();
    let engines = [Engine::Light, Engine::Standard, if cfg!(feature = "hush") { Engine::Best } else { Engine::Light }];
    let stream = |number: usize| {
        let denoise = Denoise { engine: engines[number % 3], ..Denoise::default() };
        (denoise.prepare(format).unwrap(), Frame::new(format))
    };
    let (mut streams, sound) = ((0..20).map(stream).collect::<Vec<_>>(), noise(5, 5000, 0.5));
    let mut batch = DenoiseBatch::new();
    let work = move |round: usize| {
        streams.iter_mut().for_each(|(_, frame)| fill(frame, &sound, round));
        let present = streams.iter_mut().skip(round % 3).step_by(1 + round % 2);
        batch.process(present.map(|(processor, frame)| (processor, frame))).unwrap();
    };
    ("batch of streams".to_owned(), Box::new(work))
}
