//! Challenges of a registry: the `WWW-Authenticate` header (RFC 9110, section 11.6.1; for tokens the distribution
//! project's "Token Authentication Specification").

/// Longest header that is read, in bytes.
const MAX_HEADER: usize = 8 << 10;
/// Most parameters of one challenge.
const MAX_PARAMETERS: usize = 32;

/// One way to authenticate that a registry offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// User name and password with each request.
    Basic,
    /// A token from another service.
    Bearer {
        /// Address of the service.
        realm: String,
        /// Name of the registry, as the service knows it.
        service: Option<String>,
        /// Scope that the request needs, as the registry says it.
        scope: Option<String>,
    },
}

impl Challenge {
    /// Parses the challenges of a header, in order. Broken and unknown ones are left out.
    pub fn parse(header: &str) -> Vec<Self> {
        if header.len() > MAX_HEADER {
            return Vec::new();
        }
        let mut reader = Reader { left: header };
        let mut all = Vec::new();
        while let Some(scheme) = reader.scheme() {
            let parameters = reader.parameters();
            let get = |name: &str| {
                let found = parameters
                    .iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.clone())
            };
            if scheme.eq_ignore_ascii_case("basic") {
                all.push(Self::Basic);
            } else if scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = get("realm")
            {
                all.push(Self::Bearer {
                    realm,
                    service: get("service"),
                    scope: get("scope"),
                });
            }
        }
        all
    }
}

struct Reader<'h> {
    left: &'h str,
}

impl<'h> Reader<'h> {
    fn skip(&mut self, also: &[char]) {
        self.left = self
            .left
            .trim_start_matches(|c: char| c.is_ascii_whitespace() || also.contains(&c));
    }

    fn word(&mut self) -> Option<&'h str> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.left.find(|c| !is_token(c)).unwrap_or(self.left.len());
        let (word, left) = self.left.split_at(end);
        self.left = left;
        (!word.is_empty()).then_some(word)
    }

    /// The next scheme; anything before it that is not a word is skipped.
    fn scheme(&mut self) -> Option<&'h str> {
        loop {
            self.skip(&[',']);
            if let Some(word) = self.word() {
                return Some(word);
            }
            let mut characters = self.left.chars();
            characters.next()?;
            self.left = characters.as_str();
        }
    }

    /// `name=value, …` up to the next scheme.
    fn parameters(&mut self) -> Vec<(&'h str, String)> {
        let mut all = Vec::new();
        while all.len() < MAX_PARAMETERS {
            let before = self.left;
            self.skip(&[',']);
            let parameter = self.word().and_then(|name| {
                self.skip(&[]);
                self.left = self.left.strip_prefix('=')?;
                self.skip(&[]);
                Some((name, self.value()?))
            });
            match parameter {
                Some(parameter) => all.push(parameter),
                None => {
                    // A word without a value is the next scheme.
                    self.left = before;
                    break;
                }
            }
        }
        all
    }

    fn value(&mut self) -> Option<String> {
        let Some(quoted) = self.left.strip_prefix('"') else {
            return self.word().map(str::to_owned);
        };
        let (mut value, mut characters) = (String::new(), quoted.chars());
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => value.push(characters.next()?),
                other => value.push(other),
            }
        }
        self.left = characters.as_str();
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_service_is_understood() {
        let header = r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push",error="insufficient_scope""#;
        let expected = Challenge::Bearer {
            realm: "https://auth.example/token".to_owned(),
            service: Some("registry.example".to_owned()),
            scope: Some("repository:a/b:pull,push".to_owned()),
        };
        assert_eq!(Challenge::parse(header), [expected]);
    }

    #[test]
    fn several_challenges_and_odd_spelling_are_understood() {
        let header = r#"Negotiate, bearer  Realm = token , service="a\"b", BASIC realm="x y""#;
        let bearer = Challenge::Bearer {
            realm: "token".to_owned(),
            service: Some("a\"b".to_owned()),
            scope: None,
        };
        assert_eq!(Challenge::parse(header), [bearer, Challenge::Basic]);
    }

    #[test]
    fn rubbish_is_no_challenge() {
        for rubbish in [
            "",
            ",,,",
            "Bearer",
            "Bearer realm=\"never closed",
            "Digest realm=\"x\"",
            "=\"\"=\"",
            "Bearer service=x",
        ] {
            assert_eq!(Challenge::parse(rubbish), [], "{rubbish}");
        }
        let long = format!("Basic {}", "a".repeat(MAX_HEADER));
        assert_eq!(Challenge::parse(&long), []);
    }
}
