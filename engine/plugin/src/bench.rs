//! What a plugin costs, measured on the assets of its cases, one batch at a time on one thread.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use windlass_core::{Blake3, Error, Kind, Result};

use crate::cases::{CaseFile, Questions};
use crate::host::read_component;
use crate::options::BATCH_ASSETS_MAX;
use crate::question::{Decide, Describe, Question, Route};
use crate::{Plugin, PluginHost, Shape};

/// Loads from the cache that are timed.
const LOADS: usize = 15;

/// Batches that are timed at the least, or as many as there are cases, so that a percentile means something for a slow guest too.
const CALLS_MIN: usize = 100;

/// What a plugin costs.
#[derive(Clone, Debug, Serialize)]
pub struct Benched {
    /// Digest of the component file.
    pub digest: Blake3,
    /// Length of the component file in bytes.
    pub size_bytes: u64,
    /// How long compiling took, in nanoseconds.
    pub compile_ns: u64,
    /// How long loading compiled code took, in nanoseconds; the median. `None` without a cache.
    pub load_cached_ns: Option<u64>,
    /// One for each file of cases and number of assets a batch.
    pub batches: Vec<BenchedBatches>,
}

/// What batches of one size cost. Times are in nanoseconds, of the whole: a fresh instance, its
/// configuration, the assets handed over, the answer, and its conversion.
#[derive(Clone, Debug, Serialize)]
pub struct BenchedBatches {
    /// The file of cases whose configuration and assets they had. Assets come in turn, so that where a file has
    /// few cases a batch has the same folders again; a plugin that remembers those does better than on others.
    pub file: PathBuf,
    /// Assets in each batch.
    pub assets: usize,
    /// Batches that were timed.
    pub calls: usize,
    /// Assets in a second, over all batches.
    pub assets_per_second: f64,
    /// Half of the batches took no longer.
    pub p50_ns: u64,
    /// 99 of 100 batches took no longer.
    pub p99_ns: u64,
    /// Of that, until there was an instance; the median.
    pub instance_p50_ns: u64,
    /// Of that, until the instance was configured; the median.
    pub start_p50_ns: u64,
    /// The median batch's share for one asset.
    pub asset_p50_ns: u64,
    /// Fuel for one asset after the start, in the batch that used most: about one unit a WebAssembly
    /// instruction, the same on every run.
    pub asset_fuel_max: u64,
    /// The most linear memory that an instance held, in bytes.
    pub memory_bytes: u64,
}

impl PluginHost {
    /// Measures a component with the configurations and assets of files of cases, for about `time` for each
    /// file and batch size, but at least 100 batches and one for each case. Blocks.
    ///
    /// Fails as [`PluginHost::load`] does, with `InvalidInput` if a file is not as cases are written,
    /// and with `Plugin` if the plugin fails on a batch.
    pub fn bench(&self, component: &Path, files: &[PathBuf], time: Duration) -> Result<Benched> {
        let bytes = read_component(component)?;
        Shape::read(&bytes)?.check()?;
        let digest = Blake3::of(&bytes);
        let started = Instant::now();
        let compiled = self.compile(&bytes)?;
        let compile_ns = nanoseconds(started.elapsed());
        self.keep(&digest, &compiled);
        let mut batches = Vec::new();
        for file in files {
            let about = |error: Error| error.with_context("cases", file.display());
            let (_, cases) = CaseFile::read(file)
                .map_err(|problem| about(Error::new(Kind::InvalidInput, problem)))?;
            let plugin = self.load(component, cases.load_options()).map_err(about)?;
            let questions = cases
                .questions(&plugin)
                .map_err(|problem| about(Error::new(Kind::InvalidInput, problem)))?;
            for count in [1, BATCH_ASSETS_MAX] {
                let measured = match &questions {
                    Questions::Describe(assets) => measure(&plugin, &Describe, assets, count, time),
                    Questions::Decide(releases) => measure(&plugin, &Decide, releases, count, time),
                    Questions::Route(assets, markets) => {
                        measure(&plugin, &Route::new(markets), assets, count, time)
                    }
                };
                let measured = measured.map_err(about)?;
                batches.push(BenchedBatches {
                    file: file.clone(),
                    ..measured
                });
            }
        }
        Ok(Benched {
            digest,
            size_bytes: bytes.len() as u64,
            compile_ns,
            load_cached_ns: self.time_cached(&digest),
            batches,
        })
    }

    fn time_cached(&self, digest: &Blake3) -> Option<u64> {
        let load = |_| {
            let started = Instant::now();
            let cached = self.cached(digest);
            cached.map(|_| nanoseconds(started.elapsed()))
        };
        let mut times: Vec<u64> = (0..LOADS).map(load).collect::<Option<_>>()?;
        Some(percentile(&mut times, 50))
    }
}

/// The batch of a number: as many inputs, the cases' own in turn, going on where the batch before ended.
fn filled<T: Clone>(inputs: &[T], count: usize, number: usize) -> Vec<T> {
    let first = number * count % inputs.len();
    let turn = inputs.iter().cycle().skip(first).take(count);
    turn.cloned().collect()
}

fn measure<Q: Question>(
    plugin: &Plugin,
    question: &Q,
    inputs: &[Q::Input],
    count: usize,
    time: Duration,
) -> Result<BenchedBatches> {
    let (mut whole, mut starts, mut instances) = (Vec::new(), Vec::new(), Vec::new());
    let (mut fuel, mut memory_bytes) = (0, 0);
    // The first one pays for pages that later ones find mapped.
    plugin.run_once(question, &filled(inputs, count, 0))?;
    let started = Instant::now();
    let calls_min = CALLS_MIN.max(inputs.len());
    while started.elapsed() < time || whole.len() < calls_min {
        let batch = filled(inputs, count, whole.len());
        let begun = Instant::now();
        let cost = plugin.run_once(question, &batch)?;
        whole.push(nanoseconds(begun.elapsed()));
        instances.push(nanoseconds(cost.instance));
        starts.push(nanoseconds(cost.start));
        fuel = fuel.max(cost.fuel);
        memory_bytes = memory_bytes.max(cost.memory_bytes as u64);
    }
    let seconds = whole.iter().sum::<u64>() as f64 / 1e9;
    let p50_ns = percentile(&mut whole, 50);
    Ok(BenchedBatches {
        file: PathBuf::new(),
        assets: count,
        calls: whole.len(),
        assets_per_second: (whole.len() * count) as f64 / seconds,
        p50_ns,
        p99_ns: percentile(&mut whole, 99),
        instance_p50_ns: percentile(&mut instances, 50),
        start_p50_ns: percentile(&mut starts, 50),
        asset_p50_ns: p50_ns / count as u64,
        asset_fuel_max: fuel / count as u64,
        memory_bytes,
    })
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The value that `percent` of the values, of which there are some, do not exceed.
fn percentile(values: &mut [u64], percent: usize) -> u64 {
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values[rank - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_value_that_so_many_do_not_exceed() {
        let mut values: Vec<u64> = (1..=200).rev().collect();
        assert_eq!(percentile(&mut values, 50), 100);
        assert_eq!(percentile(&mut values, 99), 198);
        assert_eq!(percentile(&mut [7], 99), 7);
        assert_eq!(percentile(&mut [7, 8], 50), 7);
    }
}
