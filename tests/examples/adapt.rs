//! `adapt`: a call over a network that goes bad and recovers is told, drawn, and heard throughout.

use std::fs;

use voxframe_testkit::program::example;
use voxframe_testkit::signal::level;
use voxframe_testkit::wav::{self, fixture_path};

use crate::Folder;

#[test]
fn decisions_follow_the_network_and_are_told_with_their_reasons() {
    let folder = Folder::new();
    let speech = wav::read(&fixture_path("speech_clean.wav")).samples;
    let (spoken, heard) = (folder.file("spoken.wav"), folder.file("heard.wav"));
    wav::write(&spoken, 48_000, 1, 16, &speech.repeat(8));
    let (network, picture) = (folder.file("network.csv"), folder.file("adapt.png"));
    fs::write(&network, "# seconds,loss,round_trip_ms,jitter_ms\n0,0,40,5\n\n6, 0.15, 300, 20\n14,0,40,5\n").unwrap();
    let told = example("adapt", &[&spoken, &"--network", &network, &heard, &"--plot", &picture]).ok().stdout;
    let lines: Vec<_> = told.lines().collect();
    let profile = |line: &str| line.split("profile ").nth(1).unwrap().split(':').next().unwrap().to_owned();
    assert!(lines[0].contains("excellent") && profile(lines[0]) == "high-quality", "{told}");
    let worst = lines.iter().position(|line| profile(line) == "low-latency").unwrap();
    assert!(lines[worst].contains("poor connection (loss") && lines[worst].contains("FEC true"), "{told}");
    assert!(lines[worst..].iter().any(|line| profile(line) == "balanced"), "{told}");
    assert!(fs::read(&picture).unwrap().starts_with(b"\x89PNG"));

    // Every sentence is heard, as loud as the one before it, and the file ends when it has to.
    let heard = wav::read(&heard).samples;
    assert_eq!(heard.len(), (speech.len() * 8).div_ceil(480) * 480 + 48_000);
    let sentences: Vec<f32> = heard.chunks_exact(speech.len()).skip(2).map(level).collect();
    let (least, most) = sentences.iter().fold((0.0f32, -99.0f32), |(a, b), &level| (a.min(level), b.max(level)));
    assert!(least > -32.0 && most - least < 8.0, "{sentences:?}");
}

#[test]
fn what_is_no_network_is_refused() {
    let folder = Folder::new();
    let (out, network) = (folder.file("out.wav"), folder.file("network.csv"));
    let speech = fixture_path("speech_clean.wav");
    for (text, what) in [
        ("", "no line"),
        ("0,0,1\n", "line 1"),
        ("0,2,1,1\n", "line 1"),
        ("0,0,1,1\n0,0,1,1\n", "not later"),
        ("a", "line 1"),
    ] {
        fs::write(&network, text).unwrap();
        example("adapt", &[&speech, &"--network", &network, &out]).refused(&network, what);
        assert!(!out.exists());
    }
    example("adapt", &[&speech, &"--network", &folder.file("nowhere.csv"), &out])
        .refused(&folder.file("nowhere.csv"), "");
}
