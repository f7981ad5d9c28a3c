//! Files of a guest by name, however many: in calls of a bounded size.

use banger_api::files::{FoundFile, TreeFiles};
use banger_guest::TreePath;
use banger_guest::limits::{MAX_TREE_FILES, MAX_TREE_NAMES};

use crate::context::Context;
use crate::failure::Failure;

/// States of files of a guest, in the order asked.
pub(super) async fn digest(
    vm: &str,
    root: &str,
    files: Vec<TreePath>,
    context: &Context,
) -> Result<Vec<FoundFile>, Failure> {
    let mut found = Vec::with_capacity(files.len());
    for batch in batches(root, files) {
        let batch = &batch;
        let call = context
            .session
            .read(|client| async move { client.digest_files(vm, batch).await });
        found.extend(call.await?);
    }
    Ok(found)
}

/// Removes files of a guest, and directories that this leaves empty.
pub(super) async fn remove(
    vm: &str,
    root: &str,
    files: Vec<TreePath>,
    context: &Context,
) -> Result<u64, Failure> {
    let mut removed = 0;
    for batch in batches(root, files) {
        let batch = &batch;
        let call = context
            .session
            .change(|client| async move { client.remove_files(vm, batch).await });
        removed += call.await?;
    }
    Ok(removed)
}

fn batches(root: &str, files: Vec<TreePath>) -> Vec<TreeFiles> {
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    let mut bytes = 0;
    for path in files {
        let length = path.as_bytes().len();
        if batch.len() == MAX_TREE_FILES || bytes + length > MAX_TREE_NAMES {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += length;
        batch.push(String::from(path));
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    let tree = |files| TreeFiles {
        root: root.to_owned(),
        files,
    };
    batches.into_iter().map(tree).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_files_go_in_calls_that_are_small_enough_and_in_order() {
        let names = (0..5000).map(|n| TreePath::new(format!("{n:0200}")).unwrap());
        let names: Vec<_> = names.collect();
        let batches = batches("/root/a", names.clone());
        let all: Vec<_> = batches
            .iter()
            .flat_map(|batch| batch.files.clone())
            .collect();
        assert_eq!(all, names.into_iter().map(String::from).collect::<Vec<_>>());
        for batch in batches {
            assert!(batch.files.len() <= MAX_TREE_FILES);
            assert!(batch.files.iter().map(String::len).sum::<usize>() <= MAX_TREE_NAMES);
        }
    }
}
