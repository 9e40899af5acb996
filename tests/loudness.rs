//! `LoudnessMeter` against independent implementations, to 0.2 dB: loudness every 100 ms and the true peak against the
//! filter `ebur128` of ffmpeg, the true peak also against sox, which oversamples with a far longer filter. Each is left
//! out, with a note, where it is not installed.
#![cfg(feature = "loudness")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use voxframe::loudness::LoudnessMeter;
use voxframe::{Format, Frame, Live, Processor, Stage};
use voxframe_testkit::program::tool;
use voxframe_testkit::random::Random;
use voxframe_testkit::wav::{self, fixture_path, recordings_folder};

/// How far two implementations may be apart, in dB.
const TOLERANCE: f32 = 0.2;

/// What a meter says of a file.
#[derive(Default)]
struct Measured {
    /// Momentary, short-term and integrated loudness after each 100 ms.
    lufs: Vec<[f32; 3]>,
    /// The true peak of each channel.
    dbtp: Vec<f32>,
}

fn check(name: &str, path: &Path) {
    let (ours, theirs) = (voxframe(path), ffmpeg(path));
    check_true_peak(name, &ours, theirs.as_ref().map(|theirs| theirs.dbtp.clone()), sox(path));
    let Some(theirs) = theirs else { return };
    assert!(ours.lufs.len() >= 10 && ours.lufs.len().abs_diff(theirs.lufs.len()) <= 1);
    let mut furthest = [0.0f32; 3];
    for (index, (our, their)) in ours.lufs.iter().zip(&theirs.lufs).enumerate() {
        // ffmpeg gives a loudness once its window is full; below the gate of −70 LUFS neither gives an integrated one.
        let given = [index >= 3, index >= 29, their[2] > -70.0];
        for what in (0..3).filter(|&what| given[what] && their[what] > -100.0) {
            let apart = (our[what] - their[what]).abs();
            furthest[what] = furthest[what].max(apart);
            assert!(apart <= TOLERANCE, "{name}: {our:?} LUFS, not {their:?}, after {index} · 100 ms");
        }
    }
    eprintln!("{name}: M, S, I differ by at most {furthest:.3?} dB in {} readings", ours.lufs.len());
}

fn check_true_peak(name: &str, ours: &Measured, ffmpeg: Option<Vec<f32>>, sox: Option<Vec<f32>>) {
    for (tool, theirs) in [("ffmpeg", ffmpeg), ("sox", sox)] {
        let Some(theirs) = theirs else { continue };
        assert_eq!(theirs.len(), ours.dbtp.len());
        for (our, their) in ours.dbtp.iter().zip(&theirs) {
            assert!((our - their).abs() <= TOLERANCE, "{name}: {:?} dBTP, {theirs:?} by {tool}", ours.dbtp);
        }
        eprintln!("{name}: {:.2?} dBTP, {theirs:.2?} by {tool}", ours.dbtp);
    }
}

fn voxframe(path: &Path) -> Measured {
    let wav = wav::read(path);
    let format = Format::new(wav.header.sample_rate_hz, wav.header.channels).unwrap();
    let (meter, loudness) = LoudnessMeter::default().live();
    let mut meter = meter.prepare(format).unwrap();
    let mut frame = Frame::new(format);
    let mut measured = Measured::default();
    for (index, samples) in wav.samples.chunks_exact(frame.samples().len()).enumerate() {
        frame.copy_from_interleaved(samples).unwrap();
        meter.process(&mut frame).unwrap();
        if index % 10 == 9 {
            let now = loudness.reading();
            measured.lufs.push([now.momentary_lufs(), now.short_term_lufs(), now.integrated_lufs()]);
            measured.dbtp = (0..format.channels()).map(|channel| now.overall_true_peak_dbtp(channel)).collect();
        }
    }
    measured
}

fn ffmpeg(path: &Path) -> Option<Measured> {
    let filter = "ebur128=peak=true:metadata=1,ametadata=mode=print:file=-";
    let out = tool("ffmpeg", &[&"-v", &"error", &"-i", &path, &"-af", &filter, &"-f", &"null", &"-"])?.stdout;
    let mut measured = Measured::default();
    for line in out.lines() {
        if line.starts_with("frame:") {
            measured.lufs.push([0.0; 3]);
            measured.dbtp.clear();
        }
        let (Some((key, value)), Some(lufs)) = (line.split_once('='), measured.lufs.last_mut()) else { continue };
        let value: f32 = value.parse().unwrap();
        match key.trim_start_matches("lavfi.r128.") {
            "M" => lufs[0] = value,
            "S" => lufs[1] = value,
            "I" => lufs[2] = value,
            "true_peaks_ch0" | "true_peaks_ch1" => measured.dbtp.push(20.0 * value.log10()),
            _ => {}
        }
    }
    Some(measured)
}

