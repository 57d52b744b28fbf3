//! What the order ring costs an item, by how far items are out of order.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use windlass_transfer::ring::OrderRing;

/// Items a run; a multiple of every span below.
const ITEMS: u64 = 1 << 16;

/// Sends items through whose indices are reversed in groups of `span`.
fn reversed(span: u64) -> u64 {
    let mut ring = OrderRing::new(span);
    let mut sum = 0;
    for group in 0..ITEMS / span {
        for index in (group * span..(group + 1) * span).rev() {
            ring.insert(index, black_box(index))
                .expect("within the span");
        }
        while let Some((index, item)) = ring.pop() {
            sum += index ^ item;
        }
    }
    sum
}

/// Sends items through where each comes `late` after its turn or at once, by turns: some always wait.
fn interleaved(late: u64) -> u64 {
    let mut ring = OrderRing::new(2 * late);
    let mut sum = 0;
    for group in 0..ITEMS / (2 * late) {
        let start = group * 2 * late;
        for step in 0..late {
            for index in [start + late + step, start + step] {
                ring.insert(index, black_box(index))
                    .expect("within the span");
            }
            while let Some((index, item)) = ring.pop() {
                sum += index ^ item;
            }
        }
    }
    sum
}

fn ring(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("order ring");
    group.throughput(Throughput::Elements(ITEMS));
    for span in [1, 8, 64, 1024] {
        group.bench_function(format!("reversed in groups of {span}"), |bench| {
            bench.iter(|| reversed(black_box(span)));
        });
    }
    for late in [4, 32] {
        group.bench_function(format!("every other item {late} late"), |bench| {
            bench.iter(|| interleaved(black_box(late)));
        });
    }
    group.finish();
}

criterion_group!(benches, ring);
criterion_main!(benches);
