//! `call_sim`: a simulated call is told, drawn, and the same for a seed.

use std::fs;
use std::path::Path;

use voxframe_testkit::program::example;
use voxframe_testkit::signal::level;
use voxframe_testkit::wav::{self, fixture_path};

use crate::Folder;

#[test]
fn a_simulated_call_is_told_drawn_and_the_same_for_a_seed() {
    let folder = Folder::new();
    let trace = folder.file("trace.txt");
    fs::write(&trace, "0 0 0 0 0 0 0 0 0 1\n").unwrap();
    let call = |out: &Path, more: &[&str]| {
        let speech = fixture_path("speech_clean.wav");
        let mut args: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&speech, &out];
        args.extend(more.iter().map(|arg| arg as &dyn AsRef<std::ffi::OsStr>));
        let said = example("call_sim", &args);
        (said.code == Some(0), said.stdout, said.stderr)
    };
    let bad = ["--loss", "0.1", "--burst", "2", "--jitter-ms", "40", "--reorder", "0.05", "--drift-ppm", "-200"];
    let (one, two, other) = (folder.file("one.wav"), folder.file("two.wav"), folder.file("other.wav"));
    let picture = folder.file("call.png");
    let drawn = [&bad[..], &["--seed", "7", "--plot", picture.to_str().unwrap()]].concat();
    let (done, told, _) = call(&one, &drawn);
    assert!(done && told.contains("end to end ms") && told.contains("lost            "), "{told}");
    assert_eq!(call(&two, &[&bad[..], &["--seed", "7"]].concat()).1, told);
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
    assert!(call(&other, &[&bad[..], &["--seed", "8"]].concat()).0);
    assert_ne!(fs::read(&one).unwrap(), fs::read(&other).unwrap());
    assert!(fs::read(&picture).unwrap().starts_with(b"\x89PNG"));
    // What was spoken is heard, for as long.
    let heard = level(&wav::read(&one).samples[48_000..])
        - level(&wav::read(&fixture_path("speech_clean.wav")).samples[48_000..]);
    assert!(heard.abs() < 2.0, "{heard} dB");

    let lossy = ["--loss-trace", trace.to_str().unwrap()];
    let (_, plain, _) = call(&one, &lossy);
    let (_, fec, _) = call(&one, &[&lossy[..], &["--fec", "--bitrate-kbps", "40"]].concat());
    assert!(plain.contains(" % by the network, 1.00 in a row"), "{plain}");
    assert!(plain.contains("0.00 % FEC") && !fec.contains("0.00 % FEC"), "{fec}");
    for wrong in [&["--loss", "2"][..], &["--jitter-ms", "nan"], &["--burst", "0"], &["--loss-trace", "nowhere"]] {
        let (done, _, error) = call(&two, wrong);
        assert!(!done && error.to_lowercase().contains("error"), "{wrong:?}: {error}");
    }
}
