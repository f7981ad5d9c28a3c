//! The company's proxy for what guests on banger's own network reach of the internet.

use std::net::ToSocketAddrs as _;

use banger_net_control::Proxy;
use thiserror::Error;

/// Word for no proxy, whatever the environment says.
const NONE: &str = "none";
/// Variables that name the proxy, in their order; the last two name what is reached without.
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// A proxy that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum UpstreamError {
    /// It is of another kind.
    #[error(
        "upstream_proxy below [network] in config.toml: \"{0}\" is no proxy of HTTP: write http://HOST:PORT, or none"
    )]
    Form(String),
    /// It wants a name and a password.
    #[error(
        "upstream_proxy below [network] in config.toml has a user and a password, which VMs' networks do not give to a proxy: use one on this host that does"
    )]
    Credentials,
}

/// A proxy by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upstream {
    host: String,
    port: u16,
    except: Vec<String>,
}

impl Upstream {
    /// The proxy of the configuration, else that of the environment. One of the environment that cannot be used is told and left out.
    ///
    /// # Errors
    /// The configuration's cannot be used.
    pub(crate) fn wanted(
        configured: Option<&str>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, UpstreamError> {
        let first = |names: &[&str]| {
            let found = names.iter().find_map(|name| variable(name));
            found.filter(|text| !text.is_empty())
        };
        let except = first(&EXCEPTIONS).unwrap_or_default();
        let except = except.split(',').map(str::trim);
        let except: Vec<String> = except
            .filter(|one| !one.is_empty())
            .map(str::to_owned)
            .collect();
        if let Some(text) = configured {
            return match text {
                NONE => Ok(None),
                text => Self::of(text, except).map(Some),
            };
        }
        let Some(text) = first(&VARIABLES) else {
            return Ok(None);
        };
        match Self::of(&text, except) {
            Ok(upstream) => Ok(Some(upstream)),
            Err(error) => {
                // Never the text itself: it may hold a password.
                let why = match error {
                    UpstreamError::Form(_) => "it is no http://HOST:PORT",
                    UpstreamError::Credentials => "it has a user and a password",
                };
                tracing::warn!(
                    why,
                    "the proxy of the environment is not used for VMs' networks"
                );
                Ok(None)
            }
        }
    }

    fn of(text: &str, except: Vec<String>) -> Result<Self, UpstreamError> {
        let form = || UpstreamError::Form(text.chars().take(80).collect());
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(_) => return Err(form()),
            None => text,
        };
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.contains('@') {
            return Err(UpstreamError::Credentials);
        }
        let (host, port) = authority.rsplit_once(':').ok_or_else(form)?;
        let port = port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(form)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(form());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            except,
        })
    }

    /// The proxy with its present addresses. Without any nothing is reached: nothing goes around it.
    pub(crate) fn found(&self) -> Proxy {
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let addresses = found.map(Iterator::collect).unwrap_or_else(|error| {
            tracing::warn!(host = self.host, %error, "the upstream proxy has no address: VMs do not reach the internet");
            Vec::new()
        });
        Proxy {
            addresses,
            except: self.except.clone(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn wanted(
        configured: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<Option<(String, u16)>, UpstreamError> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(one, _)| *one == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let found = Upstream::wanted(configured, &variable)?;
        Ok(found.map(|one| (one.host, one.port)))
    }

    #[test]
    fn the_configuration_wins_over_the_environment() {
        let environment = [("https_proxy", "http://proxy.example:3128/")];
        let proxy = |host: &str, port| Ok(Some((host.to_owned(), port)));
        assert_eq!(wanted(None, &environment), proxy("proxy.example", 3128));
        assert_eq!(
            wanted(Some("http://[::1]:8080"), &environment),
            proxy("::1", 8080)
        );
        assert_eq!(wanted(Some("none"), &environment), Ok(None));
        assert_eq!(wanted(None, &[]), Ok(None));
        assert_eq!(wanted(None, &[("HTTPS_PROXY", "")]), Ok(None));
    }

    #[test]
    fn what_is_no_proxy_is_refused_where_it_was_written_and_left_out_where_it_was_found() {
        for text in [
            "",
            "proxy",
            "socks5://proxy:1080",
            "http://proxy:0",
            "http://:3128",
            "https://a:1",
        ] {
            assert!(wanted(Some(text), &[]).is_err(), "{text}");
            assert_eq!(wanted(None, &[("HTTPS_PROXY", text)]), Ok(None), "{text}");
        }
        let secret = "http://me:hunter2@proxy:3128";
        let error = wanted(Some(secret), &[]).unwrap_err();
        assert_eq!(error, UpstreamError::Credentials);
        assert!(!error.to_string().contains("hunter2"));
        assert_eq!(wanted(None, &[("HTTPS_PROXY", secret)]), Ok(None));
    }

    #[test]
    fn exceptions_come_from_the_environment() {
        let variable = |name: &str| match name {
            "NO_PROXY" => Some("localhost, .example.com,,10.0.0.0/8".to_owned()),
            _ => None,
        };
        let found = Upstream::wanted(Some("http://127.0.0.1:3128"), &variable).unwrap();
        let proxy = found.unwrap().found();
        assert_eq!(proxy.addresses.len(), 1);
        assert_eq!(proxy.except, ["localhost", ".example.com", "10.0.0.0/8"]);
    }
}
