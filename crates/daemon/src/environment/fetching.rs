//! Progress of a fetch, as events of its operation: all layers together, and each that is under way by name.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use banger_api::ByteSize;
use banger_api::operation::EventKind;
use banger_control::Running;
use banger_oci::Digest;
use banger_ops::Events;
use banger_registry::{BlobProgress, Watch};

/// Stage of the whole fetch.
const STAGE: &str = "fetch_layers";
/// Progress is told at most this often, in milliseconds.
const TELL_MS: u128 = 200;
/// Layers under way that are named.
const NAMED: usize = 4;

/// Passes progress on.
pub(super) struct Fetching<'a> {
    op: &'a Running,
    started: Instant,
    layers: Mutex<Layers>,
}

#[derive(Default)]
struct Layers {
    /// In the image's order, each once.
    all: Vec<Layer>,
    index: HashMap<Digest, usize>,
    told: Option<Instant>,
}

struct Layer {
    digest: Digest,
    total: u64,
    done: u64,
    since: Option<Instant>,
    finished: bool,
}

impl<'a> Fetching<'a> {
    pub(super) fn new(op: &'a Running) -> Self {
        Self {
            op,
            started: Instant::now(),
            layers: Mutex::default(),
        }
    }

    /// All is there.
    pub(super) fn done(&self) {
        self.op.emit(EventKind::StageDone {
            stage: STAGE.to_owned(),
            us: micros(self.started),
        });
    }
}

impl Watch for Fetching<'_> {
    fn is_cancelled(&self) -> bool {
        self.op.cancelled().is_cancelled()
    }

    fn warn(&self, message: &str) {
        self.op.warn(message);
    }

    fn layers(&self, layers: &[(Digest, u64)]) {
        let mut known = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        for &(digest, total) in layers {
            if known.index.contains_key(&digest) {
                continue;
            }
            let at = known.all.len();
            known.index.insert(digest, at);
            known.all.push(Layer {
                digest,
                total,
                done: 0,
                since: None,
                finished: false,
            });
        }
    }

    fn progress(&self, progress: BlobProgress) {
        let mut known = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        // The configuration is no layer.
        let Some(&at) = known.index.get(&progress.digest) else {
            return;
        };
        let layer = &mut known.all[at];
        layer.done = progress.done;
        let since = *layer.since.get_or_insert_with(Instant::now);
        if progress.finished && !layer.finished {
            layer.finished = true;
            self.op.emit(EventKind::StageDone {
                stage: layer.line(),
                us: micros(since),
            });
        }
        let due = |told: Instant| told.elapsed().as_millis() >= TELL_MS;
        if progress.finished || known.told.is_none_or(due) {
            known.told = Some(Instant::now());
            let (done, total) = known.amount();
            self.op.progress(STAGE, &known.line(), done, Some(total));
        }
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

impl Layer {
    /// `layer 0123456789ab 40 MiB`
    fn line(&self) -> String {
        format!("layer {} {}", self.name(), ByteSize(self.total))
    }

    fn name(&self) -> String {
        let mut hex = self.digest.hex();
        hex.truncate(12);
        hex
    }
}

impl Layers {
    fn amount(&self) -> (u64, u64) {
        let done = self.all.iter().map(|layer| layer.done).sum();
        (done, self.all.iter().map(|layer| layer.total).sum())
    }

    /// `2 of 5 layers; 0123456789ab 12 of 40 MiB, …`
    fn line(&self) -> String {
        let finished = self.all.iter().filter(|layer| layer.finished).count();
        let going: Vec<String> = self
            .all
            .iter()
            .filter(|layer| layer.since.is_some() && !layer.finished)
            .take(NAMED)
            .map(|layer| {
                let percent = (layer.done * 100).checked_div(layer.total).unwrap_or(100);
                format!("{} {percent}% of {}", layer.name(), mib(layer.total))
            })
            .collect();
        let mut line = format!("{finished} of {} layers", self.all.len());
        if !going.is_empty() {
            line.push_str("; ");
            line.push_str(&going.join(", "));
        }
        line
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_each_layer_that_is_under_way() {
        let layer = |name: &[u8], done, finished| Layer {
            digest: Digest::of(name),
            total: 4 << 20,
            done,
            since: Some(Instant::now()),
            finished,
        };
        let layers = Layers {
            all: vec![layer(b"a", 4 << 20, true), layer(b"b", 1 << 20, false)],
            ..Layers::default()
        };
        let name = &Digest::of(b"b").hex()[..12];
        assert_eq!(
            layers.line(),
            format!("1 of 2 layers; {name} 25% of 4.0 MiB")
        );
        assert_eq!(layers.amount(), (5 << 20, 8 << 20));
    }
}
