//! What all examples do with files that cannot be read or written: one line, exit code 1, and all is as it was.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use voxframe_testkit::program::{Run, example};
use voxframe_testkit::wav::{RawWav, write};

use crate::{Folder, is_built, samples_in};

/// Name of an example, how it is called, and the extension of what it reads.
type Called = (&'static str, &'static [&'static str], &'static str);

/// Examples that write a file.
const WRITERS: [Called; 8] = [
    ("process", &["IN", "OUT"], "wav"),
    ("encode", &["IN", "OUT"], "wav"),
    ("decode", &["IN", "OUT"], "opus"),
    ("opus_loss", &["IN", "OUT"], "wav"),
    ("call_sim", &["IN", "OUT"], "wav"),
    ("duplex", &["IN", "FAR", "OUT"], "wav"),
    ("adapt", &["IN", "--network", "NETWORK", "OUT"], "wav"),
    ("plot", &["IN", "FAR", "OUT"], "wav"),
];

/// Examples that write a file only where they are asked to, or nothing.
const READERS: [Called; 4] = [
    ("meter", &["IN"], "wav"),
    ("denoise", &["FOLDER", "IN"], "wav"),
    ("soak", &["IN", "--hours=0.0003"], "wav"),
    ("batch", &["--out", "FOLDER", "IN"], "wav"),
];

/// Those that write and the others, as far as they are built.
fn all() -> impl Iterator<Item = Called> {
    writers().chain(READERS.into_iter().filter(|reader| is_built(reader.0)))
}

fn writers() -> impl Iterator<Item = Called> {
    WRITERS.into_iter().filter(|writer| is_built(writer.0))
}

/// A folder with a recording of each kind that is read, and what the calls above name.
fn work() -> Folder {
    let folder = Folder::new();
    let sound: Vec<f32> = (0..9600).map(|index| (index as f32 * 0.06).sin() * 0.3).collect();
    write(&folder.file("in.wav"), 48_000, 1, 16, &sound);
    write(&folder.file("far.wav"), 48_000, 1, 16, &sound);
    example("encode", &[&folder.file("in.wav"), &folder.file("in.opus")]).ok();
    fs::write(folder.file("network.csv"), "0,0,50,10\n").unwrap();
    folder
}

/// Calls an example as the tables say; both paths may be relative to the folder.
fn call(folder: &Folder, (name, args, _): Called, input: &Path, output: &Path) -> Run {
    let args: Vec<PathBuf> = args
        .iter()
        .map(|arg| match *arg {
            "IN" => folder.0.path().join(input),
            "OUT" if output == Path::new("-") => output.to_owned(),
            "OUT" => folder.0.path().join(output),
            "FAR" => folder.file("far.wav"),
            "NETWORK" => folder.file("network.csv"),
            "FOLDER" => folder.file("made"),
            option => option.into(),
        })
        .collect();
    let args: Vec<&dyn AsRef<OsStr>> = args.iter().map(|arg| arg as &dyn AsRef<OsStr>).collect();
    example(name, &args)
}

#[cfg(unix)]
fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[cfg(unix)]
#[test]
fn what_cannot_be_written_is_refused_by_all() {
    use std::os::unix::fs::symlink;

    let folder = work();
    for kind in ["wav", "opus"] {
        let file = |name: &str| folder.file(&format!("{name}.{kind}"));
        fs::hard_link(file("in"), file("hard")).unwrap();
        symlink(file("in"), file("soft")).unwrap();
    }
    symlink(folder.file("loop"), folder.file("loop")).unwrap();
    make_fifo(&folder.file("fifo"));
    fs::create_dir(folder.file("folder")).unwrap();
    fs::write(folder.file("protected"), "old").unwrap();
    let mut permissions = fs::metadata(folder.file("protected")).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(folder.file("protected"), permissions).unwrap();

    let (names, inputs) = (folder.names(), ["in.wav", "in.opus"].map(|name| fs::read(folder.file(name)).unwrap()));
    for writer in writers() {
        let kind = writer.2;
        let input = PathBuf::from(format!("in.{kind}"));
        let own =
            [format!("in.{kind}"), format!("hard.{kind}"), format!("soft.{kind}"), format!("./folder/../in.{kind}")];
        let cases = [
            ("-", "stdout is not written to"),
            ("/dev/full", "not a file"),
            ("fifo", "not a file"),
            ("folder", "not a file"),
            ("new/", "not the name of a file"),
            ("nowhere/new", "No such file"),
            ("network.csv/new", "Not a directory"),
            ("/proc/new", "No such file"),
            ("loop", "symbolic links"),
            ("protected", "read-only"),
        ];
        let own = own.iter().map(|name| (name.as_str(), "named twice"));
        for (output, reason) in cases.into_iter().chain(own) {
            let run = call(&folder, writer, &input, Path::new(output));
            // Some names are not what `file_name` says.
            let file = if ["-", "new/"].contains(&output) { Path::new("/") } else { Path::new(output) };
            refused(run, file, reason);
            assert_eq!(folder.names(), names, "{} {output}", writer.0);
        }
    }
    let after = ["in.wav", "in.opus"].map(|name| fs::read(folder.file(name)).unwrap());
    assert!(after == inputs && fs::read(folder.file("protected")).unwrap() == b"old");
}

#[track_caller]
fn refused(run: Run, file: &Path, reason: &str) {
    if file.file_name().is_some() {
        run.refused(file, reason);
    } else {
        assert!(run.code == Some(1) && run.stderr.starts_with("error: ") && run.stderr.lines().count() == 1, "{run:?}");
        assert!(run.stderr.contains(reason), "{run:?}");
    }
}

#[cfg(unix)]
#[test]
fn what_cannot_be_read_is_refused_by_all() {
    let folder = work();
    make_fifo(&folder.file("fifo"));
    fs::create_dir(folder.file("folder")).unwrap();
    fs::write(folder.file("empty"), "").unwrap();
    let cases = [
        ("fifo", "not a file but a pipe"),
        ("/dev/zero", "not a file but a pipe or device"),
        ("folder", "not a file but a folder"),
        ("missing", "No such file"),
        ("in.wav/missing", "Not a directory"),
        ("empty", "empty"),
        ("network.csv", ""),
    ];
    for reader in all() {
        for (input, reason) in cases {
            let run = call(&folder, reader, Path::new(input), Path::new("new"));
            assert!(!folder.file("new").exists(), "{}: {input}", reader.0);
            match reader.0 {
                // Tells of the file, and of all files in the end. A folder without recordings is no fault.
                "batch" if input == "folder" => _ = run.ok(),
                "batch" => {
                    let lines: Vec<_> = run.stderr.lines().collect();
                    assert!(run.code == Some(1) && lines.len() == 2 && lines[0].contains(reason), "{run:?}");
                    assert!(lines.iter().all(|line| line.starts_with("error: ")), "{run:?}");
                }
                _ => _ = run.refused(Path::new(input), reason),
            }
        }
    }
    // What is read as text is bounded.
    for (name, option) in [("decode", "--loss-trace"), ("call_sim", "--loss-trace"), ("call_sim", "--trace")] {
        let input = folder.file(if name == "decode" { "in.opus" } else { "in.wav" });
        let run = example(name, &[&input, &folder.file("new"), &option, &"/dev/zero"]);
        run.refused(Path::new("/dev/zero"), "longer than 64 MiB");
    }
}

#[test]
fn extremes_are_processed_or_refused_by_all() {
    let folder = work();
    let raw = |change: &dyn Fn(&mut RawWav)| {
        let mut wav = RawWav::new(vec![0; 960]);
        change(&mut wav);
        wav
    };
    let float = |samples: &[f32]| {
        let data = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        RawWav { tag: 3, block: 4, bits: 32, ..RawWav::new(data) }
    };
    // Whether each is refused, by whoever reads it.
    let cases: [(RawWav, Option<&str>); 10] = [
        (raw(&|wav| (wav.channels, wav.block) = (300, 600)), Some("300 channels: only 1 to 8")),
        (raw(&|wav| wav.rate_hz = 1), Some("sample rate 1 Hz: only 8000 to 192000")),
        (raw(&|wav| wav.rate_hz = 10_000_000), Some("sample rate 10000000 Hz")),
        (raw(&|wav| wav.rate_hz = 0), Some("sample rate 0 Hz")),
        (raw(&|wav| (wav.data_size, wav.data) = (Some(1000), vec![])), Some("1000 bytes are promised, 0 are there")),
        (raw(&|wav| wav.data.clear()), None),
        (raw(&|wav| wav.data.truncate(2)), None),
        (raw(&|wav| wav.data.truncate(1)), Some("1 bytes are promised")),
        (float(&[f32::NAN; 9600]), None),
        (float(&[f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 0.0].repeat(2000)), None),
    ];
    let readers = all().filter(|(_, _, kind)| *kind == "wav");
    for (index, (reader, (wav, reason))) in
        readers.flat_map(|reader| cases.iter().map(move |case| (reader, case))).enumerate()
    {
        let (input, output) = (PathBuf::from(format!("odd{index}.wav")), PathBuf::from(format!("new{index}")));
        wav.write(&folder.file(input.to_str().unwrap()));
        let run = call(&folder, reader, &input, &output);
        assert!(!run.stderr.contains("panicked") && [Some(0), Some(1)].contains(&run.code), "{}: {run:?}", reader.0);
        if let Some(reason) = reason {
            assert!(run.code == Some(1) && run.stderr.contains(reason), "{}: {run:?}", reader.0);
        }
        assert!(run.stderr.lines().all(|line| line.starts_with("error: ") || line.starts_with("note: ")), "{run:?}");
        let wrote = WRITERS.iter().any(|writer| writer.0 == reader.0) && run.code == Some(0);
        assert_eq!(folder.file(output.to_str().unwrap()).exists(), wrote, "{}: {run:?}", reader.0);
    }
}

#[test]
fn ogg_opus_is_read_by_all() {
    let folder = work();
    let opus = Path::new("in.opus");
    for reader in all() {
        let run = call(&folder, reader, opus, Path::new("new")).ok();
        assert!(run.stderr.is_empty(), "{}: {run:?}", reader.0);
        if ["process", "decode", "opus_loss", "duplex"].contains(&reader.0) {
            assert_eq!(samples_in(&folder.file("new")), 9600, "{}", reader.0);
        }
    }
    assert_eq!(samples_in(&folder.file("made/in.wav")), 9600);
}
