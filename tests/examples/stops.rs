//! What a signal, a full disk, a second writer or a failure in the end leaves behind: nothing that is half written.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use voxframe_testkit::program::{example, example_command};
use voxframe_testkit::wav::{RawWav, fixture_path};

use crate::{Folder, files_in, is_built, samples_in};

/// What ends a program, with the number of each.
const SIGNALS: [(&str, i32); 3] = [("-INT", 2), ("-TERM", 15), ("-HUP", 1)];

/// A recording of so many seconds. The file takes no room: it is a hole.
fn write_hole(path: &Path, seconds: u32) {
    let size = 8_000 * seconds;
    RawWav { rate_hz: 8_000, block: 1, bits: 8, data_size: Some(size), ..RawWav::new(vec![]) }.write(path);
    File::options().write(true).open(path).unwrap().set_len(44 + u64::from(size)).unwrap();
}

fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn parts(folder: &Path) -> Vec<String> {
    files_in(folder).into_iter().filter(|name| name.ends_with(".part")).collect()
}

/// Waits until a program has begun to write.
#[track_caller]
fn wait_for_part(child: &mut Child, folder: &Path, count: usize) {
    while !folder.is_dir() || parts(folder).len() < count {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        thread::sleep(Duration::from_millis(5));
    }
}

fn send(signal: &str, child: &Child) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

/// Those of [`SIGNALS`] that are not ignored here, as behind `nohup`: programs inherit that.
fn heard() -> impl Iterator<Item = (&'static str, i32)> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    SIGNALS.into_iter().filter(move |(_, number)| ignored.unwrap_or(0) >> (number - 1) & 1 == 0)
}

fn age(path: &Path) {
    let old = SystemTime::now() - Duration::from_secs(2 * 3600);
    File::options().append(true).open(path).unwrap().set_modified(old).unwrap();
}

#[test]
fn a_signal_leaves_no_temporary_file_and_the_old_output() {
    let folder = Folder::new();
    let (input, out, opus) = (folder.file("in.wav"), folder.file("out.wav"), folder.file("out.opus"));
    write_hole(&input, 100_000);
    fs::write(&out, "old").unwrap();
    let args: [&dyn AsRef<OsStr>; 5] = [&input, &out, &"--opus", &opus, &"--profile=low-latency"];
    for (name, number) in heard() {
        let mut child = spawn(&mut example_command("process", &args));
        wait_for_part(&mut child, folder.0.path(), 2);
        send(name, &child);
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.signal(), Some(number), "{name}: {ended:?}");
        assert_eq!((folder.names(), fs::read(&out).unwrap()), (vec!["in.wav".into(), "out.wav".into()], b"old".into()));
    }
    // What was to be ignored, as behind `nohup`, is ignored.
    let program = example_command("process", &args);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(program.get_program()).args(program.get_args());
    let mut child = spawn(&mut command);
    wait_for_part(&mut child, folder.0.path(), 2);
    send("-HUP", &child);
    thread::sleep(Duration::from_millis(100));
    send("-TERM", &child);
    assert_eq!(child.wait_with_output().unwrap().status.signal(), Some(15));
    assert_eq!(folder.names(), ["in.wav", "out.wav"]);
}

#[test]
fn the_first_signal_ends_batch_and_the_second_at_once() {
    let folder = Folder::new();
    let out = folder.file("out");
    fs::create_dir(folder.file("in")).unwrap();
    fs::copy(fixture_path("noise_fan.wav"), folder.file("in/a.wav")).unwrap();
    write_hole(&folder.file("in/b.wav"), 100_000);
    let args: [&dyn AsRef<OsStr>; 5] = [&folder.file("in"), &"--out", &out, &"--profile=low-latency", &"--jobs=1"];
    for (signal, _) in heard() {
        let mut child = spawn(&mut example_command("batch", &args));
        while !out.join("a.wav").exists() || parts(&out).is_empty() {
            assert!(child.try_wait().unwrap().is_none(), "it has ended");
            thread::sleep(Duration::from_millis(5));
        }
        send(signal, &child);
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(130), "{ended:?}");
        assert_eq!(files_in(&out), ["a.wav"]);
        assert_eq!(String::from_utf8(ended.stdout).unwrap().lines().count(), 1, "the file that was done");
    }
    // Stopped by hand it cannot see the first one, and so gets both at once.
    let mut child = spawn(&mut example_command("batch", &args));
    wait_for_part(&mut child, &out, 1);
    ["-STOP", "-INT", "-TERM", "-CONT"].into_iter().for_each(|signal| send(signal, &child));
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.code() == Some(130) || ended.status.signal().is_some(), "{ended:?}");
    assert_eq!(files_in(&out), ["a.wav"]);
}

