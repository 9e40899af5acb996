//! `target/peers.json`: what was found, each kind of figure from its last run.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::Result;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers.json");

pub fn read() -> Result<Value> {
    let text = fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{FILE}: {error}"))
}

/// Adds or replaces figures.
pub fn add(found: Value) -> Result<()> {
    let mut all = if fs::exists(FILE).unwrap_or(false) { read()? } else { json!({}) };
    if let (Some(all), Value::Object(found)) = (all.as_object_mut(), found) {
        all.extend(found);
    }
    fs::write(FILE, format!("{all:#}\n")).map_err(|error| format!("{FILE}: {error}"))
}

/// The processor and the compiler.
pub fn machine() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name =
        processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let rustc = Command::new("rustc")
        .arg("--version")
        .output()
        .ok()
        .map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
    let rustc = rustc.as_deref().and_then(|text| text.split(' ').nth(1)).unwrap_or("?");
    format!("{count} cores of {}, rustc {rustc}", name.unwrap_or("an unknown processor"))
}
