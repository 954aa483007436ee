//! Reading what comes in: a client's message, and the arguments of a remote.

use crate::error::{Error, Result};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

/// The arguments of a remote: a tuple of up to eight. Those that the caller leaves out are null; more are ignored.
pub trait Args: Sized {
    /// Reads them from a JSON array.
    ///
    /// # Errors
    /// One of them is of another type.
    fn read(json: &[u8]) -> Result<Self>;
}

macro_rules! args {
    ($($name:ident)*) => {
        impl<$($name: DeserializeOwned),*> Args for ($($name,)*) {
            fn read(json: &[u8]) -> Result<Self> {
                let mut values = serde_json::from_slice::<Vec<Value>>(json)?.into_iter();
                let mut place = 0;
                let result = ($({
                    place += 1;
                    $name::deserialize(values.next().unwrap_or_default())
                        .map_err(|error| Error::new(400, format!("argument {place}: {error}")))?
                },)*);
                // Of no arguments none is read.
                let _ = (&mut values, &mut place);
                Ok(result)
            }
        }
    };
}

args!();
args!(A);
args!(A B);
args!(A B C);
args!(A B C D);
args!(A B C D E);
args!(A B C D E F);
args!(A B C D E F G);
args!(A B C D E F G H);

/// A client's message. What JavaScript takes for false, and what is not JSON, is `{}`.
pub(crate) fn message<M: DeserializeOwned>(body: &[u8]) -> Result<M> {
    serde_json::from_slice(body).or_else(|error| {
        let nothing = matches!(body, b"null" | b"false" | b"0" | b"\"\"")
            || serde_json::from_slice::<IgnoredAny>(body).is_err();
        let error = match nothing {
            true => match serde_json::from_slice(b"{}") {
                Ok(msg) => return Ok(msg),
                Err(error) => error,
            },
            false => error,
        };
        Err(Error::new(400, format!("the message cannot be read: {error}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[test]
    fn arguments() {
        assert!(matches!(<()>::read(b"[1]"), Ok(())));
        let (a, b) = <(String, Option<bool>)>::read(b"[\"x\"]").unwrap();
        assert_eq!((&*a, b), ("x", None));
        let error = <(String, u8)>::read(b"[\"x\",\"y\"]").unwrap_err();
        assert_eq!(error.code(), 400);
        assert!(error.message().starts_with("argument 2: "), "{error}");
    }

    #[test]
    fn messages() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Msg {
            n: Option<u8>,
        }
        for nothing in [&b"{}"[..], b"null", b"0", b"", b"no json", b"\"\""] {
            assert_eq!(message::<Msg>(nothing).unwrap(), Msg { n: None });
        }
        assert_eq!(message::<Msg>(b"{\"n\":1}").unwrap(), Msg { n: Some(1) });
        assert_eq!(message::<Msg>(b"{\"n\":\"1\"}").unwrap_err().code(), 400);
    }
}
