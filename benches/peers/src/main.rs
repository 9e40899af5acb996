//! Times of our stages and profiles beside other libraries, in one process on the same sound: `scripts/peers`.

mod busy;
mod call;
#[path = "../../cases/mod.rs"]
mod cases;
#[path = "../../guard/count.rs"]
mod count;
mod l2;
mod measure;
mod networks;
mod pairs;
mod profiles;
mod results;
mod streams;
mod tables;
#[path = "../../guard/turns.rs"]
mod turns;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

use cases::Case;
use pairs::PAIRS;
use profiles::PROFILES;
use serde_json::{Map, Value, json};
use voxframe::Format;
use voxframe_testkit::alloc::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// What went wrong, for the last line of the output.
type Result<T> = std::result::Result<T, String>;

/// All cases by name.
type Cases = HashMap<String, Case>;

/// Variable that names the C library of RNNoise 0.2.
const RNNOISE: &str = "RNNOISE_LIBRARY";

const USAGE: &str = "usage: peers [--trial | --instructions | --tables | PART OF A PAIR]";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("peers: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Vec<String>) -> Result<()> {
    let format = Format::mono(48_000).map_err(|error| error.to_string())?;
    let rnnoise = std::env::var_os(RNNOISE).map(PathBuf::from);
    let cases = all_cases(format, rnnoise.as_deref());
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let (trial, filter) = match args[..] {
        ["--tables"] => return tables::write(&results::read()?),
        ["--instructions"] => {
            results::add(json!({
                "instructions": instructions(&cases, format)?,
                "toolchain": count::toolchain()?,
            }))?;
            return tables::write(&results::read()?);
        }
        [count::COUNT, name] => return count::run_counted(find(&cases, name)?),
        ["--trial"] => (true, ""),
        [] => (false, ""),
        [filter] if !filter.starts_with('-') => (false, filter),
        _ => return Err(USAGE.into()),
    };
    if rnnoise.is_none() {
        println!("skipped: RNNoise 0.2 in C, because {RNNOISE} names no library");
    }
    if let Some(found) = measure::all(&cases, format, trial, filter)? {
        results::add(found)?;
        results::add(json!({ "machine": results::machine() }))?;
        tables::write(&results::read()?)?;
    }
    Ok(())
}

fn all_cases(format: Format, rnnoise: Option<&std::path::Path>) -> Cases {
    let mut cases = cases::all();
    l2::add(&mut cases, format);
    call::add(&mut cases, format);
    networks::add(&mut cases, format, rnnoise);
    profiles::add(&mut cases, format);
    streams::add(&mut cases, format);
    cases.into_iter().map(|case| (case.name.clone(), case)).collect()
}

/// The name of a case with its format, which is mostly the same.
fn full_name(name: &str) -> String {
    if name.contains('/') { name.to_owned() } else { format!("{name}/48k-mono-10ms") }
}

fn find<'a>(cases: &'a Cases, name: &str) -> Result<&'a Case> {
    cases.get(&full_name(name)).ok_or_else(|| format!("no case {name}"))
}

/// Instructions a frame of all cases that are compared, and of the stages of each profile.
fn instructions(cases: &Cases, format: Format) -> Result<Map<String, Value>> {
    let compared = PAIRS.iter().filter(|pair| !pair.is_large()).flat_map(|pair| pair.cases());
    let stages = PROFILES.map(|profile| profile()).into_iter().flat_map(|profile| {
        profiles::stages(&profile, format).into_iter().map(move |stage| profiles::name(&profile, stage))
    });
    let mut names: Vec<_> = compared.map(full_name).chain(stages.map(|name| full_name(&name))).collect();
    names.sort();
    names.dedup();
    names.retain(|name| cases.contains_key(name));
    let counts = count::for_all(
        &names,
        |name| count::count(name, 0),
        |name, count| println!("{name:<52} {count:>12.0} instructions a frame"),
    )?;
    Ok(names.into_iter().zip(counts.into_iter().map(Value::from)).collect())
}
