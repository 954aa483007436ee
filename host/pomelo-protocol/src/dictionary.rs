//! The dictionary: routes and the two-byte codes that stand for them.
//!
//! The routes of all handlers, sorted as JavaScript sorts strings (by UTF-16 units), are numbered from 1; then those of
//! `dictionary.json`, in their order. A client that names the right version is not sent the table again.
//!
//! Which connection uses which version is not known here: the host makes one for each set of handlers and the connector
//! pins it to a connection.

use base64::{Engine, prelude::BASE64_STANDARD};
use std::collections::HashMap;

/// Routes and codes.
#[derive(Debug, Default)]
pub struct Dictionary {
    /// By code, from 1.
    routes: Vec<String>,
    codes: HashMap<String, u16>,
    route_to_code: String,
    code_to_route: String,
    version: String,
}

impl Dictionary {
    /// Numbers these routes, and then `extra`. A route that stands in both has the later code, as in the original; what
    /// two bytes cannot number goes without.
    pub fn new(routes: impl IntoIterator<Item = String>, extra: &[String]) -> Self {
        let mut routes: Vec<String> = routes.into_iter().collect();
        routes.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
        routes.extend(extra.iter().cloned());
        routes.truncate(usize::from(u16::MAX));
        let codes: HashMap<String, u16> = (1..=u16::MAX)
            .zip(&routes)
            .map(|(code, route)| (route.clone(), code))
            .collect();
        // An object's keys stand where they were first written.
        let mut written = std::collections::HashSet::new();
        let pairs = routes
            .iter()
            .filter(|route| written.insert(route.as_str()))
            .map(|route| (route, codes[route]));
        let route_to_code = object(pairs.map(|(route, code)| (json(route), code.to_string())));
        let code_to_route = object(
            (1..)
                .zip(&routes)
                .map(|(code, route): (u32, _)| (format!("\"{code}\""), json(route))),
        );
        let version = BASE64_STANDARD.encode(*md5::compute(&route_to_code));
        Self {
            routes,
            codes,
            route_to_code,
            code_to_route,
            version,
        }
    }

    /// The code of a route.
    pub fn code(&self, route: &str) -> Option<u16> {
        self.codes.get(route).copied()
    }

    /// The route of a code.
    pub fn route(&self, code: u16) -> Option<&str> {
        self.routes
            .get(usize::from(code).checked_sub(1)?)
            .map(String::as_str)
    }

    /// base64 of the MD5 of the table.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// `{"chat.chatHandler.send":1,…}`.
    pub fn route_to_code(&self) -> &str {
        &self.route_to_code
    }

    /// `{"1":"chat.chatHandler.send",…}`.
    pub fn code_to_route(&self) -> &str {
        &self.code_to_route
    }
}

fn object(pairs: impl Iterator<Item = (String, String)>) -> String {
    let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key}:{value}")).collect();
    format!("{{{}}}", pairs.join(","))
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbering() {
        let routes = ["b.h.m", "a.h.m", "a.h.\u{ff01}", "a.h.\u{10000}"].map(String::from);
        let dictionary = Dictionary::new(routes, &["onChat".to_owned(), "a.h.m".to_owned()]);
        // U+10000 begins with the unit D800, below FF01.
        let order: Vec<_> = (0..8).filter_map(|code| dictionary.route(code)).collect();
        assert_eq!(
            order,
            [
                "a.h.m",
                "a.h.\u{10000}",
                "a.h.\u{ff01}",
                "b.h.m",
                "onChat",
                "a.h.m"
            ]
        );
        assert_eq!(dictionary.code("a.h.m"), Some(6));
        assert_eq!(dictionary.code("onChat"), Some(5));
        assert_eq!(
            (dictionary.code("nope"), dictionary.route(0), dictionary.route(7)),
            (None, None, None)
        );
        assert!(
            dictionary.route_to_code().starts_with(r#"{"a.h.m":6,"#),
            "{}",
            dictionary.route_to_code()
        );
    }
}
