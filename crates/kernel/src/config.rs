//! The kernel's build configuration (`/boot/config-*`), as far as it tells what is built in.

use std::collections::BTreeMap;

/// Options that are set, without `CONFIG_`.
#[derive(Debug, Default)]
pub(crate) struct KernelConfig {
    options: BTreeMap<String, String>,
}

impl KernelConfig {
    /// Lines that are not `CONFIG_X=value` say nothing and are passed over.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let options = text
            .lines()
            .filter_map(|line| line.strip_prefix("CONFIG_")?.split_once('='));
        Self {
            options: options
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    pub(crate) fn is_builtin(&self, option: &str) -> bool {
        self.options.get(option).is_some_and(|value| value == "y")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_y_is_built_in() {
        let config = KernelConfig::parse(
            b"# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_C=m\nCONFIG_D=\"y\"\nrubbish\xff\n",
        );
        let builtin: Vec<_> = ["A", "B", "C", "D", "E"]
            .into_iter()
            .filter(|name| config.is_builtin(name))
            .collect();
        assert_eq!(builtin, ["B"]);
    }
}
