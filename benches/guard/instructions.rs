//! Instructions a frame, counted by valgrind's callgrind.
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
use super::budget::Budget;
use super::cases::{Case, Run};

/// Argument with which the program runs one case under valgrind.
pub const COUNT: &str = "--count";

/// Frames that are counted, after as many that are not: building a case, warming up and what settles then is left out.
const FRAMES: u64 = 200;

/// Deviation that fails, either way: an improvement must lower the budget, or the next slowdown hides in it.
const TOLERANCE: f64 = 0.02;

/// Largest difference of two counts of the same case.
const REPEATABILITY: f64 = 0.001;

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

/// Counts the cases whose name contains `filter`, and compares with the budget.
pub fn check(budget: &Budget, filter: &str, ci: bool) -> Result<()> {
    if cfg!(not(all(target_arch = "x86_64", target_os = "linux"))) {
        println!("skipped: the budgets in instructions hold for Linux on x86-64");
        return Ok(());
    }
    let toolchain = match toolchain() {
        Err(missing) if !ci => {
            println!("skipped: {missing}");
            return Ok(());
        }
        toolchain => toolchain?,
    };
    let chosen: Vec<_> = budget.instructions.iter().filter(|(name, _)| name.contains(filter)).collect();
    let mut failed = 0;
    println!("{:<44} {:>12} {:>12} {:>9}", "instructions a frame", "counted", "budget", "change");
    for_all(
        &chosen,
        |(name, _)| count(name, 0),
        |(name, budget), count| {
            let change = count / budget - 1.0;
            let verdict = match change {
                _ if change > TOLERANCE => "OVER",
                _ if change >= -TOLERANCE => "ok",
                _ => "UNDER",
            };
            failed += u32::from(verdict != "ok");
            println!("{name:<44} {count:>12.1} {budget:>12.1} {:>+8.2}% {verdict}", 100.0 * change);
        },
    )?;
    if failed == 0 {
        return Ok(());
    }
    if toolchain != budget.toolchain {
        println!("The budgets were counted with {}; this is {toolchain}.", budget.toolchain);
        println!("Where nothing else has changed, update them: scripts/bench-guard --update");
    }
    let of = chosen.len();
    Err(format!("{failed} of {of} counts are more than {} % off benches/budget.toml", 100.0 * TOLERANCE))
}

/// Counts the cases whose name contains `filter`, each twice, and writes the budget.
pub fn update(mut budget: Budget, filter: &str) -> Result<()> {
    let toolchain = toolchain()?;
    if !filter.is_empty() && toolchain != budget.toolchain {
        return Err(format!("the other budgets were counted with {}: update all of them", budget.toolchain));
    }
    budget.toolchain = toolchain;
    let chosen: Vec<_> = budget.instructions.iter_mut().filter(|(name, _)| name.contains(filter)).collect();
    let mut worst = 0.0f64;
    println!("{:<44} {:>12} {:>12} {:>9}", "instructions a frame", "counted", "again", "change");
    // The second time with a stack that begins elsewhere, as in another shell.
    let counts = for_all(
        &chosen,
        |(name, _)| Ok([count(name, 0)?, count(name, 1000)?]),
        |(name, _), [first, second]| {
            let change = second / first - 1.0;
            worst = worst.max(change.abs());
            println!("{name:<44} {first:>12.1} {second:>12.1} {:>+8.4}%", 100.0 * change);
        },
    )?;
    println!("largest difference of two counts: {:.4} %", 100.0 * worst);
    if worst > REPEATABILITY {
        return Err(format!("two counts must agree to {} %: nothing written", 100.0 * REPEATABILITY));
    }
    for ((_, budget), [count, _]) in chosen.into_iter().zip(counts) {
        *budget = (10.0 * count).round() / 10.0;
    }
    budget.write()
}

/// Results of `work` for all items, on all cores. `done` is called for each as it comes.
fn for_all<I: Sync, T: Send>(
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
fn count(name: &str, bytes: usize) -> Result<f64> {
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
fn toolchain() -> Result<String> {
    let version = |program: &str, arg: &str| {
        let out = Command::new(program).arg(arg).output().ok().filter(|out| out.status.success())?;
        String::from_utf8_lossy(&out.stdout).lines().next().map(|line| line.trim().to_owned())
    };
    let valgrind = version("valgrind", "--version").ok_or("no valgrind here (scripts/setup.sh --ci installs it)")?;
    let others = [("rustc", "--version"), ("cc", "--version"), ("getconf", "GNU_LIBC_VERSION")];
    let others = others.map(|(program, arg)| version(program, arg).unwrap_or_else(|| format!("no {program}")));
    Ok(format!("{}, {valgrind}", others.join(", ")))
}
