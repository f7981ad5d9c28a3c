//! One thing or several: one reference gives an object, several give an array.

use serde::Serialize;

use crate::output::Render;
use crate::output::page::Page;

/// One thing or several.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Shown<T> {
    /// The user named one.
    One(T),
    /// The user named several, or all.
    All(Vec<T>),
}

impl<T> Shown<T> {
    /// An object when one was asked for and is there, else an array.
    pub fn of(asked: usize, mut things: Vec<T>) -> Self {
        match (asked, things.pop()) {
            (1, Some(thing)) if things.is_empty() => Self::One(thing),
            (_, Some(thing)) => {
                things.push(thing);
                Self::All(things)
            }
            (_, None) => Self::All(things),
        }
    }
}

impl<T: Render> Render for Shown<T> {
    fn text(&self, page: &mut Page) {
        match self {
            Self::One(thing) => thing.text(page),
            Self::All(things) => {
                for (index, thing) in things.iter().enumerate() {
                    if index > 0 && thing_has_lines(thing) {
                        page.line("");
                    }
                    thing.text(page);
                }
            }
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
    fn one_reference_gives_an_object_and_several_an_array() {
        let json = |shown: Shown<u32>| serde_json::to_string(&shown).unwrap();
        assert_eq!(json(Shown::of(1, vec![7])), "7");
        assert_eq!(json(Shown::of(2, vec![7])), "[7]");
        assert_eq!(json(Shown::of(0, vec![])), "[]");
        assert_eq!(json(Shown::of(2, vec![7, 8])), "[7,8]");
    }
}
