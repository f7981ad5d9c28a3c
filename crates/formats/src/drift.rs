//! The difference between an example and its golden file.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// Difference between an example and its golden file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// There is no golden file of this name.
    Absent,
    /// The example leaves a field empty, so a change below it would not be seen.
    Hollow {
        /// The places, as JSON pointers.
        at: Vec<String>,
    },
    /// The form is another one.
    Changed {
        /// Places that the golden file lacks.
        added: Vec<String>,
        /// Places that only the golden file has.
        removed: Vec<String>,
        /// Places that hold something else.
        other: Vec<String>,
    },
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("it has no golden file"),
            Self::Hollow { at } => write!(f, "the example is empty at {}", at.join(", ")),
            Self::Changed {
                added,
                removed,
                other,
            } => write!(
                f,
                "the stored form changed: added {added:?}, removed {removed:?}, other {other:?}"
            ),
        }
    }
}

/// Compares an example with the content of its newest golden file.
pub(crate) fn compare(golden: Option<&Value>, example: &Value) -> Result<(), Drift> {
    let mut at = Vec::new();
    hollow(example, String::new(), &mut at);
    if !at.is_empty() {
        return Err(Drift::Hollow { at });
    }
    let golden = golden.ok_or(Drift::Absent)?;
    let (old, new) = (leaves(golden), leaves(example));
    let only_in = |these: &BTreeMap<String, &Value>, those: &BTreeMap<String, &Value>| {
        let missing = these.keys().filter(|place| !those.contains_key(*place));
        missing.cloned().collect::<Vec<_>>()
    };
    let (added, removed) = (only_in(&new, &old), only_in(&old, &new));
    let differs = |(place, value): (&String, &&Value)| {
        new.get(place)
            .is_some_and(|new| new != value)
            .then_some(place.clone())
    };
    let other: Vec<String> = old.iter().filter_map(differs).collect();
    if added.is_empty() && removed.is_empty() && other.is_empty() {
        return Ok(());
    }
    Err(Drift::Changed {
        added,
        removed,
        other,
    })
}

/// Finds values that show no form: `null`, an empty list, object or text.
fn hollow(value: &Value, place: String, at: &mut Vec<String>) {
    match value {
        Value::Null => at.push(place),
        Value::Array(items) if items.is_empty() => at.push(place),
        Value::Object(fields) if fields.is_empty() => at.push(place),
        Value::String(text) if text.is_empty() => at.push(place),
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                hollow(item, format!("{place}/{n}"), at);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                hollow(field, format!("{place}/{name}"), at);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// All values that hold no others, by place.
fn leaves(value: &Value) -> BTreeMap<String, &Value> {
    let mut found = BTreeMap::new();
    let mut open = vec![(String::new(), value)];
    while let Some((place, value)) = open.pop() {
        match value {
            Value::Array(items) => {
                let items = items.iter().enumerate();
                open.extend(items.map(|(n, item)| (format!("{place}/{n}"), item)));
            }
            Value::Object(fields) => {
                let fields = fields.iter();
                open.extend(fields.map(|(name, field)| (format!("{place}/{name}"), field)));
            }
            leaf => {
                found.insert(place, leaf);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changed(golden: Value, example: Value) -> (Vec<String>, Vec<String>, Vec<String>) {
        match compare(Some(&golden), &example) {
            Err(Drift::Changed {
                added,
                removed,
                other,
            }) => (added, removed, other),
            outcome => panic!("{outcome:?}"),
        }
    }

    #[test]
    fn the_same_form_holds() {
        let form = json!({"a": 1, "b": [{"c": "x"}]});
        assert_eq!(compare(Some(&form), &form), Ok(()));
    }

    #[test]
    fn an_added_a_removed_and_a_renamed_field_are_seen_at_any_depth() {
        let golden = json!({"a": 1, "b": [{"c": "x", "d": true}]});
        let added = json!({"a": 1, "b": [{"c": "x", "d": true, "e": 1}]});
        assert_eq!(changed(golden.clone(), added).0, ["/b/0/e"]);
        let removed = json!({"a": 1, "b": [{"c": "x"}]});
        assert_eq!(changed(golden.clone(), removed).1, ["/b/0/d"]);
        let renamed = json!({"a": 1, "b": [{"c": "x", "D": true}]});
        let seen = changed(golden, renamed);
        assert_eq!(
            (&seen.0[..], &seen.1[..]),
            (&["/b/0/D".to_owned()][..], &["/b/0/d".to_owned()][..])
        );
    }

    #[test]
    fn another_word_for_a_variant_is_seen() {
        let seen = changed(json!({"state": "running"}), json!({"state": "Running"}));
        assert_eq!(seen.2, ["/state"]);
    }

    #[test]
    fn an_example_that_leaves_something_out_is_refused() {
        let example = json!({"a": null, "b": [], "c": {"d": ""}, "e": 0});
        let Err(Drift::Hollow { at }) = compare(Some(&example), &example) else {
            panic!("taken for full");
        };
        assert_eq!(at, ["/a", "/b", "/c/d"]);
    }

    #[test]
    fn a_type_without_a_golden_file_is_seen() {
        assert_eq!(compare(None, &json!({"a": 1})), Err(Drift::Absent));
    }
}
