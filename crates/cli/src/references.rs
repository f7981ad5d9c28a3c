//! Commands that take several references.
//!
//! ```text
//! references ──► resolve all ──► any unknown? fail, nothing has happened
//!                    └──► drop duplicates ──► act on all at once ──► results in the order given ──► failures last
//! ```

use std::future::Future;

use futures::future::join_all;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Render;

/// Results for several things, in the order given.
#[derive(Debug)]
pub struct Results<R> {
    /// Results of those that went well.
    pub done: Vec<R>,
    /// All that failed, as one.
    pub failure: Option<Failure>,
}

impl<R> Results<R> {
    /// Prints what went well, and then fails if anything failed.
    ///
    /// # Errors
    /// Something failed, or standard output is gone.
    pub fn print<V: Render>(self, context: &Context, view: impl FnOnce(Vec<R>) -> V) -> Outcome {
        if self.failure.is_none() || !self.done.is_empty() {
            context.output.print(&view(self.done))?;
        }
        self.failure.map_or(Ok(0), Err)
    }
}

/// Resolves every reference and drops those that name a thing named before.
///
/// # Errors
/// Every reference that cannot be resolved.
pub async fn resolve<T, K: PartialEq, F>(
    references: &[String],
    resolve: impl Fn(String) -> F,
    key: impl Fn(&T) -> K,
) -> Result<Vec<T>, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let found = join_all(references.iter().cloned().map(resolve)).await;
    let mut things: Vec<T> = Vec::new();
    let mut failures = Vec::new();
    for result in found {
        match result {
            Ok(thing) if things.iter().any(|known| key(known) == key(&thing)) => {}
            Ok(thing) => things.push(thing),
            Err(failure) => failures.push(failure),
        }
    }
    Failure::all(failures).map_or(Ok(things), Err)
}

/// Acts on all things at once.
pub async fn act<T, R, F>(things: Vec<T>, act: impl Fn(T) -> F) -> Results<R>
where
    F: Future<Output = Result<R, Failure>>,
{
    let results = join_all(things.into_iter().map(act)).await;
    let mut done = Vec::new();
    let mut failures = Vec::new();
    for result in results {
        match result {
            Ok(result) => done.push(result),
            Err(failure) => failures.push(failure),
        }
    }
    Results {
        done,
        failure: Failure::all(failures),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use banger_api::{ApiError, ErrorCode};
    use tokio::sync::Barrier;

    use super::*;

    fn known(reference: &str) -> Result<usize, Failure> {
        let known = [("web", 1), ("1111", 1), ("db", 2)];
        let found = known.iter().find(|(name, _)| *name == reference);
        found.map(|(_, id)| *id).ok_or_else(|| {
            ApiError::new(ErrorCode::NotFound, format!("no VM \"{reference}\"")).into()
        })
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[tokio::test]
    async fn two_references_to_one_thing_are_one_thing_in_the_first_place() {
        let references = strings(&["db", "web", "1111", "db"]);
        let things = resolve(
            &references,
            |reference| async move { known(&reference) },
            |id| *id,
        );
        assert_eq!(things.await.unwrap(), [2, 1]);
    }

    #[tokio::test]
    async fn every_unknown_reference_is_told() {
        let references = strings(&["web", "x", "y"]);
        let failure = resolve(
            &references,
            |reference| async move { known(&reference) },
            |id| *id,
        )
        .await
        .unwrap_err();
        assert_eq!(failure.exit_code(), 3);
        assert!(matches!(failure, Failure::Errors { errors, .. } if errors.len() == 2));
    }

    #[tokio::test]
    async fn things_are_acted_on_at_once_and_told_in_order() {
        let all_there = Barrier::new(3);
        let finished = RefCell::new(Vec::new());
        let results = act(vec![3_u64, 2, 1], |thing| {
            let (all_there, finished) = (&all_there, &finished);
            async move {
                // Only a third one that runs beside lets the first go on.
                all_there.wait().await;
                finished.borrow_mut().push(thing);
                if thing == 2 {
                    return Err(ApiError::new(ErrorCode::WrongState, "2 failed").into());
                }
                Ok(thing)
            }
        })
        .await;
        assert_eq!(results.done, [3, 1]);
        assert_eq!(results.failure.unwrap().exit_code(), 4);
        assert_eq!(finished.borrow().len(), 3);
    }
}
