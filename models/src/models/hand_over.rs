//! The hand-over of pipelines, both ways through one triple buffer: the calls of `src/call/switch.rs`, in their order. The
//! file itself needs all that runs in a pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use loom::thread;

use super::Model;
use crate::triple_buffer::{Output, TripleBuffer};

pub const SWITCH: Model = Model { name: "switch of pipelines", preemptions: None, body: switch };

struct Running {
    number: u32,
    freed: Arc<AtomicUsize>,
}

impl Drop for Running {
    fn drop(&mut self) {
        assert!(!AUDIO.with(|audio| audio.load(Relaxed)), "freed on the audio thread");
        self.freed.fetch_add(1, Relaxed);
    }
}

loom::thread_local! {
    /// Whether this is the audio thread.
    static AUDIO: AtomicBool = AtomicBool::new(false);
}

type Mail = Option<Box<Running>>;

struct SwitchProcessor {
    heard: Box<Running>,
    incoming: Mail,
    mail: Output<Mail>,
}

impl SwitchProcessor {
    /// `look_for_mail` and `finish`.
    fn process(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            *self.mail.output_buffer_mut() = Some(std::mem::replace(&mut self.heard, incoming));
        }
        if self.incoming.is_none() && self.mail.update() {
            self.incoming = self.mail.output_buffer_mut().take();
            let incoming = self.incoming.as_ref().expect("what is new is a pipeline");
            assert!(incoming.number > self.heard.number, "the order of the switches");
        }
    }
}

fn switch() {
    let freed = Arc::new(AtomicUsize::new(0));
    let running = |number| Box::new(Running { number, freed: Arc::clone(&freed) });
    let (mut mail, mail_out) = TripleBuffer::<Mail>::default().split();
    let mut processor = SwitchProcessor { heard: running(0), incoming: None, mail: mail_out };
    let audio = thread::spawn(move || {
        AUDIO.with(|audio| audio.store(true, Relaxed));
        (0..3).for_each(|_| processor.process());
        processor
    });
    (1..=4).for_each(|number| mail.write(Some(running(number))));
    let mut processor = audio.join().unwrap();
    (0..3).for_each(|_| processor.process());
    assert_eq!(processor.heard.number, 4, "the last one counts");
    drop((processor, mail));
    assert_eq!(freed.load(Relaxed), 5, "each is freed once");
}
