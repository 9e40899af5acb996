//! Instructions that a hostile stream takes, beside an honest one: `scripts/hostile`.
//!
//! Fails where a packet, or a byte, costs more than a few times an honest one.

#[path = "../guard/count.rs"]
mod count;
mod jitter_buffer;
mod ogg_file;
mod rtp;

use std::process::ExitCode;

use cases::Case;

type Result<T> = std::result::Result<T, String>;

/// What [`count`] counts.
mod cases {
    pub type Run = Box<dyn FnMut(u64)>;

    /// A stream, taken in step by step.
    pub struct Case {
        pub name: &'static str,
        /// Packets or bytes in one step.
        pub units: f64,
        /// Whether the honest stream goes on in each step: what that takes is not counted.
        pub is_beside_honest: bool,
        build: Box<dyn Fn() -> Run + Sync>,
    }

    impl Case {
        /// `build` makes a function that takes in one step.
        pub fn new<F: FnMut() + 'static>(
            name: &'static str,
            units: usize,
            build: impl Fn() -> F + Sync + 'static,
        ) -> Self {
            let build = move || -> Run {
                let mut step = build();
                Box::new(move |times| (0..times).for_each(|_| step()))
            };
            Self { name, units: units as f64, is_beside_honest: false, build: Box::new(build) }
        }

        pub fn beside_honest(self) -> Self {
            Self { is_beside_honest: true, ..self }
        }

        pub fn build(&self) -> Run {
            (self.build)()
        }
    }
}

/// Streams of one kind, the honest one first.
struct Group {
    /// Input, and what is counted of it.
    name: &'static str,
    /// Largest cost of a hostile unit in honest ones.
    max_ratio: f64,
    cases: Vec<Case>,
}

fn main() -> ExitCode {
    match run(std::env::args().skip(1).filter(|arg| arg != "--bench").collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("hostile: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Vec<String>) -> Result<()> {
    let groups = [rtp::rtp(), rtp::rtcp(), jitter_buffer::packets(), ogg_file::bytes()];
    let mut cases = groups.iter().flat_map(|group| &group.cases);
    match &args[..] {
        [flag, name] if flag == count::COUNT => {
            let case = cases.find(|case| case.name == name).ok_or_else(|| format!("no case {name}"))?;
            return count::run_counted(case);
        }
        [flag] if flag == "--test" => {
            cases.for_each(|case| case.build()(2));
            return Ok(());
        }
        _ => println!("Counted with {}.\n", count::toolchain()?),
    }
    let cases: Vec<_> = cases.collect();
    let counts = count::for_all(&cases, |case| count::count(case.name, 0), |case, _| eprintln!("{}", case.name))?;
    let mut counts = counts.into_iter();
    println!("| input | stream | instructions | of an honest one |\n| --- | --- | ---: | ---: |");
    let mut over = Vec::new();
    for group in &groups {
        let counts: Vec<f64> = counts.by_ref().take(group.cases.len()).collect();
        let honest = counts[0] / group.cases[0].units;
        for (case, count) in group.cases.iter().zip(&counts) {
            let beside = if case.is_beside_honest { counts[0] } else { 0.0 };
            let cost = (count - beside) / case.units;
            let ratio = cost / honest;
            println!("| {} | {} | {cost:.0} | {ratio:.2} |", group.name, case.name);
            if ratio > group.max_ratio {
                over.push(format!("{} {ratio:.1} times, {} at most", case.name, group.max_ratio));
            }
        }
    }
    if over.is_empty() { Ok(()) } else { Err(over.join("; ")) }
}
