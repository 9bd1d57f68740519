//! How long things took: percentiles.

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer, ser::SerializeMap};

/// A distribution of times in ns, to two significant digits.
#[derive(Clone, Debug)]
pub struct Latency(Option<Histogram<u64>>);

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new(2).ok())
    }
}

impl Latency {
    pub(super) fn record(&mut self, ns: u64) {
        if let Some(histogram) = &mut self.0 {
            // Beyond what it can grow to: a trace of centuries.
            let _ = histogram.record(ns);
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// ns that so many per cent of them did not exceed; `None` if there are none.
    pub fn percentile(&self, percent: f64) -> Option<u64> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(histogram.value_at_quantile(percent / 100.0).min(histogram.max()))
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("count", &self.count())?;
        for (name, percent) in [("p50_ns", 50.0), ("p90_ns", 90.0), ("p99_ns", 99.0), ("max_ns", 100.0)] {
            if let Some(ns) = self.percentile(percent) {
                map.serialize_entry(name, &ns)?;
            }
        }
        map.end()
    }
}
