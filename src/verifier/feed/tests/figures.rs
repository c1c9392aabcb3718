//! What a metrics recorder is told.

use std::collections::BTreeMap;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

use super::push::{Pusher, change, event, until};
use super::*;
use crate::list::testing::sign;

/// Remembers the last value of each figure, and the sum of each counter.
#[derive(Clone, Default)]
struct Figures(Arc<Mutex<BTreeMap<String, f64>>>);

struct Figure {
    name: String,
    all: Figures,
}

impl Figures {
    fn of(&self, name: &str) -> Option<f64> {
        self.0.lock().unwrap().get(name).copied()
    }

    fn figure(&self, key: &Key) -> Arc<Figure> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = key.name().strip_prefix("shortbread_verifier_").unwrap_or_default();
        Arc::new(Figure { name: format!("{name}{{{}}}", labels.join(",")), all: self.clone() })
    }
}

impl Figure {
    fn change(&self, change: impl FnOnce(f64) -> f64) {
        let mut all = self.all.0.lock().unwrap();
        let value = all.entry(self.name.clone()).or_default();
        *value = change(*value);
    }
}

impl CounterFn for Figure {
    fn increment(&self, value: u64) {
        self.change(|sum| sum + value as f64);
    }

    fn absolute(&self, value: u64) {
        self.change(|_| value as f64);
    }
}

impl GaugeFn for Figure {
    fn increment(&self, value: f64) {
        self.change(|sum| sum + value);
    }

    fn decrement(&self, value: f64) {
        self.change(|sum| sum - value);
    }

    fn set(&self, value: f64) {
        self.change(|_| value);
    }
}

impl HistogramFn for Figure {
    fn record(&self, value: f64) {
        self.change(|_| value);
    }
}

impl Recorder for Figures {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.figure(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.figure(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.figure(key))
    }
}

#[tokio::test]
async fn every_step_and_every_source_has_its_figure() {
    let figures = Figures::default();
    // Of this thread: the runtime of this test has no other that follows.
    let _recorder = metrics::set_default_local_recorder(&figures);
    let (server, mut broker) = (Pusher::start().await, Broker::new());
    server.publish(&broker, &broker.head(10, NOW));
    let (trust, handle, _running) = server.follow(server.config());
    let of = |name: &str| figures.of(name);
    assert_eq!((of("step{step=deny}"), of("step{step=stream}")), (Some(1.0), Some(0.0)));
    until(|| of("list_age_seconds{}") == Some(f64::INFINITY)).await;
    server.streams(1).await;
    server.send(event(&broker.signed(10, NOW)));
    until(|| of("step{step=stream}") == Some(1.0)).await;
    assert_eq!(
        (of("step{step=deny}"), of("step_changes_total{from=deny,to=stream}")),
        (Some(0.0), Some(1.0))
    );
    assert_eq!(of("source_state{source=stream,state=closed}"), Some(1.0));
    assert_eq!(of("propagation_seconds{}"), None, "the first list is no change");
    let (head, _, delta) = change(&mut broker, 11, "payroll");
    server.send(event(&sign(&head)) + &delta);
    until(|| of("propagation_seconds{}") == Some(0.0)).await;
    assert_eq!(handle.status().list_seq, 11);
    assert_eq!((of("list_seq{}"), of("list_age_seconds{}")), (Some(11.0), Some(0.0)));
    server.send(event(&broker.signed(12, NOW).to_ascii_lowercase()));
    until(|| of("heads_refused_total{reason=malformed}") == Some(1.0)).await;
    assert_eq!(trust.status().heads_refused["malformed"], 1);
}
