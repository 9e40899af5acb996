//! All cases, measured by criterion: `cargo bench --bench speed [-- FILTER]`.

mod cases;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(50)
        .configure_from_args();
    for case in cases::all() {
        let (what, format) = case.name.split_once('/').unwrap();
        let mut group = criterion.benchmark_group(what);
        group.throughput(Throughput::Elements(case.samples));
        group.bench_function(format, |bencher| {
            let mut run = case.build();
            bencher.iter_custom(|times| {
                let start = Instant::now();
                run(times);
                start.elapsed()
            });
        });
    }
    criterion.final_summary();
}
