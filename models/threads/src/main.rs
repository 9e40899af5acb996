//! Real threads around what goes from one to another, for ThreadSanitizer: `scripts/races`.
//!
//! The standard library is not built for it, so threads that wait for a mutex follow one another unseen: each handle has
//! one control thread here. Tests would not do: their harness is part of that library.

use std::thread;

use voxframe::call::switch;
use voxframe::device::packet_queue;
use voxframe::echo::far_end;
use voxframe::spectrum::Spectrum;
use voxframe::{EchoCancel, Format, Frame, Gain, LevelMeter, Live, NoiseGate, Packet, Pipeline, Processor, Stage};

const FRAMES: u32 = 300_000;

fn format() -> Format {
    Format::mono(16_000).unwrap()
}

/// Runs a processor on another thread, and `control` beside it, until the frames are through.
fn beside(mut processor: impl Processor<Input = Frame> + Send, frames: u32, mut control: impl FnMut()) {
    thread::scope(|scope| {
        let audio = scope.spawn(move || {
            let mut frame = Frame::new(format());
            for _ in 0..frames {
                frame.samples_mut().fill(1.0);
                processor.process(&mut frame).unwrap();
            }
        });
        while !audio.is_finished() {
            control();
        }
        // The end of the scope would be one more wait that is not seen.
        audio.join().unwrap();
    });
}

fn settings_and_readings() {
    let (gate, handle) = NoiseGate::default().live();
    let mut updates = 0u32;
    beside(gate.prepare(format()).unwrap(), FRAMES, || {
        updates += 1;
        let open_db = -20.0 - (updates % 40) as f32;
        handle.update(|gate| (gate.open_db, gate.close_db) = (open_db, open_db - 6.0)).unwrap();
        assert!(handle.reading().gain_db() <= 0.0);
    });
    let (meter, handle) = LevelMeter::default().live();
    beside(meter.prepare(format()).unwrap(), FRAMES, || {
        let reading = handle.reading();
        assert_eq!(reading.clipped(), reading.samples());
    });
}

fn processors_that_take_over() {
    let (gain, handle) = Gain::default().live();
    beside(gain.prepare(format()).unwrap(), FRAMES, || {
        let next = handle.attach().prepare(format()).unwrap();
        handle.update(|gain| gain.muted = !gain.muted).unwrap();
        drop(next);
    });
}

fn packets() {
    let (mut input, mut output) = packet_queue(8);
    let numbered = |number: u32| {
        let mut packet = Packet::new();
        packet.set_bytes(&number.to_le_bytes(), i64::from(number) * 960).unwrap();
        packet
    };
    thread::scope(|scope| {
        let audio = scope.spawn(move || (0..FRAMES).for_each(|number| input.push(&numbered(number))));
        let mut newest = None;
        while !audio.is_finished() {
            if let Some(packet) = output.pop() {
                let number = (packet.position() / 960) as u32;
                assert!(newest < Some(number) && *packet == numbered(number));
                newest = Some(number);
            }
        }
        audio.join().unwrap();
    });
}

fn pipelines() {
    let pipeline = |gain_db| {
        let mut pipeline = Pipeline::new(format());
        pipeline.push("gain", Gain::db(gain_db)).unwrap();
        pipeline
    };
    let (processor, mut switch) = switch(pipeline(0.0));
    let mut count = 0u32;
    beside(processor, FRAMES, || {
        count += 1;
        switch.to(pipeline(-((count % 10) as f32)), 0).unwrap();
    });
}

fn samples() {
    let (spectrum, mut analyser) = Spectrum::default().live();
    let mut newest = [0.0; 512];
    beside(spectrum.prepare(format()).unwrap(), FRAMES, || analyser.float_time_domain_data(&mut newest));

    let (mut loudspeaker, reference) = far_end(format());
    let microphone = EchoCancel::default().with_far_end(&reference).prepare(format()).unwrap();
    let mut frame = Frame::new(format());
    beside(microphone, FRAMES / 50, || {
        frame.set_position(frame.position() + 160);
        loudspeaker.process(&mut frame).unwrap();
    });
}

fn main() {
    settings_and_readings();
    processors_that_take_over();
    packets();
    pipelines();
    samples();
    println!("settings, readings, processors, packets, pipelines and samples went from thread to thread");
}
