//! Outputs appear whole or not at all.

use std::fs;

use voxframe_testkit::program::example;
use voxframe_testkit::wav::{RawWav, fixture_path};

use crate::{Folder, PROFILES, samples_in};

#[test]
fn outputs_appear_whole_or_not_at_all() {
    let folder = Folder::new();
    let (input, out) = (folder.file("in.wav"), folder.file("out.wav"));
    fs::copy(fixture_path("noise_fan.wav"), &input).unwrap();
    let before = fs::read(&input).unwrap();

    let nowhere = folder.file("nowhere/out.wav");
    example("process", &[&input, &nowhere]).refused(&nowhere, "No such file");
    example("process", &[&input, &out, &"--opus", &nowhere]).refused(&nowhere, "No such file");
    example("process", &[&input, &folder.0.path()]).refused(folder.0.path(), "not a file");
    example("process", &[&input, &input]).refused(&input, "named twice");
    example("process", &[&input, &out, &"--report", &out]).refused(&out, "named twice");
    example("encode", &[&input, &folder.file("../").join(folder.0.path()).join("in.wav")])
        .refused(&input, "named twice");
    assert_eq!(folder.names(), ["in.wav"]);
    assert_eq!(fs::read(&input).unwrap(), before);

    // 6 GB of 48 kHz would come of it, which is RF64. The file takes no room: it is a hole.
    let large = folder.file("large.wav");
    RawWav { rate_hz: 8_000, block: 1, bits: 8, data_size: Some(500 << 20), ..RawWav::new(vec![]) }.write(&large);
    fs::File::options().write(true).open(&large).unwrap().set_len(44 + (500 << 20)).unwrap();
    example("process", &[&large, &out, &"--check"]).ok();
    fs::remove_file(&large).unwrap();

    // What was there is replaced, through a link too.
    fs::write(&out, "old").unwrap();
    example("process", &[&input, &out]).ok();
    assert_eq!(samples_in(&out), 72_000);
    #[cfg(unix)]
    {
        fs::write(&out, "old").unwrap();
        let link = folder.file("link.wav");
        std::os::unix::fs::symlink(&out, &link).unwrap();
        example("process", &[&input, &link]).ok();
        assert!(link.is_symlink());
        assert_eq!(samples_in(&out), 72_000);
        fs::remove_file(link).unwrap();
    }
    assert_eq!(folder.names(), ["in.wav", "out.wav"]);
}

#[test]
fn checking_finds_mistakes_and_leaves_nothing() {
    let folder = Folder::new();
    let (input, out, opus) = (fixture_path("speech_stereo_44100.wav"), folder.file("out.wav"), folder.file("out.opus"));
    let run = example("process", &[&input, &out, &"--opus", &opus, &"--check"]).ok();
    assert!(run.stdout.contains("2.377 s, 44100 Hz, 2 channels, 16-bit integer"), "{run:?}");
    let nowhere = folder.file("nowhere/report.json");
    example("process", &[&input, &out, &"--report", &nowhere, &"--check"]).refused(&nowhere, "No such file");
    let run = example("process", &[&input, &out, &"--profile", &"studio", &"--check"]);
    assert_eq!(run.code, Some(2));
    assert!(PROFILES.iter().all(|name| run.stderr.contains(name)), "{run:?}");
    assert!(folder.names().is_empty());
}
