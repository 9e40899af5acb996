//! Instructions a frame of a case, counted by valgrind's callgrind.
//!
//! Valgrind emulates one processor wherever it runs, with AVX2 and without AVX-512 (on an x86-64 that has AVX2). Dispatch at
//! run time, in this crate, in libopus and in the C library, asks that processor, so it takes the same path on every
//! machine, and the count depends on the compilers and the C library alone. They are named in the budget.

use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::Result;
use super::cases::{Case, Run};

/// Argument with which the program runs one case under valgrind.
pub const COUNT: &str = "--count";

/// Frames that are counted, after as many that are not: building a case, warming up and what settles then is left out.
const FRAMES: u64 = 200;

/// Runs a case as valgrind is to count it.
pub fn run_counted(case: &Case) -> Result<()> {
    #[cfg(target_arch = "x86_64")]
    if !is_x86_feature_detected!("avx2") || !is_x86_feature_detected!("fma") || is_x86_feature_detected!("avx512f") {
        return Err(
            "the processor that valgrind emulates here is another one (AVX2 and FMA without AVX-512 is wanted)".into(),
        );
    }
    let mut run = case.build();
    run(FRAMES);
    counted_frames(&mut run);
    Ok(())
}

/// The function in which callgrind counts.
#[inline(never)]
fn counted_frames(run: &mut Run) {
    run(FRAMES);
    // Something must come behind the call, or it would become a jump out of this function.
    black_box(run);
}

/// Results of `work` for all items, on all cores. `done` is called for each as it comes.
pub fn for_all<I: Sync, T: Send>(
    items: &[I],
    work: impl Fn(&I) -> Result<T> + Sync,
    mut done: impl FnMut(&I, &T),
) -> Result<Vec<T>> {
    let (sender, receiver) = mpsc::channel();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    // After a failure nobody receives.
                    if index >= items.len() || sender.send((index, work(&items[index]))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut results: Vec<_> = items.iter().map(|_| None).collect();
        for (index, result) in receiver {
            let result = result?;
            done(&items[index], &result);
            results[index] = Some(result);
        }
        Ok(results.into_iter().flatten().collect())
    })
}

/// Instructions a frame of a case. The environment is larger by some bytes, which move the stack.
pub fn count(name: &str, bytes: usize) -> Result<f64> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counted_frames*"])
        .arg(program)
        .args([COUNT, name])
        .env("MOVES_THE_STACK", "x".repeat(bytes))
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&out.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse::<u64>().ok());
    match collected {
        Some(collected) if out.status.success() && collected > 0 => Ok(collected as f64 / FRAMES as f64),
        _ => Err(format!("{name}, {}: {text}", out.status)),
    }
}

/// What decides how many instructions are compiled and run, with versions.
pub fn toolchain() -> Result<String> {
    let version = |program: &str, arg: &str| {
        let out = Command::new(program).arg(arg).output().ok().filter(|out| out.status.success())?;
        String::from_utf8_lossy(&out.stdout).lines().next().map(|line| line.trim().to_owned())
    };
    let valgrind = version("valgrind", "--version").ok_or("no valgrind here (scripts/setup.sh --ci installs it)")?;
    let others = [("rustc", "--version"), ("cc", "--version"), ("getconf", "GNU_LIBC_VERSION")];
    let others = others.map(|(program, arg)| version(program, arg).unwrap_or_else(|| format!("no {program}")));
    Ok(format!("{}, {valgrind}", others.join(", ")))
}