/// The sample peak of each channel, eight times oversampled.
fn sox(path: &Path) -> Option<Vec<f32>> {
    let rate_hz = wav::read(path).header.sample_rate_hz;
    // 12 dB down, because sox clips at full scale.
    let oversampled = (8 * rate_hz).to_string();
    let run = tool("sox", &[&path, &"-n", &"gain", &"-12", &"rate", &"-v", &oversampled, &"stats"])?;
    let line = run.stderr.lines().find_map(|line| line.strip_prefix("Pk lev dB")).unwrap();
    let levels: Vec<f32> = line.split_whitespace().map(|level| level.parse::<f32>().unwrap() + 12.0).collect();
    // For several channels the first column is all of them together.
    Some(if levels.len() > 1 { levels[1..].to_vec() } else { levels })
}

fn wavs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut wavs: Vec<_> = entries.filter(|path| path.extension() == Some(OsStr::new("wav"))).collect();
    wavs.sort();
    wavs
}

fn check_all(paths: Vec<PathBuf>) {
    for path in paths {
        check(&path.file_name().unwrap().to_string_lossy(), &path);
    }
}

#[test]
fn fixtures_are_as_loud_as_others_say() {
    let fixtures = wavs(fixture_path("README.md").parent().unwrap());
    assert!(fixtures.len() >= 5);
    check_all(fixtures);
}

#[test]
fn recordings_are_as_loud_as_others_say() {
    ["speech", "pairs"].into_iter().filter_map(recordings_folder).for_each(|folder| check_all(wavs(&folder)));
}

/// Noise in bursts of changing level and colour, louder on the left: the gates and the weighting at every rate.
#[test]
fn bursts_are_as_loud_as_others_say_at_every_rate() {
    for (rate_hz, channels) in [(8_000, 1), (16_000, 2), (32_000, 1), (44_100, 2), (48_000, 2), (96_000, 1)] {
        let mut random = Random::new(rate_hz.into());
        let (mut before, mut low) = (0.0f32, 0.0f32);
        let signal = (0..12 * rate_hz).flat_map(|i| {
            let burst = (i * 5 / (4 * rate_hz)) as usize; // 0.8 s each
            let level_db = [-20.0f32, -26.0, -50.0, -14.0, -80.0, -32.0, -17.0][burst % 7];
            let white = random.white() as f32;
            // Sound has nothing at half the sample rate, and four-fold oversampling finds no peaks of what is there.
            let bright = 0.5 * (white + before);
            before = white;
            low += 0.05 * (white - low);
            let coloured = if burst.is_multiple_of(2) { bright } else { 5.0 * low };
            let sample = coloured * 10f32.powf(level_db / 20.0);
            [sample, 0.3 * sample].into_iter().take(channels.into())
        });
        let file = write(rate_hz, channels, signal);
        check(&format!("bursts at {rate_hz} Hz, channels: {channels}"), file.path());
    }
}

/// Sines whose peaks fall between the samples, up to 0.4 of the sample rate.
#[test]
fn peaks_between_the_samples_are_as_high_as_others_say() {
    for rate_hz in [16_000, 48_000] {
        for part in [0.02, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4] {
            let signal = (0..2 * rate_hz).map(|i| {
                // In and out, because a sine that begins or ends at once overshoots between its samples.
                let fade = (i.min(2 * rate_hz - i) as f32 / rate_hz as f32 * 2.0).min(1.0);
                0.9 * fade * (std::f64::consts::TAU * (part * f64::from(i) + 0.125)).sin() as f32
            });
            let file = write(rate_hz, 1, signal);
            let path = file.path();
            let name = format!("sine at {part} of {rate_hz} Hz");
            check_true_peak(&name, &voxframe(path), ffmpeg(path).map(|measured| measured.dbtp), sox(path));
        }
    }
}

fn write(rate_hz: u32, channels: u16, samples: impl Iterator<Item = f32>) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".wav").tempfile().unwrap();
    wav::write(file.path(), rate_hz, channels, 32, &samples.collect::<Vec<_>>());
    file
}
