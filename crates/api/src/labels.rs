//! Labels: keys and values that users give to VMs, to find them again by them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Most bytes of a key.
const MAX_KEY: usize = 128;
/// Most bytes of a value: a path (`PATH_MAX`) may be one.
const MAX_VALUE: usize = 4096;
/// Most labels of one VM.
const MAX_LABELS: usize = 64;
/// Characters of a refused text that an error shows.
const SHOWN: usize = 80;

/// Cause that a text is not a label, or part of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabel {
    /// The key.
    #[error(
        "label key \"{0}\" is not valid: use 1 to {MAX_KEY} of a-z, A-Z, 0-9, \".\", \"_\", \"-\" and \"/\", starting with a letter or digit"
    )]
    Key(String),
    /// The value is too long.
    #[error("the value of label \"{key}\" has {bytes} bytes: {MAX_VALUE} are allowed")]
    LongValue {
        /// The key.
        key: String,
        /// Bytes of the value.
        bytes: usize,
    },
    /// The value would spoil a line of a terminal.
    #[error("the value of label \"{0}\" has a control character: use text of one line")]
    ControlInValue(String),
    /// There is no value.
    #[error("label \"{0}\" has no value: write KEY=VALUE; KEY= for an empty one")]
    NoValue(String),
    /// There are too many.
    #[error("{0} labels are too many for one VM: {MAX_LABELS} are allowed")]
    TooMany(usize),
}

/// The key of a label: 1 to 128 of `a-z A-Z 0-9 . _ - /`, starting with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String)]
pub struct LabelKey(String);

impl LabelKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LabelKey {
    type Err = InvalidLabel;

    fn from_str(text: &str) -> Result<Self, InvalidLabel> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if starts && text.chars().all(allowed) && text.len() <= MAX_KEY {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidLabel::Key(text.chars().take(SHOWN).collect()))
    }
}

impl TryFrom<String> for LabelKey {
    type Error = InvalidLabel;
    fn try_from(text: String) -> Result<Self, InvalidLabel> {
        text.parse()
    }
}

impl From<LabelKey> for String {
    fn from(key: LabelKey) -> Self {
        key.0
    }
}

impl fmt::Display for LabelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value of a label: up to 4096 bytes of text without control characters; it may be empty.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String)]
pub struct LabelValue(String);

impl LabelValue {
    /// The value as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(key: &str, text: &str) -> Result<Self, InvalidLabel> {
        if text.len() > MAX_VALUE {
            let (key, bytes) = (key.to_owned(), text.len());
            return Err(InvalidLabel::LongValue { key, bytes });
        }
        match text.chars().any(char::is_control) {
            true => Err(InvalidLabel::ControlInValue(key.to_owned())),
            false => Ok(Self(text.to_owned())),
        }
    }
}

impl TryFrom<String> for LabelValue {
    type Error = InvalidLabel;
    fn try_from(text: String) -> Result<Self, InvalidLabel> {
        Self::of("", &text)
    }
}

impl From<LabelValue> for String {
    fn from(value: LabelValue) -> Self {
        value.0
    }
}

