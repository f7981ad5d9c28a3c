//! A try of a jail, for a word about this host: a child enters it and ends, nothing is executed.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Layer, Step};
use crate::{JailError, Layers, Prepared, Spec, sys};

/// Enters the jail of `spec` in a child.
///
/// # Errors
/// As a start in it would have.
pub fn trial(spec: &Spec) -> Result<Layers, JailError> {
    let prepared = Arc::new(Prepared::new(spec)?);
    let error = sys::try_entering(&prepared);
    match prepared.was_entered() {
        Some(entered) => entered.map(|()| prepared.layers()),
        None => Err(JailError::Step {
            layer: Layer::Always,
            step: Step::Entered.words(),
            path: None,
            source: error,
        }),
    }
}

/// The setting of this host that forbids a layer, and the way to change it; `None` when no known one does.
#[must_use]
pub fn hint(layer: Layer) -> Option<&'static str> {
    match layer {
        Layer::Namespaces => namespaces(Path::new("/proc/sys")),
        Layer::Landlock => Some(
            "use a kernel of 5.13 or newer with CONFIG_SECURITY_LANDLOCK and landlock in its lsm= list",
        ),
        Layer::Seccomp | Layer::ControlGroup | Layer::Always => None,
    }
}

fn namespaces(sysctls: &Path) -> Option<&'static str> {
    let value = |name: &str| std::fs::read_to_string(sysctls.join(name)).ok();
    let is = |name: &str, wanted: &str| value(name).is_some_and(|value| value.trim() == wanted);
    if is("kernel/apparmor_restrict_unprivileged_userns", "1") {
        return Some(
            "AppArmor forbids user namespaces here: give banger a profile with \"userns,\", or set kernel.apparmor_restrict_unprivileged_userns=0",
        );
    }
    if is("kernel/unprivileged_userns_clone", "0") {
        return Some("set kernel.unprivileged_userns_clone=1");
    }
    if is("user/max_user_namespaces", "0") {
        return Some("set user.max_user_namespaces to a number above 0");
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_forbids_user_namespaces_is_named() {
        for (file, value, word) in [
            (
                "kernel/apparmor_restrict_unprivileged_userns",
                "1\n",
                Some("AppArmor"),
            ),
            (
                "kernel/unprivileged_userns_clone",
                "0\n",
                Some("unprivileged_userns_clone=1"),
            ),
            (
                "user/max_user_namespaces",
                "0\n",
                Some("max_user_namespaces"),
            ),
            ("user/max_user_namespaces", "9\n", None),
        ] {
            let root = tempfile::tempdir().unwrap();
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, value).unwrap();
            let told = namespaces(root.path());
            assert_eq!(told.is_some(), word.is_some(), "{file}");
            assert!(
                told.unwrap_or_default().contains(word.unwrap_or_default()),
                "{told:?}"
            );
        }
    }
}
