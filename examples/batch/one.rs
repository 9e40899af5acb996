//! One recording.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use voxframe_testkit::wav::WavReader;

use crate::Args;
use crate::common::identity::{Identities, all_different};
use crate::common::input::SoundInput;
use crate::common::job::Job;
use crate::common::output::commit;
use crate::common::{Of, Result};
use crate::names::Recording;

/// Outputs that are being made or are made. Two recordings of one name would overwrite each other.
static OUTPUTS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// What became of a recording.
pub struct Outcome<'a> {
    recording: &'a Recording,
    output: Option<PathBuf>,
    pub result: Result<Done>,
}

pub enum Done {
    /// The report, as `process` writes it.
    Processed(Value),
    /// There was an output already. Length of the recording in s.
    Skipped(f64),
}

pub fn process<'a>(
    recording: &'a Recording,
    args: &Args,
    inputs: &Identities,
    stopped: impl Fn() -> bool,
) -> Outcome<'a> {
    let output = recording.output(&args.out, args.root.as_deref(), "wav");
    let result = output.as_deref().map_err(Clone::clone);
    let result = result.and_then(|output| make(recording, output, args, inputs, stopped));
    Outcome { recording, output: output.ok(), result }
}

fn make(
    recording: &Recording,
    output: &Path,
    args: &Args,
    inputs: &Identities,
    stopped: impl Fn() -> bool,
) -> Result<Done> {
    let mut input = SoundInput::open(&recording.path)?;
    input.hide_progress();
    let opus = args.opus.then(|| recording.output(&args.out, args.root.as_deref(), "opus")).transpose()?;
    let output = output.to_owned();
    all_different([&recording.path, &output].into_iter().chain(&opus))?;
    if let Some(other) = [&output].into_iter().chain(&opus).find(|path| inputs.contains(path)) {
        return Err(format!("would overwrite another recording, {}", other.display())).of(&recording.path);
    }
    if !OUTPUTS.lock().unwrap_or_else(PoisonError::into_inner).insert(output.clone()) {
        return Err(format!("another recording has the same output, {}", output.display())).of(&recording.path);
    }
    if !args.force && is_done(&input, &output, opus.as_deref(), args.processing.profile.sample_rate_hz) {
        return Ok(Done::Skipped(input.seconds()));
    }
    if let Some(folder) = output.parent() {
        std::fs::create_dir_all(folder).of(folder)?;
    }
    let job = Job::create(&input, &args.processing, &output, opus.as_ref())?;
    let (report, outputs) = job.run(&mut input, stopped)?;
    commit(outputs)?;
    Ok(Done::Processed(report.to_json()))
}

/// Whether there is all that would be made of this recording, and none of it older.
fn is_done(input: &SoundInput, output: &Path, opus: Option<&Path>, rate_hz: u32) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let is_newer =
        |path: &Path| changed(path).is_some_and(|output| changed(input.path()).is_some_and(|input| output >= input));
    let is_whole = WavReader::open(output)
        .is_ok_and(|wav| wav.header().sample_rate_hz == rate_hz && wav.header().samples == input.samples_at(rate_hz));
    is_whole && [output].into_iter().chain(opus).all(is_newer)
}

impl Outcome<'_> {
    /// The line that tells of it.
    pub fn to_json(&self) -> Value {
        let report = match &self.result {
            Ok(Done::Processed(report)) => report,
            Ok(Done::Skipped(seconds)) => &json!({ "input_seconds": seconds }),
            Err(_) => &Value::Null,
        };
        json!({
            "input": self.recording.path.to_string_lossy(),
            "output": self.output.as_ref().map(|path| path.to_string_lossy()),
            "skipped": matches!(self.result, Ok(Done::Skipped(_))),
            "seconds": report["input_seconds"],
            "rms_in_dbfs": report["rms_in_dbfs"],
            "rms_out_dbfs": report["rms_out_dbfs"],
            "real_time_factor": report["real_time_factor"],
            "error": self.result.as_ref().err().map(ToString::to_string),
        })
    }
}