#[test]
fn what_was_killed_is_swept_and_what_lives_is_not() {
    let folder = Folder::new();
    let (input, long) = (folder.file("in.wav"), folder.file("long.wav"));
    fs::copy(fixture_path("noise_fan.wav"), &input).unwrap();
    write_hole(&long, 100_000);
    let process =
        |input: &Path, out: &str| example_command("process", &[&input, &folder.file(out), &"--profile=low-latency"]);
    let mut killed = spawn(&mut process(&long, "killed.wav"));
    wait_for_part(&mut killed, folder.0.path(), 1);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let left = parts(folder.0.path());
    assert_eq!(left.len(), 1);
    // It may be one that was only just begun, on another machine.
    assert!(process(&input, "out.wav").output().unwrap().status.success());
    assert_eq!(parts(folder.0.path()), left);

    age(&folder.file(&left[0]));
    let mut living = spawn(&mut process(&long, "living.wav"));
    while parts(folder.0.path()) == left || parts(folder.0.path()).is_empty() || folder.file(&left[0]).exists() {
        assert!(living.try_wait().unwrap().is_none(), "it has ended");
        thread::sleep(Duration::from_millis(5));
    }
    send("-STOP", &living);
    let theirs = parts(folder.0.path());
    theirs.iter().for_each(|name| age(&folder.file(name)));
    // Not of ours, whatever their age.
    for name in [".voxframe-1.part", ".voxframe-1-2.part.wav", ".voxframe-a-b.part", "voxframe-1-2.part"] {
        fs::write(folder.file(name), "").unwrap();
        age(&folder.file(name));
    }
    let before = folder.names();
    assert!(process(&input, "out.wav").output().unwrap().status.success());
    assert_eq!(folder.names(), before);
    living.kill().unwrap();
    living.wait().unwrap();
    assert!(process(&input, "out.wav").output().unwrap().status.success());
    assert!(theirs.iter().all(|name| !folder.file(name).exists()));
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost() {
    let folder = Folder::new();
    let (input, out) = (folder.file("in.wav"), folder.file("out.wav"));
    fs::copy(fixture_path("noise_fan.wav"), &input).unwrap();
    example("encode", &[&input, &folder.file("in.opus")]).ok();
    fs::write(&out, "old").unwrap();
    // A limit on the size of files stands for it: a write fails in the middle.
    let cases = [
        ("process", vec!["in.wav", "out.wav"]),
        ("decode", vec!["in.opus", "out.wav"]),
        ("call_sim", vec!["in.wav", "out.wav", "--plot", "new.png", "--report", "new.json"]),
        ("plot", vec!["in.wav", "in.wav", "out.wav"]),
        ("denoise", vec![".", "in.opus"]),
    ];
    for (name, args) in cases.into_iter().filter(|case| is_built(case.0)) {
        let args: Vec<&dyn AsRef<OsStr>> = args.iter().map(|arg| arg as &dyn AsRef<OsStr>).collect();
        let program = example_command(name, &args);
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -f 64; exec \"$@\"", "sh"]).arg(program.get_program()).args(program.get_args());
        // `denoise` would replace its input beside itself.
        fs::copy(&input, folder.file("kept.wav")).unwrap();
        let run = command.current_dir(folder.0.path()).output().unwrap();
        let told = String::from_utf8(run.stderr).unwrap();
        assert!(
            run.status.code() == Some(1) && told.starts_with("error: ") && told.lines().count() == 1,
            "{name}: {told}"
        );
        assert!(told.contains("File too large"), "{name}: {told}");
        assert_eq!(folder.names(), ["in.opus", "in.wav", "kept.wav", "out.wav"], "{name}");
        assert_eq!(fs::read(&out).unwrap(), b"old");
        assert!(fs::read(&input).unwrap() == fs::read(folder.file("kept.wav")).unwrap(), "{name}");
    }
    // Where stderr or stdout is what is full, the file is there, or not, all the same.
    for (stdout, stderr, code) in [("/dev/full", "/dev/null", 1), ("/dev/null", "/dev/full", 0)] {
        let mut command = example_command("process", &[&input, &out]);
        let full = |path| File::options().write(true).open(path).unwrap();
        let status = command.stdout(full(stdout)).stderr(full(stderr)).status().unwrap();
        assert_eq!((status.code(), samples_in(&out)), (Some(code), 72_000));
    }
    let mut command = example_command("process", &[&folder.file("missing"), &out]);
    assert_eq!(
        command.stderr(File::options().write(true).open("/dev/full").unwrap()).status().unwrap().code(),
        Some(1)
    );
}

