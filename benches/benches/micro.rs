//! Criterion over the micro-benchmarks: `cargo bench -p lakebed-bench [FILTER]`. Every iteration's answer is checked.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lakebed_bench::{Size, Work, all};

fn micro(criterion: &mut Criterion) {
    for mut micro in all(Size::measured()) {
        let mut group = criterion.benchmark_group(micro.name);
        group.throughput(match micro.work {
            Work::Elements(count) => Throughput::Elements(count),
            Work::Bytes(count) => Throughput::Bytes(count),
        });
        group.bench_function("measured", |bencher| {
            bencher.iter(|| assert_eq!(micro.run(), micro.expect, "a wrong answer is not a number"));
        });
        group.finish();
    }
}

criterion_group!(benches, micro);
criterion_main!(benches);
