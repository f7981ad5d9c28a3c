//! Recipes: the content of images that banger builds, as data.

use serde::Deserialize;

use crate::error::ImageError;

/// The built-in recipes.
const RECIPES: [(&str, &str); 3] = [
    (
        "debian-bookworm",
        include_str!("../recipes/debian-bookworm.toml"),
    ),
    (
        "debian-docker",
        include_str!("../recipes/debian-docker.toml"),
    ),
    (
        "debian-minimal",
        include_str!("../recipes/debian-minimal.toml"),
    ),
];

/// A recipe for an image of Debian packages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Its name.
    #[serde(skip)]
    pub name: String,
    /// One line for lists.
    pub description: String,
    /// Debian's name of the release.
    pub suite: String,
    /// Name of the recipe that this one adds to.
    #[serde(default)]
    pub from: Option<String>,
    /// Packages besides the essential ones.
    pub packages: Vec<String>,
    /// Patterns of files that dpkg does not unpack.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Patterns of files that it unpacks nevertheless.
    #[serde(default)]
    pub include: Vec<String>,
    /// Changes of the tree before it becomes a base.
    #[serde(default)]
    pub tree: TreeChanges,
}

/// Changes of a file tree. Paths are relative to its root.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeChanges {
    /// Names to remove if they exist; the last part may have one `*`.
    #[serde(default)]
    pub remove: Vec<String>,
    /// Files to replace with empty plain files.
    #[serde(default)]
    pub empty: Vec<String>,
    /// systemd units to mask.
    #[serde(default)]
    pub mask: Vec<String>,
    /// systemd generators to mask.
    #[serde(default)]
    pub mask_generators: Vec<String>,
    /// Files to write.
    #[serde(default, rename = "file")]
    pub files: Vec<NewFile>,
    /// Symbolic links to make.
    #[serde(default, rename = "link")]
    pub links: Vec<NewLink>,
}

impl TreeChanges {
    fn add(&mut self, other: Self) {
        let Self {
            remove,
            empty,
            mask,
            mask_generators,
            files,
            links,
        } = other;
        self.remove.extend(remove);
        self.empty.extend(empty);
        self.mask.extend(mask);
        self.mask_generators.extend(mask_generators);
        self.files.extend(files);
        self.links.extend(links);
    }
}

/// A file to write, root:root.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewFile {
    /// Path of the file.
    pub path: String,
    /// Its content.
    pub content: String,
    /// Permission bits.
    #[serde(default = "readable")]
    pub mode: u16,
}

fn readable() -> u16 {
    0o644
}

/// A symbolic link to make.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewLink {
    /// Path of the link.
    pub path: String,
    /// Its target.
    pub target: String,
}

impl Recipe {
    /// The names of all recipes.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        RECIPES.iter().map(|(name, _)| *name).collect()
    }

    /// The recipe of that name.
    ///
    /// # Errors
    /// [`ImageError::UnknownRecipe`] lists the known ones.
    pub fn find(name: &str) -> Result<Self, ImageError> {
        let text = RECIPES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, text)| *text);
        let unknown = || ImageError::UnknownRecipe {
            name: name.to_owned(),
            known: Self::names().join(", "),
        };
        let recipe = Self::parse(name, text.ok_or_else(unknown)?)?;
        // banger's own recipes, all of which a test reads, do not go round in circles.
        match &recipe.from {
            Some(below) => Ok(Self::find(below)?.with(recipe)),
            None => Ok(recipe),
        }
    }

    /// This recipe with what another one adds to it, under the other's name.
    fn with(self, over: Self) -> Self {
        let joined = |mut below: Vec<String>, above| {
            below.extend(above);
            below
        };
        let mut tree = self.tree;
        tree.add(over.tree);
        Self {
            packages: joined(self.packages, over.packages),
            exclude: joined(self.exclude, over.exclude),
            include: joined(self.include, over.include),
            tree,
            ..over
        }
    }

    fn parse(name: &str, text: &str) -> Result<Self, ImageError> {
        let bad = |source| ImageError::BadRecipe {
            name: name.to_owned(),
            source,
        };
        let recipe: Self = toml::from_str(text).map_err(bad)?;
        Ok(Self {
            name: name.to_owned(),
            ..recipe
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_parses_and_has_packages() {
        for name in Recipe::names() {
            let recipe = Recipe::find(name).unwrap();
            assert_eq!(
                (recipe.name.as_str(), recipe.suite.as_str()),
                (name, "bookworm")
            );
            assert!(!recipe.packages.is_empty());
            let mut once = recipe.packages.clone();
            once.sort();
            once.dedup();
            assert_eq!(
                once.len(),
                recipe.packages.len(),
                "a package is named twice"
            );
        }
    }

    #[test]
    fn what_the_first_issue_asks_for_is_in_the_default_image() {
        let recipe = Recipe::find("debian-bookworm").unwrap();
        for package in [
            "systemd-sysv",
            "openssh-server",
            "git",
            "curl",
            "ca-certificates",
            "less",
            "procps",
            "iproute2",
            "python3",
            "gcc",
            "make",
        ] {
            assert!(
                recipe.packages.iter().any(|name| name == package),
                "{package}"
            );
        }
        for unit in [
            "apt-daily.timer",
            "fstrim.timer",
            "systemd-timesyncd.service",
        ] {
            assert!(recipe.tree.mask.iter().any(|name| name == unit), "{unit}");
        }
    }

    #[test]
    fn a_recipe_that_adds_to_another_has_all_of_it() {
        let below = Recipe::find("debian-bookworm").unwrap();
        let docker = Recipe::find("debian-docker").unwrap();
        assert_eq!(docker.from.as_deref(), Some("debian-bookworm"));
        assert!(docker.packages.starts_with(&below.packages));
        assert_eq!(docker.exclude, below.exclude);
        assert!(docker.tree.mask.starts_with(&below.tree.mask));
        assert!(docker.tree.files.starts_with(&below.tree.files));
        for package in ["docker.io", "apparmor", "iptables", "kmod", "podman"] {
            assert!(
                docker.packages.iter().any(|name| name == package),
                "{package}"
            );
        }
    }

    #[test]
    fn an_unknown_recipe_names_the_known_ones() {
        let error = Recipe::find("debian-bookwrom").unwrap_err().to_string();
        assert_eq!(
            error,
            "no recipe `debian-bookwrom`; there are debian-bookworm, debian-docker, debian-minimal"
        );
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let text = "description = ''\nsuite = 'x'\npackages = []\npakages = []";
        assert!(
            Recipe::parse("x", text)
                .unwrap_err()
                .to_string()
                .contains("recipe `x`")
        );
    }
}
