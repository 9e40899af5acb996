//! Many recordings through a profile, on all cores.
//!
//! `cargo run --release --example batch -- RECORDINGS/ --out CLEAN/ >report.jsonl`
//!
//! Without inputs, names come from stdin, one a line, and each is worked on as soon as it is there. So it is a filter, for
//! GNU parallel (`find RECORDINGS -name '*.wav' | parallel --pipe -N100 batch --root RECORDINGS --out CLEAN`) or for PySpark
//! (`names.pipe("batch --root RECORDINGS --out CLEAN")`) on many machines that share a file system.

#[path = "../common/mod.rs"]
mod common;
mod names;
mod one;
mod progress;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clap::Parser;
use common::identity::Identities;
use common::job::Processing;
use common::output::print;
use common::stop::first_signal;
use common::temporary::remove_on_signals;
use common::{Failure, Of, Result, tell};
use names::Recording;
use progress::Progress;
use rayon::iter::{ParallelBridge, ParallelIterator};

/// Runs WAV, AIFF, FLAC, MP3, M4A, Ogg Vorbis and Ogg Opus files through a profile, as `process` does, on all cores. Tells of each on stdout, a line of JSON.
///
/// Outputs appear whole or not at all. What has its output already is skipped, so the same command goes on where it was
/// stopped; an output that is older than its input, or of another rate or length, is made anew. Files that cannot be read are
/// reported and left out, and the exit code is 1 in the end.
#[derive(Parser)]
struct Args {
    /// Sound files, and folders whose sound files (.wav, .aif, .aiff, .flac, .mp3, .m4a, .aac, .ogg, .oga, .opus) are taken, however deep; names on stdin if there are none
    inputs: Vec<PathBuf>,
    /// Folder for the outputs, made where it is missing
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Outputs have the paths their inputs have below this folder; without it, below the folder that was named, or for a
    /// file its name alone
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,
    #[command(flatten)]
    processing: Processing,
    /// Also write Ogg Opus files beside the WAV files
    #[arg(long)]
    opus: bool,
    /// Make all outputs anew, as after a change of settings
    #[arg(long)]
    force: bool,
    /// Files at the same time; 0 for as many as there are cores
    #[arg(long, default_value_t = 0)]
    jobs: usize,
}

/// What all threads share.
struct Shared<'a> {
    args: &'a Args,
    /// Recordings that are known before the first is processed: no output may be one of them.
    inputs: Identities,
    stopped: Arc<AtomicBool>,
    failed: AtomicUsize,
    progress: Progress,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(code) => code,
        Err(failure) => common::exit(Err(failure)),
    }
}

fn run(args: &Args) -> Result<ExitCode> {
    let stopped = first_signal();
    remove_on_signals()?;
    std::fs::create_dir_all(&args.out).of(&args.out)?;
    let threads = rayon::ThreadPoolBuilder::new().num_threads(args.jobs).build();
    let threads = threads.map_err(|error| Failure(format!("threads: {error}")))?;
    let from_stdin = args.inputs.is_empty();
    let recordings = if from_stdin { Vec::new() } else { names::find(&args.inputs, &args.out)? };
    let count = (!from_stdin).then_some(recordings.len());
    let inputs = Identities::of(recordings.iter().map(|recording| &*recording.path));
    let shared = Shared { args, inputs, stopped, failed: AtomicUsize::new(0), progress: Progress::new(count) };
    threads.install(|| {
        if from_stdin {
            names::from_stdin(Arc::clone(&shared.stopped)).par_bridge().for_each(|recording| shared.take(&recording));
        } else {
            // One after the other from the same list, so that a stop leaves no more behind than was begun.
            recordings.iter().par_bridge().for_each(|recording| shared.take(recording));
        }
    });
    shared.progress.finish();
    if shared.stopped.load(Ordering::Relaxed) {
        tell("note", "stopped; the same command goes on from here");
        return Ok(ExitCode::from(130));
    }
    let failed = shared.failed.load(Ordering::Relaxed);
    if failed > 0 {
        let plural = if failed == 1 { "" } else { "s" };
        return Err(Failure(format!("{failed} file{plural} could not be processed")));
    }
    Ok(ExitCode::SUCCESS)
}

impl Shared<'_> {
    /// Processes a recording, unless it was stopped, and tells of it.
    fn take(&self, recording: &Recording) {
        let stopped = || self.stopped.load(Ordering::Relaxed);
        if stopped() {
            return;
        }
        let outcome = one::process(recording, self.args, &self.inputs, stopped);
        // What was begun and given up is as if it had not been begun.
        if stopped() && outcome.result.is_err() {
            return;
        }
        if let Err(failure) = &outcome.result {
            self.failed.fetch_add(1, Ordering::Relaxed);
            self.progress.aside(|| failure.tell());
        }
        self.progress.next();
        if let Err(failure) = self.progress.aside(|| print(&format!("{}\n", outcome.to_json()))) {
            failure.tell();
            self.stopped.store(true, Ordering::Relaxed);
        }
    }
}
