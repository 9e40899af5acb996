//! `decode`: what others wrote, lost packets and damaged files.

use std::fs;
use std::path::Path;

use voxframe::OpusEncode;
use voxframe::ogg::OggHead;
use voxframe_testkit::program::example;
use voxframe_testkit::signal::level;
use voxframe_testkit::wav::{self, Wav, recordings_folder};

use crate::ogg_files::{self, encode, speech, write};
use crate::samples_in;

/// Writes mono sound of 48 kHz as an Ogg Opus file.
fn write_opus(path: &Path, settings: OpusEncode, sound: &[f32]) {
    fs::write(path, write(OggHead::default(), &encode(settings, 1, sound), sound.len() as i64)).unwrap();
}

/// Decodes a file by the example.
#[track_caller]
fn decode(path: &Path) -> Vec<f32> {
    let out = path.with_extension("decoded.wav");
    example("decode", &[&path, &out]).ok();
    wav::read(&out).samples
}

#[test]
fn lost_packets_are_concealed_and_rebuilt_where_they_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (path, trace, out) = (file("in.opus"), file("trace.txt"), file("out.wav"));
    // Every fifth packet is lost, and behind the trace none.
    fs::write(&trace, "0 0 0 0 1\n".repeat(15) + "00001").unwrap();
    let lost = |index: usize| index < 80 && index % 5 == 4;
    let mut errors = Vec::new();
    for fec in [false, true] {
        let settings = OpusEncode { fec, loss_percent: 20, bitrate_bps: 32_000, ..OpusEncode::voip() };
        write_opus(&path, settings, &speech());
        let whole = decode(&path);
        let run = example("decode", &[&path, &out, &"--loss-trace", &trace]).ok();
        assert!(run.stdout.contains("16 of them lost"), "{run:?}");
        let holey = wav::read(&out).samples;
        assert_eq!(holey.len(), whole.len());
        // Where packets were lost, pre-skip taken off: half of it there, so that they have begun and not ended.
        let at_losses = |sound: &[f32]| -> Vec<f32> {
            (0..80).filter(|index| lost(*index)).flat_map(|index| sound[index * 960..][..648].to_vec()).collect()
        };
        let (wanted, found) = (at_losses(&whole), at_losses(&holey));
        let error: Vec<f32> = wanted.iter().zip(&found).map(|(a, b)| a - b).collect();
        assert!(level(&found) > level(&wanted) - 6.0, "concealed by silence: {}", level(&found));
        errors.push(level(&error) - level(&wanted));
    }
    assert!(errors[1] < errors[0] - 3.0, "error at losses without and with FEC: {errors:?} dB");

    fs::write(&trace, "0 1 2").unwrap();
    example("decode", &[&path, &file("new.wav"), &"--loss-trace", &trace]).refused(&trace, "'2'");
    assert!(!file("new.wav").exists());
}

#[test]
fn a_stream_of_its_own_decoder_follows_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.opus");
    write_opus(&path, OpusEncode { packet_ms: 2.5, ..OpusEncode::voip() }, &speech()[..48_001]);
    let once = decode(&path);
    let mut twice = fs::read(&path).unwrap();
    twice.extend(twice.clone());
    fs::write(&path, twice).unwrap();
    assert!(decode(&path) == [&once[..], &once].concat());
}

#[test]
fn real_files_are_decoded_or_refused() {
    let Some(folder) = recordings_folder("opus") else { return };
    let work = tempfile::tempdir().unwrap();
    let out = work.path().join("out.wav");
    for (name, channels) in [("8khz_5s.opus", 1), ("bear.opus", 2), ("bear_duplicate_header.opus", 2)] {
        let input = fs::read(folder.join(name)).unwrap();
        let run = example("decode", &[&folder.join(name), &out]).ok();
        let Wav { header: spec, samples: sound } = wav::read(&out);
        assert_eq!((spec.sample_rate_hz, spec.channels), (48_000, channels));
        let rounding = sound.iter().zip(&ogg_files::decode(&input)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(rounding <= 0.51 / 32_768.0, "{name}: {rounding}");
        assert!(run.stderr.is_empty(), "{run:?}");
    }
    fs::remove_file(&out).unwrap();
    let bad = [
        ("bbb_6ch_opus.ogg", "6 channels in mapping family 1"),
        ("bear-opus-negative-gain.mka", "Matroska"),
        ("bad_ogg/move01d_IDX_13_RAND_35154275996070165946691.ogg", "Vorbis"),
        ("bad_ogg/order01d_IDX_32_RAND_22064097693866277502540.ogg", "Vorbis"),
        ("bad_ogg/order01d_IDX_62_RAND_1029626158139888904228417_minimized_403.ogg", "Vorbis"),
    ];
    for (name, reason) in bad {
        let input = folder.join(name);
        example("decode", &[&input, &out]).refused(&input, reason);
        assert!(!out.exists());
    }
    let trace = folder.join("../loss/1214_is_lost.txt");
    let run = example("decode", &[&folder.join("8khz_5s.opus"), &out, &"--loss-trace", &trace]).ok();
    assert_eq!(samples_in(&out), 240_000);
    assert!(run.stdout.contains("251 packets"), "{run:?}");
}

#[test]
fn a_damaged_opus_file_is_concealed_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.opus");
    let sound: Vec<f32> = (0..3).flat_map(|_| speech()).collect();
    write_opus(&path, OpusEncode::voip(), &sound);
    let mut bytes = fs::read(&path).unwrap();
    let middle = ogg_files::pages(&bytes)[4].start + 200;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let out = folder.path().join("out.wav");
    let run = example("decode", &[&path, &out]).ok();
    assert_eq!(samples_in(&out), sound.len() as u64);
    assert!(run.stderr.contains("1 Ogg pages are missing") && run.stdout.contains("50 of them lost"), "{run:?}");

    // A packet that begins as one, and is none; in a page with a right checksum.
    let mut packets =
        ogg_files::packets_of(&write(OggHead::default(), &encode(OpusEncode::voip(), 1, &sound), sound.len() as i64));
    packets[20].0 = vec![0x4a, 0xfc, 0xff];
    fs::write(&path, ogg_files::write_packets(&packets)).unwrap();
    let run = example("decode", &[&path, &out]).ok();
    assert!(run.stdout.contains(" 1 of them lost"), "{run:?}");
}

#[test]
fn an_opus_file_cut_anywhere_is_decoded_as_far_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (path, cut) = (folder.path().join("in.opus"), folder.path().join("cut.opus"));
    write_opus(&path, OpusEncode::voip(), &speech());
    let bytes = fs::read(&path).unwrap();
    let whole = decode(&path);
    for length in [0, 3, 27, 40, 47, 90, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&cut, &bytes[..length]).unwrap();
        let out = folder.path().join("out.wav");
        let run = example("decode", &[&cut, &out]);
        if run.code == Some(0) {
            let sound = wav::read(&out).samples;
            assert!(sound.len() < whole.len() && sound[..] == whole[..sound.len()], "{length} bytes");
            assert!(run.stderr.starts_with("note: ") && run.stderr.contains("cut short"), "{length} bytes: {run:?}");
            fs::remove_file(out).unwrap();
        } else {
            assert!(length < 100 && !out.exists(), "{length} bytes: {run:?}");
            run.refused(&cut, "");
        }
    }
}
