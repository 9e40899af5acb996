//! `batch`: many files, of which some are bad; where it goes on, and what a stop leaves behind.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use serde_json::Value;
use voxframe_testkit::program::{Run, example, example_fed};
use voxframe_testkit::wav::fixture_path;

use crate::{Folder, files_in};

/// The lines of a run, in the order of their inputs.
#[track_caller]
fn lines(run: &Run) -> Vec<Value> {
    let mut lines: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["input"].as_str().unwrap().to_owned());
    lines
}

fn copy(fixture: &str, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(fixture_path(fixture), to).unwrap();
}

/// Two recordings, one of them in a folder of its own, and a file that is none.
fn recordings() -> Folder {
    let folder = Folder::new();
    copy("noise_fan.wav", &folder.file("in/a.wav"));
    copy("speech_stereo_44100.wav", &folder.file("in/deep/b.WAV"));
    fs::write(folder.file("in/bad.wav"), "not a recording").unwrap();
    fs::write(folder.file("in/notes.txt"), "no recording, and not said to be one").unwrap();
    folder
}

#[test]
fn good_files_are_processed_as_one_alone_and_bad_ones_reported() {
    let folder = recordings();
    let (input, out, alone) = (folder.file("in"), folder.file("out"), folder.file("alone.wav"));
    let run = example("batch", &[&input, &"--out", &out, &"--opus", &"--profile", &"low-latency", &"--keep-level"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    let told: Vec<_> = run.stderr.lines().collect();
    assert_eq!(told.len(), 2, "{run:?}");
    assert!(told[0].starts_with("error: ") && told[0].contains("bad.wav"), "{run:?}");
    assert!(told[1].contains("1 file could not be processed"), "{run:?}");

    assert_eq!(files_in(&out), ["a.opus", "a.wav", "deep"]);
    assert_eq!(files_in(&out.join("deep")), ["b.opus", "b.wav"]);
    // Each Ogg file has a serial number of its own, so what is in them is compared.
    let (opus, decoded) = (folder.file("alone.opus"), [folder.file("1.wav"), folder.file("2.wav")]);
    for (name, made) in [("a.wav", "a"), ("deep/b.WAV", "deep/b")] {
        let (input, made) = (input.join(name), out.join(made));
        example("process", &[&input, &alone, &"--opus", &opus, &"--profile", &"low-latency", &"--keep-level"]).ok();
        assert!(fs::read(&alone).unwrap() == fs::read(made.with_extension("wav")).unwrap(), "{name}");
        example("decode", &[&opus, &decoded[0]]).ok();
        example("decode", &[&made.with_extension("opus"), &decoded[1]]).ok();
        assert!(fs::read(&decoded[0]).unwrap() == fs::read(&decoded[1]).unwrap(), "{name}");
    }

    let lines = lines(&run);
    assert_eq!(lines.len(), 3, "{run:?}");
    let [a, bad, b] = &lines[..] else { panic!("{lines:?}") };
    assert!(bad["input"].as_str().unwrap().ends_with("bad.wav") && bad["seconds"].is_null(), "{bad}");
    assert!(bad["error"].as_str().unwrap().contains("bad.wav"), "{bad}");
    for (line, seconds) in [(a, 1.5), (b, 2.377)] {
        let number = |field: &str| line[field].as_f64().unwrap_or_else(|| panic!("no {field} in {line}"));
        assert!((number("seconds") - seconds).abs() < 0.001, "{line}");
        assert!((-60.0..0.0).contains(&number("rms_in_dbfs")) && number("rms_out_dbfs") < 0.0, "{line}");
        assert!(number("real_time_factor") > 0.0 && line["error"].is_null() && line["skipped"] == false, "{line}");
        assert!(Path::new(line["output"].as_str().unwrap()).is_file(), "{line}");
    }
}

#[test]
fn it_goes_on_where_it_was_stopped() {
    let folder = recordings();
    let (input, out) = (folder.file("in"), folder.file("in/out"));
    fs::remove_file(folder.file("in/bad.wav")).unwrap();
    // Within the inputs, but no input itself.
    let skipped = |more: &[&dyn AsRef<OsStr>]| -> Vec<bool> {
        let fixed: [&dyn AsRef<OsStr>; 4] = [&input, &"--out", &out, &"--profile=low-latency"];
        let run = example("batch", &[&fixed[..], more].concat()).ok();
        lines(&run).iter().map(|line| line["skipped"].as_bool().unwrap()).collect()
    };
    assert_eq!(skipped(&[]), [false, false]);
    assert_eq!(skipped(&[]), [true, true]);
    assert_eq!(skipped(&[&"--force"]), [false, false]);

    // Gone, cut short, older than its input, of another profile, without the other output that is wanted now.
    let (a, whole) = (out.join("a.wav"), fs::read(out.join("a.wav")).unwrap());
    fs::remove_file(&a).unwrap();
    assert_eq!(skipped(&[]), [false, true]);
    fs::write(&a, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(skipped(&[]), [false, true]);
    let late = fs::metadata(&a).unwrap().modified().unwrap() + std::time::Duration::from_secs(10);
    fs::File::options().append(true).open(input.join("a.wav")).unwrap().set_modified(late).unwrap();
    assert_eq!(skipped(&[]), [false, true]);
    fs::File::options().append(true).open(&a).unwrap().set_modified(late).unwrap();
    assert_eq!(skipped(&[]), [true, true]);
    assert_eq!(skipped(&[&"--opus"]), [false, false]);
    assert_eq!(fs::read(&a).unwrap(), whole);
}

#[test]
fn names_on_stdin_make_it_a_filter() {
    let folder = recordings();
    let (input, out) = (folder.file("in"), folder.file("out"));
    let names = format!("{0}/a.wav\n\n{0}/missing.wav\n{0}/deep/b.WAV\n", input.display());
    let run = example_fed("batch", &[&"--out", &out, &"--root", &input, &"--profile=low-latency"], names.as_bytes());
    assert_eq!(run.code, Some(1), "{run:?}");
    let errors: Vec<_> = lines(&run).iter().map(|line| line["error"].as_str().map(str::to_owned)).collect();
    assert!(errors[0].is_none() && errors[1].is_none(), "{run:?}");
    assert!(errors[2].as_ref().is_some_and(|error| error.contains("No such file")), "{run:?}");
    assert_eq!(files_in(&out), ["a.wav", "deep"]);
    assert_eq!(files_in(&out.join("deep")), ["b.wav"]);

    let run = example_fed("batch", &[&"--out", &out, &"--root", &out], names.as_bytes());
    assert!(lines(&run).iter().all(|line| line["error"].as_str().unwrap().contains("is not in")), "{run:?}");
    let run = example_fed("batch", &[&"--out", &out], b"").ok();
    assert_eq!(run.stdout, "");
}

#[test]
fn no_recording_is_overwritten() {
    let folder = recordings();
    copy("noise_fan.wav", &folder.file("in/other/a.wav"));
    let (a, other, out) = (folder.file("in/a.wav"), folder.file("in/other/a.wav"), folder.file("out"));
    let run = example("batch", &[&a, &other, &"--out", &out, &"--profile=low-latency"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("another recording has the same output"), "{run:?}");
    assert_eq!(files_in(&out), ["a.wav"]);

    let before = fs::read(&a).unwrap();
    let run = example("batch", &[&a, &"--out", &folder.file("in")]);
    assert!(run.code == Some(1) && run.stderr.contains("is named twice"), "{run:?}");
    assert_eq!(fs::read(&a).unwrap(), before);
}

#[test]
fn no_recording_is_overwritten_by_the_output_of_another() {
    let folder = recordings();
    copy("speech_stereo_44100.wav", &folder.file("other/a.wav"));
    let (a, other) = (folder.file("in/a.wav"), folder.file("other/a.wav"));
    let before = fs::read(&other).unwrap();
    let run = example("batch", &[&a, &other, &"--out", &folder.file("other"), &"--profile=low-latency"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("would overwrite another recording"), "{run:?}");
    assert_eq!(fs::read(&other).unwrap(), before);
}
