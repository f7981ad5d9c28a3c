//! Things that were asked for by name: always a list, so that a script need not know how many were named.

use serde::Serialize;

use crate::output::Render;
use crate::output::page::Page;

/// Things in the order in which they were named.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Shown<T>(pub Vec<T>);

impl<T: Render> Render for Shown<T> {
    fn text(&self, page: &mut Page) {
        for (index, thing) in self.0.iter().enumerate() {
            if index > 0 && thing_has_lines(thing) {
                page.line("");
            }
            thing.text(page);
        }
    }
}

/// Things of several lines are set apart by an empty one.
fn thing_has_lines(thing: &impl Render) -> bool {
    let mut page = Page::new();
    thing.text(&mut page);
    page.into_text().lines().count() > 1
}

/// A thing that was removed.
#[derive(Debug, Clone, Serialize)]
pub struct Removed {
    /// Its id, when it has one besides its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// Always true: a thing that was not removed is an error.
    pub deleted: bool,
}

impl Removed {
    /// It is gone.
    pub fn new(name: impl Into<String>, id: Option<String>) -> Self {
        Self {
            id,
            name: name.into(),
            deleted: true,
        }
    }
}

impl Render for Removed {
    fn text(&self, page: &mut Page) {
        page.line(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_has_the_shape_of_many() {
        let json = |shown: Shown<u32>| serde_json::to_string(&shown).unwrap();
        assert_eq!(json(Shown(vec![7])), "[7]");
        assert_eq!(json(Shown(vec![])), "[]");
        assert_eq!(json(Shown(vec![7, 8])), "[7,8]");
    }
}
