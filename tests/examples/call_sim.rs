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

/// The figures of a call with these arguments.
fn figures(folder: &Folder, speech: &Path, more: &[&str]) -> serde_json::Value {
    let (out, report) = (folder.file("heard.wav"), folder.file("figures.json"));
    let mut args: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&speech, &out, &"--report", &report];
    args.extend(more.iter().map(|arg| arg as &dyn AsRef<std::ffi::OsStr>));
    let said = example("call_sim", &args);
    assert_eq!(said.code, Some(0), "{more:?}: {}", said.stderr);
    serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap()
}

#[test]
fn what_happens_in_a_call_is_in_its_figures() {
    let folder = Folder::new();
    let speech = fixture_path("speech_clean.wav");
    let with = |more: &[&str]| {
        let figures = figures(&folder, &speech, more);
        move |key: &str| figures[key].as_f64().unwrap_or_else(|| panic!("{key}"))
    };
    let (plain, step) = (with(&[]), with(&["--step-ms", "200", "--step-at", "2"]));
    assert!(plain("delay_mean_ms") < 60.0 && plain("sent") == plain("received") && plain("lost") == 0.0);
    let filled = |call: &dyn Fn(&str) -> f64| call("concealed_ms") + call("comfort_noise_ms") + call("added_ms");
    assert!(filled(&step) > filled(&plain) + 100.0);
    assert!(step("delay_p95_ms") > plain("delay_p95_ms") + 150.0);
    // So much padding comes beside the packets.
    let padding = with(&["--padding", "0.4"]);
    let share = 1.0 - plain("received") / padding("received");
    assert!((0.3..0.5).contains(&share) && padding("sent") == plain("sent"), "{share}");
    // A device with a small buffer is silent for the rest of the time.
    let stall = with(&["--stall-ms", "400", "--stall-at", "2", "--device-ms", "100"]);
    let sound = wav::read(&folder.file("heard.wav")).samples;
    assert!(sound[2 * 48_000..2 * 48_000 + 300 * 48].iter().all(|&sample| sample == 0.0));
    assert!(stall("seconds") > plain("seconds"));
    let quiet = with(&["--dtx"]);
    assert!(quiet("sent") < plain("sent"));
    let _ = with(&["--background-from", "-60", "--background-to", "-40", "--background-at", "1"]);
    let sound = wav::read(&folder.file("heard.wav")).samples;
    let (before, after) = (level(&sound[9600..19_200]), level(&sound[sound.len() - 12_000..sound.len() - 4000]));
    assert!((-63.0..-57.0).contains(&before) && (-43.0..-37.0).contains(&after), "{before}, {after}");
}

#[test]
fn a_traced_call_is_played_as_it_came() {
    let folder = Folder::new();
    let speech = fixture_path("speech_clean.wav");
    for (name, lost) in [("good", 0.0..0.1), ("bad", 6.0..14.0), ("handover", 0.0..0.1)] {
        let trace = format!("{}/fixtures/traces/{name}.trace", env!("CARGO_MANIFEST_DIR"));
        let figures = figures(&folder, &speech, &["--trace", &trace]);
        let loss = figures["network_loss_percent"].as_f64().unwrap();
        assert!(lost.contains(&loss), "{name}: {loss} %");
        assert!(figures["seconds"].as_f64().unwrap() > 4.0);
    }
    let none = folder.file("none.trace");
    fs::write(&none, "1 2 3\n").unwrap();
    let out = folder.file("none.wav");
    let said = example("call_sim", &[&speech, &out, &"--trace", &none]);
    assert!(said.code == Some(1) && said.stderr.contains("line 1"), "{}", said.stderr);
}
