//! Every interleaving of the threads around handles, queues, the hand-over of pipelines and the ring of samples, by loom.
//! The code is the crate's own, and that of rtrb and triple_buffer: `build.rs` puts loom's atomics and cells into it.
//!
//! Then each memory ordering is weakened in turn, in a process of its own, and a model must fail.
//!
//! `cargo run --manifest-path models/Cargo.toml` bounds the preemptions in two of the models; with `-- unbounded` nothing
//! is bounded.

extern crate alloc;

mod core;
mod models;
mod shim;
mod weaken;

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [number, to, model] = &arguments[..] {
        return weaken::run_weakened(number, to, model);
    }
    let is_bounded = arguments.first().is_none_or(|argument| argument != "unbounded");
    let reached = models::ALL.map(|model| (model, model.run_and_report(is_bounded)));
    std::process::exit(if weaken::every_ordering_matters(&reached) { 0 } else { 1 });
}
