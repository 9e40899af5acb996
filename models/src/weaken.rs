//! Proof that the models can fail: each memory ordering weakened in turn.

use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::{self, Acquire, Relaxed, Release};

use crate::ORDERINGS;
use crate::models::{ALL, Model};
use crate::shim::{WEAKENED, Weakened};

/// Orderings that stand in for a stronger one.
fn weaker(name: &str) -> &'static [Ordering] {
    match name {
        "AcqRel" => &[Acquire, Release],
        _ => &[Relaxed],
    }
}

/// Runs one model with one ordering weakened; panics if that is noticed.
pub fn run_weakened(number: &str, to: &str, model: &str) {
    let to = [Acquire, Release, Relaxed].into_iter().find(|ordering| format!("{ordering:?}") == to).unwrap();
    WEAKENED.set(Weakened { number: number.parse().unwrap(), to }).unwrap();
    ALL.iter().find(|found| found.name == model).unwrap().run();
}

/// Weakens each ordering that a model has reached, and prints which of them is noticed.
pub fn every_ordering_matters(reached: &[(&Model, Vec<bool>)]) -> bool {
    let mut all = true;
    for (number, (file, line, name)) in ORDERINGS.iter().enumerate() {
        let models: Vec<_> = reached.iter().filter(|(_, reached)| reached[number]).map(|(model, _)| model).collect();
        if models.is_empty() {
            println!("{file}:{line} {name}: not reached");
            continue;
        }
        for &to in weaker(name) {
            let failed = models.iter().find(|model| fails(number, to, model));
            all &= failed.is_some();
            let outcome = failed.map_or("NOT NOTICED".into(), |model| format!("noticed by {}", model.name));
            println!("{file}:{line} {name} as {to:?}: {outcome}");
        }
    }
    all
}

fn fails(number: usize, to: Ordering, model: &Model) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args([&number.to_string(), &format!("{to:?}"), model.name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    !status.unwrap().success()
}
