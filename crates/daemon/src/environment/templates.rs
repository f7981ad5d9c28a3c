//! Templates on this host: what lies on the disk, and when one is made.

use std::collections::HashSet;
use std::fs::{File, FileTimes};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use banger_api::ContentDigest;
use banger_control::Control;
use banger_control::template::{self, Template, Wanted};
use banger_ops::TemplateFiles;

use super::watch::on_a_thread;

/// Most that all templates take on the disk when the user says nothing else, in bytes.
pub(crate) const TEMPLATES_QUOTA: u64 = 2 << 30;
/// Time without any operation after which a template is made.
const QUIET: Duration = Duration::from_secs(2);
/// Between two looks at the operations.
const LOOK: Duration = Duration::from_millis(250);
/// Time after which it is made although there is always something to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Keys of the templates that are waited for. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct WantedTemplates(Arc<Mutex<HashSet<ContentDigest>>>);

impl WantedTemplates {
    /// Adds one; `false` when it is waited for already.
    pub(crate) fn add(&self, key: ContentDigest) -> bool {
        let mut wanted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.insert(key)
    }

    fn remove(&self, key: &ContentDigest) {
        let mut wanted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.remove(key);
    }
}

/// Makes a template when nothing else has been under way for a while.
pub(super) async fn make_later(control: Control, wanted: Wanted, all: WantedTemplates) {
    let (began, mut quiet_since) = (Instant::now(), Instant::now());
    while quiet_since.elapsed() < QUIET && began.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK).await;
        if !control.operations().all_running().is_empty() {
            quiet_since = Instant::now();
        }
    }
    let key = wanted.key;
    on_a_thread(move || {
        if let Err(error) = template::make(&control, wanted) {
            tracing::warn!(template = %key, %error, "a template cannot be made");
        }
    })
    .await;
    all.remove(&key);
}

/// The template of these files.
pub(super) fn read(key: &ContentDigest, files: &TemplateFiles) -> Option<Template> {
    let facts = std::fs::read(files.facts()).ok()?;
    let facts = serde_json::from_slice(&facts).ok()?;
    let bytes = files.all().iter().map(|file| allocated(file)).sum();
    Some(Template {
        key: *key,
        facts,
        used_ms: used_ms(&files.facts())?,
        bytes,
    })
}

fn allocated(file: &Path) -> u64 {
    banger_disk::sparse::allocated_bytes(file).unwrap_or(0)
}

fn used_ms(facts: &Path) -> Option<i64> {
    let used = facts.metadata().ok()?.modified().ok()?;
    let since = used.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).ok()
}

/// The time of the last use is that of its description.
pub(super) fn note_use(files: &TemplateFiles) {
    let now = FileTimes::new().set_modified(SystemTime::now());
    let noted = File::open(files.facts()).and_then(|file| file.set_times(now));
    if let Err(error) = noted {
        tracing::debug!(%error, "the use of a template is not noted");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_waited_for_once() {
        let all = WantedTemplates::default();
        let key: ContentDigest = "ab".repeat(32).parse().unwrap();
        assert!(all.add(key) && !all.clone().add(key));
        all.remove(&key);
        assert!(all.add(key));
    }
}
