//! The name of what a message wants: `chat.chatHandler.send`.
//!
//! A leaf: it knows neither servers nor handlers. Whether a route exists is the handler table's business, where it
//! runs is [`crate::rpc::router`]'s.

use std::{fmt, sync::Arc};

/// A route with a server type in front of its first dot. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Route {
    text: Arc<str>,
    type_len: usize,
}

impl Route {
    /// `None` where no server type can be read: no dot, or nothing before the first one.
    pub fn parse(text: impl Into<Arc<str>> + AsRef<str>) -> Option<Self> {
        let first_dot = text.as_ref().bytes().position(|byte| byte == b'.');
        let type_len = first_dot.filter(|&len| len > 0)?;
        Some(Self {
            text: text.into(),
            type_len,
        })
    }

    /// The whole route, as the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The type of the servers that can answer it.
    pub fn server_type(&self) -> &str {
        &self.text[..self.type_len]
    }

    /// Whether the part after the last dot is JavaScript's name for what makes an object.
    pub fn is_constructor(&self) -> bool {
        self.text.ends_with(".constructor")
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let route = Route::parse("chat.chatHandler.send").unwrap();
        assert_eq!(route.server_type(), "chat");
        assert!(!route.is_constructor());
        assert!(Route::parse("chat.constructor").unwrap().is_constructor());
        for shapeless in ["", "abc", ".b.c"] {
            assert!(Route::parse(shapeless).is_none(), "{shapeless}");
        }
    }
}