impl fmt::Display for LabelValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One label, as users write it: `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Its key.
    pub key: LabelKey,
    /// Its value.
    pub value: LabelValue,
}

impl FromStr for Label {
    type Err = InvalidLabel;

    fn from_str(text: &str) -> Result<Self, InvalidLabel> {
        let Some((key, value)) = text.split_once('=') else {
            let key: LabelKey = text.parse()?;
            return Err(InvalidLabel::NoValue(key.0));
        };
        let key: LabelKey = key.parse()?;
        let value = LabelValue::of(key.as_str(), value)?;
        Ok(Self { key, value })
    }
}

/// The labels of a VM: up to 64, each key once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(
    try_from = "BTreeMap<LabelKey, LabelValue>",
    into = "BTreeMap<LabelKey, LabelValue>"
)]
#[schema(value_type = BTreeMap<String, String>)]
pub struct Labels(BTreeMap<LabelKey, LabelValue>);

impl Labels {
    /// These labels; of several with one key the last one counts.
    ///
    /// # Errors
    /// They are too many.
    pub fn new(labels: impl IntoIterator<Item = Label>) -> Result<Self, InvalidLabel> {
        let labels = labels.into_iter().map(|label| (label.key, label.value));
        labels.collect::<BTreeMap<_, _>>().try_into()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&LabelKey, &LabelValue)> {
        self.0.iter()
    }

    /// Tells whether all of these filters select a VM that has these labels.
    pub fn match_all(&self, filters: &[LabelFilter]) -> bool {
        filters.iter().all(|filter| filter.selects(self))
    }

    /// These labels after a change: a value sets a label, none removes it.
    ///
    /// # Errors
    /// They are too many then.
    pub fn changed(
        &self,
        change: &BTreeMap<LabelKey, Option<LabelValue>>,
    ) -> Result<Self, InvalidLabel> {
        let mut labels = self.0.clone();
        for (key, value) in change {
            match value {
                Some(value) => labels.insert(key.clone(), value.clone()),
                None => labels.remove(key),
            };
        }
        labels.try_into()
    }
}

impl TryFrom<BTreeMap<LabelKey, LabelValue>> for Labels {
    type Error = InvalidLabel;
    fn try_from(labels: BTreeMap<LabelKey, LabelValue>) -> Result<Self, InvalidLabel> {
        match labels.len() {
            count if count > MAX_LABELS => Err(InvalidLabel::TooMany(count)),
            _ => Ok(Self(labels)),
        }
    }
}

impl From<Labels> for BTreeMap<LabelKey, LabelValue> {
    fn from(labels: Labels) -> Self {
        labels.0
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (key, value)) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

/// A condition on the labels of VMs: `KEY=VALUE`, or `KEY` with any value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabelFilter {
    key: LabelKey,
    value: Option<LabelValue>,
}

impl LabelFilter {
    /// Tells whether it selects a VM with these labels.
    pub fn selects(&self, labels: &Labels) -> bool {
        match (labels.0.get(&self.key), &self.value) {
            (Some(value), Some(wanted)) => value == wanted,
            (found, None) => found.is_some(),
            (None, Some(_)) => false,
        }
    }
}

impl FromStr for LabelFilter {
    type Err = InvalidLabel;

    fn from_str(text: &str) -> Result<Self, InvalidLabel> {
        if !text.contains('=') {
            let key = text.parse()?;
            return Ok(Self { key, value: None });
        }
        let Label { key, value } = text.parse()?;
        let value = Some(value);
        Ok(Self { key, value })
    }
}

impl TryFrom<String> for LabelFilter {
    type Error = InvalidLabel;
    fn try_from(text: String) -> Result<Self, InvalidLabel> {
        text.parse()
    }
}

impl From<LabelFilter> for String {
    fn from(filter: LabelFilter) -> Self {
        filter.to_string()
    }
}

impl fmt::Display for LabelFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => write!(f, "{}", self.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(texts: &[&str]) -> Labels {
        Labels::new(texts.iter().map(|text| text.parse().unwrap())).unwrap()
    }

    fn filter(text: &str) -> LabelFilter {
        text.parse().unwrap()
    }

    #[test]
    fn a_label_is_split_at_its_first_equals_sign_and_may_have_an_empty_value() {
        let label: Label = "dev/folder=/a=b c".parse().unwrap();
        assert_eq!(
            (label.key.as_str(), label.value.as_str()),
            ("dev/folder", "/a=b c")
        );
        assert_eq!("k=".parse::<Label>().unwrap().value.as_str(), "");
        assert_eq!(
            "k".parse::<Label>(),
            Err(InvalidLabel::NoValue("k".to_owned()))
        );
    }

    #[test]
    fn what_is_no_label_is_refused_and_named_in_few_words() {
        let long_key = format!("{}=v", "k".repeat(MAX_KEY + 1));
        let long_value = format!("k={}", "v".repeat(MAX_VALUE + 1));
        for bad in [
            "",
            "=v",
            "-k=v",
            "/k=v",
            "a b=v",
            "k\n=v",
            "ä=v",
            "k=a\nb",
            "k=\u{9b}2J",
            &long_key,
            &long_value,
        ] {
            let error = bad.parse::<Label>().unwrap_err().to_string();
            assert!(error.contains("label"), "{bad}: {error}");
            assert!(error.len() < 400, "{error}");
        }
        let most = (0..=MAX_LABELS).map(|n| format!("k{n}=v").parse().unwrap());
        assert_eq!(
            Labels::new(most),
            Err(InvalidLabel::TooMany(MAX_LABELS + 1))
        );
    }

    #[test]
    fn json_is_checked_as_text_is() {
        assert_eq!(
            serde_json::to_string(&labels(&["b=2", "a=1", "a=3"])).unwrap(),
            r#"{"a":"3","b":"2"}"#
        );
        for bad in [r#"{"a b":"1"}"#, r#"{"a":"\n"}"#, r#"{"a":1}"#] {
            assert!(serde_json::from_str::<Labels>(bad).is_err(), "{bad}");
        }
        assert_eq!(serde_json::to_string(&filter("a=1")).unwrap(), r#""a=1""#);
        assert!(serde_json::from_str::<LabelFilter>(r#""a b""#).is_err());
    }

    #[test]
    fn a_vm_is_selected_when_every_filter_selects_it() {
        let of_vm = labels(&["team=red", "job="]);
        for (filters, selected) in [
            (vec![], true),
            (vec![filter("team")], true),
            (vec![filter("team=red"), filter("job")], true),
            (vec![filter("team=red"), filter("job=7")], false),
            (vec![filter("job=")], true),
            (vec![filter("team=re")], false),
            (vec![filter("other")], false),
        ] {
            assert_eq!(of_vm.match_all(&filters), selected, "{filters:?}");
        }
    }

    #[test]
    fn a_change_sets_and_removes_and_leaves_the_others() {
        let change = [("a", Some("9")), ("b", None), ("c", Some("")), ("d", None)];
        let change = change.into_iter().map(|(key, value)| {
            let value = value.map(|value| LabelValue::of(key, value).unwrap());
            (key.parse().unwrap(), value)
        });
        let changed = labels(&["a=1", "b=2", "e=5"]).changed(&change.collect());
        assert_eq!(changed.unwrap(), labels(&["a=9", "c=", "e=5"]));
    }
}
