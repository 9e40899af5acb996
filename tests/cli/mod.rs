//! Running the examples, and looking at the files they leave.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

/// What a program did.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// It must have worked.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// It must have failed, with one line on stderr that names `file` and holds `what`.
    #[track_caller]
    pub fn refused(self, file: &Path, what: &str) -> Self {
        assert_eq!(self.code, Some(1), "{self:?}");
        let lines: Vec<_> = self.stderr.lines().filter(|line| !line.starts_with("note: ")).collect();
        assert_eq!(lines.len(), 1, "{self:?}");
        assert!(lines[0].starts_with("error: ") && lines[0].contains(what), "no '{what}' in {self:?}");
        let name = file.file_name().unwrap().to_string_lossy();
        assert!(lines[0].contains(&*name), "no '{name}' in {self:?}");
        self
    }
}

/// Runs an example. Cargo builds them for `cargo test`, but not for `cargo test --test one_of_them`.
#[track_caller]
pub fn example(name: &str, args: &[&dyn AsRef<OsStr>]) -> Run {
    let tests = std::env::current_exe().unwrap();
    let folder = tests.parent().and_then(Path::parent).unwrap().join("examples");
    let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} is not there: build it with `cargo build --examples`", program.display());
    run(Command::new(program).args(args.iter().map(|arg| arg.as_ref())))
}

fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs another program, if it is installed.
#[track_caller]
pub fn tool(name: &str, args: &[&dyn AsRef<OsStr>]) -> Option<Run> {
    let found = std::env::split_paths(&std::env::var_os("PATH")?).any(|folder| folder.join(name).is_file());
    if !found {
        eprintln!("not checked with {name}, which is not installed");
        return None;
    }
    Some(run(Command::new(name).args(args.iter().map(|arg| arg.as_ref()))).ok())
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// A folder of the real recordings, which are not in the repository.
pub fn recordings(folder: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/audio");
    let root = std::env::var_os("VOXFRAME_AUDIO").map_or(beside, PathBuf::from);
    let path = root.join(folder);
    if !path.is_dir() {
        eprintln!("skipped: no recordings in {} (VOXFRAME_AUDIO says where they are)", path.display());
        return None;
    }
    Some(path)
}

/// The names of all files in a folder.
pub fn files_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A WAV file as interleaved samples.
#[track_caller]
pub fn read_wav(path: &Path) -> (WavSpec, Vec<f32>) {
    let mut reader = WavReader::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let spec = reader.spec();
    let samples = match spec.sample_format {
        SampleFormat::Float => reader.samples::<f32>().map(Result::unwrap).collect(),
        SampleFormat::Int => {
            let scale = 0.5f32.powi(i32::from(spec.bits_per_sample) - 1);
            reader.samples::<i32>().map(|sample| sample.unwrap() as f32 * scale).collect()
        }
    };
    (spec, samples)
}

/// Samples per channel of a WAV file.
#[track_caller]
pub fn length(path: &Path) -> u64 {
    let (spec, samples) = read_wav(path);
    samples.len() as u64 / u64::from(spec.channels)
}

/// Writes interleaved samples; `bits` 32 means floats, 33 integers of 32 bits.
pub fn write_wav(path: &Path, rate_hz: u32, channels: u16, bits: u16, samples: &[f32]) {
    let (bits_per_sample, sample_format) = match bits {
        32 => (32, SampleFormat::Float),
        33 => (32, SampleFormat::Int),
        bits => (bits, SampleFormat::Int),
    };
    let spec = WavSpec { channels, sample_rate: rate_hz, bits_per_sample, sample_format };
    let mut writer = WavWriter::create(path, spec).unwrap();
    let full_scale = 2f32.powi(i32::from(bits_per_sample) - 1);
    for sample in samples {
        match sample_format {
            SampleFormat::Float => writer.write_sample(*sample).unwrap(),
            SampleFormat::Int => writer.write_sample((sample * full_scale).round() as i32).unwrap(),
        }
    }
    writer.finalize().unwrap();
}

/// The bytes of a WAV file, with whatever sizes and format one likes.
#[derive(Clone)]
pub struct RawWav {
    pub riff_size: Option<u32>,
    pub tag: u16,
    pub channels: u16,
    pub rate_hz: u32,
    pub block: u16,
    pub bits: u16,
    /// What follows the first 16 bytes of the fmt chunk.
    pub extra: Vec<u8>,
    /// Whole chunks before the data chunk.
    pub before: Vec<u8>,
    pub data_size: Option<u32>,
    pub data: Vec<u8>,
    /// Whatever follows the data.
    pub after: Vec<u8>,
}

impl RawWav {
    /// 16-bit mono at 48 kHz.
    pub fn new(data: Vec<u8>) -> Self {
        Self {
            riff_size: None,
            tag: 1,
            channels: 1,
            rate_hz: 48_000,
            block: 2,
            bits: 16,
            extra: vec![],
            before: vec![],
            data_size: None,
            data,
            after: vec![],
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut body = b"WAVEfmt ".to_vec();
        body.extend((16 + self.extra.len() as u32).to_le_bytes());
        body.extend(self.tag.to_le_bytes());
        body.extend(self.channels.to_le_bytes());
        body.extend(self.rate_hz.to_le_bytes());
        body.extend(self.rate_hz.wrapping_mul(self.block.into()).to_le_bytes());
        body.extend(self.block.to_le_bytes());
        body.extend(self.bits.to_le_bytes());
        body.extend(&self.extra);
        body.extend(&self.before);
        body.extend(b"data");
        body.extend(self.data_size.unwrap_or(self.data.len() as u32).to_le_bytes());
        body.extend(&self.data);
        body.extend(&self.after);
        let mut bytes = b"RIFF".to_vec();
        bytes.extend(self.riff_size.unwrap_or(body.len() as u32).to_le_bytes());
        bytes.extend(body);
        bytes
    }

    pub fn write(&self, path: &Path) {
        fs::write(path, self.bytes()).unwrap();
    }
}

/// RMS in dBFS.
pub fn level(samples: &[f32]) -> f64 {
    let energy: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    10.0 * (energy / samples.len() as f64 + 1e-12).log10()
}

/// By how many samples `late` lags behind `early`, up to `most` either way: where the cross-correlation of what is in
/// the middle of them peaks.
pub fn lag(early: &[f32], late: &[f32], most: usize) -> isize {
    let length = (early.len().min(late.len()) - 2 * most).min(48_000);
    let first = (early.len().min(late.len()) - length) / 2;
    let correlation = |lag: usize| -> f64 {
        let shifted = &late[first + lag - most..];
        early[first..first + length].iter().zip(shifted).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let best = (0..=2 * most).max_by(|a, b| correlation(*a).total_cmp(&correlation(*b))).unwrap();
    best as isize - most as isize
}