#[test]
fn of_two_outputs_both_come_or_none() {
    let folder = Folder::new();
    let (input, out, opus) = (folder.file("in.wav"), folder.file("out.wav"), folder.file("out.opus"));
    write_hole(&input, 60);
    for old in [None, Some("old")] {
        old.iter().for_each(|old| fs::write(&out, old).unwrap());
        let args: [&dyn AsRef<OsStr>; 5] = [&input, &out, &"--opus", &opus, &"--profile=low-latency"];
        let mut child = spawn(&mut example_command("process", &args));
        wait_for_part(&mut child, folder.0.path(), 2);
        // Nothing can be renamed to that.
        fs::create_dir_all(opus.join("in it")).unwrap();
        let ended = child.wait_with_output().unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.code() == Some(1) && told.contains("out.opus: "), "{told}");
        assert_eq!(fs::read(&out).ok(), old.map(|old| old.as_bytes().to_vec()));
        fs::remove_dir_all(&opus).unwrap();
        assert_eq!(folder.names().len(), 1 + old.iter().len());
    }
}

#[test]
fn of_two_writers_one_wins() {
    let folder = Folder::new();
    let inputs = ["noise_fan.wav", "speech_stereo_44100.wav"].map(fixture_path);
    let mut wholes = Vec::new();
    let out = folder.file("out.wav");
    let process = |input: &Path| example_command("process", &[&input, &out, &"--profile=low-latency"]);
    for input in &inputs {
        assert!(process(input).output().unwrap().status.success());
        wholes.push(fs::read(&out).unwrap());
    }
    for _ in 0..4 {
        let children: Vec<Child> = inputs.iter().map(|input| spawn(&mut process(input))).collect();
        for child in children {
            assert!(child.wait_with_output().unwrap().status.success());
        }
        assert!(wholes.contains(&fs::read(&out).unwrap()));
        assert_eq!(folder.names(), ["out.wav"]);
    }
}

#[test]
fn links_names_and_rights_are_kept() {
    let folder = Folder::new();
    let input = folder.file("in.wav");
    fs::copy(fixture_path("noise_fan.wav"), &input).unwrap();
    // A link that leads to nothing yet.
    let (link, new) = (folder.file("link.wav"), folder.file("new.wav"));
    std::os::unix::fs::symlink("new.wav", &link).unwrap();
    example("process", &[&input, &link]).ok();
    assert!(link.is_symlink() && !new.is_symlink());
    assert_eq!(samples_in(&new), 72_000);

    fs::set_permissions(&new, fs::Permissions::from_mode(0o640)).unwrap();
    example("process", &[&input, &link]).ok();
    assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o640);

    // A second name of the output keeps what it had: nobody has asked to change that.
    fs::write(&new, "old").unwrap();
    fs::hard_link(&new, folder.file("second.wav")).unwrap();
    example("process", &[&input, &new]).ok();
    assert_eq!(fs::read(folder.file("second.wav")).unwrap(), b"old");

    for name in [&b"line\nend.wav"[..], b"\xff\xfe.wav", b"-x.wav", b" .wav", b"*.wav"] {
        let odd = folder.0.path().join(OsString::from_vec(name.to_vec()));
        fs::copy(&input, &odd).unwrap();
        let out = folder.0.path().join(OsString::from_vec([b"out", name].concat()));
        example("process", &[&odd, &out]).ok();
        assert_eq!(samples_in(&out), 72_000);
        let run = example("process", &[&odd, &out, &"--check"]).ok();
        assert_eq!(run.stdout.lines().count(), 1, "{run:?}");
        fs::write(&odd, "").unwrap();
        let run = example("process", &[&odd, &out]);
        assert!(run.code == Some(1) && run.stderr.lines().count() == 1, "{run:?}");
    }
    // Without its folder, it begins as an option does.
    let mut command = example_command("process", &[&"--", &"-y.wav", &"-z.wav"]);
    fs::copy(&input, folder.file("-y.wav")).unwrap();
    assert!(command.current_dir(folder.0.path()).output().unwrap().status.success());
    assert_eq!(samples_in(&folder.file("-z.wav")), 72_000);
}
