//! Every file in the collection of odd WAV files is either processed right or refused with a reason: a table says which.

use std::path::Path;

use voxframe_testkit::program::example;
use voxframe_testkit::wav::recordings_folder;

use crate::{files_in, samples_in};

/// What is to become of a file.
enum Want {
    /// Rate in Hz, samples per channel, and RMS in dBFS of each channel: ffmpeg's figures, but for those marked.
    Read(u32, u64, &'static [f64]),
    /// What the reason must name.
    Refused(&'static str),
}

use Want::{Read, Refused};

const TABLE: &[(&str, Want)] = &[
    ("androidx/sample_80KHz_mono_20_repeating_1_samples.wav", Read(80_000, 20, &[-90.31])),
    ("androidx/sample_8bit.wav", Read(44_100, 44_100, &[-45.48])),
    ("androidx/sample_float32.wav", Read(44_100, 45_056, &[-64.69])),
    ("androidx/sample_ima_adpcm.wav", Refused("IMA ADPCM")),
    ("androidx/sample_rf64.wav", Read(48_000, 16_734, &[-21.21, -21.05])),
    ("androidx/sample_with_odd_metadata_chunk_size.wav", Read(44_100, 44_100, &[-64.66])),
    ("androidx/sample_with_trailing_bytes.wav", Read(44_100, 44_100, &[-64.66])),
    ("androidx/sine_24le.wav", Read(44_100, 44_100, &[-21.07])),
    ("hound/fuzz_crash-24728523ef4be15c838293b676f6853e73723bf4.wav", Refused("'fmt ' should have 655360 bytes")),
    ("hound/fuzz_crash-b8447179832529c48f9c6bf17feab6337bbc78ea.wav", Refused("'fmt ' should have 4278190336 bytes")),
    ("hound/fuzz_crash-cbd757427cea12bd8a21f86cd8cf74d98ce56bee.wav", Refused("'fmt ' should have 2555904 bytes")),
    ("hound/fuzz_crash-e5471f5b58397287b509db7d026e95f1724454f5.wav", Refused("blocks of 0 bytes")),
    ("hound/fuzz_crash-e879de4eb4d206c59e21f0e01def16457af80fdc.wav", Refused("no fmt chunk")),
    ("hound/fuzz_oom-48ae4cd061ff8578ad3f23dc87624bd365cf5216.wav", Refused("'oooo' should have 2974173522 bytes")),
    ("hound/nonstandard-01.wav", Read(48_000, 1, &[-120.0, -120.0])),
    ("hound/nonstandard-02.wav", Read(48_000, 2, &[-39.13, -3.01])),
    ("hound/pcmwaveformat-16bit-44100Hz-mono-extra.wav", Read(44_100, 4, &[-76.93])),
    ("hound/pcmwaveformat-16bit-44100Hz-mono.wav", Read(44_100, 4, &[-76.93])),
    // Lower three bytes of four, where ffmpeg takes all four for a float: hound's own test gives the samples.
    ("hound/pcmwaveformat-24bit-4byte-48kHz-stereo.wav", Read(48_000, 2, &[-3.01, -3.04])),
    ("hound/pcmwaveformat-8bit-44100Hz-mono.wav", Read(44_100, 4, &[-3.82])),
    ("hound/pop.wav", Read(44_100, 100, &[-3.0])),
    ("hound/waveformatex-16bit-44100Hz-mono-extra.wav", Read(44_100, 4, &[-76.93])),
    ("hound/waveformatex-16bit-44100Hz-mono.wav", Read(44_100, 4, &[-76.93])),
    ("hound/waveformatex-16bit-44100Hz-stereo.wav", Read(44_100, 4, &[-69.90, -68.64])),
    ("hound/waveformatex-8bit-11025Hz-mono.wav", Read(11_025, 4, &[0.0])),
    ("hound/waveformatex-ieeefloat-44100Hz-mono.wav", Read(44_100, 4, &[78.30])),
    ("hound/waveformatextensible-24bit-192kHz-mono.wav", Read(192_000, 4, &[-3.46])),
    // As above.
    ("hound/waveformatextensible-24bit-4byte-48kHz-stereo.wav", Read(48_000, 2, &[-3.01, -3.04])),
    ("hound/waveformatextensible-32bit-48kHz-stereo.wav", Read(48_000, 2, &[-39.13, -3.01])),
    ("hound/waveformatextensible-ieeefloat-44100Hz-mono.wav", Read(44_100, 4, &[78.30])),
    ("lofty_fuzz/2_IDX_0_RAND_85629492689553753214598.wav", Refused("1961 bytes are promised, 0 are there")),
    ("lofty_fuzz/2_IDX_34_RAND_128635499166458268533001.wav", Refused("105 channels")),
    // Sound, but for broken chunks behind it, at which ffmpeg gives up. The RMS is Python's.
    ("lofty_fuzz/2_IDX_63_RAND_104275228651573584855676.wav", Read(11_025, 1961, &[-8.34])),
    ("misc/alaw.wav", Read(44_100, 4410, &[-67.79, -68.09])),
    ("misc/bwf.wav", Read(44_100, 7287, &[-9.13])),
    ("misc/dvi_adpcm.wav", Refused("IMA ADPCM")),
    ("misc/ffmpeg-missing-chunksize.wav", Read(44_100, 27_648, &[-17.93, -17.81])),
    ("misc/gsm610.wav", Refused("GSM 6.10")),
    ("misc/issue-819.wav", Read(16_000, 2478, &[-23.82])),
    ("misc/kick.wav", Read(22_050, 4484, &[-10.54])),
    ("misc/mpeglayer3.wav", Refused("MP3")),
    ("misc/mulaw.wav", Read(44_100, 4410, &[-68.58, -68.99])),
    // Three samples of 49 MB that are promised; all at or below the meter's floor.
    ("misc/odd-list-type.wav", Read(44_100, 3, &[-120.0, -120.0])),
    ("misc/padded24b.wav", Read(44_100, 3713, &[-21.22])),
    ("misc/pluck-pcm16.wav", Read(11_025, 3307, &[-13.56, -19.06])),
    ("misc/pluck-pcm24-ext.wav", Read(11_025, 3307, &[-13.56, -19.06])),
    ("misc/pluck-pcm24.wav", Read(11_025, 3307, &[-13.56, -19.06])),
    ("misc/pluck-pcm32.wav", Read(11_025, 3307, &[-13.56, -19.06])),
    ("misc/pluck-pcm8.wav", Read(11_025, 3307, &[-13.56, -19.05])),
    ("misc/riff_extra_zero.wav", Read(44_100, 5120, &[-120.0, -120.0])),
    ("misc/riff_extra_zero_2.wav", Read(44_100, 5120, &[-42.78, -38.10])),
    ("scipy/test-1234Hz-le-1ch-10S-20bit-extra.wav", Refused("1234 Hz")),
    ("scipy/test-44100Hz-2ch-32bit-float-be.wav", Refused("RIFX")),
    ("scipy/test-44100Hz-2ch-32bit-float-le.wav", Read(44_100, 441, &[-4.88, -4.88])),
    ("scipy/test-44100Hz-be-1ch-4bytes.wav", Refused("RIFX")),
    ("scipy/test-44100Hz-le-1ch-4bytes-early-eof-no-data.wav", Refused("no data chunk")),
    ("scipy/test-44100Hz-le-1ch-4bytes-early-eof.wav", Read(44_100, 236, &[-6.0])),
    ("scipy/test-44100Hz-le-1ch-4bytes-incomplete-chunk.wav", Refused("no fmt chunk")),
    ("scipy/test-44100Hz-le-1ch-4bytes-rf64.wav", Read(44_100, 4410, &[-6.05])),
    ("scipy/test-44100Hz-le-1ch-4bytes.wav", Read(44_100, 4410, &[-6.05])),
    ("scipy/test-48000Hz-2ch-64bit-float-le-wavex.wav", Read(48_000, 480, &[-4.88, -4.88])),
    ("scipy/test-8000Hz-be-3ch-5S-24bit.wav", Refused("RIFX")),
    ("scipy/test-8000Hz-le-1ch-1byte-ulaw.wav", Read(8_000, 9, &[-4.50])),
    ("scipy/test-8000Hz-le-2ch-1byteu.wav", Read(8_000, 800, &[-6.15, -6.15])),
    ("scipy/test-8000Hz-le-3ch-5S-24bit-inconsistent.wav", Refused("blocks of 4 bytes")),
    ("scipy/test-8000Hz-le-3ch-5S-24bit-rf64.wav", Read(8_000, 5, &[-3.01, -3.01, -120.0])),
    // The third channel is at −135 dBFS.
    ("scipy/test-8000Hz-le-3ch-5S-24bit.wav", Read(8_000, 5, &[-3.01, -3.01, -120.0])),
    ("scipy/test-8000Hz-le-3ch-5S-36bit.wav", Refused("36-bit integers")),
    ("scipy/test-8000Hz-le-3ch-5S-45bit.wav", Refused("45-bit integers")),
    ("scipy/test-8000Hz-le-3ch-5S-53bit.wav", Refused("53-bit integers")),
    ("scipy/test-8000Hz-le-3ch-5S-64bit.wav", Refused("64-bit integers")),
    ("scipy/test-8000Hz-le-4ch-9S-12bit.wav", Read(8_000, 9, &[-3.52, -3.52, -3.52, -120.0])),
    ("scipy/test-8000Hz-le-5ch-9S-5bit.wav", Read(8_000, 9, &[-3.58, -3.79, -3.58, -120.0, -3.94])),
];

fn check(folder: &Path, (name, want): &(&str, Want)) {
    let work = tempfile::tempdir().unwrap();
    let input = folder.join(name);
    let (wav, opus) = (work.path().join("out.wav"), work.path().join("out.opus"));
    let process = || example("process", &[&input, &wav, &"--opus", &opus]);
    match want {
        Refused(reason) => {
            process().refused(&input, reason);
            example("encode", &[&input, &opus]).refused(&input, reason);
            example("meter", &[&input]).refused(&input, reason);
            assert!(files_in(work.path()).is_empty(), "{name}: left {:?}", files_in(work.path()));
        }
        Read(rate_hz, samples, levels) => {
            check_levels(&input, *rate_hz, *samples, levels);
            process().ok();
            let at_48k = (samples * 48_000 + u64::from(rate_hz / 2)) / u64::from(*rate_hz);
            assert_eq!(samples_in(&wav), at_48k, "{name}");
            example("decode", &[&opus, &wav]).ok();
            assert_eq!(samples_in(&wav), at_48k, "{name}: Opus");
        }
    }
}

#[track_caller]
fn check_levels(input: &Path, rate_hz: u32, samples: u64, levels: &[f64]) {
    let run = example("meter", &[&input, &"--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((json["sample_rate_hz"].as_u64(), json["samples"].as_u64()), (Some(rate_hz.into()), Some(samples)));
    let found: Vec<f64> =
        json["channels"].as_array().unwrap().iter().map(|channel| channel["rms_dbfs"].as_f64().unwrap()).collect();
    let near = found.len() == levels.len() && found.iter().zip(levels).all(|(a, b)| (a - b).abs() < 0.02);
    assert!(near, "{}: {found:?} instead of {levels:?}", input.display());
}

#[test]
fn every_file_is_processed_right_or_refused() {
    let Some(folder) = recordings_folder("wav") else { return };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for part in TABLE.chunks(TABLE.len().div_ceil(threads)) {
            scope.spawn(|| part.iter().for_each(|file| check(&folder, file)));
        }
    });
}

#[test]
fn the_table_lists_every_file() {
    let Some(folder) = recordings_folder("wav") else { return };
    let there: Vec<String> = files_in(&folder)
        .iter()
        .flat_map(|origin| files_in(&folder.join(origin)).into_iter().map(move |name| format!("{origin}/{name}")))
        .collect();
    let listed: Vec<&str> = TABLE.iter().map(|(name, _)| *name).collect();
    assert_eq!(there, listed);
}
