//! Running programs: the examples, and tools that may be installed.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// What a program did.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// It must have worked.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// It must have failed, with one line on stderr that names `file` and holds `what`.
    #[track_caller]
    pub fn refused(self, file: &Path, what: &str) -> Self {
        assert_eq!(self.code, Some(1), "{self:?}");
        let lines: Vec<_> = self.stderr.lines().filter(|line| !line.starts_with("note: ")).collect();
        assert_eq!(lines.len(), 1, "{self:?}");
        assert!(lines[0].starts_with("error: ") && lines[0].contains(what), "no '{what}' in {self:?}");
        let name = file.file_name().unwrap().to_string_lossy();
        assert!(lines[0].contains(&*name), "no '{name}' in {self:?}");
        self
    }
}

/// Runs an example.
#[track_caller]
pub fn example(name: &str, args: &[&dyn AsRef<OsStr>]) -> Run {
    run(&mut example_command(name, args))
}

/// Runs an example with this on stdin.
#[track_caller]
pub fn example_fed(name: &str, args: &[&dyn AsRef<OsStr>], input: &[u8]) -> Run {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut command = example_command(name, args);
    command.stdin(reader);
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(input).unwrap());
        run(&mut command)
    })
}

/// An example, to be run. Cargo builds them for `cargo test`, but not for `cargo test --test one_of_them`.
#[track_caller]
pub fn example_command(name: &str, args: &[&dyn AsRef<OsStr>]) -> Command {
    let tests = std::env::current_exe().unwrap();
    let folder = tests.parent().and_then(Path::parent).unwrap().join("examples");
    let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} is not there: build it with `cargo build --examples`", program.display());
    command(program.as_ref(), args)
}

/// Runs another program, which must work, if it is installed.
#[track_caller]
pub fn tool(name: &str, args: &[&dyn AsRef<OsStr>]) -> Option<Run> {
    let found = std::env::split_paths(&std::env::var_os("PATH")?).any(|folder| folder.join(name).is_file());
    if !found {
        eprintln!("not checked with {name}, which is not installed");
        return None;
    }
    Some(run(&mut command(name.as_ref(), args)).ok())
}

fn command(program: &OsStr, args: &[&dyn AsRef<OsStr>]) -> Command {
    let mut command = Command::new(program);
    command.args(args.iter().map(|arg| arg.as_ref()));
    command
}

fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
